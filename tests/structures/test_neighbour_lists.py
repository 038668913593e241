"""Neighbour lists in slabs against the list of the whole structure."""

from itertools import product

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.testing import assert_allclose, assert_array_equal

from efg_jax.structures.neighbour_lists import Pairs, neighbour_blocks, neighbour_pairs

CUTOFF = 3.5
LONG = np.array([[5.0, 0.4, -0.8], [-1.3, 5.5, 0.6], [6.0, -9.0, 34.0]])  # oblique, and long across a × b


def gas(pbc, seed: int = 0, cell=LONG, count: int = 200, outside: float = 1.5) -> Atoms:
    """Atoms anywhere, also up to one and a half cells outside."""
    fractions = np.random.default_rng(seed).uniform(-outside, outside, (count, 3))
    return Atoms(f"Si{count}", positions=fractions @ cell, cell=cell, pbc=pbc)


def listed(blocks: list[Pairs]) -> dict[int, set]:
    """(neighbour, translation) of each centre; no centre may be in two blocks."""
    table: dict[int, set] = {}
    for pairs in blocks:
        assert not table.keys() & set(pairs.centres.tolist())
        table |= {int(centre): set() for centre in pairs.centres}
        assert (np.diff(pairs.row) >= 0).all()
        for row, j, shift in zip(pairs.row, pairs.neighbour, pairs.shift, strict=True):
            key = (int(j), *map(int, shift))
            assert key not in table[int(pairs.centres[row])]
            table[int(pairs.centres[row])].add(key)
    return table


@pytest.mark.parametrize("pbc", list(product([False, True], repeat=3)))
def test_slabs_give_the_neighbours_of_the_whole(pbc):
    atoms = gas(pbc)
    centres = np.random.default_rng(1).permutation(len(atoms))[:150]
    whole = listed([neighbour_pairs(atoms, centres, CUTOFF)])
    blocks = list(neighbour_blocks(atoms, centres, CUTOFF, block=25))
    assert len(blocks) > 4
    assert listed(blocks) == whole
    for pairs in blocks:
        lengths = np.linalg.norm(pairs.displacements(atoms), axis=1)
        assert (lengths < CUTOFF + 1e-9).all()


@pytest.mark.parametrize("swap", [[0, 2, 1], [2, 1, 0], [1, 0, 2]])
def test_whichever_direction_is_long_and_of_either_handedness(swap):
    atoms = gas(True, seed=2, cell=LONG[swap])
    centres = np.arange(len(atoms))
    assert listed(list(neighbour_blocks(atoms, centres, CUTOFF, block=40))) == listed(
        [neighbour_pairs(atoms, centres, CUTOFF)]
    )


def test_a_structure_without_cell_vectors():
    atoms = gas(False, seed=3)
    atoms.cell = np.zeros((3, 3))
    centres = np.arange(len(atoms))
    blocks = list(neighbour_blocks(atoms, centres, CUTOFF, block=40))
    assert len(blocks) == 5
    assert listed(blocks) == listed([neighbour_pairs(atoms, centres, CUTOFF)])


def test_a_cell_too_thin_to_be_cut_is_listed_whole():
    atoms = gas(True, seed=4, cell=np.diag([6.0, 6.0, 7.0]), count=60)
    (pairs,) = neighbour_blocks(atoms, np.arange(60), CUTOFF, block=30)
    assert listed([pairs]) == listed([neighbour_pairs(atoms, np.arange(60), CUTOFF)])


def test_atoms_on_the_faces_of_slabs():
    """A perfect crystal: whole planes at the same height, neighbours at the same distances everywhere."""
    atoms = bulk("Si", cubic=True).repeat((1, 1, 12))
    blocks = list(neighbour_blocks(atoms, np.arange(len(atoms)), 4.0, block=12))
    assert len(blocks) == 8
    assert all((pairs.count == 16).all() for pairs in blocks)  # 4 + 12
    assert sum(len(pairs.centres) for pairs in blocks) == len(atoms)


def test_centres_keep_their_order_in_a_small_structure():
    atoms, centres = gas(True, seed=5), np.array([7, 3, 150])
    pairs = neighbour_pairs(atoms, centres, CUTOFF)
    assert_array_equal(pairs.centres, centres)
    found = atoms.positions[pairs.neighbour] + pairs.shift @ atoms.cell.array
    assert_allclose(pairs.displacements(atoms), found - atoms.positions[centres[pairs.row]])


@pytest.mark.parametrize("pbc", list(product([False, True], repeat=3)))
@pytest.mark.parametrize(("cell", "count"), [(LONG, 200), (LONG[[2, 0, 1]], 60), (0.3 * LONG, 5)])
def test_few_centres_have_the_neighbours_they_have_among_all(pbc, cell, count):
    atoms = gas(pbc, seed=4, cell=cell, count=count)
    everyone = listed([neighbour_pairs(atoms, np.arange(count), CUTOFF)])
    for few in (np.array([count - 1]), np.random.default_rng(5).permutation(count)[: (count - 1) // 2]):
        pairs = neighbour_pairs(atoms, few, CUTOFF)
        assert_array_equal(pairs.centres, few)
        assert listed([pairs]) == {int(centre): everyone[int(centre)] for centre in few}
