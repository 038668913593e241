"""The magres format of CASTEP and Quantum ESPRESSO: shielding in ppm, EFG in atomic units (V/Å² in `ase.Atoms`).

ASE's reader gives ``arrays["efg"]`` and ``arrays["ms"]`` of shape (n, 3, 3) with the numbers and signs of the file. The
EFG has the sign used here, V_ij = +∂²V/∂x_i∂x_j (ethanol ¹⁷O: V_zz < 0, and with Q < 0 a positive C_Q). ``ms`` is the
absolute shielding, with the cores and the macroscopic susceptibility. Blocks are in [brackets] (CASTEP) or <brackets>
(Quantum ESPRESSO).
"""

import gzip
import io
import os
import re
import zlib
from collections.abc import Sequence
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.structures.site_selection import finite_rows, site_labels, tensors_of
from efg_jax.structures.targets import find, place_of, shaped
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT

HEADER = "#$magres"
UNITS = {"ms": "ppm", "efg": "au", "efg_local": "au", "efg_nonlocal": "au"}
PER_ATOM = tuple(UNITS)


def is_magres(path: Path) -> bool:
    """Whether a file is magres, judged by its name or its first line."""
    if path.name.lower().removesuffix(".gz").endswith(".magres"):
        return True
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER.encode()


def read_magres(path: Path) -> list[Atoms]:
    """Read the one structure of a magres file, with its tensors.

    Atoms without a tensor get a row of NaN. Couplings between pairs of atoms (``isc``) are left out, because they are
    not per-atom arrays.

    Args:
        path: magres file, plain or gzipped.

    Returns:
        The structure, with ``arrays["efg"]`` in V/Å² and ``arrays["ms"]`` in ppm where the file has them.

    Raises:
        InputError: the file is not magres, is cut short, has no [atoms] block, gives tensors without a unit, or uses
            units other than Å, ppm and atomic units.
    """
    text = _text(path)
    if not text.startswith(HEADER):
        raise InputError(
            f"does not start with {HEADER}, so it is no magres file; give it the right suffix", file=str(path)
        )
    for block in re.findall(r"^\s*[\[<](\w+)[\]>]", text, flags=re.MULTILINE):
        if not re.search(rf"[\[<]/{block}[\]>]", text):
            raise InputError(
                f"the [{block}] block has no end, so the file is cut short; write or copy it again", file=str(path)
            )
    if not re.search(r"^\s*[\[<]atoms[\]>]", text, flags=re.MULTILINE):
        raise InputError(
            "has no [atoms] block, so it holds tensors without a structure; write it again with the structure in it",
            file=str(path),
        )
    text = _with_units(_without_comments(text), path)
    # ASE fails on couplings whose labels and indices CASTEP wrote without a space; they are left out anyway.
    text = re.sub(r"^\s*(?:units\s+)?isc(?:_\w+)?\s.*\n", "", text, flags=re.MULTILINE)
    try:
        atoms = ase.io.read(io.StringIO(_with_missing_rows(text)), format="magres")
    except Exception as error:  # ASE's parser raises whatever int() and float() and dict raise
        reason = (
            f"'{error.args[0]}' is missing"
            if isinstance(error, KeyError) and error.args
            else str(error) or type(error).__name__
        )
        raise InputError(
            f"ASE could not read it ({reason.splitlines()[0]}); lengths must be in Angstrom, ms in ppm, efg in au, "
            "and every tensor must belong to an atom of the [atoms] block",
            file=str(path),
        ) from error
    for name, value in list(atoms.arrays.items()):
        if value.dtype == object:
            del atoms.arrays[name]
        elif name.startswith("efg"):
            atoms.arrays[name] = value * V_PER_ANGSTROM2_PER_ATOMIC_UNIT
    atoms.info.pop("magres_units", None)  # no longer true
    return [atoms]


def write_magres(path: str | os.PathLike[str], frames: Sequence[Atoms]) -> None:
    """Write one structure as magres with ASE's writer: EFG in atomic units, shielding in ppm, all digits.

    ASE, Soprano and MagresView read it back. Atoms keep the labels and indices of a magres file if these are still
    unique; otherwise the label is the element, and the index counts its atoms from 1. Atoms whose tensor is NaN get no
    line.

    Args:
        path: file to write.
        frames: the one structure, with ``efg``, ``ms``, ``efg_local`` or ``efg_nonlocal``, (n, 3, 3) or (n, 9).

    Raises:
        InputError: there are several structures, or no tensors; a tensor fails `efg_jax.structures.check_frames`; the
            structure is periodic in some directions only.
    """
    if len(frames) != 1:
        raise InputError(
            f"a magres file holds one structure, and these are {len(frames)}; "
            "choose one (frames[-1:], or --index -1), or write extxyz",
            file=str(path),
        )
    (atoms,) = frames
    if atoms.pbc.any() and not atoms.pbc.all():
        raise InputError(
            "magres knows crystals and molecules, nothing in between; set pbc to True with the computed cell",
            **place_of(atoms, 0),
        )
    image = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    units = {}
    for name, good in zip(UNITS, tensors_of(atoms, 0, PER_ATOM, required=False), strict=True):
        if good is not None:  # checked; the original digits are written, not the symmetrised tensors
            units[name] = UNITS[name]
            tensors = shaped(find(atoms, name, "atom")[1], name, "atom", "matrix", atoms, 0)[1]
            tensors = tensors / V_PER_ANGSTROM2_PER_ATOMIC_UNIT if units[name] == "au" else tensors
            column = np.empty(len(atoms), dtype=object)  # ASE leaves out None
            column[:] = [tensor if own else None for tensor, own in zip(tensors, finite_rows(tensors), strict=True)]
            image.arrays[name] = column
    if not units:
        raise InputError(
            f"carries none of {', '.join(UNITS)}; add tensors, or write another format", **place_of(atoms, 0)
        )
    image.arrays["labels"], image.arrays["indices"] = site_labels(atoms)
    if "castep_custom_species" in atoms.arrays:
        image.arrays["castep_custom_species"] = atoms.arrays["castep_custom_species"]
    image.info["magres_units"] = units
    calculation = atoms.info.get("magresblock_calculation")
    if isinstance(calculation, dict):
        image.info["magresblock_calculation"] = calculation
    text = io.StringIO()
    ase.io.write(text, image, format="magres")
    with atomic_write(path) as temporary:
        raw = text.getvalue().encode()
        temporary.write_bytes(gzip.compress(raw) if temporary.suffix == ".gz" else raw)


def _text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
        return raw.decode()
    except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise InputError("is no text, so no magres file; is it damaged or another format?", file=str(path)) from error


def _without_comments(text: str) -> str:
    """Remove comments, and keep the first line, which begins with # as well."""
    head, newline, rest = text.partition("\n")
    return head + newline + re.sub(r"[ \t]*#.*", "", rest)


def _with_units(text: str, path: Path) -> str:
    """Add the units of efg_local and efg_nonlocal, which CASTEP leaves out: ASE ignores tensors without a unit."""
    added = []
    for tag in PER_ATOM:
        if not re.search(rf"^\s*{tag}\s", text, re.MULTILINE) or re.search(rf"^\s*units\s+{tag}\s", text, re.MULTILINE):
            continue
        if tag.startswith("efg_") and re.search(r"^\s*units\s+efg\s+au\s*$", text, re.MULTILINE):
            added.append(f"units {tag} au")
            continue
        raise InputError(
            f"has no unit for {tag}; add the line 'units {tag} {UNITS[tag]}' if that is the unit",
            file=str(path),
        )
    return re.sub(r"([\[<]magres[\]>])", lambda start: "\n".join([start[0], *added]), text) if added else text


def _with_missing_rows(text: str) -> str:
    """Add a row of NaN for each atom without a tensor: ASE wants tensors for all atoms or for none."""
    rows = [line.split() for line in text.splitlines()]
    atoms = [(row[2], row[3]) for row in rows if row[:1] == ["atom"] and len(row) >= 7]
    added = []
    for tag in PER_ATOM:
        tensors = [row for row in rows if row[:1] == [tag]]
        # CASTEP before version 23 writes label and index as one word where the index has three digits.
        labelled = {(row[1], row[2]) if len(row) == 12 else (row[1][:-3], row[1][-3:]) for row in tensors}
        if tensors:
            added += [f"{tag} {label} {index}{' nan' * 9}" for label, index in atoms if (label, index) not in labelled]
    return re.sub(r"([\[<]/magres[\]>])", lambda end: "\n".join([*added, end[0]]), text) if added else text
