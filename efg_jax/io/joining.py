"""Several files of one structure: Quantum ESPRESSO writes field gradients and shieldings into two files."""

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms

SAME = 1e-4  # Å: OUTCAR prints five decimals, Quantum ESPRESSO six
TENSORS = ("efg", "ms", "efg_local", "efg_nonlocal")
# What tells two files of one structure apart: x.efg.magres and x.nmr.magres, efg/OUTCAR and nmr/OUTCAR.
_KINDS = re.compile(r"[._-]*(?<![a-z])(?:efg|nmr|ms)(?![a-z])", re.IGNORECASE)

logger = logging.getLogger(__name__)


class Part(NamedTuple):
    """What was read from a file.

    Attributes:
        frames: the structures that were chosen.
        single: whether it is of a format of our own and holds one structure, so that another file may complete it.
    """

    frames: list[Atoms]
    single: bool


def same_structure(one: Atoms, other: Atoms) -> bool:
    """Whether two structures have the same atoms in the same order, at the same places of the same cell."""
    return _difference(one, other) == ""


def joined(parts: Sequence[Part]) -> list[Atoms]:
    """The frames of all files; files of one structure become one frame, at the place of the first.

    That they are of one structure is seen by three things together: their paths differ in the words efg, nmr and ms
    only (x.efg.magres and x.nmr.magres), they hold the same structure within 10⁻⁴ Å, and no tensor is in both with
    different values. Frames of a trajectory are never joined.

    Args:
        parts: what was read from each file.

    Returns:
        Frames; ``info["source_file"]`` of a joined one names its files: "x.efg.magres + x.nmr.magres".
    """
    frames, firsts, apart = [], {}, []
    for part in parts:
        if not part.single:
            frames += part.frames
            continue
        (atoms,) = part.frames
        key = _KINDS.sub("", atoms.info["source_file"])
        if key in firsts and not (difference := _difference(firsts[key], atoms)):
            _add(firsts[key], atoms)
            continue
        if key in firsts:
            apart.append((firsts[key].info["source_file"], atoms.info["source_file"], difference))
        firsts.setdefault(key, atoms)
        frames.append(atoms)
    if apart:
        more = f" (and {len(apart) - 1} more pairs)" if apart[1:] else ""
        logger.warning("%s and %s stay two structures, though their names are those of one: %s%s", *apart[0], more)
    return frames


def _add(atoms: Atoms, other: Atoms) -> None:
    for name in set(TENSORS) & set(other.arrays):
        atoms.arrays.setdefault(name, other.arrays[name])
    atoms.info = {**other.info, **atoms.info}
    atoms.info["source_file"] = f"{atoms.info['source_file']} + {other.info['source_file']}"


def _difference(one: Atoms, other: Atoms) -> str:
    """What tells two structures or their common tensors apart; nothing if they may be one."""
    if one.numbers.tolist() != other.numbers.tolist() or (one.pbc != other.pbc).any():
        return f"{one.symbols} is not {other.symbols}"
    if (largest := np.abs(np.asarray(one.cell) - np.asarray(other.cell)).max()) > SAME:
        return f"their cells differ by {largest:.2g} Å"
    if (largest := np.abs(one.positions - other.positions).max(initial=0.0)) > SAME:
        return f"their atoms differ by {largest:.2g} Å"
    for name in set(TENSORS) & set(one.arrays) & set(other.arrays):
        if not np.allclose(one.arrays[name], other.arrays[name], rtol=1e-3, atol=1e-3, equal_nan=True):
            return f"each has its own '{name}'"
    return ""
