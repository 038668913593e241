"""Means of correlated series and their standard errors, in one pass: block sums whose blocks merge in pairs."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

LEAST_BLOCKS = 4  # fewer say nothing of their own spread


class Errors(NamedTuple):
    """Standard errors of means, one a series.

    Attributes:
        error: standard error of the mean, in the unit of the quantity; NaN for a series of fewer than 2·`LEAST_BLOCKS`
            values.
        block: number of values in a block that was taken for independent.
        reliable: False: the series is too short for its correlation time, and the error a lower bound.
    """

    error: Float[np.ndarray, " series"]
    block: Int[np.ndarray, " series"]
    reliable: Bool[np.ndarray, " series"]


class BlockSums:
    """Means and covariances of many vector-valued series at once, and of their blocks of 2, 4, 8, ... values.

    Two blocks become one of double length as soon as both are there (Flyvbjerg and Petersen, J. Chem. Phys. 91 (1989)
    461), so that nothing
    but sums is kept: log₂ N levels of them, whatever the number N of values. Means and second moments are updated by
        Welford's rule, which does not lose a small variance beside a large mean.

    Args:
        series: number of series.
        width: number of components of a value.
    """

    def __init__(self, series: int, width: int):
        self._series, self._width = series, width
        self._levels: list[_Level] = [_Level(series, width)]

    def add(
        self, values: Float[np.ndarray, "series width"], present: Bool[np.ndarray, " series"] | None = None
    ) -> None:
        """One more value of each series, or of those that are present."""
        where = np.arange(self._series) if present is None else np.flatnonzero(present)
        values = values[where]
        level = 0
        while len(where):
            if level == len(self._levels):
                self._levels.append(_Level(self._series, self._width))
            where, values = self._levels[level].add(where, values)
            level += 1

    @property
    def count(self) -> Int[np.ndarray, " series"]:
        """Number of values of each series."""
        return self._levels[0].count

    @property
    def mean(self) -> Float[np.ndarray, "series width"]:
        """Mean of each series; NaN without values."""
        return np.where(self.count[:, None] > 0, self._levels[0].mean, np.nan)

    @property
    def covariance(self) -> Float[np.ndarray, "series width width"]:
        """⟨(x − ⟨x⟩)(x − ⟨x⟩)ᵀ⟩ of the values of each series; zero without values."""
        return self._levels[0].covariance

    def errors(self, gradient: Float[np.ndarray, "series width"]) -> Errors:
        """Standard error of a number that depends on the mean with this gradient, to first order.

        The length B of the blocks is the smallest with B³ > 2N (s_B/s_1)⁴, s_B being the error that blocks of B values
        give (Lee et al., Phys. Rev. E 83 (2011) 066706): the blocks are then longer than the correlation time, and as
        many as can be. Where no length with at least `LEAST_BLOCKS` blocks is long enough, the largest of the errors is
        given, as not reliable."""
        variances = np.stack([level.variance_of_mean(gradient) for level in self._levels])  # (levels, series)
        lengths = 2.0 ** np.arange(len(self._levels))
        usable = np.stack([level.count >= LEAST_BLOCKS for level in self._levels])
        single = np.where(variances[0] > 0.0, variances[0], 1.0)
        independent = usable & (lengths[:, None] ** 3 > 2.0 * self.count * (variances / single) ** 2)
        reliable = independent.any(axis=0)
        largest = np.argmax(np.where(usable, variances, -1.0), axis=0)
        chosen = np.where(reliable, np.argmax(independent, axis=0), largest)
        variance = np.take_along_axis(variances, chosen[None], axis=0)[0]
        known = usable[0] & (self.count >= 2 * LEAST_BLOCKS)
        return Errors(np.where(known, np.sqrt(np.maximum(variance, 0.0)), np.nan), 2**chosen, reliable & known)


class _Level:
    """Sums over blocks of one length, and for each series the block that waits for its partner."""

    def __init__(self, series: int, width: int):
        self.count = np.zeros(series, dtype=np.int64)
        self.mean = np.zeros((series, width))
        self._moment = np.zeros((series, width, width))  # Σ (x − mean)(x − mean)ᵀ
        self._pending = np.zeros((series, width))
        self._waiting = np.zeros(series, dtype=bool)

    def add(self, where: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Count the blocks; returns the series that now have a block of double length, and those blocks."""
        self.count[where] += 1
        before = values - self.mean[where]
        self.mean[where] += before / self.count[where][:, None]
        self._moment[where] += before[:, :, None] * (values - self.mean[where])[:, None, :]
        paired = self._waiting[where]
        merged = 0.5 * (self._pending[where[paired]] + values[paired])
        self._pending[where[~paired]] = values[~paired]
        self._waiting[where] = ~paired
        return where[paired], merged

    @property
    def covariance(self) -> np.ndarray:
        return self._moment / np.maximum(self.count, 1)[:, None, None]

    def variance_of_mean(self, gradient: np.ndarray) -> np.ndarray:
        """gᵀ C g/n of the covariance C of n blocks."""
        square = np.einsum("si,sij,sj->s", gradient, self._moment, gradient)
        return square / (np.maximum(self.count - 1, 1) * np.maximum(self.count, 1))
