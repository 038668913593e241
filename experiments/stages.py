"""Stages of a study: each writes one folder, whole or not at all, and is not done again unless what it depends on has
changed.
"""

import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from efg_jax.compilation import drop_programs

NOTE = "stage.json"


class Stages:
    """Folders of finished stages below one folder of results.

    Args:
        out: the folder of results.
        say: called with a line for every stage.
    """

    def __init__(self, out: Path, say: Callable[[str], None]):
        self.out, self._say = out, say

    def run(self, name: str, depends: Mapping[str, Any], work: Callable[[Path], None]) -> Path:
        """The folder of a stage, computed by ``work`` (which fills the folder that it is given) unless it is there.

        Args:
            name: of the stage and its folder.
            depends: all that the result depends on, JSON types; `of` gives it for an earlier stage.
            work: fills a folder. What it leaves in ``cache`` there is kept for a run that goes on after a stop.
        """
        folder, aside = self.out / name, self.out / f".{name}.partial"
        identity = digest(depends)
        if _identity(folder) == identity:
            self._say(f"{name}: done before")
            return folder
        if _identity(aside) != identity:
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            (aside / NOTE).write_text(json.dumps({"identity": identity}) + "\n", encoding="utf-8")
        self._say(f"{name} ...")
        work(aside)
        drop_programs()
        shutil.rmtree(folder, ignore_errors=True)
        aside.rename(folder)
        return folder

    def of(self, folder: Path) -> str:
        """What a later stage depends on of an earlier one."""
        return _identity(folder)


def teller() -> Callable[[str], None]:
    """Prints lines with the seconds since it was made."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    started = time.perf_counter()
    return lambda line: console.print(f"{time.perf_counter() - started:6.0f} s  {line}", highlight=False)


def digest(depends: Mapping[str, Any]) -> str:
    """Short text that differs where what a stage depends on does."""
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]


def _identity(folder: Path) -> str:
    try:
        return json.loads((folder / NOTE).read_text(encoding="utf-8"))["identity"]
    except (OSError, ValueError, KeyError):
        return ""
