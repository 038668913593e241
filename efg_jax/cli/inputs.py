"""What a command reads: files and data sets that ship, as one list of checked structures."""

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.gp import ScalarGPR, TensorGPR
    from efg_jax.structures.targets import Per


def read_structures(sources: Sequence[str], index: str = ":") -> "list[Atoms]":
    """Structures of files or data sets, in the order given.

    Args:
        sources: files or data sets.
        index: structures to take from each source, in ASE's notation.

    Raises:
        InputError: a source is neither file nor data set, is given twice (the same structure could be in training and test), or
            is damaged; an empty choice.
    """
    from efg_jax import datasets, io
    from efg_jax.io.ase_formats import selected_frames

    frames = []
    for source, is_data_set in resolved(sources):
        if is_data_set:
            frames += [atoms for _, atoms in selected_frames(datasets.load(source), index, Path(source))]
        else:
            frames += io.read(source, target=None, index=index)
    return frames


def read_tensors(sources: Sequence[str], arrays: Mapping[str, str], index: str = ":") -> "list[Atoms]":
    """The same with the tensors that they carry, under their own names.

    Args:
        sources: files or data sets.
        arrays: names in the files by tensor, where they differ: {"efg": "V"}.
        index: structures to take from each source.

    Raises:
        InputError: as `read_structures`; a structure does not carry a tensor under the name given.
    """
    from efg_jax.structures import check_frames

    frames = read_structures(sources, index)
    for tensor, name in arrays.items():
        frames = check_frames(frames, tensor, name)
    return frames


def stream_structures(
    sources: Sequence[str], position: Sequence[int] | None = None
) -> "Iterator[tuple[tuple[int, int], Atoms]]":
    """The same one by one, for files of any length, each with the position after it: number of its source, and of the next frame there.

    Args:
        sources: files or data sets.
        position: where to begin.
    """
    from efg_jax import datasets, io

    begin, start = position or (0, 0)
    for number, (source, is_data_set) in enumerate(resolved(sources)):
        if number >= begin:
            first = start if number == begin else 0
            frames = datasets.load(source)[first:] if is_data_set else io.iread(source, first)
            for frame, atoms in enumerate(frames, start=first):
                yield (number, frame + 1), atoms


def digests(sources: Sequence[str]) -> list[str]:
    """Checksums of what is in the sources, which tell them from others of the same name.

    Raises:
        InputError: as `read_structures`, but what is in a file is not looked at.
    """
    from efg_jax import __version__
    from efg_jax.io.reading import require_readable
    from efg_jax.storage.fingerprints import file_digest

    found = []
    for source, is_data_set in resolved(sources):
        if not is_data_set:
            require_readable(Path(source))
        found.append(f"{source} {__version__}" if is_data_set else file_digest(source))
    return found


def resolved(sources: Sequence[str]) -> list[tuple[str, bool]]:
    """Each source, and whether it is a data set that ships.

    Raises:
        InputError: a source is neither file nor data set, or is given twice.
    """
    from efg_jax import datasets

    shipped, seen, found = datasets.names(), set(), []
    for source in sources:
        is_data_set = source in shipped and not Path(source).exists()
        identity = source if is_data_set else os.path.realpath(source)
        if identity in seen:
            raise InputError("is given twice; give every file or data set once", file=source)
        seen.add(identity)
        if not is_data_set and not Path(source).exists() and not Path(source).suffix and os.sep not in source:
            raise InputError(f"{source!r} is neither a file nor a data set that ships; those are {', '.join(shipped)}")
        found.append((source, is_data_set))
    return found


def read_labelled(
    sources: Sequence[str], target: str, array: str | None, per: "Per | None" = None, index: str = ":"
) -> "list[Atoms]":
    """The same with a target, which all structures carry under its own name afterwards.

    All sources are checked together: structures with different targets must not meet in one training set.
    """
    from efg_jax.structures.checks import check_frames

    return check_frames(read_structures(sources, index), target, array, per=per)


def contracted(
    model: "TensorGPR | ScalarGPR", frames: "Sequence[Atoms]", channels: int | None
) -> "TensorGPR | ScalarGPR":
    """The model with its density's channels contracted to the principal ones of these structures; None: the model as it is."""
    if channels is None:
        return model
    from dataclasses import replace

    from efg_jax.descriptors import principal_contraction

    descriptor = model.descriptor
    if descriptor.species is None:
        descriptor = descriptor.with_species(sorted({symbol for atoms in frames for symbol in atoms.symbols}))
    return replace(model, descriptor=principal_contraction(descriptor, frames, channels))
