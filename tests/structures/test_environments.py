"""Environments against brute force over the images, and the shapes that they are padded to."""

from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from oracles.brute_force import neighbours
from strategies import SPECIES, structures

from efg_jax.descriptors import LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.structures.environments import environments
from efg_jax.structures.padding import bucket

CUTOFF = 3.5
described = eqx.filter_jit(LambdaSOAP(cutoff=CUTOFF, nmax=2, lmax=2, species=SPECIES))


def listed(batch) -> dict[int, list]:
    """For each real centre, (neighbour, translation, species) of its real neighbours, sorted."""
    table = {}
    for row in np.flatnonzero(batch.centre_mask):
        real = batch.mask[row]
        table[int(batch.centre[row])] = sorted(
            (int(j), tuple(map(int, s)), int(kind))
            for j, s, kind in zip(
                batch.neighbour[row][real], batch.shift[row][real], batch.neighbour_species[row][real], strict=True
            )
        )
    return table


def require_brute_force(atoms: Atoms, cutoff: float = CUTOFF) -> None:
    expected = neighbours(atoms, cutoff)
    margin = [abs(np.linalg.norm(vector) - cutoff) for vector in expected.values()]
    if margin and min(margin) < 1e-9:
        return  # a neighbour on the very edge is in or out by rounding
    table = {i: [] for i in range(len(atoms))}
    for i, j, shift in expected:
        table[i].append((j, shift, SPECIES.index(atoms.symbols[j])))
    batch = environments([atoms], cutoff, SPECIES)
    assert listed(batch) == {i: sorted(rows) for i, rows in table.items()}
    displacements = np.asarray(batch.displacements())
    for row, centre in enumerate(batch.centre[batch.centre_mask]):
        for column in np.flatnonzero(batch.mask[row]):
            key = (int(centre), int(batch.neighbour[row, column]), tuple(map(int, batch.shift[row, column])))
            assert_allclose(displacements[row, column], expected[key], atol=1e-12)


@pytest.mark.parametrize("pbc", list(product([False, True], repeat=3)))
@settings(max_examples=12)
@given(data=st.data())
def test_neighbours_are_those_of_brute_force(pbc, data):
    require_brute_force(data.draw(structures(pbc=pbc)))


@pytest.mark.parametrize("pbc", [p for p in product([False, True], repeat=3) if not all(p)])
@settings(max_examples=6)
@given(data=st.data())
def test_cell_vectors_along_open_directions_may_be_zero(pbc, data):
    atoms = data.draw(structures(pbc=pbc))
    atoms.set_cell(np.where(np.array(pbc)[:, None], atoms.cell.array, 0.0))
    require_brute_force(atoms)


@pytest.mark.parametrize("angle", [30, 45, 60, 120, 150])
def test_one_atom_in_an_oblique_cell_far_smaller_than_the_cutoff(angle):
    atoms = Atoms("Si", positions=[[0.3, -7.0, 11.0]], cell=[1.5, 1.6, 1.7, 90, 90, angle], pbc=True)
    require_brute_force(atoms, 6.3)


def test_a_molecule_far_from_the_origin():
    atoms = molecule("CH3CH2OH")
    atoms.symbols = ["Si" if s == "C" else s for s in atoms.symbols]
    atoms.positions += [1000.0, -2000.0, 300.0]
    require_brute_force(atoms)


@pytest.mark.parametrize("pbc", [(True, False, False), (True, True, False)])
def test_atoms_far_outside_along_an_open_direction(pbc):
    atoms = Atoms("SiOH", positions=[[0, 0, 0], [0.5, 0.9, 40.0], [0.2, 1.0, 41.5]], cell=[4, 5, 6], pbc=pbc)
    atoms.positions[:, 1] += [0, 0 if pbc[1] else -60, 0 if pbc[1] else -60]
    require_brute_force(atoms)


def test_a_single_atom_without_neighbours():
    batch = environments([Atoms("O", positions=[[1, 2, 3]])], CUTOFF, SPECIES)
    assert not batch.mask.any()
    features = described(batch, ((0, 1), (2, 1)))
    assert np.isfinite(features[0, 1]).all()
    assert_allclose(features[2, 1], 0.0, atol=1e-14)  # an atom by itself is a sphere


@pytest.mark.slow
@given(structures(max_atoms=3), structures(max_atoms=3))
@settings(max_examples=3)
def test_padding_changes_no_feature(one, two):
    irreps = ((0, 1), (1, -1), (2, 1))
    count = len(one) + len(two)
    padded = described(environments([one, two], CUTOFF, SPECIES, pad=True), irreps)
    bare = described(environments([one, two], CUTOFF, SPECIES, pad=False), irreps)
    for irrep in irreps:
        assert bare[irrep].shape[0] == count
        assert_allclose(padded[irrep][:count], bare[irrep], rtol=1e-12, atol=1e-14)
        assert_array_equal(padded[irrep][count:], 0.0)


def test_batched_structures_are_those_by_themselves():
    frames = [molecule("H2O"), bulk("Si"), molecule("SiH4")]
    together = described(environments(frames, CUTOFF, SPECIES), ((0, 1),))[0, 1]
    alone = [described(environments([atoms], CUTOFF, SPECIES), ((0, 1),))[0, 1][: len(atoms)] for atoms in frames]
    assert_allclose(together[: sum(map(len, frames))], np.concatenate(alone), rtol=1e-13, atol=1e-15)


def test_displacements_follow_positions_and_cell_inside_jit():
    atoms = bulk("Si")
    batch = environments([atoms], CUTOFF, SPECIES)
    generator = np.random.default_rng(0)
    deformation = np.eye(3) + 0.05 * generator.normal(size=(3, 3))
    moved = eqx.tree_at(
        lambda b: (b.positions, b.cells),
        batch,
        (jnp.asarray(batch.positions @ deformation.T), jnp.asarray(batch.cells @ deformation.T)),
    )
    displacements = jax.jit(lambda b: b.displacements())(moved)
    assert_allclose(displacements, np.asarray(batch.displacements()) @ deformation.T, atol=1e-13)


def test_only_the_chosen_centres_in_the_order_given():
    atoms = molecule("H2O")
    batch = environments([atoms, atoms], CUTOFF, SPECIES, [np.array([2, 0]), np.array([], dtype=int)], pad=False)
    assert_array_equal(batch.centre, [2, 0])
    assert_array_equal(batch.structure, [0, 0])
    batch = environments([atoms, atoms], CUTOFF, SPECIES, [np.array([], dtype=int), np.array([1])], pad=False)
    assert_array_equal(batch.centre, [4])
    assert_array_equal(batch.structure, [1])
    assert_array_equal(batch.centre_species, [SPECIES.index(atoms.symbols[1])])


def test_an_unknown_element_is_named_with_its_place():
    atoms = Atoms("OFe", positions=[[0, 0, 0], [0, 0, 2]])
    with pytest.raises(InputError, match=r"frame 1, atom 1 \(Fe\).*H, O, Si"):
        environments([molecule("H2O"), atoms], CUTOFF, SPECIES)
    atoms.info.update(source_file="slab.xyz", source_frame=7)
    with pytest.raises(InputError, match=r"^slab.xyz, frame 7, atom 1 \(Fe\): "):
        environments([atoms], CUTOFF, SPECIES)


def test_nothing_selected_is_an_error():
    with pytest.raises(InputError, match="no atoms were selected"):
        environments([molecule("H2O")], CUTOFF, SPECIES, [np.array([], dtype=int)])


def test_buckets_are_few_and_waste_at_most_a_half():
    sizes = np.arange(1, 5000)
    buckets = np.array([bucket(int(size)) for size in sizes])
    assert (buckets >= sizes).all()
    assert (buckets <= np.maximum(1.5 * sizes, 16)).all()
    assert (np.diff(buckets) >= 0).all()
    assert len(np.unique(buckets)) <= 26
    assert [bucket(int(b)) for b in np.unique(buckets)] == np.unique(buckets).tolist()
