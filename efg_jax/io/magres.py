"""The magres format of CASTEP and Quantum ESPRESSO: shielding in ppm, EFG in atomic units (V/Å² in `ase.Atoms`).

The EFG has the sign used here, V_ij = +∂²V/∂x_i∂x_j (ethanol ¹⁷O: V_zz < 0, and with Q < 0 a positive C_Q). ``ms`` is
the absolute shielding, with the cores and the macroscopic susceptibility. In the files *the first index of* ``ms`` *is
the direction of the applied field, the second that of the induced one*; ``arrays["ms"]`` has the transpose,
σ_ij = −∂B_i(induced)/∂B_j(applied), and writing transposes again. Quantum ESPRESSO shows why: it stores σ(induced,
applied), and Fortran prints that with the first index running fastest. Only the antisymmetric part depends on this.
ASE and Soprano keep the order of the file.

Blocks are in [brackets] (CASTEP) or <brackets> (Quantum ESPRESSO). A file may have several blocks of a kind, as when
the two files of Quantum ESPRESSO are put together; they must not contradict each other.
"""

import gzip
import io
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import ase.io
import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.io.joining import same_structure
from efg_jax.io.text_files import element, read_text, set_isotopes
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.structures.site_selection import finite_rows, site_labels, tensors_of
from efg_jax.structures.targets import find, place_of, shaped
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT

logger = logging.getLogger(__name__)

HEADER = "#$magres"
UNITS = {"ms": "ppm", "efg": "au", "efg_local": "au", "efg_nonlocal": "au"}
PER_ATOM = tuple(UNITS)
LENGTHS = ("lattice", "atom")
_TAG = re.compile(r"\s*[\[<](/?)(\w+)[\]>]")
_EXPECTED = "lengths must be in Angstrom, ms in ppm, efg in au"


class Line(NamedTuple):
    """A line of a block: its number in the file, from 1, and its words."""

    number: int
    words: list[str]

    def wrong(self, message: str, path: Path) -> InputError:
        """That this line is wrong."""
        return InputError(f"line {self.number} ('{' '.join(self.words)[:40]}'): {message}", file=str(path))


def is_magres(path: Path) -> bool:
    """Whether a file is magres, judged by its name or its first line."""
    if re.search(r"\.magres(\.(gz|bz2|xz))?$", path.name.lower()):
        return True
    with path.open("rb") as file:
        return HEADER.encode() in file.read(len(HEADER) + 3)  # after a byte-order mark of three bytes


def read_magres(path: Path) -> list[Atoms]:
    """Read the one structure of a magres file, with its tensors.

    Atoms without a tensor get a row of NaN. The susceptibility (``sus``) and couplings between pairs of atoms (``isc``,
    whose two indices are those of the two nuclei) are left out, because they are not per-atom arrays. Species may carry
    a number or a mark behind the element (O1, Fe2, H:a); D and T are hydrogen with its mass in ``arrays["masses"]``.

    Args:
        path: magres file, plain or compressed.

    Returns:
        The structure, with ``arrays["efg"]`` in V/Å² and ``arrays["ms"]`` in ppm (first index: induced field) where the
        file has them, ``arrays["labels"]`` and ``arrays["indices"]`` as in the file, and its [calculation] block in
        ``info["magresblock_calculation"]``.

    Raises:
        InputError: the file is not magres, is cut short, has no [atoms] block, gives tensors without a unit, uses units
            other than Å, ppm and atomic units, or contradicts itself; it names the line.
    """
    text = read_text(path, "magres file")
    if not text.lstrip().startswith(HEADER):
        raise InputError(
            f"does not start with {HEADER}, so it is no magres file; give it the right suffix", file=str(path)
        )
    blocks = _blocks(text, path)
    structures = [_structure(lines, path) for name, lines in blocks if name == "atoms"]
    if not structures:
        raise InputError(
            "has no [atoms] block, so it holds tensors without a structure; write it again with the structure in it",
            file=str(path),
        )
    atoms = structures[0]
    for other in structures[1:]:
        if not same_structure(atoms, other) or any(
            (atoms.arrays[name] != other.arrays[name]).any() for name in ("labels", "indices")
        ):
            raise InputError(
                "has two [atoms] blocks of different structures, and a magres file holds one; make two files of it",
                file=str(path),
            )
    atoms.arrays.update(_tensors([line for name, lines in blocks if name == "magres" for line in lines], atoms, path))
    calculation: dict[str, list[list[str]]] = {}
    for tag, *values in (line.words for name, lines in blocks if name == "calculation" for line in lines):
        if values not in calculation.setdefault(tag, []):
            calculation[tag].append(values)
    if calculation:
        atoms.info["magresblock_calculation"] = calculation
    return [atoms]


def write_magres(path: str | os.PathLike[str], frames: Sequence[Atoms]) -> None:
    """Write one structure as magres with ASE's writer: EFG in atomic units, shielding in ppm, all digits.

    ASE, Soprano and MagresView read it back. As in the files of CASTEP and Quantum ESPRESSO, the first index of ``ms``
    is the applied field. Atoms keep the labels and indices of a magres file if these are still unique; otherwise the
    label is the element, and the index counts its atoms from 1. Atoms whose tensor is NaN get no line.

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
    heavy = np.flatnonzero((atoms.numbers == 1) & (atoms.get_masses() > 1.5))
    if len(heavy):
        logger.warning(
            "%s: magres has no symbols for isotopes; deuterium and tritium (atoms %s) are written as H",
            path,
            ", ".join(map(str, heavy)),
        )
    image = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    units = {}
    for name, good in zip(UNITS, tensors_of(atoms, 0, PER_ATOM, required=False), strict=True):
        if good is not None:  # checked; the original digits are written, not the symmetrised tensors
            units[name] = UNITS[name]
            tensors = shaped(find(atoms, name, "atom")[1], name, "atom", "matrix", atoms, 0)[1]
            tensors = tensors / V_PER_ANGSTROM2_PER_ATOMIC_UNIT if units[name] == "au" else tensors.swapaxes(1, 2)
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


def _blocks(text: str, path: Path) -> list[tuple[str, list[Line]]]:
    """Names and lines of all blocks, in the order of the file, without comments."""
    found: list[tuple[str, list[Line]]] = []
    name = None
    for number, line in enumerate(text.split("\n"), start=1):
        line = line.partition("#")[0]
        if tag := _TAG.match(line):
            if name is not None and tag.groups() != ("/", name):
                break
            name = None if tag[1] else tag[2]
            found += [] if tag[1] else [(tag[2], [])]
        elif name is not None and line.split():
            found[-1][1].append(Line(number, line.split()))
    if name is not None:
        raise InputError(
            f"the [{name}] block has no end, so the file is cut short; write or copy it again", file=str(path)
        )
    return found


def _structure(lines: list[Line], path: Path) -> Atoms:
    symbols, labels, indices, positions, species, masses, units = [], [], [], [], [], {}, {}
    cell = None
    for line in lines:
        tag, *rest = line.words
        if tag == "units" and len(rest) == 2:
            units[rest[0]] = rest[1]
            if rest[0] in LENGTHS and rest[1].lower().rstrip("s") != "angstrom":
                raise line.wrong(f"{_EXPECTED}; convert them", path)
        elif tag in LENGTHS and tag not in units:
            raise line.wrong(f"has no unit; add the line 'units {tag} Angstrom' if that is the unit", path)
        elif tag == "lattice":
            cell = _numbers(rest, 9, line, path).reshape(3, 3)
        elif tag == "atom":
            if not (match := re.match("[A-Za-z]+", rest[0] if rest else "")):
                raise line.wrong("is no atom; expected species, label, index and three coordinates", path)
            try:
                symbol, mass = element(match[0])
            except InputError as error:
                raise line.wrong(str(error), path) from error
            if mass is not None:
                masses[len(symbols)] = mass
            label, index, numbers = _labelled(rest[1:], 3, line, path)
            symbols.append(symbol)
            species.append(rest[0])
            labels.append(label)
            indices.append(index)
            positions.append(numbers)
    atoms = Atoms(symbols, positions=np.reshape(positions, (-1, 3)), cell=cell, pbc=cell is not None)
    atoms.arrays.update(labels=np.array(labels, dtype=str), indices=np.array(indices, dtype=int))
    if any(":" in one for one in species):
        atoms.arrays["castep_custom_species"] = np.array(species)
    set_isotopes(atoms, masses)
    return atoms


def _tensors(lines: list[Line], atoms: Atoms, path: Path) -> dict[str, Float[np.ndarray, "atoms 3 3"]]:
    places: dict[tuple[str, int], list[int]] = {}
    for place, name in enumerate(zip(atoms.arrays["labels"].tolist(), atoms.arrays["indices"].tolist(), strict=True)):
        places.setdefault(name, []).append(place)
    units, found = {}, {}
    for line in lines:
        tag, *rest = line.words
        if tag == "units" and len(rest) == 2:
            units[rest[0]] = rest[1]
            if rest[0] in UNITS and UNITS[rest[0]] != rest[1].lower().replace(".", ""):
                raise line.wrong(f"{_EXPECTED}; convert it", path)
        elif tag in UNITS:
            label, index, numbers = _labelled(rest, 9, line, path)
            here = places.get((label, index), [])
            if not here:
                raise line.wrong(f"every tensor must belong to an atom, and no atom is called {label} {index}", path)
            if len(here) > 1:
                raise line.wrong(
                    f"{len(here)} atoms are called {label} {index}, so which has this tensor is unknown; "
                    "give each its own index",
                    path,
                )
            rows, tensor = found.setdefault(tag, np.full((len(atoms), 3, 3), np.nan)), numbers.reshape(3, 3)
            if np.isfinite(rows[here]).all() and not np.allclose(rows[here], tensor, rtol=1e-6, atol=1e-6):
                raise line.wrong(f"another {tag} of {label} {index} stands above; keep the right one", path)
            rows[here] = tensor
    for tag, rows in found.items():
        if tag not in units and not (tag.startswith("efg_") and "efg" in units):  # which CASTEP leaves out
            raise InputError(
                f"has no unit for {tag}; add the line 'units {tag} {UNITS[tag]}' if that is the unit", file=str(path)
            )
        found[tag] = rows * V_PER_ANGSTROM2_PER_ATOMIC_UNIT if UNITS[tag] == "au" else rows.swapaxes(1, 2).copy()
    return found


def _labelled(words: list[str], count: int, line: Line, path: Path) -> tuple[str, int, np.ndarray]:
    """Label, index and numbers; CASTEP before version 23 writes H 102 as H102."""
    if len(words) == count + 1 and (together := re.fullmatch(r"(.+?)(\d{3})", words[0])):
        words = [*together.groups(), *words[1:]]
    if len(words) != count + 2 or not words[1].isdecimal():
        raise line.wrong(f"expected a label, an index and {count} numbers", path)
    return words[0], int(words[1]), _numbers(words[2:], count, line, path)


def _numbers(words: list[str], count: int, line: Line, path: Path) -> np.ndarray:
    if len(words) != count:
        raise line.wrong(f"has {len(words)} numbers, expected {count}", path)
    values = []
    for word in words:
        try:
            values.append(float(re.sub("[dD]", "e", word)))
        except ValueError as error:
            raise line.wrong(f"'{word}' is no number", path) from error
    return np.array(values)
