"""First-principles data shipped with the package: each a compressed extended XYZ file and a data card, in `data/`."""

import difflib
from collections import Counter
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from importlib.resources.abc import Traversable

import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.io import read

__all__ = ["DatasetRow", "card", "describe", "load", "names"]

SUFFIX = ".extxyz.gz"


@dataclass(frozen=True)
class DatasetRow:
    """One row of the table of data sets.

    Attributes:
        name: name for `load`.
        title: description in one line.
        structures: number of structures.
        tensors: number of EFG tensors of each element.
        level_of_theory: how they were computed.
        licence: licence under which they may be used.
    """

    name: str
    title: str
    structures: int
    tensors: dict[str, int]
    level_of_theory: str
    licence: str


def names() -> list[str]:
    """Names of the data sets."""
    return sorted(entry.name.removesuffix(SUFFIX) for entry in _folder().iterdir() if entry.name.endswith(SUFFIX))


def load(name: str) -> list[Atoms]:
    """Structures of a data set with ``arrays["efg"]``, (n, 3, 3), in V/Å², and energy and forces as calculator results.

    Molecules also have ``arrays["ms"]``, (n, 3, 3), in ppm.

    Args:
        name: one of `names()`.

    Returns:
        New structures at each call, which may be changed.

    Raises:
        InputError: no data set has that name.
    """
    return deepcopy(_structures(name))


@cache
def _structures(name: str) -> list[Atoms]:
    """The structures, read once per process: reading takes ten times as long as copying."""
    with as_file(_entry(name, SUFFIX)) as path:
        frames = read(path)
    for atoms in frames:
        atoms.info["source_file"] = name  # rather than a path inside the installation
    return frames


def card(name: str) -> str:
    """The data card, as markdown: what is in it, level of theory, accuracy, units, provenance, licence."""
    return _entry(name, ".md").read_text(encoding="utf-8")


def describe() -> list[DatasetRow]:
    """One row for each data set, with numbers counted in the data."""
    return [_row(name) for name in names()]


def _row(name: str) -> DatasetRow:
    frames = _structures(name)
    labelled = [~np.isnan(atoms.arrays["efg"]).any(axis=(1, 2)) for atoms in frames]
    tensors = Counter(
        str(symbol) for atoms, mask in zip(frames, labelled, strict=True) for symbol in atoms.symbols[mask]
    )
    facts = _front_matter(card(name))
    return DatasetRow(
        name, facts["title"], len(frames), dict(sorted(tensors.items())), facts["level of theory"], facts["licence"]
    )


def _front_matter(text: str) -> dict[str, str]:
    """The ``key: value`` lines between the first two ``---``."""
    head = text.split("---\n")[1]
    return dict(line.split(": ", 1) for line in head.strip().splitlines())


def _folder() -> Traversable:
    return files(__name__) / "data"


def _entry(name: str, suffix: str) -> Traversable:
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise InputError(f"no data set is called '{name}'; {hint}there are {', '.join(names())}")
    return _folder() / f"{name}{suffix}"
