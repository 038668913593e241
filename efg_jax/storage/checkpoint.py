"""State of a long computation as arrays on disk, found again by what it depends on."""

import logging
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from efg_jax.storage.atomic_write import atomic_write, usable_folder
from efg_jax.storage.fingerprints import digest

logger = logging.getLogger(__name__)


class Checkpoint:
    """Arrays by name, one file each, in a folder that may hold checkpoints of other computations as well.

    Args:
        folder: made if it is missing; None: nothing is kept.
        identity: everything that the arrays depend on, JSON types. Checkpoints with another identity are not found.

    Raises:
        InputError: the folder is a file, or cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, identity: Mapping[str, Any]):
        self._digest = digest(identity)
        self._folder = None if folder is None else Path(folder)
        if folder is not None:
            with usable_folder(folder, "checkpoints"):
                pass

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    def others(self) -> bool:
        """Whether the folder has checkpoints of other computations, and none of this one."""
        if self._folder is None:
            return False
        names = [path.name for path in self._folder.glob("*.npz")]
        return bool(names) and not any(name.startswith(f"{self._digest}-") for name in names)

    def load(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of this name; empty if there are none, or if the file is damaged, which is logged."""
        path = self._path(name)
        return {} if path is None or not path.exists() else stored_arrays(path)

    def save(self, name: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store arrays under a name, and replace those before."""
        if (path := self._path(name)) is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_write(path) as temporary, open(temporary, "wb") as stream:
                np.savez(stream, **arrays)

    def clear(self) -> None:
        """Remove all arrays of this computation, and the folder if nothing is left in it."""
        if self._folder is None or not self._folder.is_dir():
            return
        for path in self._folder.glob(f"{self._digest}-*.npz"):
            path.unlink()
        if not any(self._folder.iterdir()):
            self._folder.rmdir()

    def _path(self, name: str) -> Path | None:
        return None if self._folder is None else self._folder / f"{self._digest}-{name}.npz"


def stored_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file that `Checkpoint.save` wrote; empty if it is damaged, which is logged."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {key: stored[key] for key in stored.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile) as error:
        logger.warning("%s cannot be read (%s); its content is computed again", path, type(error).__name__)
        return {}
