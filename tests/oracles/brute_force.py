"""Neighbours by trying every image that could matter: slow, and plain enough to be believed."""

from itertools import product

import numpy as np
from ase import Atoms


def image_ranges(atoms: Atoms, reach: float) -> list[range]:
    """For each direction the cell translations that can bring an atom within reach of another."""
    periodic = np.flatnonzero(atoms.pbc)
    spread = np.linalg.norm(np.ptp(atoms.positions, axis=0))
    ranges = [range(1)] * 3
    if len(periodic):
        dual = np.linalg.pinv(atoms.cell.array[periodic])  # |k| ≤ |k·cell| times the norm of the dual vector
        for column, axis in enumerate(periodic):
            largest = int(np.ceil((spread + reach) * np.linalg.norm(dual[:, column])))
            ranges[axis] = range(-largest, largest + 1)
    return ranges


def neighbours(atoms: Atoms, cutoff: float) -> dict[tuple[int, int, tuple[int, int, int]], np.ndarray]:
    """(centre, neighbour, translation) → displacement for all pairs closer than the cutoff, an atom's own images
    included.
    """
    shifts = np.array(list(product(*image_ranges(atoms, cutoff))))
    between = atoms.positions[None] - atoms.positions[:, None]
    displacement = between[None] + (shifts @ atoms.cell.array)[:, None, None]
    near = np.linalg.norm(displacement, axis=-1) < cutoff
    return {
        (int(i), int(j), tuple(map(int, shifts[s]))): displacement[s, i, j]
        for s, i, j in zip(*np.nonzero(near), strict=True)
        if i != j or shifts[s].any()
    }


def pair_distances(atoms: Atoms, cutoff: float) -> np.ndarray:
    """Distances of all pairs closer than the cutoff."""
    return np.array([np.linalg.norm(vector) for vector in neighbours(atoms, cutoff).values()])
