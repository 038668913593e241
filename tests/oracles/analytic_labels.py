"""Labels that obey the symmetries by construction: sums of pair terms with the neighbours, in closed form."""

import numpy as np
from ase import Atoms
from oracles.brute_force import neighbours

CHARGES = {"H": 1.0, "O": -2.0, "Si": 4.0, "Li": 1.0, "Ti": 4.0}
RANGE = 4.0


def _pairs(atoms: Atoms):
    for (i, j, _), vector in neighbours(atoms, RANGE).items():
        distance = np.linalg.norm(vector)
        yield i, CHARGES[atoms.symbols[j]] * 0.5 * (1 + np.cos(np.pi * distance / RANGE)), vector, distance


def field_gradients(atoms: Atoms) -> np.ndarray:
    """EFG at every atom of point charges within `RANGE`, damped smoothly: q (3 r rᵀ − r²)/r⁵."""
    tensors = np.zeros((len(atoms), 3, 3))
    for i, charge, r, d in _pairs(atoms):
        tensors[i] += charge * (3 * np.outer(r, r) - d**2 * np.eye(3)) / d**5
    return tensors


def fields(atoms: Atoms) -> np.ndarray:
    """Electric field at every atom: a polar vector."""
    vectors = np.zeros((len(atoms), 3))
    for i, charge, r, d in _pairs(atoms):
        vectors[i] += charge * r / d**3
    return vectors


def shieldings(atoms: Atoms) -> np.ndarray:
    """A tensor with all three parts: isotropic, symmetric, and antisymmetric, the dual of the axial vector Σ r × Σ
    r/r².
    """
    tensors = 30.0 * np.eye(3) + 5.0 * field_gradients(atoms)
    first, second = fields(atoms), np.zeros((len(atoms), 3))
    for i, charge, r, d in _pairs(atoms):
        second[i] += charge * r * d
        tensors[i] += charge * np.eye(3) / d
    axial = np.cross(first, second)
    for i, (x, y, z) in enumerate(axial):
        tensors[i] += np.array([[0, z, -y], [-z, 0, x], [y, -x, 0]])
    return tensors
