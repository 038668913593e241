"""One file a part of the work: what is there is whole, what is missing is done by the next run."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efg_jax.errors import InputError
from efg_jax.parallel.processes import my_share, rank, total
from efg_jax.storage.atomic_write import atomic_write


@dataclass(frozen=True)
class Shards:
    """The files ``out.part-0003-of-0008.extxyz`` beside ``out.extxyz``, of which the latter is the concatenation.

    Frames follow each other in extended XYZ, and so do the members of a gzip file: joining is copying. A shard is written atomically
    (`efg_jax.io.write` does so), so that one that exists is complete.

    Args:
        out: the file that all become.
        parts: number of shards; as many as processes is usual, more is fine.
        key: short text that goes into the names, where shards of other inputs must not be taken for these: a digest of
            model, inputs and options (see `efg_jax.storage.fingerprints.digest`).
    """

    out: Path
    parts: int
    key: str = ""

    def path(self, part: int) -> Path:
        """File of a part, from 0 on; names count from 1."""
        suffix = "".join(self.out.suffixes[-2:] if self.out.suffix == ".gz" else self.out.suffixes[-1:])
        stem = self.out.name.removesuffix(suffix)
        key = f"-{self.key}" if self.key else ""
        return self.out.with_name(f"{stem}.part-{part + 1:04d}-of-{self.parts:04d}{key}{suffix}")

    def missing(self) -> list[int]:
        """Parts that are not there yet."""
        return [part for part in range(self.parts) if not self.path(part).exists()]

    def mine(self) -> list[int]:
        """Of the missing parts those that this process is to write; all processes call this together, and none has two owners.

        What is missing is what rank 0 sees: the file systems of a cluster do not show everybody the same at the same time.
        """
        wanted = np.zeros(self.parts, dtype=np.int32)
        if rank() == 0:
            wanted[self.missing()] = 1
        missing = np.flatnonzero(total(wanted))
        return [int(part) for part in missing[my_share(len(missing))]]

    def join(self) -> None:
        """Make ``out`` of the shards, atomically, and remove them; for one process, when all are there.

        Raises:
            InputError: a shard is missing, or ``out`` cannot be written.
        """
        if missing := self.missing():
            names = ", ".join(self.path(part).name for part in missing[:3])
            raise InputError(
                f"{len(missing)} of {self.parts} parts are missing ({names}{', ...' if len(missing) > 3 else ''}); "
                "run the same command again, and only these are done",
                file=str(self.out),
            )
        with atomic_write(self.out) as temporary, temporary.open("wb") as whole:
            for part in range(self.parts):
                with self.path(part).open("rb") as stream:
                    shutil.copyfileobj(stream, whole, 1 << 20)
            whole.flush()
            os.fsync(whole.fileno())  # the shards go next
        for part in range(self.parts):
            self.path(part).unlink()
