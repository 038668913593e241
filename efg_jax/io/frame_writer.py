"""Extended XYZ of any number of frames, appended as they come: a run that is stopped at any moment goes on where it was."""

import bz2
import gzip
import io
import json
import lzma
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import ase.io
from ase import Atoms
from ase.io.formats import get_compression

from efg_jax.errors import InputError
from efg_jax.io.writing import flattened
from efg_jax.storage.atomic_write import atomic_write

FORMAT = "efg_jax unfinished frames"
# Each batch is compressed by itself; what stands one after the other is one file to every reader.
_COMPRESS = {None: bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
SYNC_SECONDS, SYNC_CHARACTERS = 2.0, 1 << 24  # what is kept back at most


class FrameWriter:
    """Context that appends frames to a file which appears under its name when the last one is written.

    Until then they are in ``NAME.partial`` beside it, and in ``NAME.partial.json`` is said how many bytes of that are whole frames, and
    what they were made from. When the context ends early, both stay for ``resume``, unless there is nothing in them.

    Args:
        path: file to write; compressed where the name ends in .gz, .bz2 or .xz. A device is written directly.
        identity: all that the frames depend on; JSON types.
        resume: go on with what an earlier run left, if it left anything.

    Attributes:
        frames: number of frames on disk and under way.
        position: what was said with the last frame that an earlier run left; None at the start.

    Raises:
        InputError: what is there was made from something else, or is damaged; the disk is full.
    """

    def __init__(self, path: str | os.PathLike[str], identity: Mapping[str, Any], resume: bool = False):
        self._final, self._identity = Path(os.path.realpath(path)), dict(identity)
        self._direct = self._final.exists() and not self._final.is_file()
        self._partial = self._final if self._direct else self._final.with_name(f"{self._final.name}.partial")
        self._note = self._partial.with_name(f"{self._partial.name}.json")
        self._compress = _COMPRESS[get_compression(str(path))[1]]
        self.frames, self.position, self._bytes = 0, None, 0
        if resume and not self._direct and self._note.exists():
            self._take_up()

    def __enter__(self) -> "FrameWriter":
        self._text, self._kept_at = io.StringIO(), time.monotonic()
        self._stream: BinaryIO = self._partial.open("r+b" if self._bytes else "wb")
        if not self._direct:
            self._stream.truncate(self._bytes)
            self._stream.seek(self._bytes)
        return self

    def __exit__(self, kind, *_) -> None:
        try:
            self._sync()
        finally:
            self._stream.close()
        if self._direct:
            return
        if kind is None:
            self._finish()
        elif not self.kept:
            self._partial.unlink()
            self._note.unlink(missing_ok=True)

    @property
    def kept(self) -> bool:
        """Whether an early end leaves something to go on with."""
        return self.frames > 0 and not self._direct

    def discard(self) -> None:
        """Leave nothing behind."""
        self.frames, self._text = 0, io.StringIO()

    def append(self, atoms: Atoms, position: Sequence[int]) -> None:
        """Add a frame; at the latest some seconds later, with the next one, it is on disk.

        Args:
            atoms: structure with arrays and info; what extended XYZ cannot hold is left out.
            position: where to go on after it; whole numbers.
        """
        ase.io.write(self._text, flattened(atoms), format="extxyz", write_results=False)
        self.frames, self.position = self.frames + 1, list(position)
        if time.monotonic() - self._kept_at > SYNC_SECONDS or self._text.tell() > SYNC_CHARACTERS:
            self._sync()

    def _sync(self) -> None:
        """Frames first, then the note that they are there."""
        text, self._text, self._kept_at = self._text.getvalue(), io.StringIO(), time.monotonic()
        if not text:
            return
        try:
            self._stream.write(self._compress(text.encode("utf-8")))
            self._stream.flush()
            if self._direct:
                return
            os.fsync(self._stream.fileno())
            self._bytes = self._stream.tell()
        except OSError as error:
            raise InputError(
                f"could not be written ({error.strerror}); free some space and go on with --resume, or write elsewhere",
                file=str(self._partial),
            ) from error
        note = {
            "format": FORMAT,
            "identity": self._identity,
            "frames": self.frames,
            "bytes": self._bytes,
            "position": self.position,
        }
        with atomic_write(self._note) as temporary, temporary.open("w", encoding="utf-8") as stream:
            json.dump(note, stream, allow_nan=False)
            stream.flush()
            os.fsync(stream.fileno())

    def _take_up(self) -> None:
        """Where the earlier run was; of a frame that it left half written, the next one takes the place."""
        again = "leave --resume out to begin again"
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            known, size = note["identity"], self._partial.stat().st_size
            self.frames, self._bytes, self.position = int(note["frames"]), int(note["bytes"]), note["position"]
            if note["format"] != FORMAT or size < self._bytes:
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"what an earlier run left is damaged; {again}", file=str(self._note)) from error
        if different := [name for name, value in self._identity.items() if known.get(name) != value]:
            raise InputError(
                f"an earlier run left {self.frames} frames here, made with other {', '.join(different)}; give the same again, or {again}",
                file=str(self._partial),
            )

    def _finish(self) -> None:
        with atomic_write(self._final) as temporary:
            os.replace(self._partial, temporary)
        self._note.unlink(missing_ok=True)
