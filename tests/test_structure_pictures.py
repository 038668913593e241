"""Pictures of structures and trajectories: what they hold, drawn from numbers that are known."""

import numpy as np
import pytest
from ase import Atoms
from matplotlib.collections import PolyCollection
from matplotlib.patches import Circle
from numpy.testing import assert_allclose

from efg_jax import InputError, plots
from efg_jax.plots.ellipsoids import NEGATIVE, POSITIVE
from efg_jax.plots.scene import view_from
from efg_jax.trajectories import average
from efg_jax.trajectories.trajectory_figures import (
    autocorrelation_figure,
    distribution_figure,
    running_figure,
    trajectory_figure,
)


@pytest.fixture
def molecule():
    """An axial EFG along x on the oxygen, and one atom without."""
    atoms = Atoms("OSi", [[0, 0, 0], [0, 0, 1.6]], cell=[6, 6, 6], pbc=True)
    atoms.arrays["efg"] = np.array([np.diag([4.0, -2.0, -2.0]), np.full((3, 3), np.nan)])
    return atoms


def shape(figure):
    (faces,) = (c for c in figure.axes[0].collections if isinstance(c, PolyCollection))
    return np.concatenate([path.vertices for path in faces.get_paths()]), faces.get_facecolors()[:, :3]


def test_a_view_is_a_right_handed_frame():
    for eye in ((1, 0.2, 0.3), (0, 0, 1), (0, 0, -2)):
        axes = view_from(eye).axes
        assert_allclose(axes @ axes.T, np.eye(3), atol=1e-12)
        assert_allclose(np.linalg.det(axes), 1.0)
        assert_allclose(axes[2], np.array(eye) / np.linalg.norm(eye))
    with pytest.raises(InputError, match="view must be three numbers"):
        view_from((0, 0, 0))


def test_an_ellipsoids_outline_is_that_of_the_principal_values(molecule):
    """Seen along y, the semi-axes 4 and 2 V/Å² lie across and upwards; the ends of the long one are positive."""
    points, colours = shape(plots.ellipsoids(molecule, scale=0.25, view=(0, -1, 0), cell=False))
    assert_allclose(np.abs(points).max(axis=0), [1.0, 0.5], rtol=5e-3)
    assert_allclose(points.min(axis=0), -points.max(axis=0), atol=1e-9)
    blue = np.linalg.norm(colours - POSITIVE, axis=1) < np.linalg.norm(colours - NEGATIVE, axis=1)
    middle = points.reshape(len(colours), -1, 2).mean(axis=1)
    assert blue[np.abs(middle[:, 0]) > 0.9].all()
    assert not blue[np.abs(middle[:, 0]) < 0.2].any()


def test_what_has_no_tensor_is_a_disc(molecule):
    figure = plots.ellipsoids(molecule, title="one")
    assert len([patch for patch in figure.axes[0].patches if isinstance(patch, Circle)]) == 1
    assert figure.get_suptitle() == "one"
    molecule.arrays["ms"] = np.array([np.eye(3) * 50.0, np.eye(3) * 300.0])
    assert len(plots.ellipsoids(molecule, "ms").axes[0].collections) == 2
    _, colours = shape(plots.ellipsoids(molecule, "ms", species="O"))
    assert (colours[:, 2] > colours[:, 0]).all()  # positive everywhere


def test_ellipsoids_of_nothing(molecule):
    with pytest.raises(InputError, match="no 'ms' here"):
        plots.ellipsoids(molecule, "ms")
    with pytest.raises(InputError, match="no atom of the species has"):
        plots.ellipsoids(molecule, species="Si")
    with pytest.raises(InputError, match="must be symbols of elements"):
        plots.ellipsoids(molecule, species="oxygen")


@pytest.fixture(scope="module")
def averaged():
    generator = np.random.default_rng(0)

    def frames():
        for k in range(120):
            atoms = Atoms("Li2", [[0, 0, 0], [3, 0, 0]], cell=[9, 9, 9], pbc=True, info={"phase": "ab"[k % 2]})
            raw = generator.normal(size=(2, 3, 3))
            noise = raw + raw.swapaxes(1, 2) - 2 / 3 * np.trace(raw, axis1=1, axis2=2)[:, None, None] * np.eye(3)
            atoms.arrays["efg"] = np.diag([-1.0, -3.0, 4.0]) + 0.3 * noise
            yield atoms

    return [average(frames(), timestep=4, direction=(0, 0, 1)), average(frames(), label="phase")]


def test_the_picture_of_a_trajectory_holds_its_numbers(averaged):
    plain, by_phase = averaged
    figure = plain.plot()
    running, orders, distribution, correlation = figure.axes
    right = running.get_lines()[0].get_ydata()[-1]
    assert_allclose(right, plain.sites[0].quantities["c_q"].value / 1e6, rtol=0.02)
    assert_allclose(running.get_lines()[0].get_xdata()[-1], 0.48, rtol=0.02)  # ps
    points = np.asarray(orders.collections[-1].get_offsets())
    expected = [site.quantities["mean_abs_c_q"].value / 1e6 for site in plain.sites]
    assert_allclose(points[:, 1], expected, rtol=1e-9)
    assert orders.get_xlim() == orders.get_ylim()
    assert 0.5 * points.min() < orders.get_xlim()[0] < points.min() < points.max() < orders.get_xlim()[1]
    density = distribution.get_lines()[0].get_xydata()
    assert_allclose(np.trapezoid(density[:, 1], density[:, 0]), 1.0, atol=0.02)
    assert len(correlation.get_lines()) == 4  # the tensor, ν_Q, where the integral of T₁ ends (ps), zero
    assert_allclose(correlation.get_lines()[-2].get_xdata(), plain.relaxation().until * 1e12)
    assert correlation.get_xlabel() == "lag (ps)"
    labelled = by_phase.plot()
    assert [text.get_text() for text in labelled.axes[1].get_legend().get_texts()] == ["a", "b"]


def test_single_pictures(averaged, tmp_path):
    plain = averaged[0]
    for number, figure in enumerate(
        (
            running_figure(plain, 1),
            distribution_figure(plain, "eta"),
            autocorrelation_figure(plain),
        )
    ):
        plots.save(figure, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").stat().st_size > 5000
    assert distribution_figure(plain, "eta").axes[0].get_xlabel() == r"$\eta$ of single frames"
    with pytest.raises(InputError, match="atom 7 was not averaged"):
        running_figure(plain, 7)
    with pytest.raises(InputError, match="there is no distribution of 'colour'"):
        distribution_figure(plain, "colour")
    with pytest.raises(InputError, match="Na was not averaged"):
        trajectory_figure(plain, "Na")
