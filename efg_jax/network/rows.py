"""Environments in short rows: an atom with many neighbours has several rows, which saves padding."""

from dataclasses import fields, replace

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from efg_jax.structures.environments import Environments
from efg_jax.structures.padding import bucket, lengthen

WIDTH = 16
"""Number of neighbours in a row."""

OF_ATOMS, OF_STRUCTURES = ("positions",), ("cells",)
"""Fields with an entry for each atom or structure; all others have an entry for each row."""


def in_rows(environments: Environments, width: int = WIDTH) -> Environments:
    """Put the neighbours of every centre in rows of this width, without padding rows (host).

    Rows of a centre follow each other; a centre without neighbours has one row.
    """
    values = {field.name: np.asarray(getattr(environments, field.name)) for field in fields(environments)}
    centre, column = np.nonzero(values["mask"])
    count = np.bincount(centre, minlength=environments.size)
    rows = np.where(values["centre_mask"], np.maximum(-(-count // width), 1), 0)
    first = np.cumsum(rows) - rows
    place = np.arange(len(centre)) - np.repeat(np.cumsum(count) - count, count)
    row, within = first[centre] + place // width, place % width

    def folded(name: str) -> np.ndarray:
        array = values[name]
        if name in OF_ATOMS + OF_STRUCTURES:
            return array
        if array.ndim == 1:
            return np.repeat(array, rows)
        result = np.zeros((rows.sum(), width, *array.shape[2:]), array.dtype)
        result[row, within] = array[centre, column]
        return result

    return replace(environments, **{name: folded(name) for name in values})


def filled(environments: Environments) -> Environments:
    """Pad atoms, rows and structures to sizes that many structures share (host)."""
    atoms = bucket(len(environments.positions))
    ratio = -(-environments.size // atoms)
    return lengthened(
        environments, atoms, atoms * (ratio if ratio < 4 else bucket(4 * ratio) // 4), bucket(len(environments.cells))
    )


def lengthened(environments: Environments, atoms: int, rows: int, structures: int) -> Environments:
    """Pad to these sizes (host)."""
    lengths = dict.fromkeys(OF_ATOMS, atoms) | dict.fromkeys(OF_STRUCTURES, structures)
    return replace(
        environments,
        **{
            field.name: lengthen(np.asarray(getattr(environments, field.name)), lengths.get(field.name, rows))
            for field in fields(environments)
        },
    )


def kinds_of_atoms(environments: Environments) -> Int[Array, " atoms"]:
    """Element of every atom as an index into the species; 0 for padding."""
    kinds = jnp.where(jnp.asarray(environments.centre_mask), jnp.asarray(environments.centre_species), 0)
    return jnp.zeros(len(environments.positions), kinds.dtype).at[jnp.asarray(environments.centre)].max(kinds)
