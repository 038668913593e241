"""Extended XYZ, CIF, POSCAR, trajectories: every format that ASE reads."""

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
        form: ASE's name of the format; None lets ASE find out.

    Raises:
        InputError: ASE cannot read the file, or the selection is empty.
    """
    wanted = _parsed(index)
    with _named_failures(path, index), _unpacked(path, form) as source:
        # ASE seeks the frames that it is asked for. To count from the end, or in a format of one frame, all are needed.
        whole = min(*_bounds(wanted)) < 0 or get_ioformat(source["format"]).single
        images = ase.io.read(**source, index=":" if whole else wanted, do_not_split_by_at_sign=True)
    images = [images] if isinstance(images, Atoms) else list(images)
    if whole:
        return selected_frames(images, index, path)
    start, step = (wanted.start or 0, wanted.step or 1) if isinstance(wanted, slice) else (wanted, 1)
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
    with _unpacked(path, form) as source, closing(_images(source, start)) as images:
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
    """ASE's generator; formats of one frame accept no other index."""
    if get_ioformat(source["format"]).single:
        yield from () if start else [ase.io.read(**source, do_not_split_by_at_sign=True)]
    else:
        yield from ase.io.iread(**source, index=slice(start, None), do_not_split_by_at_sign=True)


@contextmanager
def _unpacked(path: Path, form: str | None = None) -> Iterator[dict[str, Any]]:
    """What ASE reads: the path, or a temporary file with the unpacked text of compressed extended XYZ.

    ASE seeks in extended XYZ, which takes ten times as long in a compressed file.
    """
    form = form or _format(path)
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
        raise InputError(
            f"ASE could not read it ({_first_line(error)}); the file is damaged, cut short or not what its name says",
            file=str(path),
        ) from error


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
