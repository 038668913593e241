"""Autocorrelation in one pass: lags from one frame to the whole trajectory, in memory that grows with its logarithm
only.
"""

import numpy as np
from jaxtyping import Float, Int

POINTS, MERGED = 16, 2


class Correlator:
    """⟨x(0)·x(t)⟩ of many vector-valued series at once, by the multiple-tau method (Ramírez et al., J. Chem. Phys. 133
    (2010) 154103).

    Lags 0 to 15 are exact. Then pairs of values are merged into their mean, and lags of 8 to 15 of the merged values
    follow, and so on: a lag t is known from values averaged over at most t/8, which is exact for what is linear over
    that time, and off by 10⁻³ of ⟨x·x⟩ for an exponential.

    Args:
        series: number of series.
        width: number of components of a value.
    """

    def __init__(self, series: int, width: int):
        self._series, self._width = series, width
        self._levels: list[_Level] = []

    def add(self, values: Float[np.ndarray, "series width"]) -> None:
        """One more value of each series."""
        level, merged = 0, values
        while merged is not None:
            if level == len(self._levels):
                self._levels.append(_Level(self._series, self._width, first=0 if level == 0 else POINTS // MERGED))
            merged = self._levels[level].add(merged)
            level += 1

    @property
    def lags(self) -> Int[np.ndarray, " lags"]:
        """Lags that have occurred, in steps, ascending from 0."""
        return np.concatenate([np.zeros(0, int), *(own.lags * MERGED**k for k, own in enumerate(self._levels))])

    @property
    def spacings(self) -> Int[np.ndarray, " lags"]:
        """Steps between the lags of the same level: beyond the exact ones, a value is the mean of ⟨x(0)·x(t)⟩ over a
        triangle of this half-width.
        """
        return np.concatenate(
            [np.zeros(0, int), *(np.full(len(own.lags), MERGED**k) for k, own in enumerate(self._levels))]
        )

    @property
    def values(self) -> Float[np.ndarray, "lags series"]:
        """⟨x(0)·x(t)⟩ at each lag, in the square of the values' unit."""
        return self.about(np.zeros((self._series, self._width)))

    def about(self, centre: Float[np.ndarray, "series width"]) -> Float[np.ndarray, "lags series"]:
        """⟨(x(0) − c)·(x(t) − c)⟩ at each lag: over the very pairs of that lag, so that no c, however large, leaves an
        error of the two ends.
        """
        return np.concatenate([np.zeros((0, self._series)), *(own.about(centre) for own in self._levels)])


class _Level:
    """Products of the newest value with those before it, and what it takes to move the values' origin."""

    def __init__(self, series: int, width: int, first: int):
        self._first = first
        self._last = np.zeros((POINTS, series, width))  # newest first
        self._earliest = np.zeros((POINTS, series, width))
        self._sums = np.zeros((POINTS, series))
        self._total = np.zeros((series, width))
        self._count = 0
        self._pending = None

    def add(self, values: np.ndarray) -> np.ndarray | None:
        """Correlate a value with those before it; returns the mean of it and its partner for the next level, when both
        are there.
        """
        self._last = np.roll(self._last, 1, axis=0)
        self._last[0] = values
        if self._count < POINTS:
            self._earliest[self._count] = values
        self._total += values
        self._count += 1
        filled = min(self._count, POINTS)
        self._sums[:filled] += np.einsum("sw,psw->ps", values, self._last[:filled])
        if self._pending is None:
            self._pending = values
            return None
        merged, self._pending = 0.5 * (self._pending + values), None
        return merged

    @property
    def lags(self) -> np.ndarray:
        return np.arange(self._first, min(self._count, POINTS))

    def about(self, centre: np.ndarray) -> np.ndarray:
        lags = self.lags
        pairs = (self._count - lags)[:, None]
        # Of a lag of k steps the last k values are no x(0), and the first k no x(t).
        ends = np.concatenate([np.zeros_like(self._total)[None], np.cumsum(self._last + self._earliest, axis=0)])[lags]
        both = np.einsum("sw,lsw->ls", centre, 2.0 * self._total - ends) / pairs
        return self._sums[lags] / pairs - both + np.sum(centre**2, axis=1)
