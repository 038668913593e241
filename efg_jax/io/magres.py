"""The magres format of CASTEP and Quantum ESPRESSO: shielding in ppm, EFG in atomic units (here made V/Å²).

ASE's reader gives ``arrays["efg"]`` and ``arrays["ms"]`` of shape (n, 3, 3) with the numbers and signs of the file; the
file's EFG has the sign used here, V_ij = +∂²V/∂x_i∂x_j (ethanol ¹⁷O: V_zz < 0, and with Q < 0 a positive C_Q).
"""

import gzip
import io
import re
import zlib
from pathlib import Path

import ase.io
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT

HEADER = "#$magres"
PER_ATOM = ("ms", "efg", "efg_local", "efg_nonlocal")


def is_magres(path: Path) -> bool:
    """Whether a file is magres, by its name or its first line."""
    if path.name.lower().removesuffix(".gz").endswith(".magres"):
        return True
    with path.open("rb") as file:
        return file.read(len(HEADER)) == HEADER.encode()


def read_magres(path: Path) -> Atoms:
    """The structure of one magres file, with the tensors that it holds.

    Atoms without a tensor get a row of NaN. Couplings between pairs of atoms (``isc``) are left out: they are no
    per-atom arrays.

    Args:
        path: magres file, plain or gzipped.

    Returns:
        Structure with ``arrays["efg"]`` in V/Å² and ``arrays["ms"]`` in ppm, as far as the file has them.

    Raises:
        InputError: no magres file, no [atoms] block, cut short, or units other than Å, ppm and atomic units.
    """
    text = _text(path)
    if not text.startswith(HEADER):
        raise InputError(
            f"does not start with {HEADER}, so it is no magres file; give it its right suffix", file=str(path)
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
    atoms.info.pop("magres_units", None)  # they hold no longer
    return atoms


def _text(path: Path) -> str:
    raw = path.read_bytes()
    try:
        if raw.startswith(b"\x1f\x8b"):
            raw = gzip.decompress(raw)
        return raw.decode()
    except (UnicodeDecodeError, EOFError, OSError, zlib.error) as error:
        raise InputError("is no text, so no magres file; is it damaged or another format?", file=str(path)) from error


def _with_missing_rows(text: str) -> str:
    """Add a row of NaN for each atom without a tensor: ASE's reader takes all atoms or none."""
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
