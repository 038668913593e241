"""T₁ of a tensor that tumbles with a known correlation time, against Abragam's closed formula.

Invariance under rotation.
"""

import dataclasses

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.constants import e, hbar
from scipy.signal import lfilter
from scipy.spatial.transform import Rotation
from trajectories.conftest import traceless

from efg_jax import InputError
from efg_jax.tensors import isotope
from efg_jax.trajectories import average, quadrupolar_t1, relaxation
from efg_jax.trajectories.autocorrelation import autocorrelate

ETA = 0.4
TENSOR = 3.0 * np.diag([-0.5 * (1 - ETA), -0.5 * (1 + ETA), 1.0])  # V/Å²


def abragam(name, v_zz, eta, tau):
    """1/T₁ = (3/40)(2I + 3)/(I²(2I − 1)) (eQV_zz/ħ)² (1 + η²/3) τ_c (Abragam 1961, ch. VIII, Eq. 137), in SI units."""
    nucleus = isotope(name)
    spin, moment = nucleus.spin, nucleus.quadrupole_moment * 1e-31
    coupling = e * moment * v_zz * 1e20 / hbar
    return 1 / (0.075 * (2 * spin + 3) / (spin**2 * (2 * spin - 1)) * coupling**2 * (1 + eta**2 / 3) * tau)


def jumping(frames, atoms, rate, seed):
    """Orientations that are forgotten all at once, with a probability per step: ⟨V(0):V(k)⟩ = V:V (1 − p)^k for every
    rank.
    """
    generator = np.random.default_rng(seed)
    turns = Rotation.random(atoms, random_state=generator).as_matrix()
    for _ in range(frames):
        new = generator.random(atoms) < rate
        if new.any():
            turns[new] = Rotation.random(int(new.sum()), random_state=generator).as_matrix()
        yield turns @ TENSOR @ turns.swapaxes(1, 2)


def diffusing(frames, atoms, step, seed):
    """Small turns about random axes: with Gaussian steps of variance s² an axis, rank 2 decays with exp(−3 s² k)
    (Debye, τ₂ = 1/(6D)).
    """
    generator = np.random.default_rng(seed)
    turns = Rotation.random(atoms, random_state=generator)
    for _ in range(frames):
        turns = Rotation.from_rotvec(step * generator.normal(size=(atoms, 3))) * turns
        matrix = turns.as_matrix()
        yield matrix @ TENSOR @ matrix.swapaxes(1, 2)


@pytest.mark.parametrize("name", ["2H", "17O", "7Li", "27Al"])
def test_the_formula_is_abragams(name):
    tau = 2e-12
    assert_allclose(quadrupolar_t1(np.sum(TENSOR**2) * tau, name), abragam(name, 3.0, ETA, tau), rtol=1e-6)


def test_deuterium_has_its_three_eighths():
    """1/T₁ = (3/8)(eQV_zz/ħ)² τ_c of a spin 1, and (3/125) of a spin 5/2, as every textbook has them, η = 0."""
    axial, tau = np.diag([-1.0, -1.0, 2.0]), 1e-12
    for name, factor in (("2H", 3 / 8), ("17O", 3 / 125)):
        coupling = e * isotope(name).quadrupole_moment * 1e-31 * 2.0e20 / hbar
        assert_allclose(1 / quadrupolar_t1(np.sum(axial**2) * tau, name), factor * coupling**2 * tau, rtol=1e-6)


@pytest.mark.parametrize(
    ("motion", "parameter", "steps"),
    [(jumping, 0.12, -1 / np.log(1 - 0.12)), (diffusing, 0.2, 1 / (3 * 0.2**2))],
)
def test_a_tumbling_tensor_relaxes_by_the_closed_formula(frame, motion, parameter, steps):
    timestep = 5.0
    found = average((frame(v) for v in motion(600, 300, parameter, seed=0)), timestep=timestep)
    result = found.relaxation()
    expected = abragam("7Li", 3.0, ETA, steps * timestep * 1e-15)
    assert result.error < 0.06 * expected
    assert abs(result.t1 - expected) < 3 * result.error + 0.02 * expected
    assert_allclose(result.correlation_time, steps * timestep * 1e-15, rtol=0.08)
    assert_allclose(2 * np.pi * result.narrow_below * result.correlation_time, 0.124, rtol=0.3)  # 1/T₁ is 5 % off
    assert result.resolved
    assert result.converged
    whole = found.relaxation(fluctuation=False)  # the true mean is zero
    assert abs(whole.t1 - expected) < 3 * whole.error + 0.02 * expected
    values = found.autocorrelation(fluctuation=False)
    assert_allclose(values.values[0], np.sum(TENSOR**2), rtol=1e-9)
    assert_allclose(values.lags[:3], [0.0, 5.0, 10.0])
    near = values.lags < 2 * steps * timestep
    assert_allclose(values.values[near] / values.values[0], np.exp(-values.lags[near] / (steps * timestep)), atol=0.05)


def test_tumbling_in_a_field_where_narrowing_ends(frame, caplog):
    """ω₀τ = 0.7 and J(ω) = J(0)/(1 + ω²τ²), for T₁ and T₂ of I = 1 in closed form (Abragam 1961, ch. VIII)."""
    steps, timestep = -1 / np.log(1 - 0.12), 2e4
    tau = steps * timestep * 1e-15
    field = 0.7 / tau / isotope("2H").gyromagnetic_ratio
    found = average((frame(v, ["H"] * 100) for v in jumping(400, 100, 0.12, seed=6)), timestep=timestep)
    zero, one, two = (1 / (1 + (k * 0.7) ** 2) for k in range(3))
    narrow = abragam("2H", 3.0, ETA, tau)
    result = found.relaxation(field=field)
    assert not caplog.records
    assert result.converged
    assert not result.narrow
    for value, error, part in (
        (result.t1, result.error, (one + 4 * two) / 5),
        (result.t2, result.t2_error, (3 * zero + 5 * one + 2 * two) / 10),
    ):
        assert error < 0.1 * narrow / part
        assert abs(value - narrow / part) < 2 * error
    assert_allclose(result.recovery, [(1.0, result.t1)])
    assert np.isnan(result.t2_central)
    text = " ".join(str(dataclasses.replace(found, field=field)).split())
    assert f"at {field:g} T, by the initial rate of the recovery; 100 % with" in text
    assert "T₂ = " in text
    without = found.relaxation()
    assert "give field=" in caplog.text
    assert without.t1 == pytest.approx(without.t2)
    assert abs(without.t1 - narrow) < 3 * without.error


def test_the_correlation_of_tensors_does_not_depend_on_the_frame(frame):
    values = traceless(np.random.default_rng(1), 40, 2)
    turn = Rotation.random(random_state=3).as_matrix()
    one = average(frame(v) for v in values).autocorrelation()
    other = average(frame(turn @ v @ turn.T) for v in values).autocorrelation()
    assert_allclose(one.values, other.values, atol=1e-12)


def test_residual_and_fluctuation_add_up(frame):
    generator = np.random.default_rng(2)
    values = traceless(generator, 200, 1) + 4 * TENSOR
    found = average((frame(v) for v in values), direction=(0, 1, 2))
    whole, part = found.autocorrelation(fluctuation=False), found.autocorrelation()
    mean = values[:, 0].mean(axis=0)
    assert_allclose(whole.values[0] - part.values[0], np.sum(mean**2), rtol=1e-9)
    for found_values, series in ((whole.values, values[:, 0]), (part.values, values[:, 0] - mean)):
        for lag in range(16):
            pairs = np.sum(series[: 200 - lag] * series[lag:], axis=(1, 2))
            assert_allclose(found_values[lag], pairs.mean(), rtol=1e-9, atol=1e-9)
    nu = found.sampled("nu_q")
    assert_allclose(found.autocorrelation("nu_q").values[0], nu.var(), rtol=1e-9)
    assert found.autocorrelation("nu_q").lags[-1] > 100


def test_frames_too_far_apart_are_told(frame):
    found = average((frame(v) for v in jumping(100, 20, 0.9, seed=1)), timestep=1.0)
    assert not found.relaxation().resolved


def test_a_trajectory_too_short_for_its_correlation_is_told(frame):
    found = average((frame(v) for v in diffusing(60, 20, 0.06, seed=1)), timestep=1.0)
    assert not found.relaxation().converged


def test_a_rigid_tensor_does_not_relax(frame):
    turn = Rotation.random(random_state=4).as_matrix()
    found = average((frame([turn @ TENSOR @ turn.T]) for _ in range(40)), timestep=1.0, direction=(1, 2, 3))
    assert found.relaxation().t1 == np.inf
    assert not found.autocorrelation().values.any()
    assert not found.autocorrelation("nu_q").values.any()


def test_a_mean_far_beyond_the_fluctuation_changes_neither_correlation_nor_t1(frame):
    """δV = x T with ⟨x(0) x(t)⟩ = φ^t, τ = 20 frames, about a mean of 30 standard deviations: the integral is T:T (1 +
    φ)/(2(1 − φ)).
    """
    phi, frames, atoms = np.exp(-1 / 20), 600, 40
    noise = np.random.default_rng(3).normal(size=(frames, atoms)) * np.sqrt(1 - phi**2)
    noise[0] /= np.sqrt(1 - phi**2)
    series = lfilter([1.0], [1.0, -phi], noise, axis=0)

    def found(mean):
        return average((frame((x + mean)[:, None, None] * TENSOR) for x in series), timestep=1.0, direction=(0, 0, 1))

    small, large = found(0.0), found(30.0)
    exact = np.sum(TENSOR**2) * (1 + phi) / (2 * (1 - phi)) * 1e-15
    result = large.relaxation(until=100.0)
    assert abs(result.integral - exact) < 3 * result.error / result.t1 * exact
    assert_allclose(result.integral, small.relaxation(until=100.0).integral, rtol=1e-9)
    for of in ("tensor", "nu_q"):
        values = large.autocorrelation(of).values
        assert_allclose(values, small.autocorrelation(of).values, atol=1e-9 * values[0])


def test_frequencies_are_correlated_where_there_are_some(frame):
    """An element without a quadrupolar isotope has n·V·n in V/Å².

    It changes nothing of another element's Hz, and is not averaged with them.
    """
    values = traceless(np.random.default_rng(5), 30, 2)
    found = average((frame(v, ["O", "Si"]) for v in values), direction=(0, 0, 1))
    oxygen, silicon = (found.autocorrelation("nu_q", species=symbol) for symbol in ("O", "Si"))
    assert (oxygen.unit, silicon.unit) == ("Hz²", "(V/Å²)²")
    assert_allclose(oxygen.values[0], found.sampled("nu_q", species="O").var(), rtol=1e-9)
    assert_allclose(silicon.values[0], found.sampled("v_nn", species="Si").var(), rtol=1e-9)
    assert found.autocorrelation().unit == "(V/Å²)²"
    with pytest.raises(InputError, match=r"Si has no quadrupolar isotope.*species="):
        found.autocorrelation("nu_q")
    with pytest.raises(InputError, match="no autocorrelation of 'eta'"):
        autocorrelate(found.sums, found.isotopes, None, "eta", species=None, atom=None, fluctuation=True)


def test_what_t1_needs(frame):
    values = list(jumping(30, 2, 0.2, seed=2))
    with pytest.raises(InputError, match="timestep"):
        average(frame(v) for v in values).relaxation()
    with pytest.raises(InputError, match="Li or Si"):
        average((frame(v, ["Li", "Si"]) for v in values), timestep=1).relaxation()
    with pytest.raises(InputError, match="Si has no quadrupolar isotope"):
        average((frame(v, ["Li", "Si"]) for v in values), timestep=1).relaxation(species="Si")
    masked = average((frame(v, good=k > 5) for k, v in enumerate(values)), timestep=1, mask="good")
    with pytest.raises(InputError, match="no times"):
        masked.relaxation()
    with pytest.raises(InputError, match="below zero"):
        relaxation(np.array([0.0, 1.0, 2.0]), np.array([1.0, -3.0, -3.0]), "7Li", duration=10.0, until=2.0)
    for until in (-1.0, 0.0, 0.5):
        with pytest.raises(InputError, match="has no step"):
            relaxation(np.array([0.0, 1.0, 2.0]), np.ones(3), "7Li", duration=10.0, until=until)
    with pytest.raises(InputError, match="no quadrupole moment"):
        quadrupolar_t1(1.0, "29Si")


@pytest.mark.parametrize(
    ("options", "why"),
    [({"label": "phase"}, "each phase or site in a file of its own"), ({"mask": "use"}, "left out frames")],
)
def test_there_is_no_t1_across_phases_or_gaps_and_the_result_says_so(frame, options, why):
    """A step from one phase to the other is no motion within either, and frames on both sides of a gap are no step
    apart.
    """

    def marked():
        rng = np.random.default_rng(0)
        for number in range(60):
            atoms = frame(traceless(rng, 2))
            atoms.info |= {"phase": "ab"[number // 30], "use": number % 3 > 0}
            yield atoms

    found = average(marked(), timestep=5.0, **options)
    assert [why in reason for reason in found.relaxations().values()] == [True]
    assert why in " ".join(str(found).split())


@pytest.mark.parametrize(
    ("time", "field", "strength", "doubts"),
    [
        (0.2e-9, 9.4, 1e-3, ()),
        (0.2e-9, None, 1e-3, ()),
        (20e-9, 9.4, 1e-3, ("J(2ω₀) is too small a part of J(0)",)),
        (1e-6, 9.4, 1e-9, ("the frames are too far apart in time",)),
        (1e-6, None, 1e2, ("the motion is not fast against the coupling",)),
    ],
)
def test_what_makes_t1_a_guess_is_said(time, field, strength, doubts):
    """²³Na whose correlation is exactly one exponential, known at 100 steps a correlation time."""
    lags = time / 100 * np.arange(20_000.0)
    if time == 20e-9:
        lags = lags[::1] / 10  # 1000 steps a correlation time
    values = strength * np.exp(-lags / time)
    found = relaxation(lags, values, "23Na", duration=1e5 * time, atoms=100, field=field)
    assert set(doubts) <= set(found.doubts)
    assert bool(doubts) == bool(found.doubts)
