"""Results of a long computation by key, on disk as soon as they exist, so that an interrupted run can resume."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import usable_folder
from efg_jax.storage.fingerprints import digest

logger = logging.getLogger(__name__)

FORMAT = "efg_jax journal"
VERSION = 1


class Journal:
    """JSON entries by key, one line each in a file; only the entry that is being computed can be lost.

    A folder may hold the journals of many computations. A file is named by the digest of what its entries depend on:
    entries of other data or settings are not found, and are left alone.

    Args:
        folder: made if it is missing; None: nothing is kept on disk.
        identity: everything that the entries depend on besides their key; JSON types.

    Raises:
        InputError: the folder is a file, or cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, identity: Mapping[str, Any]):
        self._entries: dict[str, dict[str, Any]] = {}
        self.path = None if folder is None else Path(folder) / f"{digest(identity)}.jsonl"
        if folder is not None:
            with usable_folder(folder, "results"):
                if not self.path.exists():
                    self._append({"format": FORMAT, "version": VERSION, "identity": dict(identity)})
                self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> dict[str, Any] | None:
        """The entry of this key, or None."""
        return self._entries.get(key)

    def put(self, key: str, entry: Mapping[str, Any]) -> None:
        """Store an entry; it is on disk when this returns."""
        self._entries[key] = dict(entry)
        if self.path is not None:
            self._append({"key": key, "entry": dict(entry)})

    def clear(self) -> None:
        """Remove all entries, on disk as well."""
        self._entries.clear()
        if self.path is not None:
            with self.path.open("rb+") as stream:
                stream.truncate(len(stream.readline()))

    def others(self) -> int:
        """Number of journals of other data or settings in the same folder."""
        return 0 if self.path is None else sum(path != self.path for path in self.path.parent.glob("*.jsonl"))

    def warn_of_others(self) -> None:
        """Log a warning if there are such journals and this one is empty: the user may have meant to resume."""
        if self.others() and not len(self):
            logger.warning(
                "%s holds only results of other data or settings; they are left alone, and the search starts anew",
                self.path.parent,
            )

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _read(self) -> None:
        """Read the entries, and cut the file off at the first damaged line."""
        good = 0
        with self.path.open("rb") as stream:
            for number, raw in enumerate(stream):
                try:
                    line = json.loads(raw) if raw.endswith(b"\n") else None
                    if number == 0:
                        whole = line is not None and line["format"] == FORMAT and line["version"] == VERSION
                    else:
                        self._entries[line["key"]] = line["entry"]
                        whole = isinstance(line["entry"], dict)
                except (ValueError, KeyError, TypeError):
                    whole = False
                if not whole:
                    break
                good += len(raw)
        if good == 0:
            raise InputError(f"is not a readable {FORMAT}; delete it, or name another folder", file=str(self.path))
        if good < self.path.stat().st_size:
            logger.warning(
                "%s: the last line is half written; it is dropped, and its entry computed again", self.path.name
            )
            with self.path.open("rb+") as stream:
                stream.truncate(good)
