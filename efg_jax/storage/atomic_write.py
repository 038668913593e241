"""Files that are written completely or not at all, and folders for them."""

import csv
import errno
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from efg_jax.errors import InputError


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it if the block succeeds, and is removed if it fails.

    The temporary file has the same suffixes, for writers that look at them (numpy, matplotlib, ASE). Links
    are followed, a replaced file keeps its mode, and a device such as /dev/null is written directly.

    Args:
        path: file to write.

    Raises:
        InputError: ``path`` is a folder, its folder does not exist or cannot be written to, or the disk is full.
    """
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise InputError("is a folder; give the name of a file in it", file=str(path))
    if final.exists() and not final.is_file():
        yield final
        return
    temporary = final.with_name(f".{secrets.token_hex(4)}-{final.name}")
    _create(temporary, path)
    try:
        with full_disk_named(path):
            yield temporary
            if final.exists():
                shutil.copymode(final, temporary)
            os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def full_disk_named(path: str | os.PathLike[str]) -> Iterator[None]:
    """Report a full disk as bad input that names the file.

    Raises:
        InputError: the disk or the user's share of it is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise InputError(
            f"could not be written ({error.strerror}); free some space or write elsewhere", file=str(path)
        ) from error


def write_rows(path: str | Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a table as CSV, completely or not at all.

    Args:
        path: file to write.
        columns: their names, in order.
        rows: values by column, each row with all of them.
    """
    with atomic_write(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@contextmanager
def usable_folder(folder: str | os.PathLike[str], purpose: str) -> Iterator[Path]:
    """Make a folder if needed, and report what goes wrong in it as bad input.

    Args:
        folder: folder that the user named.
        purpose: what it is for, in the message: "results".

    Raises:
        InputError: it is a file, or cannot be written to.
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError("no permission to write")
        yield path
    except OSError as error:
        raise InputError(
            f"cannot be used as a folder of {purpose} ({error.strerror or error}); name another", file=str(folder)
        ) from error


def _create(temporary: Path, path: str | os.PathLike[str]) -> None:
    """Make the empty temporary file, with the user's umask, and so find out whether its folder can be used."""
    try:
        temporary.open("xb").close()
    except FileNotFoundError as error:
        raise InputError(
            f"folder {temporary.parent} does not exist; make it first, or write elsewhere", file=str(path)
        ) from error
    except NotADirectoryError as error:
        raise InputError(f"{temporary.parent} is not a folder; write elsewhere", file=str(path)) from error
    except OSError as error:
        raise InputError(
            f"cannot write into {temporary.parent} ({error.strerror}); choose another folder or name",
            file=str(path),
        ) from error
