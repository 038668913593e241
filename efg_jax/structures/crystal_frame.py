"""The frame of a crystal, for quantities that need a direction in space."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError

# Volume of the cell, relative to a box with edges of the same lengths, below which three vectors span no crystal.
FLAT = 1e-6

TURN = np.radians(5.0)
"""Rotation of the cell against the first frame beyond which tensors of a fixed frame are not averaged."""


def crystal_axes(atoms: Atoms) -> Float[np.ndarray, "3 3"]:
    """Axes of the crystal frame (`cell.standard_form`) as rows, in the atoms' current frame.

    With cell = L Q (L lower triangular, Q a rotation) they are the rows of Q: x along the first cell vector a, z along
    a × b. They turn with the structure. In a left-handed cell z is a × b as well, and points away from c (ASE keeps the
    handedness in the signs of L).

    Args:
        atoms: structure. Unless it is periodic in three directions with three independent cell vectors, the axes of the
            laboratory are returned.

    Returns:
        Proper rotation matrix.
    """
    return np.array(atoms.cell.standard_form()[1]) if has_crystal_frame(atoms) else np.eye(3)


def turn_between(axes: Float[np.ndarray, "3 3"], others: Float[np.ndarray, "3 3"]) -> float:
    """Angle of the rotation from one crystal frame to another, rad."""
    return float(np.arccos(np.clip(0.5 * (np.trace(axes @ others.T) - 1.0), -1.0, 1.0)))


def has_crystal_frame(atoms: Atoms) -> bool:
    """Whether the structure is periodic in three directions, with three independent cell vectors."""
    volume = abs(atoms.cell.volume) if atoms.cell.rank == 3 else 0.0
    return bool(atoms.pbc.all() and volume > FLAT * np.prod(atoms.cell.lengths()))


def field_direction(atoms: Atoms) -> Float[np.ndarray, "3"]:
    """z axis of the crystal frame (`crystal_axes`), to which θ, φ and ν_Q refer.

    It turns with the structure, so that ν_Q along it does not depend on the orientation of the cell in space. Its sign
    does not matter, because ν_Q is even in the direction.

    Returns:
        Unit vector.
    """
    return crystal_axes(atoms)[2]


def unit_direction(direction: Sequence[float | int] | Float[np.ndarray, "3"]) -> Float[np.ndarray, "3"]:
    """A direction given by the user, as a unit vector.

    Raises:
        InputError: it is not three finite numbers, or zero.
    """
    vector = np.asarray(direction, dtype=float)
    if vector.shape != (3,) or not np.isfinite(vector).all() or not np.linalg.norm(vector) > 0.0:
        raise InputError(f"direction must be three numbers, not all zero, such as (0, 0, 1), got {direction}")
    return vector / np.linalg.norm(vector)
