"""Trajectories with tensors that are known."""

import numpy as np
import pytest
from ase import Atoms

CELL = np.diag([9.0, 9.0, 9.0])


def lattice(count):
    """Sites 3 Å apart."""
    grid = np.stack(np.meshgrid(range(3), range(3), range(-(-count // 9)), indexing="ij"), axis=-1).reshape(-1, 3)
    return 3.0 * grid[np.argsort(grid[:, 2], kind="stable")][:count] + 0.5


@pytest.fixture
def frame():
    """One frame: atoms on a lattice, with the tensors of all of them."""

    def make(tensors, symbols=None, name="efg", **info):
        tensors = np.asarray(tensors, dtype=float)
        positions, height = lattice(len(tensors)), 3.0 * -(-len(tensors) // 9)
        atoms = Atoms(symbols or ["Li"] * len(tensors), positions, cell=[9.0, 9.0, max(height, 9.0)], pbc=True)
        atoms.arrays[name] = tensors
        atoms.info.update(info)
        return atoms

    return make


def traceless(generator, *shape):
    """Random EFG tensors."""
    raw = generator.normal(size=(*shape, 3, 3))
    symmetric = raw + raw.swapaxes(-1, -2)
    return symmetric - np.trace(symmetric, axis1=-2, axis2=-1)[..., None, None] / 3.0 * np.eye(3)
