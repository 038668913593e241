"""Running means: the value of a mean after more and more frames, at a bounded number of them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

MOST = 128


class Snapshot(NamedTuple):
    """A mean after some frames, one value an atom; NaN for one that was not counted yet.

    Attributes:
        right: C_Q(⟨V⟩) or V_zz(⟨V⟩) (Ω(⟨σ⟩) of a shielding), in Hz, V/Å² or ppm.
        error: its standard error then.
        wrong: the mean of the same number over the frames.
    """

    right: Float[np.ndarray, "*snapshots atoms"]
    error: Float[np.ndarray, "*snapshots atoms"]
    wrong: Float[np.ndarray, "*snapshots atoms"]


class RunningMeans:
    """Snapshots at equal distances; when there are `MOST`, every other one is dropped and the distance doubled."""

    def __init__(self) -> None:
        self._stride, self._frames = 1, 0
        self._kept: list[tuple[int, Snapshot]] = []

    def add(self, snapshot: Callable[[], Snapshot]) -> None:
        """One more frame; the snapshot is taken only when its turn comes."""
        self._frames += 1
        if self._frames % self._stride:
            return
        self._kept.append((self._frames, snapshot()))
        if len(self._kept) >= MOST:
            self._stride *= 2
            self._kept = [entry for entry in self._kept if entry[0] % self._stride == 0]

    @property
    def frames(self) -> Int[np.ndarray, " snapshots"]:
        """Numbers of frames."""
        return np.array([number for number, _ in self._kept], dtype=int)

    def series(self) -> Snapshot:
        """All snapshots, each array of shape (snapshots, atoms)."""
        return Snapshot(*(np.stack(column) for column in zip(*(kept for _, kept in self._kept), strict=True)))
