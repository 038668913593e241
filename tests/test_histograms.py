"""Histograms of errors and of frequencies, and the view of chemiscope."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax.report import Report
from efg_jax.report.histogram_figures import error_figure, regions_figure
from efg_jax.spectra.regions import find_regions

N = 400


@pytest.fixture(scope="module")
def report():
    rng = np.random.default_rng(0)

    def traceless(size):
        raw = size * rng.normal(size=(N, 3, 3))
        symmetric = (raw + raw.transpose(0, 2, 1)) / 2
        return symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)

    reference = {"O": traceless(30.0)}
    return Report.from_tensors(reference, {"O": reference["O"] + traceless(2.0)}, title="test")


def test_errors_are_all_counted(report):
    figure = error_figure({"one": report, "again": report}, "O", keys=("nu_q_khz", "eta_tilde"))
    for ax, key in zip(figure.axes, ("nu_q_khz", "eta_tilde"), strict=True):
        reference, predicted = report["O"].series[key]
        errors = np.asarray(predicted) - np.asarray(reference)
        bars = [
            patch.get_height() for patch in ax.patches if hasattr(patch, "get_height") and patch.get_alpha() == 0.18
        ]
        assert sum(bars) == 2 * N
        reach = np.percentile(np.abs(errors), 99.0)
        assert_allclose(ax.get_xlim(), (-reach, reach))
        mean, std = (
            float(word.replace("−", "-")) for word in ax.get_legend().get_texts()[0].get_text()[5:].split(" ± ")
        )
        assert_allclose([mean, std], [errors.mean(), errors.std()], rtol=0.05, atol=0.006 * errors.std())


def test_errors_of_all_quantities_that_there_are(report):
    labels = [ax.get_xlabel() for ax in error_figure(report, "O").axes]
    assert len(labels) == 5
    assert "(kHz)" in labels[2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({}, "O"), "no reports"),
        (("report", "Si"), "nothing on Si; it has O"),
        (("report", "O", ["c_q"]), "has no c_q; it has"),
        (("report", "O", []), "no quantity of O to draw"),
    ],
)
def test_what_a_report_lacks_is_said(report, arguments, message):
    with pytest.raises(ej.InputError, match=message):
        error_figure(*(report if argument == "report" else argument for argument in arguments))


def test_regions_are_coloured_and_numbered():
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(20.0, 2.0, 800), rng.normal(60.0, 3.0, 500), rng.uniform(0.0, 100.0, 40)])
    regions = find_regions(values, 50, 2, 10)
    (ax,) = regions_figure(regions, least=10).axes
    bars = [patch for patch in ax.patches if patch.get_width() > 0]
    assert_allclose([bar.get_height() for bar in bars], regions.counts)
    assert sorted({bar.get_facecolor() for bar in bars}, key=str) == sorted(
        {bars[0].get_facecolor(), *(bars[start].get_facecolor() for start, _ in regions.bins)}, key=str
    )
    for start, stop in regions.bins:
        assert len({bar.get_facecolor() for bar in bars[start:stop]}) == 1
    assert {text.get_text() for text in ax.texts} == {"1", "2"}


@pytest.mark.filterwarnings("ignore:chemiscope.show only displays a widget in an interactive notebook:UserWarning")
def test_chemiscope_shows_structures_with_ellipsoids():
    pytest.importorskip("chemiscope")
    frames = [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) <= 9][:2]
    shown = json.loads(ej.io.view(frames, species="O").value)
    assert len(shown["structures"]) == 2
    oxygen = sum(list(atoms.symbols).count("O") for atoms in frames)
    assert len(shown["properties"]["c_q_mhz"]["values"]) == oxygen
    assert shown["shapes"]["efg"]["kind"] == "ellipsoid"
    with pytest.raises(ej.InputError, match="Al"):
        ej.io.view(frames, species="Al")
