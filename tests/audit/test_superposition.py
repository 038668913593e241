"""Isometries of structures, counted by spglib and by the point groups of molecules, and Neumann's principle."""

import ase.build
import numpy as np
import pytest
import spglib
from ase.build import molecule
from ase.spacegroup import crystal
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from efg_jax.auditing.sources import Entry
from efg_jax.auditing.superposition import superpositions
from efg_jax.auditing.symmetry import symmetry_findings

HEXAGONAL = [90, 90, 120]


def rutile():
    return crystal(
        ("Ti", "O"), [(0, 0, 0), (0.305, 0.305, 0)], spacegroup=136, cellpar=[4.594, 4.594, 2.959, 90, 90, 90]
    )


def quartz():
    sites = [(0.470, 0, 2 / 3), (0.413, 0.267, 0.786)]
    return crystal(("Si", "O"), sites, spacegroup=154, cellpar=[4.916, 4.916, 5.405, *HEXAGONAL])


def calcite():
    sites, cell = [(0, 0, 0), (0, 0, 0.25), (0.2578, 0, 0.25)], [4.99, 4.99, 17.06, *HEXAGONAL]
    return crystal(("Ca", "C", "O"), sites, spacegroup=167, cellpar=cell, primitive_cell=True)


CRYSTALS = {
    "rutile": rutile,
    "quartz": quartz,
    "calcite": calcite,
    "salt": lambda: ase.build.bulk("NaCl", "rocksalt", 5.64, cubic=True),
    "doubled": lambda: rutile() * (1, 1, 2),
}


def moved(atoms, seed=0):
    """The same structure turned, with other cell vectors and origin, its atoms wrapped and in another order."""
    rng = np.random.default_rng(seed)
    turn, atoms = Rotation.random(random_state=rng).as_matrix(), atoms.copy()[rng.permutation(len(atoms))]
    atoms.positions = (atoms.positions + rng.normal(size=3)) @ turn.T
    if atoms.pbc.any():
        atoms.set_cell(np.array([[1, 1, 0], [0, 1, 0], [0, -1, 1]]) @ atoms.cell.array @ turn.T)
        atoms.wrap()
    return atoms


@pytest.mark.parametrize("name", CRYSTALS)
def test_symmetry_of_crystals_is_that_of_spglib(name):
    atoms = moved(CRYSTALS[name]())
    found = superpositions(atoms, atoms, 0.01)
    theirs = spglib.get_symmetry((atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=0.01)
    assert len(found) == len(theirs["rotations"])
    own = np.linalg.inv(atoms.cell.array.T) @ np.array([one.rotation for one in found]) @ atoms.cell.array.T
    assert sorted(map(str, np.round(own).astype(int).tolist())) == sorted(map(str, theirs["rotations"].tolist()))


@pytest.mark.parametrize(
    ("name", "order"), [("H2O", 4), ("NH3", 6), ("CH4", 24), ("C6H6", 24), ("CH3OH", 2), ("C2H6", 12)]
)
def test_symmetry_of_molecules_is_their_point_group(name, order):
    atoms = moved(molecule(name))
    assert len(superpositions(atoms, atoms, 0.02)) == order


@pytest.mark.parametrize(
    "atoms", [quartz(), molecule("CH3CH2OH"), molecule("CO2")], ids=["crystal", "molecule", "linear"]
)
def test_structures_are_superposed_wherever_they_are(atoms):
    other = moved(atoms, 3)
    for one in found[:4] if (found := superpositions(atoms, other, 0.01)) else pytest.fail("not superposed"):
        assert one.deviation < 1e-3
        assert_allclose(one.rotation @ one.rotation.T, np.eye(3), atol=1e-6)
        away, back = (structure.get_all_distances(mic=bool(atoms.pbc.any())) for structure in (atoms, other))
        assert_allclose(back[np.ix_(one.partner, one.partner)], away, atol=0.01)
    other.positions[0] += [0.2, 0.1, 0.0]
    assert not superpositions(atoms, other, 0.05)


def lattice_sum(atoms, charges):
    """Field gradients of point charges within 7 Å: not converged, but covariant."""
    from ase.neighborlist import neighbor_list

    i, j, away = neighbor_list("ijD", atoms, 7.0)
    distance = np.linalg.norm(away, axis=1)[:, None, None]
    charge = np.array([charges[symbol] for symbol in atoms.symbols])[j][:, None, None]
    tensors = np.zeros((len(atoms), 3, 3))
    terms = charge * (3.0 * away[:, :, None] * away[:, None] / distance**5 - np.eye(3) / distance**3)
    np.add.at(tensors, i, 100.0 * terms)
    return tensors


@pytest.mark.parametrize("noise", [0.0, 0.003])
def test_tensors_must_have_the_symmetry_of_their_structure(noise):
    """Turned tensors, and one atom's sign, are seen; of a nearly symmetric structure, what it differs is accepted."""
    atoms = moved(quartz())
    atoms.rattle(noise, seed=1)
    entry, tensors = Entry(atoms, None, 0, False), lattice_sum(atoms, {"Si": 4, "O": -2})
    assert symmetry_findings([entry], {"efg": [tensors]}) == []
    turn = Rotation.from_rotvec([0.5, 0.3, 0.2]).as_matrix()
    found = symmetry_findings([entry], {"efg": [turn @ tensors @ turn.T]})
    assert {one.severity for one in found} == {"error"}
    wrong = tensors.copy()
    atom = int(np.flatnonzero(atoms.symbols == "O")[2])
    wrong[atom] *= -1
    found = symmetry_findings([entry], {"efg": [wrong]})
    assert [(one.atom, one.severity) for one in found] == [(atom, "error")]
