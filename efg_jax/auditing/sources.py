"""Structures for an audit: whatever can be read is, and what cannot is a finding."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from efg_jax import datasets
from efg_jax.auditing.findings import Finding, of_error
from efg_jax.datasets.sources import resolved
from efg_jax.errors import InputError
from efg_jax.io.ase_formats import iread_ase, selected_frames
from efg_jax.io.joining import Part, joined
from efg_jax.io.reading import READERS, read_part
from efg_jax.structures.targets import place_of

IN_A_ROW = 20  # damaged frames, after which the rest of a file is given up
FROM_THE_FIRST = (":", "::")

Sources = Atoms | str | Path | Sequence[Atoms | str | Path]
"""Structures, files or names of data sets."""


class Entry(NamedTuple):
    """A structure, and where it is from."""

    atoms: Atoms
    file: str | None
    frame: int
    test: bool

    @property
    def place(self) -> dict[str, Any]:
        """Arguments for a `Finding` about the whole frame."""
        return {"file": self.file, "frame": self.frame}

    @property
    def named(self) -> str:
        """File and frame in words."""
        return f"frame {self.frame}" + (f" of {self.file}" if self.file else "") + (" (test)" if self.test else "")


def read_entries(sources: Sources, index: str = ":", test: bool = False) -> tuple[list[Entry], list[Finding]]:
    """All structures that can be read, and a finding for each file or frame that cannot.

    Args:
        sources: structures, files or data sets; one or several.
        index: frames to take from each file, in ASE's notation.
        test: whether they are the test set.

    Raises:
        InputError: a name is neither a file nor a data set, or is given twice.
    """
    listed = [sources] if isinstance(sources, Atoms | str | Path) else list(sources)
    structures = [one for one in listed if isinstance(one, Atoms)]
    frames, findings, parts = list(structures), [], []
    for name, is_data_set in resolved([one for one in listed if not isinstance(one, Atoms)]):
        try:
            if is_data_set:
                chosen = selected_frames(datasets.load(name), index, Path(name))
                parts.append(Part([atoms for _, atoms in chosen], False))
            else:
                parts.append(read_part(Path(name), index))
        except InputError as error:
            found, damaged = _piecewise(Path(name), error, index)
            parts.append(Part(found, False))
            findings += damaged
    frames += joined(parts)
    entries = []
    for position, atoms in enumerate(frames):
        place = place_of(atoms, position)
        entries.append(Entry(atoms, place.get("file"), place["frame"], test))
    return entries, findings


def _piecewise(path: Path, error: InputError, index: str) -> tuple[list[Atoms], list[Finding]]:
    """The frames of a damaged file that can be read one by one, and a finding for each of the others."""
    whole = [of_error(error, "unreadable", file=str(path))]
    if index not in FROM_THE_FIRST or not path.is_file() or any(reader.recognises(path) for reader in READERS):
        return [], whole  # ASE knows other units and orders of indices than the readers of our own
    frames, findings, start, row = [], [], 0, 0
    while row < IN_A_ROW:
        try:
            for number, atoms in iread_ase(path, start):
                atoms.info["source_file"], atoms.info["source_frame"] = str(path), number
                frames.append(atoms)
                start, row = number + 1, 0
            break
        except InputError as damage:
            if "holds no frame" in damage.message or "holds no structure" in damage.message:
                break
            findings.append(of_error(damage, "unreadable", file=str(path), frame=start))
            start, row = start + 1, row + 1
    if not frames:
        return [], whole
    for atoms in frames:
        for name in ("efg", "ms"):
            if name in atoms.arrays and atoms.arrays[name].shape[1:] == (9,):
                atoms.arrays[name] = np.reshape(atoms.arrays[name], (-1, 3, 3))
    return frames, findings or whole
