"""Files and data sets that ship, read as one list or one stream of structures."""

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from ase import Atoms

from efg_jax import datasets, io
from efg_jax.errors import InputError
from efg_jax.io.ase_formats import selected_frames
from efg_jax.io.reading import require_readable
from efg_jax.storage.fingerprints import file_digest
from efg_jax.structures.checks import check_frames
from efg_jax.version import __version__

Position = tuple[int, int]
"""Where a stream stands: number of the source, and of the next structure in it."""


class Source(NamedTuple):
    """A file, or the name of a data set that ships."""

    name: str
    is_data_set: bool


def read_structures(
    sources: str | Path | Sequence[str | Path], index: str = ":", arrays: Mapping[str, str] | None = None
) -> list[Atoms]:
    """Read structures of files and data sets, in the order given; two files of one structure give one.

    Args:
        sources: files in any format that `efg_jax.io.read` reads, or names of data sets; one or several.
        index: structures to take from each source, in ASE's notation: "0", "-1", "::10".
        arrays: name in the files by tensor, where they differ: {"efg": "V"}. The structures then carry these tensors,
            checked, under their own names.

    Raises:
        InputError: a source is neither a file nor a data set, is given twice (the same structure could be in training
            and
            test), or is damaged; the index selects nothing; a structure has no tensor of the name.
    """
    frames: list[Atoms] = []
    for is_data_set, some in groupby(resolved(sources), key=lambda source: source.is_data_set):
        names = [source.name for source in some]
        if is_data_set:
            for name in names:
                frames += [atoms for _, atoms in selected_frames(datasets.load(name), index, Path(name))]
        else:
            frames += io.read(names, target=None, index=index)  # together, as two may be of one structure
    for tensor, array in (arrays or {}).items():
        frames = check_frames(frames, tensor, array)
    return frames


def stream_structures(
    sources: str | Path | Sequence[str | Path], position: Sequence[int] | None = None
) -> Iterator[tuple[Position, Atoms]]:
    """Read structures one by one, from files of any length; each file by itself, also where two are of one structure.

    Args:
        sources: as for `read_structures`.
        position: where to begin: one that an earlier stream gave; None: with the first structure.

    Yields:
        Each structure with the position after it.

    Raises:
        InputError: as `read_structures`, when the source's turn comes.
    """
    begin, start = position or (0, 0)
    for number, (name, is_data_set) in enumerate(resolved(sources)):
        if number >= begin:
            first = start if number == begin else 0
            frames = datasets.load(name)[first:] if is_data_set else io.iread(name, first)
            for frame, atoms in enumerate(frames, start=first):
                yield (number, frame + 1), atoms


def digests(sources: str | Path | Sequence[str | Path]) -> list[str]:
    """Checksums of the contents, which distinguish sources of the same name.

    Raises:
        InputError: as `read_structures`, but the structures in a file are not checked.
    """
    found = []
    for name, is_data_set in resolved(sources):
        if not is_data_set:
            require_readable(Path(name))
        found.append(f"{name} {__version__}" if is_data_set else file_digest(name))
    return found


def resolved(sources: str | Path | Sequence[str | Path]) -> list[Source]:
    """Sources, each with whether it is a data set.

    Raises:
        InputError: a source is neither a file nor a data set, or is given twice.
    """
    shipped, seen, found = datasets.names(), set(), []
    for source in [sources] if isinstance(sources, str | Path) else sources:
        name = str(source)
        is_data_set = name in shipped and not Path(name).exists()
        identity = name if is_data_set else os.path.realpath(name)
        if identity in seen:
            raise InputError("is given twice; give every file or data set once", file=name)
        seen.add(identity)
        if not is_data_set and not Path(name).exists() and not Path(name).suffix and os.sep not in name:
            raise InputError(f"{name!r} is neither a file nor a data set that ships; those are {', '.join(shipped)}")
        found.append(Source(name, is_data_set))
    return found
