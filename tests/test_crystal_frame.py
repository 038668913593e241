"""The field's direction belongs to the crystal: it turns with it."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from efg_jax.structures.crystal_frame import field_direction

CELL = np.array([[4.0, 0.3, -0.2], [1.1, 5.0, 0.4], [-0.7, 0.9, 6.0]])


def crystal(cell):
    return Atoms("SiO2", scaled_positions=[[0.1, 0.1, 0.1], [0.4, 0.3, 0.2], [0.7, 0.6, 0.8]], cell=cell, pbc=True)


def test_it_is_z_of_the_standard_form():
    atoms = crystal(CELL)
    standard, rotation = atoms.cell.standard_form()
    direction = field_direction(atoms)
    assert_allclose(np.asarray(standard) @ rotation, CELL, atol=1e-12)
    assert_allclose(rotation @ direction, [0, 0, 1], atol=1e-12)
    normal = np.cross(CELL[0], CELL[1])
    assert_allclose(direction, normal / np.linalg.norm(normal), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_it_turns_with_the_structure(seed):
    rotation = Rotation.random(rng=np.random.default_rng(seed)).as_matrix()
    turned = crystal(CELL @ rotation.T)
    assert_allclose(field_direction(turned), rotation @ field_direction(crystal(CELL)), atol=1e-12)


def test_a_left_handed_cell_keeps_the_normal_of_a_and_b():
    left = CELL * np.array([[1], [1], [-1]])
    assert np.linalg.det(left) < 0
    direction = field_direction(crystal(left))
    assert_allclose(direction, field_direction(crystal(CELL)), atol=1e-12)
    assert direction @ left[2] < 0


def test_without_a_crystal_it_is_the_z_of_the_laboratory():
    for atoms in (
        Atoms("CO", [[0, 0, 0], [0.3, 0.4, 1.0]]),
        Atoms("CO", [[0, 0, 0], [0.3, 0.4, 1.0]], cell=CELL, pbc=[True, True, False]),
        Atoms("CO", [[0, 0, 0], [0.3, 0.4, 1.0]], cell=[[4, 1, 0], [8, 2, 0], [0, 0, 5]], pbc=True),
    ):
        assert field_direction(atoms).tolist() == [0, 0, 1]
    primitive = bulk("Si")
    assert abs(field_direction(primitive)[2]) < 0.9, "an fcc primitive cell has a tilted normal"
