"""What a command writes: checked before the work begins, printed and written at its end."""

import json as json_module
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from efg_jax.errors import InputError

PICTURES = (".png", ".pdf", ".svg")


class _Rehearsed(Exception):
    """Ends a rehearsal, so that nothing is put in place."""


def check_outputs(files: Mapping[str, Path | None], folder: Path | None = None, inputs: Sequence[object] = ()) -> None:
    """Make sure that outputs can be written, without writing them.

    Args:
        files: path by option; None where the option was not given.
        folder: folder of the plots, which need not exist yet.
        inputs: what is read, and must not be overwritten; None for what is not there.

    Raises:
        InputError: a file's folder does not exist or is not writable, a file is a folder or the other way round, two
            outputs are the same file, an output is an input, or a picture (an option that ends in "plot") has no suffix
            of a picture.
    """
    read = {os.path.realpath(str(path)) for path in inputs if path is not None and Path(str(path)).exists()}
    taken: dict[str, str] = {}
    for option, path in files.items():
        if path is None:
            continue
        if option.endswith("plot"):
            require_suffix(path, PICTURES, "picture")
        identity = os.path.realpath(path)
        if identity in read:
            raise InputError(f"{option} would overwrite what is read; choose another name", file=str(path))
        if identity in taken and not is_device(path):
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
    if not path.name.lower().endswith(tuple(suffixes)):
        raise InputError(
            f"is no {what} that can be written; name it {' or '.join('*' + s for s in suffixes)}", file=str(path)
        )


def is_device(path: Path) -> bool:
    """Whether a path exists and is neither a file nor a folder: /dev/stdout."""
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


def print_results(*results: Any) -> None:
    """Tables on stdout; plain, and as wide as they need, where that is no terminal."""
    from rich.console import Console

    for result in results:
        if sys.stdout.isatty():
            Console(highlight=False).print(result.table())
        else:
            print(result)


def write_reports(reports: Mapping[str, Any], json: Path | None, plots: Path | None) -> list[Path]:
    """Write JSON and plots of the reports by target, where they are wanted; returns what was written.

    For one target the JSON has an entry a species; for several it has an entry a target, each with its species, and the
    plots of each are in a folder of its own.
    """
    if json is not None and len(reports) == 1:
        next(iter(reports.values())).to_json(json)
    elif json is not None and reports:
        from efg_jax.storage.atomic_write import atomic_write

        content = {name: report.to_dict() for name, report in reports.items()}
        with atomic_write(json) as temporary:
            text = json_module.dumps(content, indent=2, allow_nan=False) + "\n"
            Path(temporary).write_text(text, encoding="utf-8")
    for name, report in reports.items() if plots is not None else ():
        own = re.sub(r"[^\w.-]", "_", name)  # a target may be called anything
        folder = plots if len(reports) == 1 else plots / own
        folder.mkdir(parents=True, exist_ok=True)
        report.plot(folder)
    return [path for path in (json, plots) if path is not None and reports]


def cache_beside(out: Path, resume: bool) -> Path | None:
    """The folder of what is finished: curve.csv → curve.cache; none for a device such as /dev/stdout."""
    if is_device(out):
        if resume:
            raise InputError("--resume looks for what is finished beside --out, which is no file here; give one")
        return None
    return out.with_name(f"{out.name}.cache") if out.suffix in ("", ".cache") else out.with_suffix(".cache")
