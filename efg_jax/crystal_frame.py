"""The frame that a crystal carries with it, for quantities that need a direction in space."""

import numpy as np
from ase import Atoms
from jaxtyping import Float

# Volume of the cell, relative to a box with edges of the same lengths, below which three vectors span no crystal.
FLAT = 1e-6


def crystal_axes(atoms: Atoms) -> Float[np.ndarray, "3 3"]:
    """Axes of the crystal frame (`cell.standard_form`) as rows, in the atoms' current frame.

    With cell = L Q (L lower triangular, Q a rotation) they are the rows of Q: x along the first cell vector a, z along a × b. They turn
    with the structure. In a left-handed cell z is a × b as well and points away from c (ASE keeps the handedness in the signs of L).

    Args:
        atoms: structure; periodic in three directions with three independent cell vectors, or else the laboratory's axes are
            returned.

    Returns:
        Proper rotation matrix.
    """
    lengths = atoms.cell.lengths()
    if not atoms.pbc.all() or abs(atoms.cell.volume if atoms.cell.rank == 3 else 0.0) <= FLAT * np.prod(lengths):
        return np.eye(3)
    return np.array(atoms.cell.standard_form()[1])


def field_direction(atoms: Atoms) -> Float[np.ndarray, "3"]:
    """z axis of the crystal frame (`crystal_axes`): the direction along which θ, φ and ν_Q are taken.

    It turns with the structure, so that ν_Q along it does not depend on how the cell lies in space; its sign does not matter, ν_Q
    being even in the direction.

    Returns:
        Unit vector.
    """
    return crystal_axes(atoms)[2]
