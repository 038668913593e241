"""Where the integral of a correlation ends, and what its error is: known correlations, exact and simulated."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from efg_jax import InputError
from efg_jax.trajectories import Correlator, quadrupolar_t1, relaxation, running_integral, spectral_densities

PS = 1e-12


def correlation(modes):
    """Σ a cos(2πft) exp(−t/τ) of modes (a, τ, f), and its integral."""

    def of(times):
        return sum(a * np.cos(2 * np.pi * f * times) * np.exp(-times / tau) for a, tau, f in modes)

    return of, sum(a * tau / (1 + (2 * np.pi * f * tau) ** 2) for a, tau, f in modes)


def simulated(regimes, step, frames, seeds, atoms, width=5, seed=0):
    """Lags and spacings, and correlations about the mean, (regimes, lags, seeds, atoms), of Gaussian processes with
    these modes, all components alike.
    """
    generator, count = np.random.default_rng(seed), seeds * atoms
    modes = np.array(regimes)[..., None, None]  # (regimes, modes, 3, 1, 1)
    size, kept = np.sqrt(modes[:, :, 0]), np.exp((-1 / modes[:, :, 1] + 2j * np.pi * modes[:, :, 2]) * step)
    shape = (*size.shape[:2], count, width)

    def noise():
        return generator.normal(size=shape) + 1j * generator.normal(size=shape)

    state, total = noise(), 0.0
    correlator = Correlator(len(regimes) * count, width)
    for _ in range(frames):
        values = (size * state.real).sum(1).reshape(-1, width) / np.sqrt(width)
        correlator.add(values)
        total = total + values / frames
        state = kept * state + np.sqrt(1 - abs(kept) ** 2) * noise()
    found = correlator.about(total).reshape(-1, len(regimes), seeds, atoms).swapaxes(0, 1)
    return correlator.lags * step, correlator.spacings * step, found


FAST_AND_SLOW = [
    ([(0.9, 0.05, 0), (0.1, 10, 0)], 0.00575),
    ([(0.9, 0.2, 0), (0.1, 10, 0)], 0.00509),
    ([(0.9, 0.3, 5), (0.1, 5, 0)], 0.0119),
    ([(1.0, 0.3, 5)], 1.80),
]


@pytest.mark.parametrize(("modes", "seconds"), FAST_AND_SLOW)
@pytest.mark.parametrize("length", [400.0, 1e6])
def test_t1_of_a_fast_part_with_a_slow_tail(modes, seconds, length):
    """Exact correlations, of a tensor of 1000 (V/Å²)² of sodium, known as well as 20 atoms over so many ps let them."""
    of, integral = correlation(modes)
    lags = np.arange(0, 100, 0.005)
    result = relaxation(lags * PS, 1e3 * of(lags), "23Na", duration=length * PS, atoms=20, centred=False)
    expected = quadrupolar_t1(1e3 * integral * PS, "23Na")
    assert_allclose(expected, seconds, rtol=5e-3)
    assert result.converged
    assert result.resolved
    assert abs(result.t1 - expected) < min(result.error, 0.02 * expected)
    assert result.error < (0.25 if length < 1e3 else 0.02) * expected


@pytest.fixture(scope="module")
def many():
    """Twenty atoms, over 60 correlation times of the slow part, forty times: two modes; an oscillation with a tail."""
    regimes = [[(0.9, 0.1, 0), (0.1, 2, 0)], [(0.9, 0.3, 2), (0.1, 2, 0)]]
    return regimes, *simulated(regimes, 0.04, 3000, seeds=40, atoms=20)


@pytest.mark.parametrize("atoms", [20, 8])
def test_the_interval_covers_the_truth_as_often_as_it_says(many, atoms):
    """A standard error covers the truth in 68 % of runs; 55 to 80 % of eighty."""
    regimes, lags, spacings, values = many
    covered = []
    for modes, own in zip(regimes, values, strict=True):
        truth = quadrupolar_t1(1e3 * correlation(modes)[1] * PS, "23Na")
        found = [
            relaxation(lags * PS, 1e3 * one, "23Na", duration=120 * PS, spacings=spacings * PS)
            for one in own[:, :, :atoms].swapaxes(0, 1)
        ]
        certain = [result for result in found if result.converged]
        assert len(certain) > 0.8 * len(found)
        assert all(result.resolved for result in found)
        assert_allclose(np.mean([1 / result.t1 for result in certain]), 1 / truth, rtol=0.06)
        covered += [abs(result.t1 - truth) < result.error for result in certain]
    assert 0.55 <= np.mean(covered) <= 0.8


def test_a_trajectory_of_few_correlation_times_is_told():
    """The mean over the trajectory takes the slow part with it; T₁ is wrong, and says so."""
    lags, spacings, values = simulated([[(0.9, 0.1, 0), (0.1, 60, 0)]], 0.1, 1200, seeds=20, atoms=10)
    found = [
        relaxation(lags * PS, one, "23Na", duration=120 * PS, spacings=spacings * PS)
        for one in values[0].swapaxes(0, 1)
    ]
    assert sum(result.converged for result in found) <= 2


def test_an_end_that_is_given_keeps_its_correction(many):
    """The mean lowers the integral up to t by 2t/T of it: by 60 % at three tenths of the trajectory."""
    regimes, lags, spacings, values = many
    integral = correlation(regimes[0])[1]
    for until in (0.15, 0.3):
        found = [
            relaxation(lags, one, "23Na", duration=120.0, spacings=spacings, until=until * 120).integral
            for one in values[0].swapaxes(0, 1)
        ]
        assert abs(np.mean(found) - integral) < 3 * np.std(found) / len(found) ** 0.5
        assert np.std(found) / len(found) ** 0.5 < 0.1 * integral
    with pytest.raises(InputError, match=r"half of the trajectory.*shorter lag"):
        relaxation(lags, values[0, :, 0], "23Na", duration=120.0, spacings=spacings, until=60.0)


@pytest.mark.parametrize("until", [15.0, 20.0])
def test_what_an_early_end_leaves_out_is_in_the_error(until):
    """At 1.5 and 2 correlation times of a correlation that is known well."""
    lags = np.arange(0, 50, 0.02)
    result = relaxation(lags * PS, np.exp(-lags / 10), "23Na", duration=1.0, until=until * PS, centred=False)
    expected = quadrupolar_t1(10 * PS, "23Na")
    assert abs(result.t1 - expected) < result.error < 0.3 * expected
    assert not result.converged


@pytest.mark.parametrize("frequency", [0.0, 1.3, 5.0])
def test_lags_that_grow_apart_take_nothing_from_an_oscillation(frequency):
    """Their values are means over triangles, which a trapezoidal rule adds up with unequal weights."""
    of, exact = correlation([(1.0, 0.4, frequency)])
    correlator = Correlator(1, 1)
    for _ in range(5000):
        correlator.add(np.zeros((1, 1)))
    step = 0.004
    lags, spacings = correlator.lags, correlator.spacings
    around = [np.arange(-s + 1, s) if lag > 15 else np.zeros(1, int) for lag, s in zip(lags, spacings, strict=True)]
    means = [
        np.average(of(abs(lag + off) * step), weights=s - abs(off))
        for lag, s, off in zip(lags, spacings, around, strict=True)
    ]
    found = running_integral(lags * step, np.array(means), spacings * step)
    assert_allclose(found[lags * step > 5][0], exact, rtol=2e-3)
    if frequency > 4:
        assert abs(np.trapezoid(means, lags * step) / exact - 1) > 0.05


@pytest.mark.parametrize("grown", [False, True])
def test_spectral_densities_of_an_exponential_are_lorentzian(grown):
    lags = np.arange(0, 40, 0.02)
    spacings = None
    if grown:
        correlator = Correlator(1, 1)
        for _ in range(8000):
            correlator.add(np.zeros((1, 1)))
        lags, spacings = correlator.lags * 0.02, correlator.spacings * 0.02
    angular = np.array([0.0, 0.1, 0.5, 1.0, 2.0, 5.0])
    values = np.exp(-lags)
    if grown:  # the mean over a triangle of half-width s multiplies an exponential so
        wide = lags > 15.5 * 0.02
        values[wide] *= (np.sinh(spacings[wide] / 2) / (spacings[wide] / 2)) ** 2
    found = spectral_densities(lags, values[:, None], angular, duration=1e5, spacings=spacings, centred=False)
    assert_allclose(found.values, 1 / (1 + angular**2), rtol=0.03)


def test_frames_too_far_apart_for_a_part_that_counts_are_told():
    """A fast part between two frames is nothing where the slow one is most, and everything where it is not."""
    for share, resolved in ((0.02, True), (0.9, False)):
        of, _ = correlation([(share, 0.05, 0), (1 - share, 10, 0)] if share < 0.5 else [(share, 0.05, 0), (0.02, 2, 0)])
        lags = np.arange(0, 100, 0.5)
        assert relaxation(lags, of(lags), "2H", duration=1e4, centred=False).resolved == resolved
