"""What a command writes, checked before the work begins."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efg_jax.errors import InputError

if TYPE_CHECKING:
    from efg_jax.learning_curves import LearningCurve
    from efg_jax.report import Report
    from efg_jax.sensitivity import Sensitivity
    from efg_jax.trajectories import TrajectoryAverage


PICTURES = (".png", ".pdf", ".svg")


class _Rehearsed(Exception):
    """Ends a rehearsal, so that nothing is put in place."""


def check_outputs(files: Mapping[str, Path | None], folder: Path | None = None, inputs: Sequence[str] = ()) -> None:
    """Make sure that outputs can be written, without writing them.

    Args:
        files: path by option; None where the option was not given.
        folder: folder of the plots, which need not exist yet.
        inputs: what is read, and must not be overwritten.

    Raises:
        InputError: a file's folder does not exist or is not writable, a file is a folder or the other way round, two outputs
            are the same file, an output is an input, or a picture (an option that ends in "plot") has no suffix of a picture.
    """
    read = {os.path.realpath(path) for path in inputs if Path(path).exists()}
    taken: dict[str, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        if option.endswith("plot"):
            require_suffix(path, PICTURES, "picture")
        identity = os.path.realpath(path)
        if identity in read:
            raise InputError(f"{option} would overwrite what is read; choose another name", file=str(path))
        if identity in taken and not _is_device(path):
            raise InputError(f"{taken[identity]} and {option} are the same file; give each its own", file=str(path))
        taken[identity] = option
        _rehearse(path)
    if folder is not None:
        _check_folder(folder)


def require_suffix(path: Path, suffixes: Sequence[str], what: str) -> None:
    """Refuse a file whose name promises a format that is not written.

    Raises:
        InputError: another suffix, or none.
    """
    if path.suffix.lower() not in suffixes:
        raise InputError(
            f"is no {what} that can be written; name it {' or '.join('*' + s for s in suffixes)}", file=str(path)
        )


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()


def _rehearse(path: Path) -> None:
    from efg_jax.storage.atomic_write import atomic_write

    try:
        with atomic_write(path):
            raise _Rehearsed
    except _Rehearsed:
        pass


def _check_folder(folder: Path) -> None:
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent
    if not existing.is_dir():
        raise InputError(f"{existing} is a file, no folder; give --plots another name", file=str(folder))
    if not os.access(existing, os.W_OK | os.X_OK):
        raise InputError(f"cannot write into {existing}; give --plots another folder", file=str(folder))


def print_report(report: "Report | LearningCurve | TrajectoryAverage | Sensitivity") -> None:
    """The table of a result on stdout; plain, and as wide as it needs, where that is no terminal."""
    from rich.console import Console

    if sys.stdout.isatty():
        Console(highlight=False).print(report.table())
    else:
        print(report)


def write_report(report: "Report", json: Path | None, plots: Path | None) -> list[Path]:
    """Write JSON and plots where they are wanted; returns what was written."""
    written = []
    if json is not None:
        report.to_json(json)
        written.append(json)
    if plots is not None:
        plots.mkdir(parents=True, exist_ok=True)
        report.plot(plots)
        written.append(plots)
    return written


def cache_beside(out: Path, resume: bool) -> Path | None:
    """The folder of what is finished: curve.csv → curve.cache; none for a device such as /dev/stdout."""
    if out.exists() and not out.is_file():
        if resume:
            raise InputError("--resume looks for what is finished beside --out, which is no file here; give one")
        return None
    return out.with_name(f"{out.name}.cache") if out.suffix in ("", ".cache") else out.with_suffix(".cache")
