"""What a set of reference data covers, against ASE's distances and the observables of every site."""

import numpy as np
import pytest
from ase import Atoms
from ase.neighborlist import neighbor_list
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax import plots
from efg_jax.datasets.dataset_figure import dataset_figure, dataset_groups
from efg_jax.datasets.shielding_figure import shielding_figure


@pytest.fixture(scope="module")
def frames():
    return ej.datasets.load("silica-efg")[:6]


def test_groups_hold_the_bonds_and_tensors_of_all_sites(frames):
    groups = dataset_groups(frames, bond=2.2)
    assert list(groups) == ["O", "Si"]
    expected = []
    for atoms in frames:
        i, j, distance = neighbor_list("ijd", atoms, 2.2)
        symbols = np.asarray(atoms.symbols)
        expected.append(distance[(symbols[i] == "Si") & (symbols[j] == "O")])
    assert_allclose(np.sort(groups["Si"].bonds), np.sort(np.concatenate(expected)))
    table = ej.site_observables(frames, species="O")
    assert_allclose(np.sort(groups["O"].eta), np.sort(table["eta_q"]), atol=1e-10)
    ratio = np.sort(np.abs(table["c_q_mhz"])) / np.sort(groups["O"].v_zz)
    assert_allclose(ratio, ratio[0], rtol=1e-10)


def test_an_array_divides_elements(frames):
    marked = [atoms.copy() for atoms in frames]
    for atoms in marked:
        atoms.set_array("site", np.where(np.arange(len(atoms)) % 2, "odd", "even"))
    groups = dataset_groups(marked, "site")
    whole = dataset_groups(frames)
    assert set(groups) == {"O even", "O odd", "Si even", "Si odd"}
    assert len(groups["O even"].eta) + len(groups["O odd"].eta) == len(whole["O"].eta)
    with pytest.raises(ej.InputError, match="has no array 'phase'"):
        dataset_groups(frames, "phase")


def test_what_carries_no_label_is_not_drawn(frames, tmp_path):
    silent = [atoms.copy() for atoms in frames]
    for atoms in silent:
        atoms.arrays["efg"][np.asarray(atoms.symbols) == "Si"] = np.nan
    assert len(dataset_groups(silent)["Si"].eta) == 0
    figure = dataset_figure(silent)
    assert len(figure.axes) == 3  # bonds, |C_Q| of ¹⁷O, η
    assert "C_Q" in figure.axes[1].get_xlabel()
    assert "V_{zz}" in dataset_figure(frames).axes[2].get_xlabel()  # of Si, which has no quadrupole moment
    plots.save(figure, tmp_path / "silica.png")
    assert (tmp_path / "silica.png").read_bytes()[:4] == b"\x89PNG"
    for atoms in silent:
        atoms.arrays["efg"][:] = np.nan
    with pytest.raises(ej.InputError, match="no atom carries 'efg'"):
        dataset_figure(silent)


def test_shieldings_are_drawn_by_element_and_what_has_none_is_not():
    rng = np.random.default_rng(0)
    frames = [Atoms("OH2", positions=rng.normal(size=(3, 3))) for _ in range(4)]
    for atoms in frames:
        atoms.arrays["ms"] = rng.normal(size=(3, 3, 3))
        atoms.arrays["ms"][1] = np.nan
    figure = shielding_figure(frames)
    assert [ax.get_title().split(",")[0] for ax in figure.axes] == ["H (4)", "O (4)"]
    oxygen = np.array([atoms.arrays["ms"][0] for atoms in frames])
    found = figure.axes[1].get_lines()[0]
    symmetric = np.linalg.eigvalsh(oxygen + oxygen.swapaxes(1, 2)) / 2.0
    assert_allclose(found.get_xdata(), np.trace(oxygen, axis1=1, axis2=2) / 3.0)
    assert_allclose(found.get_ydata(), symmetric[:, 2] - symmetric[:, 0])
    for atoms in frames:
        atoms.arrays["ms"][:] = np.nan
    with pytest.raises(ej.InputError, match="no atom carries 'ms'"):
        shielding_figure(frames)
