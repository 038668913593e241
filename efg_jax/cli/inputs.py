"""What a command reads: files and data sets that ship, as one list of checked structures."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.targets import Per


def read_structures(sources: Sequence[str]) -> "list[Atoms]":
    """Structures of files or data sets, in the order given.

    Raises:
        InputError: a source is neither file nor data set, is given twice (the same structure could be in training and test), or
            is damaged.
    """
    from efg_jax import datasets, io

    shipped, seen, frames = datasets.names(), set(), []
    for source in sources:
        is_data_set = source in shipped and not Path(source).exists()
        identity = source if is_data_set else os.path.realpath(source)
        if identity in seen:
            raise InputError("is given twice; give every file or data set once", file=source)
        seen.add(identity)
        if not is_data_set and not Path(source).exists() and not Path(source).suffix and os.sep not in source:
            raise InputError(f"{source!r} is neither a file nor a data set that ships; those are {', '.join(shipped)}")
        frames += datasets.load(source) if is_data_set else io.read(source, target=None)
    return frames


def read_labelled(sources: Sequence[str], target: str, array: str | None, per: "Per | None" = None) -> "list[Atoms]":
    """The same with a target, which all structures carry under its own name afterwards.

    All sources are checked together: structures with different targets must not meet in one training set.
    """
    from efg_jax.io import check_frames

    return check_frames(read_structures(sources), target, array, per=per)
