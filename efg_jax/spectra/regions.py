"""Regions of a histogram of frequencies: the sites that a spectrometer can tell apart (Harper et al. 2025, Fig. 6)."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import scipy
from jaxtyping import Float, Int

from efg_jax.errors import InputError

UNASSIGNED = -1


@dataclass(frozen=True)
class Regions:
    """A histogram and its regions, in the order of their frequencies.

    Attributes:
        edges: of the bins, in the unit of the values.
        counts: values in each bin.
        peaks: bin of each region's peak.
        bins: first bin of each region, and the one after its last.
    """

    edges: Float[np.ndarray, " edges"]
    counts: Int[np.ndarray, " bins"]
    peaks: Int[np.ndarray, " regions"]
    bins: Int[np.ndarray, "regions 2"]

    @property
    def bounds(self) -> Float[np.ndarray, "regions 2"]:
        """Lowest and highest value of each region."""
        return self.edges[self.bins]

    @property
    def centres(self) -> Float[np.ndarray, " bins"]:
        """Middles of the bins."""
        return 0.5 * (self.edges[1:] + self.edges[:-1])

    def assign(self, values: Float[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """Region of each value, `UNASSIGNED` (−1) for those between the regions and for NaN."""
        place = np.searchsorted(self.edges, values, side="right") - 1
        place = np.where(np.asarray(values) == self.edges[-1], len(self.counts) - 1, place)
        region_of_bin = np.full(len(self.counts), UNASSIGNED)
        for region, (start, stop) in enumerate(self.bins):
            region_of_bin[start:stop] = region
        inside = (place >= 0) & (place < len(self.counts)) & ~np.isnan(values)
        return np.where(inside, region_of_bin[np.where(inside, place, 0)], UNASSIGNED)


def find_regions(
    values: Float[np.ndarray, " values"],
    bins: int | Float[np.ndarray, " edges"] = 100,
    peaks: int = 5,
    least: int = 10,
) -> Regions:
    """Regions around the most prominent peaks of a histogram.

    A region grows from its peak to both sides over bins that hold at least ``least`` values. Where two would meet, they
    are parted at the emptiest bin between their peaks, which goes to the region whose peak is nearer (the lower one, if
    both are). What no region covers is unassigned.

    Args:
        values: frequencies, in any unit; NaN are left out.
        bins: number of bins between the smallest and the largest value, or their edges.
        peaks: number of regions at most: a histogram with fewer peaks of ``least`` values gives fewer.
        least: number of values in a bin of a region.

    Raises:
        InputError: no finite values, no bins, or no bin that holds enough of them.
    """
    finite = np.asarray(values)[np.isfinite(values)]
    if len(finite) == 0:
        raise InputError("there are no values to make a histogram of")
    if peaks < 1 or least < 1 or (isinstance(bins, int) and bins < 1):
        raise InputError(f"bins = {bins}, peaks = {peaks} and least = {least} must be 1 or more")
    counts, edges = np.histogram(finite, bins)
    # Zeros on either side: a peak may lie on the edge of the histogram.
    found, properties = scipy.signal.find_peaks(np.pad(counts, 1), prominence=1, height=least)
    if len(found) == 0:
        raise InputError(
            f"no bin of the histogram holds {least} values; the fullest holds {counts.max()}: "
            "take fewer bins, or a smaller least"
        )
    order = np.argsort(-properties["prominences"], kind="stable")[:peaks]
    chosen = np.sort(found[order] - 1)
    return Regions(edges, counts, chosen, _grown(counts, chosen, least))


def _grown(
    counts: Int[np.ndarray, " bins"], peaks: Int[np.ndarray, " regions"], least: int
) -> Int[np.ndarray, "regions 2"]:
    walls = [0, *(_wall(counts, left, right) for left, right in pairwise(peaks.tolist())), len(counts)]
    regions = []
    for number, peak in enumerate(peaks):
        start, stop = peak, peak + 1
        while start > walls[number] and counts[start - 1] >= least:
            start -= 1
        while stop < walls[number + 1] and counts[stop] >= least:
            stop += 1
        regions.append((start, stop))
    return np.array(regions, dtype=int)


def _wall(counts: Int[np.ndarray, " bins"], left: int, right: int) -> int:
    """First bin of the right of two regions."""
    between = np.arange(left + 1, right)
    lowest = between[counts[between] == counts[between].min()]
    emptiest = lowest[len(lowest) // 2]
    return int(emptiest + 1 if emptiest - left <= right - emptiest else emptiest)
