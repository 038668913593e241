"""Which atoms are bonded, by their covalent radii."""

from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from jaxtyping import Float


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


def bonded_pairs(cluster: Cluster, bond_scale: float) -> list[tuple[int, int]]:
    """Pairs of points that count as bonded."""
    radii = np.array([covalent_radii[atomic_numbers[symbol]] for symbol in cluster.symbols])
    distance = np.linalg.norm(cluster.positions[:, None] - cluster.positions[None], axis=-1)
    first, second = np.nonzero(distance < bond_scale * (radii[:, None] + radii[None]))
    return [(int(i), int(j)) for i, j in zip(first, second, strict=True) if i < j]
