"""Distributions of quantities in single frames, from a sample of bounded size."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError

POINTS = 400
MARGIN = 3.0  # bandwidths beyond the smallest and the largest value


class Density(NamedTuple):
    """A probability density.

    Attributes:
        grid: values, in the unit of the quantity.
        density: in its inverse.
        sample: the values that it was made from.
        bandwidth: standard deviation of each value's Gaussian.
    """

    grid: Float[np.ndarray, " grid"]
    density: Float[np.ndarray, " grid"]
    sample: Float[np.ndarray, " sample"]
    bandwidth: float


class Reservoir:
    """A uniform random sample of a stream of rows, of bounded size (algorithm R; Vitter, ACM Trans. Math. Softw. 11
    (1985) 37).

    Args:
        size: number of rows that are kept.
        seed: of the choice.

    Attributes:
        seen: number of rows that came.
    """

    def __init__(self, size: int, seed: int):
        if size < 2:
            raise InputError(f"a sample of {size} values has no distribution; keep 2 or more")
        self._size, self._generator = size, np.random.default_rng(seed)
        self._rows: np.ndarray | None = None
        self.seen = 0

    def add(self, rows: Float[np.ndarray, "rows width"]) -> None:
        """More rows."""
        if self._rows is None:
            self._rows = np.empty((0, rows.shape[1]))
        room = self._size - len(self._rows)
        if room > 0:
            self._rows = np.concatenate([self._rows, rows[:room]])
            self.seen += len(rows[:room])
            rows = rows[room:]
        if len(rows):
            # The row of number n takes the place of a random one with probability size/n.
            place = self._generator.integers(0, self.seen + 1 + np.arange(len(rows)))
            kept = place < self._size
            self._rows[place[kept]] = rows[kept]  # of two for one place the later wins, as one by one
            self.seen += len(rows)

    @property
    def rows(self) -> Float[np.ndarray, "sample width"]:
        """The sample."""
        return np.empty((0, 0)) if self._rows is None else self._rows


def has_density(values: Float[np.ndarray, " sample"]) -> bool:
    """Whether a sample holds two finite values that differ, so that it has a density."""
    values = values[np.isfinite(values)]
    return len(values) >= 2 and bool(np.ptp(values) > 1e-12 * np.abs(values).max())


def kernel_density(
    values: Float[np.ndarray, " sample"], bounds: tuple[float | None, float | None] = (None, None)
) -> Density:
    """Gaussian kernel density of a sample (scipy's, Scott's bandwidth), mirrored at the bounds that the quantity cannot
    cross.

    Args:
        values: the sample.
        bounds: lowest and highest possible value; None: none. Without the mirror half of the density of η at 0 would
            lie below it.

    Raises:
        InputError: fewer than two values, or all of them alike.
    """
    from scipy.stats import gaussian_kde

    values = values[np.isfinite(values)]
    if not has_density(values):
        raise InputError("all values are alike, or there is one only; they have no density")
    estimate = gaussian_kde(values)
    bandwidth = float(np.sqrt(estimate.covariance[0, 0]))
    low, high = values.min() - MARGIN * bandwidth, values.max() + MARGIN * bandwidth
    low = low if bounds[0] is None else max(low, bounds[0])
    high = high if bounds[1] is None else min(high, bounds[1])
    grid = np.linspace(low, high, POINTS)
    density = estimate(grid)
    for bound in bounds:
        if bound is not None:
            density = density + estimate(2.0 * bound - grid)
    return Density(grid, density, values, bandwidth)
