"""Rotations, with or without inversion, that bring one structure onto another, or onto itself."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

import numpy as np
from ase import Atoms
from ase.geometry import minkowski_reduce
from jaxtyping import Float, Int

VACUUM = 15.0  # Å, along directions without periodicity
STEPS = np.array([step for step in product(range(-2, 3), repeat=3) if any(step)])
MOST = 200  # operations of one structure; beyond them, in large supercells, there are only more translations


class Superposition(NamedTuple):
    """An isometry, and how well it holds.

    Attributes:
        rotation: orthogonal matrix, proper or not.
        partner: index in the second structure of each atom of the first.
        deviation: largest distance between an atom's image and its partner, Å.
    """

    rotation: Float[np.ndarray, "3 3"]
    partner: Int[np.ndarray, " atoms"]
    deviation: float


def superpositions(first: Atoms, second: Atoms, tolerance: float, most: int = MOST) -> list[Superposition]:
    """All isometries that map the first structure onto the second; with the same structure twice, its symmetry.

    Lattices and atoms are compared, not labels: translations, permutations of atoms and another choice of the cell
    vectors do not matter. Of a linear molecule's rotations about its axis some are taken.

    Args:
        first, second: structures with as many atoms; in two cells of the same volume if they are periodic.
        tolerance: distance in Å up to which an atom counts as mapped.
        most: number at which the search ends.
    """
    same = len(first) == len(second) and np.array_equal(np.sort(first.numbers), np.sort(second.numbers))
    if not same or not np.array_equal(first.pbc, second.pbc):
        return []
    found = _crystals(first, second, tolerance) if first.pbc.any() else _molecules(first, second, tolerance)
    return [one for _, one in zip(range(most), found, strict=False)]


def _crystals(first: Atoms, second: Atoms, tolerance: float) -> Iterator[Superposition]:
    one, other = _reduced(first), _reduced(second)
    if abs(abs(np.linalg.det(one)) - abs(np.linalg.det(other))) > 0.02 * abs(np.linalg.det(one)):
        return
    kinds, counts = np.unique(first.numbers, return_counts=True)
    rare = int(kinds[np.argmin(counts)])
    start = np.flatnonzero(first.numbers == rare)[0]
    inverse = np.linalg.inv(other)
    for rotation in _lattice_rotations(one, other, tolerance):
        images = first.positions @ rotation.T
        for target in np.flatnonzero(second.numbers == rare):
            shift = second.positions[target] - images[start]
            found = _partners(first.numbers, images + shift, second, inverse, other, tolerance, rare)
            if found is not None:
                yield Superposition(rotation, *found)


def _reduced(atoms: Atoms) -> np.ndarray:
    """Shortest cell vectors; directions without periodicity get a vacuum."""
    cell, free = atoms.cell.complete().array.copy(), np.flatnonzero(~atoms.pbc)
    for axis in free:
        along = cell[axis] / np.linalg.norm(cell[axis])
        cell[axis] = along * (np.ptp(atoms.positions @ along) + VACUUM)
    return np.asarray(minkowski_reduce(cell)[0])


def _lattice_rotations(one: np.ndarray, other: np.ndarray, tolerance: float) -> Iterator[np.ndarray]:
    """Orthogonal matrices that map the first lattice onto the second within the tolerance."""
    vectors = STEPS @ other
    lengths = np.linalg.norm(vectors, axis=1)
    slack = tolerance + 1e-3 * np.linalg.norm(one, axis=1)
    near = [vectors[abs(lengths - np.linalg.norm(one[k])) < slack[k]] for k in range(3)]
    gram, volume = one @ one.T, abs(np.linalg.det(one))
    allowed = np.linalg.norm(one, axis=1)[:, None] * slack[None] + np.linalg.norm(one, axis=1)[None] * slack[:, None]
    for a in near[0]:
        for b in near[1][abs(near[1] @ a - gram[0, 1]) < allowed[0, 1]]:
            fits = (abs(near[2] @ a - gram[0, 2]) < allowed[0, 2]) & (abs(near[2] @ b - gram[1, 2]) < allowed[1, 2])
            for c in near[2][fits]:
                image = np.array([a, b, c])
                if abs(abs(np.linalg.det(image)) - volume) < 0.02 * volume:
                    u, _, v = np.linalg.svd(image.T @ np.linalg.inv(one).T)
                    yield u @ v


def _partners(numbers, images, second: Atoms, inverse, cell, tolerance: float, rare: int):
    """Partner of each image and the largest distance, the rarest element first; None where one has no partner."""
    partner, shift = np.full(len(numbers), -1), np.zeros(3)
    kinds = sorted(set(numbers.tolist()), key=lambda number: (number != rare, number))
    for kind in kinds:
        own, theirs = np.flatnonzero(numbers == kind), np.flatnonzero(second.numbers == kind)
        away = (second.positions[theirs][None] - images[own][:, None]) @ inverse
        away = (away - np.round(away)) @ cell
        distance = np.linalg.norm(away, axis=2)
        nearest = distance.argmin(axis=1)
        if distance.min(axis=1).max() > 2.0 * tolerance or len(set(nearest.tolist())) < len(own):
            return None
        partner[own] = theirs[nearest]
        shift = shift + away[np.arange(len(own)), nearest].sum(axis=0)
    away = (second.positions[partner] - images - shift / len(numbers)) @ inverse
    deviation = float(np.linalg.norm((away - np.round(away)) @ cell, axis=1).max())
    return (partner, deviation) if deviation <= tolerance else None


def _molecules(first: Atoms, second: Atoms, tolerance: float) -> Iterator[Superposition]:
    one, other = (atoms.positions - atoms.positions.mean(axis=0) for atoms in (first, second))
    cell = np.eye(3) * 1e6  # no image is ever near
    for rotation in _molecular_rotations(first.numbers, one, second.numbers, other, tolerance):
        found = _partners(
            first.numbers,
            one @ rotation.T,
            Atoms(second.numbers, other),
            cell / 1e12,
            cell,
            tolerance,
            int(first.numbers[0]),
        )
        if found is not None:
            yield Superposition(rotation, *found)


def _molecular_rotations(numbers, one, others, other, tolerance: float) -> Iterator[np.ndarray]:
    """Orthogonal matrices that map two atoms, which are not in line with the centre, onto two others."""
    if len(one) < 2:
        yield np.eye(3)
        return
    rarity = {kind: np.sum(numbers == kind) for kind in set(numbers.tolist())}
    normals = np.linalg.norm(np.cross(one[:, None], one[None]), axis=2)
    weight = np.array([1.0 / rarity[kind] for kind in numbers.tolist()])
    i, j = np.unravel_index(
        np.argmax(np.where(normals > 0.1, weight[:, None] * weight[None] + 1e-3 * normals, 0.0)), normals.shape
    )
    if normals.max() < 0.1:  # linear: the axis to the axis, and some turns about it
        axis = one[np.argmax(np.linalg.norm(one, axis=1))]
        for end in other[abs(np.linalg.norm(other, axis=1) - np.linalg.norm(axis)) < 2.0 * tolerance]:
            for turn in ([[1, 0], [0, 1]], [[0, -1], [1, 0]], [[1, 0], [0, -1]], [[0, 1], [1, 0]]):
                middle = np.eye(3)
                middle[1:, 1:] = turn
                yield _frame(end, None) @ middle @ _frame(axis, None).T
        return
    length, slack = np.linalg.norm(other, axis=1), 2.0 * tolerance
    to_i = np.flatnonzero((others == numbers[i]) & (abs(length - np.linalg.norm(one[i])) < slack))
    to_j = np.flatnonzero((others == numbers[j]) & (abs(length - np.linalg.norm(one[j])) < slack))
    between = np.linalg.norm(one[i] - one[j])
    for a, b in product(to_i, to_j):
        if abs(np.linalg.norm(other[a] - other[b]) - between) < 2.0 * slack:
            for sign in (1.0, -1.0):
                yield _frame(other[a], other[b]) @ np.diag([1.0, 1.0, sign]) @ _frame(one[i], one[j]).T


def _frame(first: np.ndarray, second: np.ndarray | None) -> np.ndarray:
    """Axes as columns: along the first vector, in the plane with the second, and normal to both."""
    x = first / np.linalg.norm(first)
    second = np.eye(3)[np.argmin(abs(x))] if second is None else second
    z = np.cross(x, second)
    z = z / np.linalg.norm(z)
    return np.column_stack([x, np.cross(z, x), z])
