"""Figures: what they hold, that they touch nothing global, and that they are saved whole."""

import subprocess
import sys
import threading

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection, PathCollection
from matplotlib.figure import Figure
from numpy.testing import assert_allclose

from efg_jax import plots
from efg_jax.report import Report
from efg_jax.report.parity_figures import (
    _pi_fraction,
    compare_figure,
    frequency_figure,
    metrics_figure,
    parity,
    parity_panel,
)

N = 30
SPECIES = ("O", "Si")


@pytest.fixture(scope="module")
def reports():
    """A scalar and a tensor report on the same random tensors."""
    rng = np.random.default_rng(0)

    def traceless(size):
        raw = size * rng.normal(size=(N, 3, 3))
        symmetric = (raw + raw.transpose(0, 2, 1)) / 2
        return symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)

    reference = {name: traceless(30.0) for name in SPECIES}
    tensor = Report.from_tensors(
        reference, {name: values + traceless(2.0) for name, values in reference.items()}, title="test"
    )
    fields = ("c_q_tilde", "eta_tilde", "theta", "phi", "v_nn")
    scalars = {
        name: {key: getattr(tensor[name].reference, key) + 0.3 * rng.normal(size=N) for key in fields}
        for name in SPECIES
    }
    return Report.from_scalars(reference, scalars), tensor


def points(ax):
    """The plotted points, (n, 2)."""
    (scatter,) = (c for c in ax.collections if isinstance(c, PathCollection))
    return np.asarray(scatter.get_offsets())


def test_parity_draws_the_points_between_equal_axes():
    x, y = np.linspace(-1, 3, N), np.linspace(-1, 4, N)
    ax = parity(x, y, label="$V$", unit="V/Å²", band=0.5)
    assert_allclose(points(ax), np.stack([x, y], axis=1))
    assert ax.get_xlim() == ax.get_ylim()
    assert ax.get_xlim()[0] < -1
    assert ax.get_xlim()[1] > 4
    assert ax.get_box_aspect() == 1
    assert ax.get_xlabel() == "reference $V$ (V/Å²)"
    (top,) = ax.child_axes
    assert "MAE 0.500 V/Å²" in top.get_title(loc="left")
    assert "1.000" in top.get_title(loc="left")
    (band,) = (c for c in ax.collections if isinstance(c, FillBetweenPolyCollection))
    assert_allclose(np.abs(np.diff(band.get_paths()[0].vertices, axis=1)).max(), 0.5)


def test_parity_draws_into_given_axes():
    figure = Figure()
    ax = figure.subplots()
    assert parity(np.arange(3.0), np.arange(3.0), label="x", ax=ax) is ax
    assert figure.axes == [ax]


def test_a_constant_and_a_single_point_can_be_drawn():
    for values in (np.zeros(4), np.array([7.0])):
        ax = parity(values, values, label="x")
        assert np.diff(ax.get_xlim()) > 0
        assert "$r$" not in ax.child_axes[0].get_title(loc="left")


def test_angles_have_ticks_in_parts_of_pi():
    ax = parity(np.array([0.1, 1.2]), np.array([0.2, 1.5]), label="θ", unit="rad")
    ax.figure.draw_without_rendering()
    texts = [tick.get_text() for tick in ax.get_xticklabels()]
    assert {"0", "π/4", "π/2"} <= set(texts)
    assert "°" in ax.child_axes[0].get_title(loc="left")
    names = [_pi_fraction(k * np.pi / 4) for k in (-4, -1, 0, 2, 3, 8)]
    assert names == ["−π", "−π/4", "0", "π/2", "3π/4", "2π"]


def test_parity_panel_knows_the_quantities_of_the_report(reports):
    keys = ("c_q_tilde", "eta_tilde", "theta", "phi")
    figure = parity_panel({key: reports[1]["O"].series[key] for key in keys} | {"mine": (np.ones(2), np.ones(2))})
    assert len(figure.axes) == 5
    assert figure.axes[2].get_xlabel() == r"reference $\theta$ (rad)"
    assert figure.axes[4].get_xlabel() == "reference mine"


def test_compare_figure_has_scalar_above_tensor(reports):
    figure = compare_figure(*reports, "O")
    assert len(figure.axes) == 8
    for row, report in enumerate(reports):
        for column, key in enumerate(("c_q_tilde", "eta_tilde", "theta", "phi")):
            ax = figure.axes[4 * row + column]
            assert_allclose(points(ax), np.stack(report["O"].series[key], axis=1))
            assert ax.get_xlim() == ax.get_ylim() == figure.axes[column].get_xlim()
    assert "reassigned" in figure.axes[6].child_axes[0].get_title(loc="left")


def test_frequency_figure_shows_direct_derived_and_tensor(reports):
    figure = frequency_figure(*reports, "O")
    scalar, tensor = (report["O"].series for report in reports)
    shown = (scalar["nu_q_direct_khz"], scalar["nu_q_khz"], tensor["nu_q_khz"])
    assert len(figure.axes) == 3
    for ax, series, letter in zip(figure.axes, shown, "abc", strict=True):
        assert_allclose(points(ax), np.stack(series, axis=1))
        assert ax.get_xlim() == figure.axes[0].get_ylim()
        assert any(isinstance(c, FillBetweenPolyCollection) for c in ax.collections)
        title = ax.child_axes[0].get_title(loc="left")
        assert title.startswith(f"({letter})")
        assert "MAE" in title
    assert "±10 kHz" in figure.get_suptitle()


def test_frequency_figure_of_spin_one_half_is_in_volts(reports):
    figure = frequency_figure(*reports, "Si")
    assert len(figure.axes) == 3
    assert "V/Å²" in figure.axes[0].get_xlabel()
    assert not any(isinstance(c, FillBetweenPolyCollection) for ax in figure.axes for c in ax.collections)


def test_the_start_of_a_search_is_seen_and_bad_trials_squeeze_nothing():
    from efg_jax.tuning.tuning_figures import loss_axis

    losses = np.array([0.09, *np.linspace(0.05, 0.04, 20), 0.3])
    ax = Figure().subplots()
    loss_axis(ax, losses, 0.09)
    assert 0.09 < ax.get_ylim()[1] < 0.2
    assert ax.get_ylim()[0] < 0.04


@pytest.mark.parametrize("kind", [0, 1])
def test_metrics_figure_ends_with_the_orientation(reports, kind):
    figure = metrics_figure(reports[kind], "O")
    assert len(figure.axes) == 6
    curves = figure.axes[-1].get_lines()
    assert len(curves) == (2, 4)[kind]
    for curve in curves:
        assert np.all(np.diff(curve.get_ydata()) > 0)
        assert curve.get_ydata()[-1] == 1


def test_report_plot_saves_one_figure_per_species(reports, tmp_path):
    figures = reports[1].plot(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["O-tensor.png", "Si-tensor.png"]
    assert all((tmp_path / f"{name}-tensor.png").read_bytes().startswith(b"\x89PNG") for name in SPECIES)
    assert len(figures) == 2


def test_formats_notebooks_and_settings(reports, tmp_path):
    before = dict(mpl.rcParams)
    figure = parity_panel({"eta": reports[1]["O"].series["eta"]})
    for suffix, start in (("pdf", b"%PDF"), ("svg", b"<?xml")):
        plots.save(figure, tmp_path / f"figure.{suffix}")
        assert (tmp_path / f"figure.{suffix}").read_bytes().startswith(start)
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert plots.Figures([figure])._repr_html_().count("<img") == 1
    assert dict(mpl.rcParams) == before


def test_pyplot_stays_out():
    code = "import sys, efg_jax.plots; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_threads_do_not_meet(tmp_path):
    def draw(name):
        ax = parity(np.arange(9.0), np.arange(9.0), label=name)
        plots.save(ax.figure, tmp_path / f"{name}.png")

    threads = [threading.Thread(target=draw, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.png", "c.png"]
