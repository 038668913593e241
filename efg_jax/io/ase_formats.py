"""Extended XYZ, CIF, POSCAR, trajectories: every format that ASE reads."""

import io
import re
import shutil
import tempfile
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

XYZ = re.compile(r"\.(ext)?xyz(\.(gz|bz2|xz))?$")


def read_ase(path: Path, index: int | slice | str = ":", form: str | None = None) -> list[tuple[int, Atoms]]:
    """Frames of one file, each with its number in the file (from 0).

    Args:
        path: file in any format that ASE recognises, compressed or not.
        index: frames to read, in ASE's notation: ":", "-1", "::10", an integer or a slice.
        form: ASE's name of the format; None finds it out.

    Raises:
        InputError: ASE cannot read it, or the selection is empty.
    """
    wanted = selection(index)
    with _named_failures(path, index):
        form = form or _format(path)
        # ASE seeks the frames that it is asked for. Numbers counted from the end need all of them, and a format of one knows no other.
        whole = min(*_bounds(wanted)) < 0 or get_ioformat(form).single
        images = ase.io.read(**_source(path, form), index=":" if whole else wanted, do_not_split_by_at_sign=True)
    images = [images] if isinstance(images, Atoms) else list(images)
    if whole:
        return numbered_selection(list(enumerate(images)), index, path)
    start, step = (wanted.start or 0, wanted.step or 1) if isinstance(wanted, slice) else (wanted, 1)
    numbered = [(start + i * step, atoms) for i, atoms in enumerate(images)]
    if not numbered:
        raise _no_frame(index, path)
    return numbered


def numbered_selection(
    numbered: list[tuple[int, Atoms]], index: int | slice | str, path: Path
) -> list[tuple[int, Atoms]]:
    """The frames that ``index`` wants of a file that was read as a whole.

    Raises:
        InputError: there are none.
    """
    wanted = selection(index)
    try:
        chosen = numbered[wanted] if isinstance(wanted, slice) else [numbered[wanted]]
    except IndexError:
        chosen = []
    if not chosen:
        raise _no_frame(index, path)
    return chosen


def iread_ase(path: Path, start: int = 0) -> Iterator[tuple[int, Atoms]]:
    """The same frame by frame, from ``start`` on, with memory for one frame where ASE reads the format so (extended XYZ, traj, ...).

    Raises:
        InputError: ASE cannot read it, or it holds no frame at all; a damaged frame, when its turn comes.
    """
    number = start
    with _unpacked(path) as source, closing(_images(source, start)) as images:
        while True:
            with _named_failures(path, start):
                atoms = next(images, None)
            if atoms is None:
                break
            yield number, atoms
            number += 1
    if number == start == 0:
        raise InputError("holds no frame; write or copy it again", file=str(path))


def _images(source: dict[str, Any], start: int) -> Iterator[Atoms]:
    """ASE's generator; formats of one frame know no other index."""
    if get_ioformat(source["format"]).single:
        yield from () if start else [ase.io.read(**source, do_not_split_by_at_sign=True)]
    else:
        yield from ase.io.iread(**source, index=slice(start, None), do_not_split_by_at_sign=True)


@contextmanager
def _unpacked(path: Path) -> Iterator[dict[str, Any]]:
    """What to read: the path, or compressed extended XYZ unpacked into a temporary file, as ASE seeks in it."""
    with _named_failures(path, 0):
        form = _format(path)
    if get_compression(str(path))[1] is None or form != "extxyz":
        yield {"filename": str(path), "format": form}
        return
    with tempfile.TemporaryFile("w+", encoding="utf-8") as plain:
        with _named_failures(path, 0), open_with_compression(str(path), "r") as packed:
            shutil.copyfileobj(packed, plain)
        if plain.tell() == 0:
            raise _empty(path)
        plain.seek(0)
        yield {"filename": plain, "format": form}


@contextmanager
def _named_failures(path: Path, index: int | slice | str) -> Iterator[None]:
    """Whatever ASE raises on a file that it cannot read, as bad input."""
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
        raise InputError(
            f"ASE could not read it ({_first_line(error)}); the file is damaged, cut short or not what its name says",
            file=str(path),
        ) from error


def _format(path: Path) -> str:
    """ASE's name of a file's format: XYZ goes by its suffix, whatever else the name holds (POSCAR.xyz); others as ASE finds out."""
    return "extxyz" if XYZ.search(path.name.lower()) else filetype(str(path))


def _source(path: Path, form: str) -> dict[str, Any]:
    """What to read: the path, or the text of compressed extended XYZ (in which ASE seeks, at ten times the cost)."""
    if form == "extxyz" and get_compression(str(path))[1] is not None:
        with open_with_compression(str(path), "r") as file:
            if not (text := file.read()):
                raise _empty(path)
        return {"filename": io.StringIO(text), "format": form}
    return {"filename": path, "format": form}


def _empty(path: Path) -> InputError:
    return InputError("is empty; write or copy it again", file=str(path))


def selection(index: int | slice | str) -> int | slice:
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
    """What is negative exactly when frames are counted from the end."""
    if isinstance(wanted, slice):
        return min(wanted.start or 0, wanted.stop or 0), wanted.step or 1
    return wanted, wanted


def _first_line(error: Exception) -> str:
    """One line of whatever ASE says, without the name of its module."""
    text = str(error).strip().splitlines()
    return re.sub(r"^ase\.io\.\w+: ", "", text[0]) if text else type(error).__name__


def _no_frame(index: int | slice | str, path: Path) -> InputError:
    if index in (":", slice(None)):
        return InputError("holds no structure; is it a file of structures, and whole?", file=str(path))
    return InputError(f"holds no frame {index}; choose other frames (from 0, or from −1 backwards)", file=str(path))
