"""What a frame holds for its tracked atoms: their tensors, a mask, and labels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from jaxtyping import Bool, Float, Int

from efg_jax.errors import InputError
from efg_jax.structures.checks import name_atom, symmetric_tensors
from efg_jax.structures.declared_units import check_units
from efg_jax.structures.occupancy import check_occupancy
from efg_jax.structures.site_selection import check_indices, listed
from efg_jax.structures.targets import KNOWN, find, missing, place_of, shaped

Key = str | Callable[[Atoms], Any]


def tracked_atoms(
    atoms: Atoms, number: int, array: str, species: str | Sequence[str] | None, indices: Sequence[int] | None
) -> Int[np.ndarray, " tracked"]:
    """Atoms whose tensors are averaged: those of the species, or of the indices, or of both; without either all that
    have a tensor.

    Raises:
        InputError: there is none, or no such index.
    """
    place, chosen = place_of(atoms, number), np.ones(len(atoms), dtype=bool)
    if species is None and indices is None:
        chosen = np.isfinite(_raw(atoms, number, array)).all(axis=(1, 2))
        if not chosen.any():
            raise InputError(f"no atom has a tensor '{array}' (all are NaN); predict them first", **place)
    if species is not None:
        wanted = (species,) if isinstance(species, str) else tuple(species)
        if unknown := [symbol for symbol in wanted if symbol not in atomic_numbers]:
            raise InputError(f"{unknown[0]!r} is no element; write Li, or Li,O on the command line")
        chosen &= np.isin(atoms.numbers, [atomic_numbers[symbol] for symbol in wanted])
        if not chosen.any():
            raise InputError(
                f"contains no {' or '.join(wanted) or 'element'}, but {', '.join(sorted(set(atoms.symbols)))}; "
                "choose other species",
                **place,
            )  # fmt: skip
    if indices is not None:
        own = listed(indices)
        check_indices(own, atoms, number)
        chosen &= np.isin(np.arange(len(atoms)), own)
        if not chosen.any():
            raise InputError("the indices name no atom of the species; no atom is left to average", **place)
    return np.flatnonzero(chosen)


def tensors_of(
    atoms: Atoms, number: int, array: str, tracked: Int[np.ndarray, " tracked"], field_gradient: bool
) -> Float[np.ndarray, "tracked 3 3"]:
    """Tensors of the tracked atoms; those of an EFG exactly symmetric and traceless.

    Raises:
        InputError: one is missing, not finite, no EFG, or in other units by what the frame says; a site is occupied in
            part.
    """
    check_occupancy(atoms, number)
    check_units(atoms, number, array, "efg" if field_gradient else "ms")
    tensors = _raw(atoms, number, array)[tracked]
    if not np.isfinite(tensors).all():
        i = int(tracked[np.argmin(np.isfinite(tensors).all(axis=(1, 2)))])
        raise InputError(
            f"has no tensor '{array}' in this frame (not all numbers are finite); predict it, or choose atoms that "
            "have "
            "one in every frame (species=, indices=)",
            atom=name_atom(atoms, i),
            **place_of(atoms, number),
        )
    return symmetric_tensors(tensors, array, KNOWN["efg"], atoms, number, tracked) if field_gradient else tensors


def _raw(atoms: Atoms, number: int, array: str) -> Float[np.ndarray, "atoms 3 3"]:
    found = find(atoms, array, "atom")
    if found is None:
        raise missing(array, atoms, number)
    return shaped(found[1], array, "atom", "matrix", atoms, number)[1]


def label_of(atoms: Atoms, number: int, key: Key, tracked: Int[np.ndarray, " tracked"]) -> str | list[str]:
    """The frame's label, or one for each tracked atom; an empty one means that the frame or atom does not count.

    Args:
        key: entry of ``info``, per-atom array, or a function of the structure that returns the one or the other.

    Raises:
        InputError: the frame has no such thing.
    """
    value = _value(atoms, number, key, "label")
    if value.ndim == 0:
        return _text(value.item())
    return [_text(item) for item in value[tracked].tolist()]


def mask_of(atoms: Atoms, number: int, key: Key, tracked: Int[np.ndarray, " tracked"]) -> Bool[np.ndarray, " tracked"]:
    """Which tracked atoms count in this frame.

    Args:
        key: as for `label_of`; what is zero, False or empty does not count.

    Raises:
        InputError: the frame has no such thing.
    """
    value = _value(atoms, number, key, "mask")
    if value.dtype.kind not in "biuf":
        raise InputError(
            f"the mask {_name(key)} holds {'text' if value.dtype.kind in 'US' else value.dtype}, neither true nor "
            "false; "
            "name an entry or column of T and F, or of numbers",
            **place_of(atoms, number),
        )
    return np.broadcast_to(value.astype(bool) if value.ndim == 0 else value[tracked].astype(bool), tracked.shape)


def _value(atoms: Atoms, number: int, key: Key, what: str) -> np.ndarray:
    if callable(key):
        value = np.asarray(key(atoms))
    elif key in atoms.info:
        value = np.asarray(atoms.info[key])
    elif key in atoms.arrays:
        value = atoms.arrays[key]
    else:
        there = ", ".join([*atoms.info, *atoms.arrays])
        raise InputError(
            f"has no {what} '{key}', neither in its info nor an atom; it has {there}", **place_of(atoms, number)
        )
    if value.shape not in ((), (len(atoms),)):
        raise InputError(
            f"the {what} {_name(key)} has shape {value.shape}; "
            f"give one for the frame, or one for each of the {len(atoms)} atoms",
            **place_of(atoms, number),
        )
    return value


def _text(value: Any) -> str:
    return "" if value is None or value != value else str(value)


def _name(key: Key) -> str:
    return f"'{key}'" if isinstance(key, str) else "function"
