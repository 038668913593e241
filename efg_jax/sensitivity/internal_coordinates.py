"""A gradient in terms of bonds and angles."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.structures.neighbour_lists import bonded_pairs

STRAIGHT = np.radians(175.0)
"""Angles wider than this have no direction in which they bend, and are left out."""


class Cluster(NamedTuple):
    """The atom (first) and its neighbours as points in space, images apart.

    Attributes:
        symbols: elements.
        names: of each, element and index in the structure.
        positions: Å, relative to the atom.
    """

    symbols: list[str]
    names: list[str]
    positions: Float[np.ndarray, "points 3"]


class Internal(NamedTuple):
    """A bond or an angle, and the derivative with respect to it.

    Attributes:
        kind: "bond" or "angle".
        atoms: indices in the cluster, of an angle with the apex in the middle.
        name: as "O12–Si3", with the atoms' indices in the structure; a prime for each further image of an atom.
        value: Å, or rad.
        derivative: per Å, or per rad.
        along: the same per Å along the bond, or along the arc at the geometric mean of the two bonds' lengths: what
            bonds and angles are compared by.
    """

    kind: Literal["bond", "angle"]
    atoms: tuple[int, ...]
    name: str
    value: float
    derivative: float
    along: float


def internal_coordinates(
    cluster: Cluster, gradient: Float[np.ndarray, "points 3"], shells: int, bond_scale: float
) -> tuple[list[Internal], float]:
    """Derivatives with respect to bond lengths and angles, largest first, and the part of the gradient that they do not
    hold.

    Two points are bonded if they are nearer than ``bond_scale`` times the sum of their covalent radii. Taken are all
    bonds whose one end is fewer than ``shells`` bonds away from the atom, and all angles between two of them with the
    apex as near. With B the matrix of ∂q/∂r (Wilson), angles in Å along their arc (θ times the geometric mean of the
    two lengths), the derivatives are g_q = (B⁺)ᵀ g_r: ∂f/∂q_i is the slope of f along the smallest displacement of the
    points that changes q_i by one and the others not at all; where coordinates depend on each other (more of them than
    degrees of freedom, as in the six angles of a tetrahedron), along the one that does so best in the sense of least
    squares. The second result is |g_r − Bᵀg_q|/|g_r|: what belongs to farther atoms, to dihedral angles, and (for ν_Q)
    to turns of the whole.

    Args:
        cluster: the atom and its neighbours.
        gradient: ∂f/∂r of each point, per Å; of the atom itself minus the sum of the others.
        shells: 1: bonds and angles at the atom; 2: at its neighbours, too.
        bond_scale: see above.
    """
    bonds, angles = _bonds_and_angles(cluster, shells, bond_scale)
    rows = [_bond_row(cluster.positions, *bond) for bond in bonds]
    rows += [_angle_row(cluster.positions, *angle) for angle in angles]
    norm = float(np.linalg.norm(gradient))
    if not rows or norm == 0.0:
        return [], float(norm > 0.0)
    lengths = np.array([row[2] for row in rows])
    matrix = np.stack([row[1].ravel() for row in rows]) * lengths[:, None]
    inner = np.linalg.pinv(matrix, rcond=1e-9).T @ gradient.ravel()
    missing = float(np.linalg.norm(gradient.ravel() - matrix.T @ inner)) / norm
    found = []
    for atoms, row, slope in zip([*bonds, *angles], rows, inner, strict=True):
        name = "–".join(cluster.names[i] for i in atoms)
        kind = "bond" if len(atoms) == 2 else "angle"
        found.append(Internal(kind, atoms, name, float(row[0]), float(slope * row[2]), float(slope)))
    return sorted(found, key=lambda one: -abs(one.along)), missing


def _bonds_and_angles(cluster: Cluster, shells: int, bond_scale: float) -> tuple[list, list]:
    partners: dict[int, list[int]] = {i: [] for i in range(len(cluster.symbols))}
    for i, j in bonded_pairs(cluster.symbols, cluster.positions, bond_scale):
        partners[i].append(j)
        partners[j].append(i)
    inner, edge = {0}, {0}
    for _ in range(shells - 1):
        edge = {j for i in edge for j in partners[i]} - inner
        inner |= edge
    bonds = sorted({(min(i, j), max(i, j)) for i in inner for j in partners[i]})
    angles = [
        (i, apex, j)
        for apex in sorted(inner)
        for k, i in enumerate(sorted(partners[apex]))
        for j in sorted(partners[apex])[k + 1 :]
    ]
    return bonds, [angle for angle in angles if _angle(cluster.positions, *angle) < STRAIGHT]


def _bond_row(positions: np.ndarray, i: int, j: int) -> tuple[float, np.ndarray, float]:
    """Length, its derivative with respect to all points, and 1."""
    vector = positions[j] - positions[i]
    length = float(np.linalg.norm(vector))
    row = np.zeros_like(positions)
    row[j] += vector / length
    row[i] -= vector / length
    return length, row, 1.0


def _angle(positions: np.ndarray, i: int, apex: int, j: int) -> float:
    u, v = positions[i] - positions[apex], positions[j] - positions[apex]
    return float(np.arccos(np.clip(u @ v / np.linalg.norm(u) / np.linalg.norm(v), -1.0, 1.0)))


def _angle_row(positions: np.ndarray, i: int, apex: int, j: int) -> tuple[float, np.ndarray, float]:
    """Angle, its derivative with respect to all points (rad/Å), and the arm's length in Å."""
    u, v = positions[i] - positions[apex], positions[j] - positions[apex]
    a, b = float(np.linalg.norm(u)), float(np.linalg.norm(v))
    u, v, theta = u / a, v / b, _angle(positions, i, apex, j)
    row = np.zeros_like(positions)
    row[i] += (np.cos(theta) * u - v) / (a * np.sin(theta))
    row[j] += (np.cos(theta) * v - u) / (b * np.sin(theta))
    row[apex] -= row[i] + row[j]
    return theta, row, float(np.sqrt(a * b))
