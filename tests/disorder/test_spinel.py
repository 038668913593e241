"""Cells of Li4Ti5O12."""

from collections import Counter

import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax.disorder.spinel import CELL_42, build_lto
from efg_jax.structures.neighbour_lists import neighbour_pairs


@pytest.mark.parametrize("repeat", [3, (1, 1, 3), CELL_42, ((2, 1, 0), (0, 3, 0), (0, 1, 1))])
def test_composition_and_surroundings(repeat):
    atoms = ej.disorder.build_lto(repeat)
    count, sites = Counter(atoms.symbols), Counter(atoms.arrays["site"].tolist())
    assert count["Li"] * 5 == count["Ti"] * 4
    assert count["O"] * 5 == count["Ti"] * 12
    assert sites["16d"] == 2 * sites["8a"] == sites["32e"] / 2
    assert (atoms.symbols[atoms.arrays["site"] == "8a"] == "Li").all()
    # 8a sees four O at √3 (u − 1/8) a, 16d six at nearly a/4.
    pairs = neighbour_pairs(atoms, np.arange(len(atoms)), 2.3)
    length = np.linalg.norm(pairs.displacements(atoms), axis=1)
    per_atom = np.bincount(pairs.row, minlength=len(atoms))
    assert set(per_atom[atoms.arrays["site"] == "8a"]) == {4}
    assert set(per_atom[atoms.arrays["site"] == "16d"]) == {6}
    assert set(per_atom[atoms.arrays["site"] == "32e"]) == {4}
    assert_allclose(length[atoms.arrays["site"][pairs.row] == "8a"], np.sqrt(3) * (0.2625 - 0.125) * 8.36, rtol=1e-12)


def test_the_cell_of_the_paper_has_1512_atoms_and_288_lithium():
    atoms = build_lto(3)
    assert Counter(atoms.symbols) == {"Li": 288, "Ti": 360, "O": 864}
    assert_allclose(atoms.cell.array, 25.08 * np.eye(3), atol=1e-12)


def test_it_has_the_space_group_of_a_spinel():
    spglib = pytest.importorskip("spglib", reason="the space group is found with spglib")
    for repeat in (1, ((1, 0, 0), (0, 1, 0), (0, 0, 1))):
        atoms = build_lto(repeat, lithium=0)
        found = spglib.get_spacegroup((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers))
        assert found == "Fd-3m (227)"


def test_seeds_make_different_cells_and_the_same_ones_again():
    first, again, other = (build_lto(3, seed=seed) for seed in (1, 1, 2))
    assert first.get_chemical_formula("reduce") == again.get_chemical_formula("reduce")
    assert first.get_chemical_formula("reduce") != other.get_chemical_formula("reduce")
    assert (first.positions == other.positions).all()


@pytest.mark.parametrize(
    ("repeat", "options", "message"),
    [
        (1, {}, "a sixth of the 16d sites, and this cell has 16 of them; take cells in multiples of 3"),
        (1, {"lithium": 17}, "17 Li cannot be placed on 16 16d sites"),
        (1, {"lithium": -1}, "-1 Li cannot be placed"),
        ((1.5, 1, 1), {}, "must be an integer"),
        ((1, 2), {}, "must be an integer"),
        (0, {}, "without volume"),
        (((1, 0, 0), (1, 0, 0), (0, 0, 1)), {}, "without volume"),
        (3, {"lattice": -1.0}, "a positive length"),
    ],
)
def test_what_cannot_be_built_is_refused(repeat, options, message):
    with pytest.raises(ej.InputError, match=message):
        build_lto(repeat, **options)
