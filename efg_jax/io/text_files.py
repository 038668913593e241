"""Text as people have it: compressed, with an editor's byte-order mark, in latin-1, with Fortran's exponents.

Readers of text take their text from here, and their elements, D and T among them.
"""

import bz2
import codecs
import gzip
import lzma
import re
import zlib
from collections.abc import Mapping
from pathlib import Path

from ase import Atoms
from ase.data import atomic_numbers

from efg_jax.errors import InputError

UNPACK = {b"\x1f\x8b": gzip.decompress, b"BZh": bz2.decompress, b"\xfd7zXZ": lzma.decompress}
UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
HYDROGEN = {"D": 2.014102, "T": 3.016049}  # masses of the isotopes that have symbols of their own, u
_EXPONENT = re.compile(r"(?<![\w.])([-+]?(?:\d+\.\d*|\.\d+))[dD]([-+]?\d+)(?!\w)")


def read_text(path: Path, what: str) -> str:
    """The text of a file, plain or compressed, with line ends as in Unix.

    Args:
        path: file.
        what: what it should be, for the message: "magres file".

    Raises:
        InputError: it is no text.
    """
    raw = path.read_bytes()
    try:
        for magic, unpack in UNPACK.items():
            if raw.startswith(magic):
                raw = unpack(raw)
        return decoded(raw)
    except (UnicodeDecodeError, EOFError, OSError, zlib.error, lzma.LZMAError) as error:
        raise InputError(f"is no text, so no {what}; is it damaged or another format?", file=str(path)) from error


def decoded(raw: bytes) -> str:
    """Text in UTF-8 or UTF-16, with or without a byte-order mark, or else latin-1; line ends as in Unix.

    Raises:
        UnicodeDecodeError: these are no bytes of a text.
    """
    if raw.startswith(UTF16):
        text = raw.decode("utf-16")
    else:
        try:
            text = raw.decode("utf-8-sig")
        except UnicodeDecodeError:
            if b"\0" in raw:
                raise
            text = raw.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def with_exponents(text: str) -> str:
    """Fortran's 1.5D-03 as 1.5E-03, which all readers know."""
    return _EXPONENT.sub(r"\1E\2", text)


def element(symbol: str) -> tuple[str, float | None]:
    """An element's symbol, and the mass in u where it names an isotope: "D" is ("H", 2.014102).

    Raises:
        InputError: there is no such element.
    """
    symbol = symbol.capitalize()
    if symbol in HYDROGEN:
        return "H", HYDROGEN[symbol]
    if symbol not in atomic_numbers:
        raise InputError(f"'{symbol}' is no chemical element; write the element's symbol there")
    return symbol, None


def set_isotopes(atoms: Atoms, masses: Mapping[int, float]) -> None:
    """Keep masses of single atoms (by index, in u) in ``arrays["masses"]``, where ASE keeps those of a CIF."""
    if masses:
        own = atoms.get_masses()
        own[list(masses)] = list(masses.values())
        atoms.set_masses(own)
