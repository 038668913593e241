"""Extended XYZ, CIF, POSCAR, trajectories: every format that ASE reads."""

import lzma
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import ase.io
from ase import Atoms
from ase.io.formats import (
    UnknownFileTypeError,
    filetype,
    get_compression,
    get_ioformat,
    open_with_compression,
    string2index,
)

from efg_jax.errors import InputError
from efg_jax.io.text_files import decoded, set_isotopes, with_exponents
from efg_jax.io.xyz_repair import repaired_xyz

XYZ = re.compile(r"\.(ext)?xyz(\.(gz|bz2|xz))?$")
XYZ_FORMATS = ("extxyz", "xyz")
_DAMAGED = "the file is damaged, cut short or not what its name says"


def read_ase(path: Path, index: int | slice | str = ":", form: str | None = None) -> list[tuple[int, Atoms]]:
    """Frames of one file, each with its number in the file (from 0).

    Args:
        path: file in any format that ASE recognises, compressed or not.
        index: frames to read, in ASE's notation: ":", "-1", "::10", an integer or a slice.
        form: ASE's name of the format; None lets ASE find out.

    Raises:
        InputError: ASE cannot read the file, or the selection is empty.
    """
    wanted = _parsed(index)
    with _named_failures(path, index):
        form = form or _format(path)
        # ASE seeks the frames that it is asked for. To count from the end, or in a format of one frame, all are needed.
        whole = min(*_bounds(wanted)) < 0 or get_ioformat(form).single
        chosen = slice(None) if whole else wanted if isinstance(wanted, slice) else slice(wanted, wanted + 1)
        images = list(_images(path, form, chosen))
    if whole:
        return selected_frames(images, index, path)
    start, step = chosen.start or 0, chosen.step or 1
    numbered = [(start + i * step, atoms) for i, atoms in enumerate(images)]
    if not numbered:
        raise _no_frame(index, path)
    return numbered


def selected_frames(frames: list[Atoms], index: int | slice | str, path: Path) -> list[tuple[int, Atoms]]:
    """The selected frames of a file, each with its number.

    Args:
        frames: all frames of the file.
        index: selection in ASE's notation.
        path: the file, for the message.

    Raises:
        InputError: nothing is selected.
    """
    wanted, numbered = _parsed(index), list(enumerate(frames))
    try:
        chosen = numbered[wanted] if isinstance(wanted, slice) else [numbered[wanted]]
    except IndexError:
        chosen = []
    if not chosen:
        raise _no_frame(index, path, len(frames))
    return chosen


def iread_ase(path: Path, start: int = 0) -> Iterator[tuple[int, Atoms]]:
    """Frames of one file from ``start`` on, one by one: where ASE can (extended XYZ, traj, ...), with one in memory.

    Raises:
        InputError: ASE cannot read the file, or it holds no frame; for a damaged frame when its turn comes.
    """
    number = start
    with _named_failures(path, start):
        form = _format(path)
    with closing(_images(path, form, slice(start, None))) as images:
        while True:
            with _named_failures(path, start):
                atoms = next(images, None)
            if atoms is None:
                break
            yield number, atoms
            number += 1
    if number == start == 0:
        raise InputError("holds no frame; write or copy it again", file=str(path))


def _images(path: Path, form: str, chosen: slice) -> Iterator[Atoms]:
    """ASE's frames of a file; where it stumbles, those of a repaired copy from there on."""
    start, step, done = chosen.start or 0, chosen.step or 1, 0
    try:
        with _unpacked(path, form) as source:
            for atoms in _read(source, chosen):
                yield atoms
                done += 1
        return
    except InputError:
        raise
    except Exception:  # every ASE reader fails in its own way
        repaired = _repaired(path, form)
        if repaired is None:
            raise
    text, masses = repaired
    start += done * step
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "copy"
        copy.write_text(text, encoding="utf-8")
        rest = _read({"filename": str(copy), "format": form}, slice(start, chosen.stop, step))
        for number, atoms in enumerate(rest):
            set_isotopes(atoms, masses.get(start + number * step, {}))
            yield atoms


def _read(source: dict[str, Any], chosen: slice) -> Iterator[Atoms]:
    """ASE's generator; formats of one frame accept no other index."""
    if get_ioformat(source["format"]).single:
        yield from () if chosen.start else [ase.io.read(**source, do_not_split_by_at_sign=True)]
    else:
        yield from ase.io.iread(**source, index=chosen, do_not_split_by_at_sign=True)


def _repaired(path: Path, form: str) -> tuple[str, dict[int, dict[int, float]]] | None:
    """The text of a file as ASE reads it, and masses of D and T by frame and atom; None where there is no other text.

    Raises:
        InputError: extended XYZ has a fault that has no repair; it is named.
    """
    try:
        with open_with_compression(str(path), "rb") as file:
            raw = file.read()
        text = decoded(raw)
    except (OSError, EOFError, UnicodeDecodeError, zlib.error, lzma.LZMAError):
        return None
    text, masses = repaired_xyz(text, path) if form in XYZ_FORMATS else (with_exponents(text), {})
    return None if text.encode() == raw else (text, masses)


@contextmanager
def _unpacked(path: Path, form: str) -> Iterator[dict[str, Any]]:
    """What ASE reads: the path, or a temporary file with the unpacked text of compressed extended XYZ.

    ASE seeks in extended XYZ, which takes ten times as long in a compressed file.
    """
    if get_compression(str(path))[1] is None or form != "extxyz":
        yield {"filename": str(path), "format": form}
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as plain:
        with open_with_compression(str(path), "r") as packed:
            shutil.copyfileobj(packed, plain)
        if plain.tell() == 0:
            raise _empty(path)
        plain.seek(0)
        yield {"filename": plain, "format": form}


@contextmanager
def _named_failures(path: Path, index: int | slice | str) -> Iterator[None]:
    """Whatever ASE raises for a file that it cannot read, as an `InputError` that names the file."""
    try:
        yield
    except UnknownFileTypeError as error:
        if "Empty file" in str(error):
            raise _empty(path) from error
        raise InputError(
            "is in no format that ASE knows; convert it to extended XYZ (.extxyz) or magres", file=str(path)
        ) from error
    except InputError:
        raise
    except (IndexError, StopIteration) as error:
        raise _no_frame(index, path) from error
    except Exception as error:  # every ASE reader fails in its own way on a broken file
        word = error.args[0] if isinstance(error, KeyError) and error.args else None
        if isinstance(word, str) and re.fullmatch(r"[A-Z]\w{0,4}", word):
            message = f"'{word}' is no chemical element to ASE; write the element's symbol there (H for D and T)"
        else:
            message = f"ASE could not read it ({_first_line(error)}); {_DAMAGED}"
        raise InputError(message, file=str(path)) from error


def _format(path: Path) -> str:
    """ASE's name of a file's format. The suffix decides for XYZ, whatever else is in the name (POSCAR.xyz)."""
    return "extxyz" if XYZ.search(path.name.lower()) else filetype(str(path))


def _empty(path: Path) -> InputError:
    return InputError("is empty; write or copy it again", file=str(path))


def _parsed(index: int | slice | str) -> int | slice:
    """ASE's index notation as an integer or a slice of integers."""
    try:
        wanted = string2index(index) if isinstance(index, str) else index
        steps = (wanted.start, wanted.stop, wanted.step) if isinstance(wanted, slice) else (wanted,)
        if any(step is not None and int(step) != step for step in steps) or (
            isinstance(wanted, slice) and wanted.step == 0
        ):
            raise ValueError
    except (ValueError, TypeError) as error:
        raise InputError(
            f"index={index!r} selects no frames; give an integer or a slice such as ':' or '::10'"
        ) from error
    return wanted


def _bounds(wanted: int | slice) -> tuple[int, int]:
    """Two numbers of which one is negative exactly when frames are counted from the end."""
    if isinstance(wanted, slice):
        return min(wanted.start or 0, wanted.stop or 0), wanted.step or 1
    return wanted, wanted


def _first_line(error: Exception) -> str:
    """One line of ASE's message, without the name of its module."""
    text = str(error).strip().splitlines()
    return re.sub(r"^ase\.io\.\w+: ", "", text[0]) if text else type(error).__name__


def _no_frame(index: int | slice | str, path: Path, count: int | None = None) -> InputError:
    if index in (":", slice(None)):
        return InputError("holds no structure; is it a file of structures, and whole?", file=str(path))
    has = "choose other frames" if count is None else f"it has {count}"
    return InputError(f"holds no frame {index}; {has}, numbered from 0 or from −1 backwards", file=str(path))
