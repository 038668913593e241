"""Results of long work by key, on disk as soon as they exist: what a stopped run leaves, the next one finds."""

import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from efg_jax.errors import InputError
from efg_jax.storage.fingerprints import digest

logger = logging.getLogger(__name__)

FORMAT = "efg_jax journal"
VERSION = 1


class Journal:
    """Entries (JSON) by key, appended to a file of one line each; at most the entry that is being computed is ever lost.

    A folder may hold the journals of many problems: a file is named by the digest of what its entries depend on, so that entries of other data
    or settings are never found, only left alone.

    Args:
        folder: made if it is missing; None: nothing is kept on disk.
        identity: all that the entries depend on besides their key; JSON types.

    Raises:
        InputError: the folder is a file, or cannot be written to.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, identity: Mapping[str, Any]):
        self._entries: dict[str, dict[str, Any]] = {}
        self.path = None if folder is None else Path(folder) / f"{digest(identity)}.jsonl"
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not os.access(self.path.parent, os.W_OK | os.X_OK):
                raise PermissionError("no permission to write")
            if not self.path.exists():
                self._append({"format": FORMAT, "version": VERSION, "identity": dict(identity)})
            self._read()
        except OSError as error:
            raise InputError(
                f"cannot be used as a folder of results ({error.strerror or error}); name another", file=str(folder)
            ) from error

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def get(self, key: str) -> dict[str, Any] | None:
        """The entry of this key, or None."""
        return self._entries.get(key)

    def put(self, key: str, entry: Mapping[str, Any]) -> None:
        """Keep an entry, on disk when this returns."""
        self._entries[key] = dict(entry)
        if self.path is not None:
            self._append({"key": key, "entry": dict(entry)})

    def clear(self) -> None:
        """Forget all entries, on disk as well."""
        self._entries.clear()
        if self.path is not None:
            with self.path.open("rb+") as stream:
                stream.truncate(len(stream.readline()))

    def others(self) -> int:
        """Number of journals in the same folder that belong to other data or settings."""
        return 0 if self.path is None else sum(path != self.path for path in self.path.parent.glob("*.jsonl"))

    def warn_of_others(self) -> None:
        """Say so where there are such, and this one is empty: the user may have meant to go on."""
        if self.others() and not len(self):
            logger.warning(
                "%s holds results of other data or settings only; they are left alone, and the search begins anew",
                self.path.parent,
            )

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line, allow_nan=False) + "\n")
            stream.flush()
            os.fsync(stream.fileno())

    def _read(self) -> None:
        """Read the entries; from the first damaged line on, the file is cut off, so that new lines are whole again."""
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
            raise InputError(f"is no {FORMAT} that can be read; delete it, or name another folder", file=str(self.path))
        if good < self.path.stat().st_size:
            logger.warning(
                "%s: the last line is half written; it is dropped and will be computed again", self.path.name
            )
            with self.path.open("rb+") as stream:
                stream.truncate(good)
