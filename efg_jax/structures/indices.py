"""Atoms that a user chooses by their indices, the same way everywhere."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Int

from efg_jax.errors import InputError
from efg_jax.structures.targets import place_of


def listed(indices: Iterable[Any]) -> Int[np.ndarray, " chosen"]:
    """The indices, each once, ascending.

    Raises:
        InputError: they are no whole numbers. Of a mask True and False would otherwise mean atoms 1 and 0.
    """
    values = np.asarray(list(indices))
    if values.size and (values.ndim != 1 or values.dtype.kind not in "iu"):
        raise InputError(
            f"indices are whole numbers from 0, and {values.flat[0]} is none; of a mask take np.flatnonzero(mask)"
        )
    return np.unique(values.astype(int))


def check_indices(indices: Int[np.ndarray, " chosen"], atoms: Atoms, number: int) -> None:
    """Refuse indices that a structure does not have.

    Args:
        indices: from `listed`.
        atoms: structure.
        number: of the structure, for the message.

    Raises:
        InputError: there is no such atom.
    """
    outside = indices[(indices < 0) | (indices >= len(atoms))]
    if len(outside):
        raise InputError(
            f"has no atom {outside[0]}; its {len(atoms)} atoms are numbered from 0", **place_of(atoms, number)
        )
