"""One file per part of the work: existing files are complete, and the next run adds the missing ones."""

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

    Extended XYZ and gzip files can be joined by copying. `efg_jax.io.write` writes a shard atomically, so that an
    existing one is complete.

    Args:
        out: file into which all shards are joined.
        parts: number of shards; usually that of the processes, or more.
        key: short text in the names that tells shards of other inputs apart: a digest of model, inputs and options (see
            `efg_jax.storage.fingerprints.digest`).
    """

    out: Path
    parts: int
    key: str = ""

    def path(self, part: int) -> Path:
        """File of a part, counted from 0; names count from 1."""
        suffix = "".join(self.out.suffixes[-2:] if self.out.suffix == ".gz" else self.out.suffixes[-1:])
        stem = self.out.name.removesuffix(suffix)
        key = f"-{self.key}" if self.key else ""
        return self.out.with_name(f"{stem}.part-{part + 1:04d}-of-{self.parts:04d}{key}{suffix}")

    def missing(self) -> list[int]:
        """Parts that do not exist yet."""
        return [part for part in range(self.parts) if not self.path(part).exists()]

    def mine(self) -> list[int]:
        """Missing parts that this process is to write; all processes call this together, and each part has one owner.

        Rank 0 decides which are missing, because a cluster's file system may show processes different states.
        """
        wanted = np.zeros(self.parts, dtype=np.int32)
        if rank() == 0:
            wanted[self.missing()] = 1
        missing = np.flatnonzero(total(wanted))
        return [int(part) for part in missing[my_share(len(missing))]]

    def join(self) -> None:
        """Join the shards into ``out``, atomically, and remove them. One process calls this when all exist.

        Raises:
            InputError: a shard is missing, or ``out`` cannot be written.
        """
        if missing := self.missing():
            names = ", ".join(self.path(part).name for part in missing[:3])
            raise InputError(
                f"{len(missing)} of {self.parts} parts are missing ({names}{', ...' if len(missing) > 3 else ''}); "
                "run the same command again to compute only these",
                file=str(self.out),
            )
        with atomic_write(self.out) as temporary, temporary.open("wb") as whole:
            for part in range(self.parts):
                with self.path(part).open("rb") as stream:
                    shutil.copyfileobj(stream, whole, 1 << 20)
            whole.flush()
            os.fsync(whole.fileno())  # before the shards are removed
        for part in range(self.parts):
            self.path(part).unlink()
