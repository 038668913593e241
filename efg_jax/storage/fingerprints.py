"""Checksums of settings, structures and files, by which stored results are matched with their inputs."""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from ase import Atoms
from jaxtyping import PyTree


def digest(identity: Mapping[str, Any]) -> str:
    """Short checksum of JSON types, the same on every machine."""
    text = json.dumps(identity, sort_keys=True, allow_nan=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]


def fingerprint(structures: Sequence[Atoms], arrays: Sequence[str] = ()) -> str:
    """Checksum of structures: elements, positions, cells, periodicity and the given arrays, to the last bit.

    Args:
        structures: their order counts.
        arrays: names of per-atom arrays or of ``info`` entries that belong to the data, such as the target.
    """
    checksum = hashlib.sha256()
    for atoms in structures:
        parts = [atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc]
        parts += [atoms.arrays[name] if name in atoms.arrays else atoms.info.get(name, ()) for name in arrays]
        for part in parts:
            array = np.ascontiguousarray(part)
            checksum.update(f"{array.dtype.kind} {array.shape}".encode())
            checksum.update(array.astype(np.float64).tobytes())
    return checksum.hexdigest()[:32]


def array_digest(tree: PyTree) -> str:
    """Checksum of all arrays and numbers of a PyTree, to the last bit."""
    checksum = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        array = np.asarray(leaf)
        checksum.update(f"{array.dtype.str} {array.shape}".encode())
        checksum.update(np.ascontiguousarray(array).tobytes())
    return checksum.hexdigest()[:32]


def file_digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
