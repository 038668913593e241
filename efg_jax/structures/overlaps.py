"""Atoms on top of each other, periodic images included."""

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce
from jaxtyping import Float
from scipy.spatial import cKDTree


def closest_pair(atoms: Atoms, within: float) -> tuple[int, int, float, bool] | None:
    """The closest pair of atoms nearer than ``within``; None where all are apart.

    Atoms near the lower face of the cell in a periodic direction are repeated beyond the upper one, so that the cost is
    that of one neighbour tree. An atom pairs with its own image (i = j) where a lattice vector is shorter than four
    times ``within``.

    Args:
        atoms: structure with finite positions and independent cell vectors in its periodic directions.
        within: distance in Å.

    Returns:
        i, j, their distance in Å, and whether it crosses a periodic boundary.
    """
    positions, index = atoms.positions, np.arange(len(atoms))
    if atoms.pbc.any():
        lattice = np.asarray(atoms.cell)[atoms.pbc]
        # One image in each direction is enough while opposite faces are further apart than 2 * within. A reduced cell
        # whose vectors are longer than 4 * within is that thick, its heights being at least 1/√2 of its edges; and a
        # vector shorter than that shows in the thickness.
        if _thickness(lattice).min() < 4 * within:
            lattice = _reduced(lattice)
            shortest = float(np.linalg.norm(lattice, axis=1).min())
            if shortest < 4 * within:
                return 0, 0, shortest, True
        positions, index = _with_images(positions, lattice, within)
    pairs = cKDTree(positions).query_pairs(within, output_type="ndarray")
    if not len(pairs):
        return None
    distances = np.linalg.norm(positions[pairs[:, 0]] - positions[pairs[:, 1]], axis=1)
    nearest = pairs[np.argmin(distances)]
    i, j = sorted(index[nearest].tolist())
    return i, j, float(distances.min()), bool((nearest >= len(atoms)).any())


def _thickness(lattice: Float[np.ndarray, "periodic 3"]) -> Float[np.ndarray, " periodic"]:
    """Distance between opposite faces, the inverse length of the reciprocal vector."""
    return 1 / np.linalg.norm(np.linalg.pinv(lattice), axis=0)


def _reduced(lattice: Float[np.ndarray, "periodic 3"]) -> Float[np.ndarray, "periodic 3"]:
    """Shortest vectors that span the same lattice."""
    padded, periodic = np.zeros((3, 3)), np.arange(3) < len(lattice)
    padded[periodic] = lattice
    return np.asarray(minkowski_reduce(padded, pbc=periodic)[0])[periodic]


def _with_images(positions: np.ndarray, lattice: np.ndarray, within: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions wrapped into the box, then the images beyond its upper faces, and the atom that each one is."""
    inverse = np.linalg.pinv(lattice)
    fractions = positions @ inverse
    positions = positions - np.floor(fractions) @ lattice
    fractions = positions @ inverse
    index = np.arange(len(positions))
    for axis, margin in enumerate(within / _thickness(lattice)):
        low = fractions[:, axis] <= margin
        positions = np.concatenate([positions, positions[low] + lattice[axis]])
        fractions = np.concatenate([fractions, fractions[low] + np.eye(len(lattice))[axis]])
        index = np.concatenate([index, index[low]])
    return positions, index
