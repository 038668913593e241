"""Spin-alignment echoes against density matrices, kinetic Monte Carlo, and closed forms of hopping."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.spin_hamiltonian import spin_operators
from scipy.constants import e, h
from scipy.linalg import expm
from trajectories.conftest import traceless

from efg_jax import InputError
from efg_jax.tensors.nuclei import isotope
from efg_jax.tensors.powder import field_directions
from efg_jax.trajectories import alignment_echo, jump_echo, two_time_echo

LITHIUM = abs(e * 40.1e-31 * 1e20 / h)  # eQ/h of ⁷Li, Hz per V/Å²


def sites(count, kilohertz=60.0, seed=0):
    """Random tensors with quadrupolar couplings of ⁷Li of about this size."""
    return kilohertz * 1e3 / LITHIUM * traceless(np.random.default_rng(seed), count)


def to_all(count, rate):
    return rate * (np.ones((count, count)) - np.eye(count))


@pytest.mark.parametrize("name", ["7Li", "2H"])
def test_prefactor_and_frequency_are_those_of_the_pulse_sequence(name):
    """(π/2)ₓ – t_p – (π/4)_y – t_m – (π/4) – t_p on a density matrix; only populations survive t_m."""
    nucleus, efg = isotope(name), 50.0 * sites(1)[0]
    spin, direction = nucleus.spin, np.array([0.3, -0.5, np.sqrt(0.66)])
    x, y, z = spin_operators(spin)
    strength = e * nucleus.quadrupole_moment * 1e-31 * 1e20 / (2 * spin * (2 * spin - 1) * h)
    secular = strength * (direction @ efg @ direction) / 2 * (3 * z @ z - spin * (spin + 1) * np.eye(len(z)))  # Hz

    def after(density, operator, angle):
        turn = expm(-1j * angle * operator)
        return turn @ density @ turn.conj().T

    preparations = np.array([0.2, 0.7, 1.9]) / np.abs(np.diff(np.diag(secular))).max()
    found = jump_echo([efg], [[0.0]], preparations, [1.0], isotope=nucleus, directions=direction[None])
    for t_p, value in zip(preparations, found.values[:, 0], strict=True):
        density = after(after(after(z, x, np.pi / 2), secular, 2 * np.pi * t_p), y, np.pi / 4)
        density = after(after(np.diag(np.diag(density)), y, np.pi / 4), secular, 2 * np.pi * t_p)
        signal = -np.trace(density @ y).real / np.trace(y @ y).real
        assert_allclose(found.amplitude * value, signal, rtol=1e-9)
        assert signal > 1e-3


def test_two_sites_decay_with_the_sum_of_their_rates():
    """In a closed form, over 24 decades of the mixing time."""
    efgs, rates = sites(2), np.array([[7.0, 2e3], [5e2, 7.0]])
    times, mixing = np.array([5e-6, 4e-5]), np.logspace(-12, 12, 49)
    found = jump_echo(efgs, rates, times, mixing, isotope="7Li", directions=100)
    n = field_directions(100)
    omega = np.pi * LITHIUM * np.einsum("di,sij,dj->sd", n, efgs, n)  # 2πν_Q, ν_Q = eQ/2h n·V·n
    s, p = np.sin(times[:, None, None] * omega), np.array([0.2, 0.8])
    plateau = np.mean(np.einsum("s,psd->pd", p, s) ** 2, axis=1)
    contrast = 0.16 * np.mean((s[:, 0] - s[:, 1]) ** 2, axis=1)
    assert_allclose(found.mixing[1:], mixing)
    expected = plateau[:, None] + contrast[:, None] * np.exp(-2.5e3 * found.mixing)
    assert_allclose(found.values, expected, rtol=1e-10)
    assert_allclose(found.plateau, plateau, rtol=1e-10)
    found = jump_echo(efgs, rates, times, isotope="7Li", directions=100)  # mixing times of its own choice
    assert_allclose(found.values[:, -1], plateau, rtol=1e-4)
    for decay in found.decays:
        assert_allclose([decay.time, decay.stretching], [1 / 2.5e3, 1.0], rtol=1e-5)
        assert_allclose(decay.e_time, 1 / 2.5e3, rtol=2e-2)
    cosine = jump_echo(efgs, rates, times, mixing, isotope="7Li", directions=100, part="cos")
    assert_allclose(found.values[:, 0] + cosine.values[:, 0], 1.0)


def test_the_plateau_counts_inequivalent_sites():
    """1/N for long t_p; sites with one tensor count once; with populations Σ p²."""
    for efgs, expected in ((sites(5), 0.2), (np.repeat(sites(2), [3, 1], axis=0), (9 + 1) / 16)):
        found = jump_echo(efgs, to_all(len(efgs), 1e3), 1e-3, isotope="7Li", directions=20000)
        assert_allclose(found.plateau / found.values[:, 0], expected, rtol=0.03)
    ladder = np.diag([3e2, 3e2, 3e2], 1) + np.diag([1e2, 1e2, 1e2], -1)  # detailed balance: p_i ∝ 3^i
    found = jump_echo(sites(4), ladder, 1e-3, isotope="7Li", directions=20000)
    p = 3.0 ** np.arange(4) / 40
    assert_allclose(found.plateau / found.values[:, 0], np.sum(p**2), rtol=0.03)


def test_a_short_preparation_time_shows_the_correlation_of_the_tensors():
    """F₂ → t_p² ⟨ω(0) ω(t_m)⟩, whose powder mean goes as ⟨V(0):V(t_m)⟩."""
    generator, efgs = np.random.default_rng(2), sites(6)
    rates = generator.exponential(1e3, (6, 6)) * (1 - np.eye(6))  # without detailed balance
    mixing = np.logspace(-5, -2, 7)
    found = jump_echo(efgs, rates, 1e-9, mixing, isotope="7Li", directions=20000)
    q = rates - np.diag(rates.sum(axis=1))
    p = np.linalg.svd(q.T)[2][-1]
    products = np.einsum("aij,bij->ab", efgs, efgs)
    expected = [np.sum((p / p.sum())[:, None] * expm(q * t) * products) for t in found.mixing]
    assert_allclose(found.values[0] / found.values[0, 0], np.array(expected) / expected[0], rtol=1e-3)


def test_the_pure_function_has_derivatives():
    frequencies, times, mixing = jnp.asarray(np.random.default_rng(1).normal(size=(3, 20))), jnp.ones(1), jnp.ones(1)
    rates = jnp.asarray(to_all(3, 0.4) + np.random.default_rng(3).uniform(0, 0.2, (3, 3)))

    @jax.jit
    def echo(rates):
        return two_time_echo(frequencies, rates, times, mixing)[0][0, 0]

    step = jnp.zeros((3, 3)).at[0, 2].set(1e-5)
    difference = (echo(rates + step) - echo(rates - step)) / 2e-5
    assert_allclose(jax.grad(echo)(rates)[0, 2], difference, rtol=1e-6)
    assert_allclose(jax.vmap(echo)(jnp.stack([rates, 2 * rates]))[1], echo(2 * rates))


def walk(frame, efgs, rates, step, count, atoms, seed=0, noise=0.0):
    """Frames of atoms that hop by kinetic Monte Carlo, seen at equal times, from equilibrium on."""
    generator = np.random.default_rng(seed)
    q = rates - np.diag(rates.sum(axis=1))
    p = np.linalg.svd(q.T)[2][-1]
    at, leave = generator.choice(len(p), size=atoms, p=p / p.sum()), -np.diag(q)
    clock = generator.exponential(1 / leave[at])
    for k in range(count):
        for atom in range(atoms):
            while clock[atom] < k * step:  # Gillespie: next site by its rate, next time from an exponential
                at[atom] = generator.choice(len(p), p=rates[at[atom]] / leave[at[atom]])
                clock[atom] += generator.exponential(1 / leave[at[atom]])
        yield frame(efgs[at] + noise * traceless(generator, atoms))


def test_a_trajectory_of_hops_has_the_echo_of_its_rates(frame):
    efgs, times = sites(3), [1e-5, 6e-5]
    rates = np.array([[0, 4.0, 1.0], [2.0, 0, 3.0], [1.0, 6.0, 0]])
    frames = walk(frame, efgs, rates, 0.02, 1200, 36)
    found = alignment_echo(frames, times, timestep=0.02e15, species="Li", directions=60)
    exact = jump_echo(efgs, rates, times, found.mixing, isotope="7Li", directions=60)
    assert_allclose(found.mixing, exact.mixing)
    short = found.mixing < 6.0
    deviation = (found.values - exact.values)[:, short] / found.errors[:, short]
    assert np.sqrt(np.mean(deviation**2)) < 1.6
    assert_allclose(found.values[:, short], exact.values[:, short], atol=0.03)
    assert_allclose(found.plateau, exact.plateau, atol=4 * found.plateau_errors.max())
    for decay, error, right in zip(found.decays, found.decay_errors, exact.decays, strict=True):
        assert abs(decay.time - right.time) < 4 * error.time < 0.5 * right.time
        assert abs(decay.stretching - right.stretching) < 4 * error.stretching < 0.6
    assert "36 atoms, 1200 frames, 24.0 s" in str(found)


def test_short_times_are_plain_means_over_pairs_of_frames(frame):
    efgs = 60e3 / LITHIUM * traceless(np.random.default_rng(5), 30, 2)
    found = alignment_echo((frame(own) for own in efgs), 2e-5, timestep=1e9, directions=40)
    n = field_directions(40)
    waves = np.sin(2e-5 * np.pi * LITHIUM * np.einsum("di,taij,dj->tad", n, efgs, n))
    for lag in range(16):
        assert_allclose(found.values[0, lag], np.mean(waves[: 30 - lag] * waves[lag:]), rtol=1e-10)
        assert_allclose(found.mixing[lag], lag * 1e-6)
    assert_allclose(found.plateau[0], np.mean(waves.mean(axis=(0, 1)) ** 2), rtol=1e-10)


def test_a_window_takes_vibrations_out(frame):
    """Vibrations that are not averaged take a third of the echo at once; over ten frames they leave it nearly whole."""
    efgs, rates = sites(2), to_all(2, 1.0)
    asked = {"timestep": 0.01e15, "directions": 30}
    still = alignment_echo(walk(frame, efgs, rates, 0.01, 600, 9), 1e-5, **asked)
    shaken = [list(walk(frame, efgs, rates, 0.01, 600, 9, noise=0.08 * np.abs(efgs).max()))] * 2
    raw, smooth = (alignment_echo(own, 1e-5, window=w, **asked) for own, w in zip(shaken, (1, 10), strict=True))
    assert raw.values[0, 1] < 0.65 * still.values[0, 1]  # gone at the first step
    assert_allclose(smooth.values[0, :8], np.interp(smooth.mixing[:8], still.mixing, still.values[0]), atol=0.06)
    assert_allclose(smooth.mixing[1], 0.1)


def test_results_are_written(tmp_path):
    found = jump_echo(sites(3), to_all(3, 1e3), [1e-5, 2e-5], [0.0, 1e-4, 1e-3, 1e-2], isotope="7Li", directions=50)
    found.to_json(tmp_path / "echo.json")
    found.to_csv(tmp_path / "echo.csv")
    entry = json.loads((tmp_path / "echo.json").read_text())
    assert_allclose(entry["values"], found.values)
    assert entry["amplitude"] == 0.45
    assert entry["errors"][0] == [None] * 4
    table = np.genfromtxt(tmp_path / "echo.csv", delimiter=",", names=True)
    assert_allclose(table["echo"].reshape(2, 4), found.values)
    assert_allclose(table["mixing"][:4], [0.0, 1e-4, 1e-3, 1e-2])
    cosine = jump_echo(sites(3), to_all(3, 1e3), 1e-5, isotope="7Li", directions=50, part="cos")
    assert cosine.to_dict()["amplitude"] is None
    assert "10.0 µs" in str(found)
    assert "0.45 F₂" in str(found)
    (axes,) = found.plot().axes
    assert_allclose(axes.lines[0].get_ydata(), found.values[0, 1:] / found.values[0, 0])


def test_echoes_that_cannot_be_are_refused(frame):
    lithium, mixed = [frame(sites(2))] * 3, [frame(sites(2), ["Li", "O"])] * 3
    two, rates = sites(2), to_all(2, 1.0)
    for call, message in (
        (lambda: alignment_echo(lithium, 1e-5, timestep=0.0), "time step of 0.0 fs"),
        (lambda: alignment_echo(lithium, -1e-5, timestep=1.0), "preparation times must be positive"),
        (lambda: alignment_echo(mixed, 1e-5, timestep=1.0), "not of Li and O"),
        (lambda: alignment_echo(mixed, 1e-5, timestep=1.0, species="O"), "17O has spin 2.5"),
        (lambda: alignment_echo(lithium, 1e-5, timestep=1.0, isotope="23Na"), "23Na is no quadrupolar isotope of Li"),
        (lambda: alignment_echo(lithium, 1e-5, timestep=1.0, window=2), "3 frames make 1 windows of 2"),
        (lambda: alignment_echo(lithium, 1e-5, timestep=1.0, window=0), "window of 0 frames"),
        (lambda: jump_echo(two, -rates, 1e-5, isotope="7Li"), "not negative"),
        (lambda: jump_echo(two * [[[1.0], [1.0], [np.nan]]], rates, 1e-5, isotope="7Li"), "must be field gradients"),
        (lambda: jump_echo(two + np.eye(3), rates, 1e-5, isotope="7Li"), "must be field gradients"),
        (lambda: jump_echo(two + np.eye(3, k=1), rates, 1e-5, isotope="7Li"), "must be field gradients"),
        (lambda: jump_echo(two, to_all(3, 1.0), 1e-5, isotope="7Li"), "got (2, 3, 3) and (3, 3)"),
        (lambda: jump_echo(two, [[0, 1], [0, 0]], 1e-5, isotope="7Li"), "2 groups without hops there and back"),
        (lambda: jump_echo(two, rates, 1e-5, isotope="7Li", populations=[0.1, 0.9]), "rates change these populations"),
        (lambda: jump_echo(two, rates, 1e-5, isotope="7Li", populations=[0.1, 0.1]), "whose sum is 1"),
        (lambda: jump_echo(two, rates, 1e-5, [-1.0], isotope="7Li"), "zero or positive"),
        (lambda: jump_echo(two[:1], [[0.0]], 1e-5, isotope="7Li"), "no ion hops"),
        (lambda: jump_echo(two, rates, 1e-5, isotope="7Li", directions=np.zeros((1, 3))), "none of them zero"),
    ):
        with pytest.raises(InputError) as refused:
            call()
        assert message in str(refused.value)
