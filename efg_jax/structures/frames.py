"""Structures as they are handed over: one, several, or a stream."""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from ase import Atoms

from efg_jax.errors import InputError


def each(frames: Atoms | Iterable[Any] | os.PathLike) -> Iterator[Atoms]:
    """The structures one by one.

    Raises:
        InputError: a path, or something else that is no structure.
    """
    if isinstance(frames, str | os.PathLike):
        raise InputError(
            "is a path, and structures are wanted; read them: efg_jax.io.read(path), or iread(path) for one at a time",
            file=os.fspath(frames),
        )
    for number, atoms in enumerate([frames] if isinstance(frames, Atoms) else frames):
        if not isinstance(atoms, Atoms):
            raise InputError(f"is a {type(atoms).__name__}, and no structure (ase.Atoms)", frame=number)
        yield atoms
