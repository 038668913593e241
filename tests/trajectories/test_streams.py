"""Block averages and the multiple-tau correlator against closed forms and brute force on the same data."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from scipy.signal import lfilter

from efg_jax.trajectories import BlockSums, Correlator, Reservoir, kernel_density


def autoregressive(generator, phi, frames, series):
    """x_t = φ x_{t−1} + noise with unit variance: ⟨x(0) x(t)⟩ = φ^t."""
    noise = generator.normal(size=(frames, series)) * np.sqrt(1.0 - phi**2)
    noise[0] /= np.sqrt(1.0 - phi**2)
    return lfilter([1.0], [1.0, -phi], noise, axis=0)


def blocks_of(values):
    sums = BlockSums(values.shape[1], 1)
    for row in values:
        sums.add(row[:, None])
    return sums


def test_the_error_of_correlated_data_is_that_of_the_theory():
    phi, frames, series = 0.9, 4096, 128
    values = autoregressive(np.random.default_rng(0), phi, frames, series)
    sums = blocks_of(values)
    assert_allclose(sums.mean[:, 0], values.mean(axis=0), atol=1e-13)
    found = sums.errors(np.ones((series, 1)))
    theory = np.sqrt((1 + phi) / (1 - phi) / frames)
    assert found.reliable.all()
    assert_allclose(np.sqrt(np.mean(found.error**2)), theory, rtol=0.1)
    assert_allclose(np.sqrt(np.mean(found.error**2)), values.mean(axis=0).std(), rtol=0.2)  # what means really scatter
    assert (found.block >= 32).all()


def test_white_noise_has_the_textbook_error():
    values = np.random.default_rng(1).normal(size=(2000, 64))
    found = blocks_of(values).errors(np.ones((64, 1)))
    assert_allclose(np.sqrt(np.mean(found.error**2)), 1 / np.sqrt(2000), rtol=0.05)


def test_a_series_that_is_too_short_for_its_correlation_says_so():
    values = np.cumsum(np.random.default_rng(2).normal(size=(500, 8)), axis=0)
    assert not blocks_of(values).errors(np.ones((8, 1))).reliable.any()
    assert np.isnan(blocks_of(values[:7]).errors(np.ones((8, 1))).error).all()


def test_a_large_mean_does_not_drown_a_small_spread():
    values = np.random.default_rng(3).normal(size=(1024, 4))
    shifted = blocks_of(1e7 + values).errors(np.ones((4, 1)))
    assert_allclose(shifted.error, blocks_of(values).errors(np.ones((4, 1))).error, rtol=1e-6)


def test_series_are_independent_of_each_other():
    generator = np.random.default_rng(4)
    values, present = generator.normal(size=(300, 5, 2)), generator.random((300, 5)) < 0.6
    together = BlockSums(5, 2)
    for row, here in zip(values, present, strict=True):
        together.add(row, here)
    gradient = np.array([[0.3, -1.2]])
    for series in range(5):
        alone = BlockSums(1, 2)
        for row in values[present[:, series], series]:
            alone.add(row[None])
        assert together.count[series] == present[:, series].sum()
        assert_allclose(together.mean[series], values[present[:, series], series].mean(axis=0))
        expected = alone.errors(gradient)
        assert_allclose(together.errors(np.repeat(gradient, 5, axis=0)).error[series], expected.error[0])


def test_short_lags_are_exact_and_long_ones_follow_the_exponential():
    tau, frames = 40.0, 5000
    values = autoregressive(np.random.default_rng(5), np.exp(-1 / tau), frames, 200)
    correlator = Correlator(200, 1)
    for row in values:
        correlator.add(row[:, None])
    lags, found = correlator.lags, correlator.values
    assert_array_equal(lags[:19], [*range(16), 16, 18, 20])
    assert (np.diff(lags) > 0).all()
    for lag in range(16):
        assert_allclose(found[lag], (values[: frames - lag] * values[lag:]).mean(axis=0), rtol=1e-12)
    for lag, value in zip(lags[16:], found[16:].mean(axis=1), strict=True):
        if lag < 4 * tau:  # the same data, every pair of frames
            assert_allclose(value, (values[:-lag] * values[lag:]).mean(), atol=2e-3)
            assert_allclose(value, np.exp(-lag / tau), atol=0.05)


def test_vectors_are_multiplied_component_by_component():
    values = np.random.default_rng(6).normal(size=(20, 3, 4))
    correlator = Correlator(3, 4)
    for row in values:
        correlator.add(row)
    assert_allclose(correlator.values[7], np.einsum("taw,taw->a", values[:-7], values[7:]) / 13)


def test_a_reservoir_is_a_fair_sample_of_the_whole_stream():
    counts = np.zeros(200)
    for seed in range(300):
        reservoir = Reservoir(20, seed)
        for start in range(0, 200, 8):
            reservoir.add(np.arange(start, start + 8, dtype=float)[:, None])
        assert reservoir.rows.shape == (20, 1)
        counts[reservoir.rows[:, 0].astype(int)] += 1
    # Each of 200 values is in a tenth of 300 samples: 30 ± 5.
    assert abs(counts[:100].mean() - 30) < 1.5
    assert counts.min() > 8
    assert counts.max() < 55


def test_a_density_does_not_leak_over_a_bound():
    values = np.abs(np.random.default_rng(7).normal(size=4000))
    bounded, free = kernel_density(values, (0.0, None)), kernel_density(values)
    assert bounded.grid[0] == 0.0
    assert_allclose(np.trapezoid(bounded.density, bounded.grid), 1.0, atol=2e-3)
    assert_allclose(bounded.density[0], np.sqrt(2 / np.pi), rtol=0.08)  # the half-normal law at its edge
    assert np.interp(0.0, free.grid, free.density) < 0.6 * bounded.density[0]
