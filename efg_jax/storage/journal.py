"""Results of a long computation by key, on disk as soon as they exist, so that an interrupted run can resume."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import full_disk_named, usable_folder
from efg_jax.storage.fingerprints import digest
from efg_jax.text import counted

logger = logging.getLogger(__name__)

FORMAT = "efg_jax journal"
VERSION = 1


class Journal:
    """JSON entries by key, one line each in a file; only the entry that is being computed can be lost.

    A folder may hold the journals of many computations. A file is named by the digest of what its entries depend on:
    entries of other data or settings are not found, and are left alone. Many processes may write to one journal: each
    takes a lock for each line. A line that cannot be read is skipped, never removed.

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
            with usable_folder(folder, "results"), self._lock():
                self._start(identity)
                self._read()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> dict[str, Any] | None:
        """The entry of this key, or None."""
        return self._entries.get(key)

    def put(self, key: str, entry: Mapping[str, Any]) -> None:
        """Store an entry; it is on disk when this returns.

        Raises:
            InputError: the disk is full; nothing of the entry is in the file then.
        """
        if self.path is not None:
            with self._lock():
                self._append({"key": key, "entry": dict(entry)})
        self._entries[key] = dict(entry)

    def clear(self) -> None:
        """Remove all entries, on disk as well."""
        self._entries.clear()
        if self.path is not None:
            with self._lock(), self.path.open("rb+") as stream:
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

    def _lock(self) -> FileLock:
        """The lock of this journal; the system releases that of a killed process."""
        return FileLock(self.path.with_name(f".{self.path.stem}.lock"))

    def _start(self, identity: Mapping[str, Any]) -> None:
        """Write the first line of a new file; the caller holds the lock."""
        if not self.path.exists() or self.path.stat().st_size == 0:
            self._append({"format": FORMAT, "version": VERSION, "identity": dict(identity)})

    def _append(self, line: Mapping[str, Any]) -> None:
        """Write a line whole or not at all; the caller holds the lock."""
        data = (json.dumps(line, allow_nan=False) + "\n").encode()
        with full_disk_named(self.path), self.path.open("a+b", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            if end and (stream.seek(end - 1), stream.read(1))[1] != b"\n":
                data = b"\n" + data  # the line before was cut off by a machine that went down
            try:
                while data:
                    data = data[stream.write(data) :]
                os.fsync(stream.fileno())
            except OSError:
                stream.truncate(end)
                raise

    def _read(self) -> None:
        """Read the entries; the caller holds the lock."""
        damaged = 0
        with self.path.open("rb") as stream:
            if not _is_header(stream.readline()):
                raise InputError(f"is not a readable {FORMAT}; delete it, or name another folder", file=str(self.path))
            for raw in stream:
                try:
                    line = json.loads(raw)
                    self._entries[line["key"]] = dict(line["entry"])
                except (ValueError, KeyError, TypeError):
                    damaged += 1
        if damaged:
            logger.warning(
                "%s: %s skipped; what was there is computed again", self.path, counted(damaged, "damaged line")
            )


def _is_header(raw: bytes) -> bool:
    try:
        line = json.loads(raw)
        return (line["format"], line["version"]) == (FORMAT, VERSION)
    except (ValueError, KeyError, TypeError):
        return False
