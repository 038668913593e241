"""Regions of histograms and powders of frequencies."""

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import efg_jax as ej
from efg_jax.spectra.regions import UNASSIGNED, find_regions
from efg_jax.tensors import coupling_constant
from efg_jax.tensors.powder import field_directions, powder_frequencies


def values_with(counts):
    """As many values in the middle of each bin of width one."""
    return np.repeat(np.arange(len(counts)) + 0.5, counts)


def regions_of(counts, **options):
    return find_regions(values_with(counts), np.arange(len(counts) + 1.0), **options)


def test_regions_reach_down_to_the_threshold_and_never_overlap():
    #                       peak        wall      peak     gap      peak
    counts = np.array([3, 12, 40, 20, 11, 15, 60, 10, 9, 0, 30, 9])
    found = regions_of(counts)
    assert_array_equal(found.counts, counts)
    assert_array_equal(found.peaks, [2, 6, 10])
    assert_array_equal(found.bins, [[1, 5], [5, 8], [10, 11]])  # bin 4 is as near to the first peak as to the second
    assert_array_equal(found.bounds, [[1, 5], [5, 8], [10, 11]])
    assigned = found.assign(values_with(counts))
    assert (assigned == UNASSIGNED).sum() == 3 + 9 + 9
    assert_array_equal([(assigned == region).sum() for region in range(3)], [12 + 40 + 20 + 11, 15 + 60 + 10, 30])


def test_the_most_prominent_peaks_are_taken():
    counts = np.array([50, 45, 48, 20, 100, 90, 95, 10, 30])
    assert_array_equal(regions_of(counts, peaks=2).peaks, [0, 4])  # 48 and 95 stand out by 3 and 5, 50 by 30
    assert_array_equal(regions_of(counts, peaks=3).peaks, [0, 4, 8])
    assert_array_equal(regions_of(counts, peaks=1).bins, [[0, 9]])


@pytest.mark.parametrize("seed", range(5))
def test_whatever_the_histogram_regions_are_disjoint_and_full(seed):
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(centre, rng.uniform(0.2, 2), 400) for centre in rng.uniform(-10, 10, 6)])
    found = find_regions(values, 80, peaks=5, least=10)
    flat = found.bins.ravel()
    assert (np.diff(flat) >= 0).all()
    assert (found.bins[:, 1] > found.bins[:, 0]).all()
    assigned = found.assign(values)
    for region, (start, stop) in enumerate(found.bins):
        assert (found.counts[start:stop] >= 10).all()
        assert start <= found.peaks[region] < stop
        assert (assigned == region).sum() == found.counts[start:stop].sum()


def test_values_outside_and_missing_ones_belong_to_no_region():
    found = regions_of(np.array([20, 30]))
    assert_array_equal(found.assign(np.array([-0.1, 0.0, 2.0, 2.1, np.nan, np.inf])), [-1, 0, 0, -1, -1, -1])
    assert found.assign(np.zeros((2, 3))).shape == (2, 3)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (np.array([np.nan]), {}, "no values"),
        (np.arange(9.0), {}, "no bin of the histogram holds 10 values; the fullest holds"),
        (np.arange(9.0), {"bins": 0}, "must be 1 or more"),
        (np.arange(9.0), {"peaks": 0}, "must be 1 or more"),
    ],
)
def test_what_has_no_regions_is_refused(values, options, message):
    with pytest.raises(ej.InputError, match=message):
        find_regions(values, **options)


def test_a_powder_has_the_moments_of_the_tensor():
    """Over all directions ⟨n·V·n⟩ = 0 and ⟨(n·V·n)²⟩ = 2/15 Tr V².

    Its extremes are the largest and the smallest principal value.
    """
    rng = np.random.default_rng(0)
    tensors = rng.normal(size=(3, 3, 3))
    tensors += tensors.transpose(0, 2, 1)
    tensors -= np.trace(tensors, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3
    nu = np.asarray(powder_frequencies(tensors, "7Li", 4000))
    unit = float(coupling_constant(jnp.array(1.0), "7Li")) / 2  # 3/(2I(2I − 1)) = 1/2 for I = 3/2
    assert_allclose(nu.mean(axis=1) / unit, 0, atol=2e-3)
    assert_allclose((nu**2).mean(axis=1) / unit**2, 2 / 15 * (tensors**2).sum(axis=(1, 2)), rtol=2e-3)
    eigenvalues = np.linalg.eigvalsh(tensors) * unit
    assert_allclose(
        np.sort([nu.max(axis=1), nu.min(axis=1)], axis=0), np.sort(eigenvalues[:, [0, 2]].T, axis=0), rtol=5e-3
    )
    assert_allclose(np.linalg.norm(field_directions(100), axis=1), 1.0)
    with pytest.raises(ej.InputError, match="make no powder"):
        field_directions(0)
