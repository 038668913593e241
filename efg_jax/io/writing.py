"""Extended XYZ, written whole or not at all."""

import json
import os
from collections.abc import Sequence
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.io.extxyz import save_calc_results
from ase.spacegroup import Spacegroup
from ase.stress import voigt_6_to_full_3x3_stress

from efg_jax.errors import InputError
from efg_jax.io.atomic import atomic_write


def write(path: str | os.PathLike[str], frames: Sequence[Atoms]) -> None:
    """Write frames as extended XYZ, compressed where the name ends in .gz.

    Tensors (n, 3, 3) become nine columns, row by row, with eight digits after the point. What the format cannot hold
    (arrays of objects, info entries that are no numbers, texts or lists) is left out.

    Args:
        path: file to write; an existing one is replaced once the new one is complete.
        frames: structures with arrays and info.

    Raises:
        InputError: there are no frames, or the file cannot be written.
    """
    if not frames:
        raise InputError("there are no structures to write; pass at least one", file=str(path))
    with atomic_write(path) as temporary:
        ase.io.write(temporary, [flattened(atoms) for atoms in frames], format="extxyz", write_results=False)


def flattened(atoms: Atoms) -> Atoms:
    """A copy that holds only what extended XYZ holds: columns, and info that is JSON."""
    flat = atoms.copy()
    if atoms.calc is not None:
        save_calc_results(flat, atoms.calc, calc_prefix="", force=True)
        flat.info.update(atoms.info)
        flat.arrays.update(atoms.arrays)
    if np.shape(flat.info.get("stress")) == (6,):
        flat.info["stress"] = voigt_6_to_full_3x3_stress(flat.info["stress"])
    flat.info = {
        name: value for name, value in ((name, _plain(value)) for name, value in flat.info.items()) if value is not None
    }
    for name, value in list(flat.arrays.items()):
        del flat.arrays[name]
        if (column := _column(np.asarray(value))) is not None:
            flat.arrays[name] = column
    return flat


def _column(value: np.ndarray) -> np.ndarray | None:
    if value.dtype.kind in "US":
        # A column must be one word.
        return np.array(["".join(text.split()) or "-" for text in value.astype(str).ravel()]).reshape(value.shape)
    if value.dtype.kind not in "fiub" or value.size == 0:
        return None
    value = value.astype(np.int64) if value.dtype.kind == "u" else value
    return value.reshape(len(value), -1) if value.ndim > 2 else value


def _plain(value: Any) -> Any:
    """The value as numbers, texts and lists, or None where it is nothing of the kind."""
    if isinstance(value, str):
        return " ".join(value.split())  # a line break would end the header
    if isinstance(value, Spacegroup):
        return value.symbol
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.size > 0:
        return value.astype(np.int64) if value.dtype.kind == "u" else value
    if isinstance(value, np.generic):
        return _plain(value.item())
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value
