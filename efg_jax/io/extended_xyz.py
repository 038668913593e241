"""Extended XYZ: all frames at once, or appended one by one so that an interrupted run can resume."""

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
import numpy as np
from ase import Atoms
from ase.io.extxyz import save_calc_results
from ase.io.formats import get_compression
from ase.spacegroup import Spacegroup
from ase.stress import voigt_6_to_full_3x3_stress

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import atomic_write

FORMAT = "efg_jax unfinished frames"
# Each batch is compressed by itself: compressed pieces in a row are one file to every reader.
_COMPRESS = {None: bytes, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}
SYNC_SECONDS, SYNC_CHARACTERS = 2.0, 1 << 24  # held in memory at most


def write_extxyz(path: str | os.PathLike[str], frames: Sequence[Atoms]) -> None:
    """Write all frames; an existing file is replaced at the end."""
    with atomic_write(path) as temporary:
        ase.io.write(temporary, [_flattened(atoms) for atoms in frames], format="extxyz", write_results=False)


class FrameWriter:
    """Context that appends frames to a file, which gets its name when the last frame is written.

    Until then the frames are in ``NAME.partial`` beside it; ``NAME.partial.json`` says how many bytes of that are whole
    frames and what they were made from. If the context ends early, both stay for ``resume``, unless they are empty.

    Args:
        path: file to write; compressed if the name ends in .gz, .bz2 or .xz. A device is written directly.
        identity: everything that the frames depend on; JSON types.
        resume: continue the file of an interrupted run, if there is one.

    Attributes:
        frames: number of frames appended so far, those of an interrupted run included.
        position: the position given with the last of them; None at the start.

    Raises:
        InputError: the file of the interrupted run is damaged or was made from something else; the disk is full.
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
        """Whether an early end leaves frames to resume from."""
        return self.frames > 0 and not self._direct

    def discard(self) -> None:
        """Drop all frames, so that nothing stays behind."""
        self.frames, self._text = 0, io.StringIO()

    def append(self, atoms: Atoms, position: Sequence[int]) -> None:
        """Add a frame. It is on disk some seconds later, with the next frame, at the latest.

        Args:
            atoms: structure with arrays and info; what extended XYZ cannot hold is left out.
            position: where to continue after this frame; integers.
        """
        ase.io.write(self._text, _flattened(atoms), format="extxyz", write_results=False)
        self.frames, self.position = self.frames + 1, list(position)
        if time.monotonic() - self._kept_at > SYNC_SECONDS or self._text.tell() > SYNC_CHARACTERS:
            self._sync()

    def _sync(self) -> None:
        """Write the frames first, then the note that counts them."""
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
                f"could not be written ({error.strerror}); free some space and use --resume, or write elsewhere",
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
        """Read how far the interrupted run came."""
        again = "leave --resume out to start again"
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
            known, size = note["identity"], self._partial.stat().st_size
            self.frames, self._bytes, self.position = int(note["frames"]), int(note["bytes"]), note["position"]
            if note["format"] != FORMAT or size < self._bytes:
                raise ValueError
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"the note of an earlier run is damaged; {again}", file=str(self._note)) from error
        if different := [name for name, value in self._identity.items() if known.get(name) != value]:
            raise InputError(
                f"an earlier run left {self.frames} frames here, made with other {', '.join(different)}; "
                f"give the same again, or {again}",
                file=str(self._partial),
            )

    def _finish(self) -> None:
        with atomic_write(self._final) as temporary:
            os.replace(self._partial, temporary)
        self._note.unlink(missing_ok=True)


def _flattened(atoms: Atoms) -> Atoms:
    """A copy with only what extended XYZ can hold: columns, and info that is JSON."""
    flat = atoms.copy()
    if atoms.calc is not None:
        save_calc_results(flat, atoms.calc, calc_prefix="", force=True)
        flat.info.update(atoms.info)
        flat.arrays.update(atoms.arrays)
    if np.shape(flat.info.get("stress")) == (6,):
        flat.info["stress"] = voigt_6_to_full_3x3_stress(flat.info["stress"])
    flat.info = {
        name: value for name, value in ((name, _plain(value)) for name, value in flat.info.items()) if value is not None
    }
    for name, value in list(flat.arrays.items()):
        del flat.arrays[name]
        if (column := _column(np.asarray(value))) is not None:
            flat.arrays[name] = column
    return flat


def _column(value: np.ndarray) -> np.ndarray | None:
    if value.dtype.kind in "US":
        # A column must be one word.
        return np.array(["".join(text.split()) or "-" for text in value.astype(str).ravel()]).reshape(value.shape)
    if value.dtype.kind not in "fiub" or value.size == 0:
        return None
    value = value.astype(np.int64) if value.dtype.kind == "u" else value
    return value.reshape(len(value), -1) if value.ndim > 2 else value


def _plain(value: Any) -> Any:
    """The value as numbers, text or lists; None if it is none of these."""
    if isinstance(value, str):
        return " ".join(value.split())  # a line break would end the header
    if isinstance(value, Spacegroup):
        return value.symbol
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.size > 0:
        return value.astype(np.int64) if value.dtype.kind == "u" else value
    if isinstance(value, np.generic):
        return _plain(value.item())
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value
