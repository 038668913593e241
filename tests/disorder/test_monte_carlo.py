"""Monte Carlo against exact enumeration of the 42-atom cell, and the bookkeeping of large ones."""

from importlib import import_module

import numpy as np
import pytest
from ase.units import kB
from numpy.testing import assert_allclose, assert_array_equal

import efg_jax as ej
from efg_jax.disorder import (
    LatticeGas,
    anneal,
    enumerate_occupations,
    lattice_gas,
    metropolis,
    occupation_of,
    occupied,
    wang_landau,
)
from efg_jax.disorder.spinel import CELL_42, CHARGES, DISORDERED, build_lto
from efg_jax.electrostatics import COULOMB, ewald_potential

EPSILON = 20.0
MODULE = import_module("efg_jax.disorder.wang_landau")  # in the package, the function has that name


@pytest.fixture(scope="module")
def small():
    return lattice_gas(build_lto(CELL_42), DISORDERED, CHARGES, dielectric=EPSILON)


@pytest.fixture(scope="module")
def every(small):
    """All 66 arrangements, and their energies."""
    arrangements = enumerate_occupations(12, 2)
    return arrangements, np.asarray(small.energy(arrangements))


def test_energies_are_those_of_all_charges(small, every):
    atoms = build_lto(CELL_42)
    arrangements, energies = every
    for number in (0, 17, 65):
        crystal = occupied(atoms, arrangements[number], DISORDERED)
        assert_array_equal(occupation_of(crystal, DISORDERED), arrangements[number])
        charges = np.array([CHARGES[symbol] for symbol in crystal.symbols])
        whole = 0.5 * charges @ ewald_potential(crystal, np.arange(42), charges) * COULOMB / EPSILON
        assert_allclose(energies[number], whole, rtol=1e-12)


def test_six_configurations_have_five_energies(every):
    """Multiplicities are 3, 9, 9, 9, 18, 18 (Harper et al. 2025); point charges give two of the six the same energy."""
    _, count = np.unique(every[1].round(8), return_counts=True)
    assert sorted(count) == [9, 9, 12, 18, 18]


@pytest.mark.parametrize("temperature", [3000.0, 12000.0])
def test_metropolis_visits_arrangements_with_their_boltzmann_weights(small, every, temperature):
    _, energies = every
    weights = np.exp(-(energies - energies.min()) / (kB * temperature))
    weights /= weights.sum()
    exact = weights @ energies
    chains = 16
    start = np.stack([occupation_of(build_lto(CELL_42, seed=s), DISORDERED) for s in range(chains)])
    found = metropolis(small, start, np.full(3000, temperature), seed=0)
    means = found.energy[:, 200:].mean(axis=1)
    error = means.std(ddof=1) / np.sqrt(chains)
    assert error < 0.02
    assert abs(means.mean() - exact) < 4 * error
    assert_allclose(small.energy(found.occupation), found.energy[:, -1], atol=1e-9)
    assert (found.occupation.sum(axis=1) == 2).all()
    assert 0 < found.acceptance.mean() < 1


def test_wang_landau_counts_arrangements(small, every):
    _, energies = every
    levels, counts = np.unique(energies.round(8), return_counts=True)
    start = occupation_of(build_lto(CELL_42), DISORDERED)
    said = []
    found = wang_landau(
        small,
        start,
        (levels[0] - 0.01, levels[-1] + 0.01),
        seed=1,
        bins=400,
        final=1e-5,
        progress=lambda *a: said.append(a),
    )
    assert_allclose(found.energies, levels, atol=1e-6)
    assert_allclose(np.exp(found.log_count), counts, rtol=0.05)
    assert_allclose(np.exp(found.log_count).sum(), 66, rtol=1e-12)
    assert_allclose(found.lowest_energy, levels[0], atol=1e-6)
    assert said[-1][0] == found.attempts
    for temperature in (3000.0, 12000.0):
        weights = counts * np.exp(-(levels - levels[0]) / (kB * temperature))
        weights /= weights.sum()
        assert abs(found.mean_energy(temperature) - weights @ levels) < 0.01
        variance = weights @ (levels - weights @ levels) ** 2
        assert_allclose(found.heat_capacity(temperature), variance / (kB * temperature**2), rtol=0.05)


@pytest.mark.parametrize("half", ["lower", "upper"])
def test_bounds_that_hold_half_of_the_arrangements(small, every, half, caplog):
    """Numbers, and the weight that canonical means miss, against the enumeration of all 66."""
    levels, counts = np.unique(every[1].round(8), return_counts=True)
    middle = (levels[2] + levels[3]) / 2
    bounds = (levels[0] - 0.01, middle) if half == "lower" else (middle, levels[-1] + 0.01)
    inside = (levels > bounds[0]) & (levels < bounds[1])
    assert counts[inside].sum() < 45
    energies = np.asarray(small.energy(every[0]))
    start = every[0][np.flatnonzero((energies > bounds[0]) & (energies < bounds[1]))[0]]
    found = wang_landau(small, start, bounds, seed=1, bins=400, final=5e-5)
    assert_allclose(found.energies, levels[inside], atol=1e-6)
    assert_allclose(np.exp(found.log_count), counts[inside], rtol=0.08)
    assert_allclose(np.exp(found.log_count).sum(), counts[inside].sum(), rtol=1e-12)
    assert (found.census.fraction, found.census.error) == (counts[inside].sum() / 66, 0.0)
    assert found.beyond == (half == "upper", half == "lower")
    for temperature in (300.0, 3000.0, 12000.0):
        weights = counts * np.exp(-(levels - levels[0]) / (kB * temperature))
        exact = weights[~inside].sum() / weights.sum()
        assert found.missed(temperature) == pytest.approx(exact, rel=0.08, abs=1e-6)
        caplog.clear()
        mean = found.mean_energy(temperature)
        assert mean == pytest.approx(weights[inside] @ levels[inside] / weights[inside].sum(), abs=0.02)
        assert ("outside of the bounds" in caplog.text) == (exact > 0.01)


def test_the_part_within_bounds_is_estimated_where_it_cannot_be_counted(small, every, monkeypatch, caplog):
    """A sample knows the part to its error; where it holds none, numbers are relative, and the edge tells of a cut."""
    monkeypatch.setattr(MODULE, "MOST_COUNTED", 10)
    levels, counts = np.unique(every[1].round(8), return_counts=True)
    start = every[0][np.argmin(every[1])]
    bounds = (levels[0] - 0.01, (levels[2] + levels[3]) / 2)
    found = wang_landau(small, start, bounds, seed=1, bins=400, final=1e-4)
    exact = counts[:3].sum() / 66
    assert 0 < found.census.error < 0.005
    assert abs(found.census.fraction - exact) < 4 * found.census.error
    assert_allclose(np.exp(found.log_count).sum(), 66 * found.census.fraction, rtol=1e-9)
    weights = counts * np.exp(-(levels - levels[0]) / (kB * 6000.0))
    assert found.missed(6000.0) >= 0.9 * weights[3:].sum() / weights.sum()
    assert found.missed(300.0) < 1e-3  # the ground state is within, and there is nothing below
    monkeypatch.setattr(MODULE, "SAMPLE", 1)
    for seed in range(20):  # until the one that is drawn lies outside
        found = wang_landau(small, start, (levels[0] - 0.01, levels[0] + 0.01), seed, bins=400, final=1e-3)
        if not np.isfinite(found.census.fraction):
            break
    assert "log_count is relative" in caplog.text
    assert_allclose(np.exp(found.log_count).sum(), 1.0)
    assert found.missed(1000.0) > 0.5


def test_annealing_finds_the_ground_state_of_the_small_cell(small, every):
    start = np.stack([occupation_of(build_lto(CELL_42, seed=s), DISORDERED) for s in range(4)])
    found = anneal(small, start, seed=3, sweeps=200)
    assert_allclose(found.best_energy, every[1].min(), atol=1e-9)
    assert_allclose(small.energy(found.best), found.best_energy, atol=1e-9)


def test_unscreened_charges_freeze_and_screened_ones_move():
    atoms = build_lto((1, 1, 3), seed=0)
    start = occupation_of(atoms, DISORDERED)[None]
    acceptance = []
    for dielectric in (1.0, 30.0):
        gas = lattice_gas(atoms, DISORDERED, CHARGES, dielectric)
        quenched = anneal(gas, start, seed=0, hot=100_000.0 / dielectric, cold=1100.0, sweeps=200)
        acceptance.append(metropolis(gas, quenched.occupation, np.full(200, 1100.0), seed=1).acceptance.mean())
    assert acceptance[0] < 0.01 < 0.03 < acceptance[1]


def test_a_seed_is_a_chain():
    gas = lattice_gas(build_lto(CELL_42), DISORDERED, CHARGES, 50.0)
    start = occupation_of(build_lto(CELL_42), DISORDERED)[None]
    first, again, other = (metropolis(gas, start, np.full(30, 2000.0), seed=seed) for seed in (0, 0, 1))
    assert_array_equal(first.energy, again.energy)
    assert (first.energy != other.energy).any()


def test_chains_do_not_depend_on_their_companions():
    gas = lattice_gas(build_lto(CELL_42), DISORDERED, CHARGES, 50.0)
    start = np.stack([occupation_of(build_lto(CELL_42, seed=s), DISORDERED) for s in range(3)])
    together = metropolis(gas, start, np.full(20, 2000.0), seed=0)
    turned = metropolis(gas, start[[0, 2, 1]], np.full(20, 2000.0), seed=0)
    assert_array_equal(together.energy[0], turned.energy[0])


def without_sites():
    atoms = build_lto(CELL_42)
    del atoms.arrays["site"]
    return atoms


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: lattice_gas(without_sites(), DISORDERED, CHARGES), "have no sites"),
        (lambda: lattice_gas(build_lto(3), DISORDERED, CHARGES, sublattice_name="4a"), "no atom is on site 4a"),
        (lambda: lattice_gas(build_lto(CELL_42), ("Li", "Na"), CHARGES), "also holds Ti"),
        (lambda: lattice_gas(build_lto(CELL_42), ("Li", "Li"), CHARGES), "both Li"),
        (lambda: lattice_gas(build_lto(CELL_42), DISORDERED, {"Li": 1.0}), "no charge is given for O, Ti"),
        (lambda: lattice_gas(build_lto(1, lithium=3), DISORDERED, CHARGES), r"add up to \+-1 e|add up to -1 e"),
        (lambda: lattice_gas(build_lto(CELL_42), DISORDERED, CHARGES, 0.0), "not positive"),
        (lambda: enumerate_occupations(72, 12), "too many to enumerate"),
    ],
)
def test_what_has_no_energy_is_refused(make, message):
    with pytest.raises(ej.InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("temperatures", "rows", "message"),
    [
        ([-1.0], [[1, 0, 0]], "positive numbers"),
        ([], [[1, 0, 0]], "positive numbers"),
        ([300.0], [[1, 0, 0], [1, 1, 0]], "different numbers"),
        ([300.0], [[1, 1, 1]], "nothing can be exchanged"),
    ],
)
def test_what_cannot_be_sampled_is_refused(temperatures, rows, message):
    gas = LatticeGas(np.asarray(0.0), np.zeros(3), np.eye(3))
    with pytest.raises(ej.InputError, match=message):
        metropolis(gas, np.array(rows, dtype=bool), np.array(temperatures), seed=0)
    with pytest.raises(ej.InputError, match="outside of the bounds"):
        wang_landau(gas, np.array([True, False, False]), (1.0, 2.0), seed=0)
