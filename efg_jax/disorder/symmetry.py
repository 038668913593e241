"""Symmetry of a crystal as permutations of its atoms, for any cell: primitive, conventional, supercell."""

from itertools import product

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce
from jaxtyping import Float, Int
from scipy.spatial import cKDTree

TOLERANCE = 0.01  # Å; coordinates of files have four or five digits


def site_permutations(
    atoms: Atoms, colours: Int[np.ndarray, " atoms"], tolerance: float = TOLERANCE
) -> Int[np.ndarray, "operations atoms"]:
    """All space-group operations that map a periodic cell onto itself and keep the colours.

    The lattice's own operations are the integer matrices that keep the metric; in a Minkowski-reduced basis their
    elements are −1, 0 and 1. With each, translations are tried that map one atom of the rarest colour to another.

    Args:
        atoms: periodic in three directions; its elements do not count.
        colours: what an operation must keep: elements, or kinds of sites.
        tolerance: how far, in Å, atoms may be from where an operation puts them.

    Returns:
        For each operation the index of the atom onto which it maps each atom; the identity comes first. Operations that
        move the atoms alike count once.
    """
    cell = np.asarray(minkowski_reduce(atoms.cell.array)[0])
    places = atoms.positions @ np.linalg.inv(cell) % 1.0
    tree = cKDTree(places % 1.0, boxsize=1.0)  # 1 − ε may round to 1
    values, counts = np.unique(colours, return_counts=True)
    rare = np.flatnonzero(colours == values[np.argmin(counts)])
    found = [np.arange(len(atoms))[None]]
    for rotation in _lattice_operations(cell, tolerance):
        turned = places @ rotation
        shifts = places[rare] - turned[rare[0]]
        for some in (rare, np.arange(len(atoms))):  # most shifts fail on the few
            image = _nearest(tree, cell, turned[some] + shifts[:, None], tolerance)
            kept = (image >= 0).all(axis=1) & (colours[image] == colours[some]).all(axis=1)
            shifts, image = shifts[kept], image[kept]
        found.append(image)
    every = np.concatenate(found)
    _, first = np.unique(every, axis=0, return_index=True)
    return every[np.sort(first)]


def orbits(permutations: Int[np.ndarray, "operations atoms"]) -> Int[np.ndarray, " atoms"]:
    """Number of the symmetry class of each atom: the first atom of the class."""
    return permutations.min(axis=0)


def _lattice_operations(cell: Float[np.ndarray, "3 3"], tolerance: float) -> list[Int[np.ndarray, "3 3"]]:
    """Integer matrices W with W cell ≅ cell, for a reduced cell."""
    vectors = np.array(list(product((-1, 0, 1), repeat=3)))
    lengths, own = np.linalg.norm(vectors @ cell, axis=1), np.linalg.norm(cell, axis=1)
    candidates = [vectors[np.abs(lengths - length) < tolerance] for length in own]
    metric, allowed = cell @ cell.T, tolerance * (own[:, None] + own) / 2
    operations = []
    for rows in product(*candidates):
        matrix = np.array(rows)
        if abs(round(np.linalg.det(matrix))) == 1 and (np.abs(matrix @ metric @ matrix.T - metric) < allowed).all():
            operations.append(matrix)
    return operations


def _nearest(tree: cKDTree, cell: np.ndarray, points: np.ndarray, tolerance: float) -> np.ndarray:
    """Index of the atom at each point, −1 where there is none; all in parts of the cell."""
    wrapped = points % 1.0 % 1.0
    _, index = tree.query(wrapped)
    apart = wrapped - tree.data[index]
    distance = np.linalg.norm((apart - np.round(apart)) @ cell, axis=-1)
    return np.where(distance < tolerance, index, -1)
