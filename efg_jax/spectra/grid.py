"""Directions of a powder: an octahedron's faces in triangles, projected on the half sphere (D. W. Alderman, M. S.
Solum, D. M. Grant, J. Chem. Phys. 84 (1986) 3717).
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from efg_jax.errors import InputError


class Grid(NamedTuple):
    """Triangulated half sphere; NMR frequencies are the same for n and −n.

    Attributes:
        directions: unit vectors of the vertices.
        triangles: three vertices each.
        weights: share of the half sphere that each triangle covers; they sum to 1.
    """

    directions: Float[np.ndarray, "vertices 3"]
    triangles: Int[np.ndarray, "triangles 3"]
    weights: Float[np.ndarray, " triangles"]


@lru_cache(maxsize=16)
def octahedral_grid(density: int) -> Grid:
    """The upper four faces of an octahedron, each cut into ``density``² triangles.

    Args:
        density: number of triangles along an edge.

    Raises:
        InputError: a density below 1.
    """
    if density < 1:
        raise InputError(f"a powder average of density {density} has no orientations; give 1 or more, as 32")
    corners: dict[tuple[int, int], int] = {}
    triangles = []
    for x_sign, y_sign in ((1, 1), (-1, 1), (-1, -1), (1, -1)):

        def vertex(i: int, j: int, sx: int = x_sign, sy: int = y_sign) -> int:
            return corners.setdefault((sx * i, sy * j), len(corners))

        for i in range(density):
            for j in range(density - i):
                triangles.append((vertex(i, j), vertex(i + 1, j), vertex(i, j + 1)))
                if i + j < density - 1:
                    triangles.append((vertex(i + 1, j), vertex(i + 1, j + 1), vertex(i, j + 1)))
    flat = np.array(list(corners), dtype=float)
    points = np.column_stack([flat, density - np.abs(flat).sum(axis=1)])
    directions = points / np.linalg.norm(points, axis=1, keepdims=True)
    numbers = np.array(triangles)
    return Grid(directions, numbers, _solid_angles(directions[numbers]) / (2.0 * np.pi))


def _solid_angles(corners: Float[np.ndarray, "triangles 3 3"]) -> Float[np.ndarray, " triangles"]:
    """Of spherical triangles (A. van Oosterom, J. Strackee, IEEE Trans. Biomed. Eng. 30 (1983) 125)."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    volume = np.abs(np.sum(a * np.cross(b, c), axis=1))
    return 2.0 * np.arctan2(volume, 1.0 + np.sum(a * b + b * c + c * a, axis=1))
