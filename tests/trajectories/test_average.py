"""The mean tensor of moving nuclei against what NMR knows of motional averaging, and against plain means of the same
frames.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from trajectories.conftest import traceless

from efg_jax import tensors
from efg_jax.trajectories import average

AXIAL = np.diag([-1.0, -1.0, 2.0])
MEGAHERTZ = 2.4179892421e-3


@jax.jit
def _principal(values):
    found = tensors.principal_axes(values)
    return found.zz, tensors.asymmetry(found.values)


def principal(values):
    """V_zz and η by the tensor library."""
    return tuple(map(np.asarray, _principal(jnp.asarray(values))))


def turned(axis):
    """An axial tensor, V_zz = 2, along an axis."""
    axis = np.asarray(axis) / np.linalg.norm(axis)
    return 3.0 * np.outer(axis, axis) - np.eye(3)


def test_a_deuteron_of_a_methyl_group_shows_a_third_of_its_coupling(frame):
    """Rotation about an axis at the tetrahedral angle: C_Q → C_Q·½(3cos²θ − 1) = −C_Q/3, axial about that axis."""
    theta = np.arccos(-1 / 3)
    sites = [
        turned([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
        for phi in 2 * np.pi / 3 * np.arange(3)
    ]
    found = average((frame([sites[k % 3]], ["H"]) for k in range(99)), isotope="2H", direction=(0, 0, 5))
    (site,) = found.sites
    rigid = 2.0 * 2.86 * MEGAHERTZ * 1e6
    q = site.quantities
    assert_allclose(q["c_q"].value, -rigid / 3, rtol=1e-9)
    assert_allclose(q["eta"].value, 0.0, atol=1e-9)
    assert_allclose(np.abs(site.axes[:, 2]), [0, 0, 1], atol=1e-9)
    assert_allclose(q["mean_c_q"].value, rigid, rtol=1e-9)
    assert_allclose(q["excess_c_q"].value, 4 / 3 * rigid, rtol=1e-9)
    assert_allclose(q["nu_q"].value, 1.5 * q["c_q"].value, rtol=1e-9)


def test_a_tetrahedral_jump_averages_the_coupling_away(frame):
    axes = [(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]
    (site,) = average(frame([turned(axes[k % 4])]) for k in range(80)).sites
    assert_allclose(site.tensor, 0.0, atol=1e-12)
    assert_allclose(site.quantities["c_q"].value, 0.0, atol=1e-3)
    assert_allclose(site.quantities["mean_abs_c_q"].value, 2 * 40.1 * MEGAHERTZ * 1e6, rtol=1e-9)
    assert site.quantities["mean_c_q"].value < 0 < site.quantities["mean_abs_c_q"].value  # Q of ⁷Li is negative


def test_numbers_are_those_of_the_tensor_library(frame):
    """physics: one EFG in atomic units, C_Q(¹⁷O) = −2.27538397 MHz, η = 0.5765708 (Soprano)."""
    tensor = 97.173624424 * np.array([[-0.20, 0.05, 0.10], [0.05, 0.35, -0.12], [0.10, -0.12, -0.15]])
    direction = np.array([0.3, -0.5, 0.8])
    (site,) = average([frame([tensor], ["O"])] * 9, direction=direction).sites
    assert_allclose(site.quantities["c_q"].value, -2.27538397e6, rtol=1e-8)
    assert_allclose(site.quantities["eta"].value, 0.5765708, rtol=1e-6)
    expected = tensors.quadrupolar_frequency(jnp.asarray(tensor), jnp.asarray(direction), "17O")
    assert_allclose(site.quantities["nu_q"].value, expected, rtol=1e-9)
    assert_allclose(site.axes @ np.diag(site.values) @ site.axes.T, tensor, atol=1e-12)
    assert_allclose(np.linalg.det(site.axes), 1.0)
    assert site.quantities["c_q"].error == 0.0


def test_means_are_means(frame):
    generator = np.random.default_rng(0)
    values = traceless(generator, 50, 3) + 4 * AXIAL
    found = average(frame(row) for row in values)
    v_zz, eta = principal(np.concatenate([values, values.mean(axis=0)[None]]))
    for atom, site in enumerate(found.sites):
        assert site.atom == atom
        assert_allclose(site.tensor, values[:, atom].mean(axis=0), atol=1e-12)
        factor = -40.1 * MEGAHERTZ * 1e6
        assert_allclose(site.quantities["mean_c_q"].value, factor * v_zz[:-1, atom].mean(), rtol=1e-9)
        assert_allclose(site.quantities["mean_eta"].value, eta[:-1, atom].mean(), rtol=1e-9)
        assert_allclose(site.quantities["c_q"].value, factor * v_zz[-1, atom], rtol=1e-9)
        assert_allclose(site.quantities["eta"].value, eta[-1, atom], rtol=1e-9)


def test_errors_of_the_mean_tensors_numbers_are_what_repeated_runs_scatter_by(frame):
    """Each of 100 atoms is an independent run of the same process: their averages scatter by the error of one."""
    generator = np.random.default_rng(1)
    mean = np.diag([-1.0, -3.0, 4.0])
    noise, state = 0.8, np.zeros((100, 3, 3))

    def frames():
        nonlocal state
        for _ in range(256):
            state = 0.7 * state + noise * traceless(generator, 100)
            yield frame(mean + state)

    found = average(frames(), direction=(1, 1, 0), field=9.4)
    second = ("p_q", "rms_p_q", "delta_qis", "mean_delta_qis")
    for name in ("c_q", "eta", "nu_q", "mean_c_q", "mean_eta", "excess_c_q", "excess_eta", *second):
        values = np.array([site.quantities[name].value for site in found.sites])
        errors = np.array([site.quantities[name].error for site in found.sites])
        assert_allclose(np.sqrt(np.mean(errors**2)), values.std(), rtol=0.2, err_msg=name)
    scatter = np.std([site.tensor for site in found.sites], axis=0)
    errors = np.sqrt(np.mean([site.tensor_error**2 for site in found.sites], axis=0))
    assert_allclose(errors, scatter, rtol=0.25)


def test_a_shielding_is_averaged_whole(frame):
    generator = np.random.default_rng(2)
    values = generator.normal(size=(40, 2, 3, 3)) * 20 + np.diag([30.0, 60.0, 120.0])
    found = average((frame(row, ["Si", "O"], name="shield") for row in values), "ms", array="shield", species="O")
    (site,) = found.sites
    mean = values[:, 1].mean(axis=0)
    both = np.concatenate([values[:, 1], mean[None]])
    each = jax.jit(lambda v: tensors.maryland(v, sense="shielding"))(jnp.asarray(both))
    expected = tensors.Maryland(*(part[-1] for part in each))
    assert_allclose(site.tensor, mean)
    assert_allclose(site.quantities["sigma_iso"].value, float(expected.iso), rtol=1e-12)
    assert_allclose(site.quantities["span"].value, float(expected.span), rtol=1e-12)
    assert_allclose(site.quantities["skew"].value, float(expected.skew), rtol=1e-9)
    assert_allclose(site.quantities["mean_span"].value, float(jnp.mean(each.span[:-1])), rtol=1e-12)
    assert_allclose(site.quantities["excess_span"].value, float(jnp.mean(each.span[:-1]) - expected.span), rtol=1e-9)
    iso = values[:, 1].trace(axis1=1, axis2=2) / 3
    assert_allclose(
        np.sort(found.sampled("delta_iso", reference=250.0)), np.sort((250.0 - iso) / (1 - 250e-6)), rtol=1e-9
    )


def test_phases_are_averaged_apart(frame):
    generator = np.random.default_rng(3)
    values = traceless(generator, 30, 2)
    phases = [("alpha", "beta", "")[k % 3] for k in range(30)]
    found = average((frame(v, phase=p) for v, p in zip(values, phases, strict=True)), label="phase")
    assert found.labels == ["alpha", "beta"]
    assert [(site.label, site.atom) for site in found.sites] == [("alpha", 0), ("alpha", 1), ("beta", 0), ("beta", 1)]
    for site in found.sites:
        start = ["alpha", "beta"].index(site.label)
        assert site.frames == 10
        assert_allclose(site.tensor, values[start::3, site.atom].mean(axis=0), atol=1e-12)
    assert_allclose(found.overall[1].tensor, np.delete(values, np.s_[2::3], axis=0)[:, 1].mean(axis=0), atol=1e-12)


def test_sites_that_atoms_visit_are_averaged_by_site(frame):
    """Two atoms that hop between two sites: the tensor of a site is the mean over whoever sits there."""
    generator = np.random.default_rng(4)
    of_site = {"8a": 5 * AXIAL, "16c": -3 * np.diag([2.0, -1.0, -1.0])}
    where = generator.choice(["8a", "16c"], size=(200, 2))
    noise = traceless(generator, 200, 2)

    def frames():
        for names, spread in zip(where, noise, strict=True):
            atoms = frame([of_site[name] + extra for name, extra in zip(names, spread, strict=True)])
            atoms.arrays["site"] = names
            yield atoms

    separate, pooled = average(frames(), label="site"), average(frames(), label="site", pool=True)
    assert len(separate.sites) == 4
    for site in separate.sites:
        chosen = where[:, site.atom] == site.label
        assert site.frames == chosen.sum()
        expected = of_site[site.label] + noise[chosen, site.atom].mean(axis=0)
        assert_allclose(site.tensor, expected, atol=1e-12)
    for site in pooled.sites:
        assert (site.atom, site.symbol) == (None, "Li")
        there = [noise[k][where[k] == site.label].mean(axis=0) for k in range(200) if site.label in where[k]]
        assert_allclose(site.tensor, of_site[site.label] + np.mean(there, axis=0), atol=1e-12)
        assert site.frames == len(there)


def test_masks_leave_frames_and_atoms_out(frame):
    generator = np.random.default_rng(5)
    values, keep = traceless(generator, 30, 2), generator.random((30, 2)) < 0.5

    def frames():
        for number, (row, flags) in enumerate(zip(values, keep, strict=True)):
            atoms = frame(row, equilibrated=number >= 10)
            atoms.arrays["near"] = flags
            yield atoms

    by_frame, by_atom = average(frames(), mask="equilibrated"), average(frames(), mask="near")
    by_function = average(frames(), mask=lambda atoms: atoms.info["equilibrated"])
    for atom in range(2):
        expected = values[10:, atom].mean(axis=0)
        assert_allclose(by_frame.sites[atom].tensor, expected, atol=1e-12)
        assert_allclose(by_function.sites[atom].tensor, expected, atol=1e-12)
        assert_allclose(by_atom.sites[atom].tensor, values[keep[:, atom], atom].mean(axis=0), atol=1e-12)


def test_a_cell_that_turns_is_averaged_in_its_own_frame(frame):
    generator = np.random.default_rng(6)

    def frames():
        for k in range(12):
            atoms = frame([5 * AXIAL])
            atoms.arrays["efg"] = atoms.arrays["efg"] + traceless(np.random.default_rng(k), 1)
            if k:
                rotation = Rotation.random(random_state=generator).as_matrix()
                atoms.set_cell(atoms.cell.array @ rotation.T, scale_atoms=True)
                atoms.arrays["efg"] = rotation @ atoms.arrays["efg"] @ rotation.T
            yield atoms

    (site,) = average(frames(), frame="crystal").sites
    expected = 5 * AXIAL + np.mean([traceless(np.random.default_rng(k), 1)[0] for k in range(12)], axis=0)
    assert_allclose(site.tensor, expected, atol=1e-9)


def test_the_mean_structure_carries_the_mean_tensors(frame, tmp_path):
    """An atom that crosses the boundary has its mean beside it, not in the middle of the cell."""
    import efg_jax as ej

    def frames():
        for k in range(10):
            atoms = frame([AXIAL, AXIAL], ["Li", "O"])
            atoms.positions[0] = [(8.9 + 0.04 * k) % 9.0, 1.0, 1.0]
            atoms.set_cell(atoms.cell.array * (1 + 0.001 * k), scale_atoms=True)
            yield atoms

    found = average(frames(), species="Li").to_atoms()
    scale = 1 + 0.001 * np.arange(10)
    assert_allclose(found.cell.lengths(), 9 * scale.mean())
    assert_allclose(
        found.positions[0],
        np.mean((np.array([[8.9, 1, 1]]) + [[0.04 * k, 0, 0] for k in range(10)]) * scale[:, None], axis=0),
    )
    assert_allclose(found.arrays["efg"][0], AXIAL, atol=1e-12)
    assert np.isnan(found.arrays["efg"][1]).all()
    ej.io.write(tmp_path / "mean.extxyz", [found])
    assert ej.io.read(tmp_path / "mean.extxyz")[0].info["averaged_frames"] == 10


def test_files_hold_what_the_table_shows(frame, tmp_path):
    import csv
    import json

    generator = np.random.default_rng(7)
    values = traceless(generator, 64, 2) + 6 * AXIAL
    found = average((frame(v, ["Li", "Si"]) for v in values), timestep=2.0)
    found.to_json(tmp_path / "a.json")
    found.to_csv(tmp_path / "a.csv")
    entry = json.loads((tmp_path / "a.json").read_text())
    rows = list(csv.DictReader((tmp_path / "a.csv").read_text().splitlines()))
    li, si = found.sites
    assert entry["isotopes"] == {"Li": "7Li", "Si": None}
    assert entry["sites"][0]["quantities"]["c_q"]["value"] == li.quantities["c_q"].value
    assert float(rows[0]["c_q"]) == li.quantities["c_q"].value
    assert float(rows[1]["v_zz"]) == si.quantities["v_zz"].value
    assert rows[1]["c_q"] == ""
    assert_allclose(float(rows[0]["tensor_xy"]), values[:, 0].mean(axis=0)[0, 1])
    text = str(found)
    assert "C_Q(⟨V⟩)" in text
    assert "0 (⁷Li)" in text
    assert "0.128 ps" in text
    assert "<pre" in found._repr_html_()


@pytest.mark.parametrize(("quantity", "bounds"), [("eta", (0, 1)), ("abs_c_q", (0, None)), ("nu_q", (None, None))])
def test_distributions_are_of_all_frames(frame, quantity, bounds):
    generator = np.random.default_rng(8)
    values = traceless(generator, 200, 2)
    found = average(
        (frame(v, phase="ab"[k % 4 == 0]) for k, v in enumerate(values)), label="phase", direction=(0, 1, 1)
    )
    density = found.distribution(quantity)
    assert len(density.sample) == 400
    assert_allclose(np.trapezoid(density.density, density.grid), 1.0, atol=5e-3)
    assert bounds[0] is None or density.grid[0] >= bounds[0]
    assert len(found.distribution(quantity, label="b").sample) == 100
    if quantity == "nu_q":
        expected = tensors.quadrupolar_frequency(jnp.asarray(values), jnp.asarray([0.0, 1.0, 1.0]), "7Li")
        assert_allclose(np.sort(density.sample), np.sort(np.ravel(expected)), rtol=1e-9)
