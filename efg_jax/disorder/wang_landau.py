"""Density of states by Wang–Landau sampling, with ln f = 1/t at the end (Belardinelli and Pereyra)."""

from collections.abc import Callable
from dataclasses import dataclass
from math import lgamma
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.units import kB
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from efg_jax.disorder.lattice_gas import LatticeGas
from efg_jax.disorder.metropolis import State, exchanged, occupation_from, proposal, starting_state
from efg_jax.errors import InputError
from efg_jax.precision import x64

FLATNESS = 0.8  # visits of the least visited bin over the mean at which ln f is halved
_BLOCK = 20_000  # attempts between two looks at the histogram


class Tally(NamedTuple):
    """Counts by bin: log density, energies, visits in total and since ln f changed; and the lowest arrangement."""

    log_count: Float[Array, " bins"]
    energy: Float[Array, " bins"]
    visits: Int[Array, " bins"]
    histogram: Int[Array, " bins"]
    lowest_energy: Float[Array, ""]
    lowest: Bool[Array, " sites"]


@dataclass(frozen=True)
class DensityOfStates:
    """Number of arrangements by energy.

    Attributes:
        energies: mean energy of the sampled arrangements in each bin, eV, without empty bins.
        log_count: natural logarithm of the number of arrangements in them, which add up to that of all arrangements.
        attempts: number of attempts.
        lowest: sampled arrangement of lowest energy.
        lowest_energy: its energy, eV.
    """

    energies: Float[np.ndarray, " bins"]
    log_count: Float[np.ndarray, " bins"]
    attempts: int
    lowest: Bool[np.ndarray, " sites"]
    lowest_energy: float

    def mean_energy(self, temperature: float) -> float:
        """Canonical mean of the energy at a temperature (K), eV."""
        return float(self._weights(temperature) @ self.energies)

    def heat_capacity(self, temperature: float) -> float:
        """(⟨E²⟩ − ⟨E⟩²)/(k T²), eV/K."""
        weights = self._weights(temperature)
        mean = weights @ self.energies
        return float(weights @ (self.energies - mean) ** 2 / (kB * temperature**2))

    def _weights(self, temperature: float) -> np.ndarray:
        exponent = self.log_count - (self.energies - self.energies.min()) / (kB * temperature)
        weights = np.exp(exponent - exponent.max())
        return weights / weights.sum()


def wang_landau(
    gas: LatticeGas,
    occupation: Bool[np.ndarray, " sites"],
    bounds: tuple[float, float],
    seed: int,
    bins: int = 100,
    final: float = 1e-6,
    progress: Callable[[int, float], None] | None = None,
) -> DensityOfStates:
    """Sample arrangements with weights that converge to the inverse density of states (Wang and Landau 2001).

    Args:
        gas: the energy.
        occupation: initial arrangement, with its energy within the bounds.
        bounds: lowest and highest energy, eV; attempts that lead outside are rejected.
        seed: seed of the random numbers.
        bins: number of bins of equal width between the bounds.
        final: ln f at which sampling ends; the number of attempts is about the number of visited bins over it.
        progress: called from time to time with (attempts, ln f).

    Raises:
        InputError: the start is outside the bounds, or there is nothing to exchange.
    """
    low, high = map(float, bounds)
    if not low < high:
        raise InputError(f"bounds = ({low:g}, {high:g}) eV are empty; give the lower one first")
    if occupation.all() or not occupation.any():
        raise InputError("all sites hold the same species; nothing can be exchanged")
    start_energy = float(gas.energy(occupation))
    if not low <= start_energy <= high:
        raise InputError(
            f"the start has an energy of {start_energy:.3f} eV, outside of the bounds ({low:g}, {high:g}) eV"
        )
    with x64():
        own = jax.tree.map(jnp.asarray, gas)
        state = starting_state(own, occupation)
        tally = Tally(
            *(jnp.zeros(bins) for _ in range(2)), jnp.zeros(bins, dtype=int), jnp.zeros(bins, dtype=int),
            state.energy, jnp.asarray(occupation),
        )  # fmt: skip
        key, attempts, increment, harmonic = jax.random.key(seed), 0, 1.0, False
        while increment > final:
            key, block = jax.random.split(key)
            state, tally = _block(own, state, tally, block, jnp.array([low, high]), jnp.asarray(increment))
            attempts += _BLOCK
            met = np.asarray(tally.visits) > 0
            histogram = np.asarray(tally.histogram)[met]
            if harmonic:
                increment = met.sum() / attempts
            elif histogram.min() > FLATNESS * histogram.mean():
                increment /= 2.0
                tally = tally._replace(histogram=jnp.zeros_like(tally.histogram))
                harmonic = increment < met.sum() / attempts
            if progress is not None:
                progress(attempts, increment)
    sites, held = len(occupation), int(occupation.sum())
    log_all = lgamma(sites + 1) - lgamma(held + 1) - lgamma(sites - held + 1)
    log_count = np.asarray(tally.log_count)[met]
    log_count += log_all - (log_count.max() + np.log(np.exp(log_count - log_count.max()).sum()))
    energies = np.asarray(tally.energy)[met] / np.asarray(tally.visits)[met]
    return DensityOfStates(energies, log_count, attempts, np.asarray(tally.lowest), float(tally.lowest_energy))


@jax.jit
def _block(
    gas: LatticeGas,
    state: State,
    tally: Tally,
    key: Array,
    bounds: Float[Array, "2"],
    increment: Float[Array, ""],
) -> tuple[State, Tally]:
    """Many attempts with one ln f."""
    low, width = bounds[0], (bounds[1] - bounds[0]) / len(tally.log_count)

    def bin_of(energy):
        return jnp.clip(jnp.floor((energy - low) / width), 0, len(tally.log_count) - 1).astype(int)

    def attempt(number, carry):
        state, tally = carry
        own, decision = jax.random.split(jax.random.fold_in(key, number))
        pick, cost = proposal(gas, state, own)
        energy = state.energy + cost
        ratio = tally.log_count[bin_of(state.energy)] - tally.log_count[bin_of(energy)]
        inside = (energy >= bounds[0]) & (energy <= bounds[1])
        accept = inside & (jnp.log1p(-jax.random.uniform(decision)) <= ratio)
        state = exchanged(gas, state, pick, cost, accept)
        here = bin_of(state.energy)
        lower = state.energy < tally.lowest_energy
        return state, Tally(
            tally.log_count.at[here].add(increment),
            tally.energy.at[here].add(state.energy),
            tally.visits.at[here].add(1),
            tally.histogram.at[here].add(1),
            jnp.minimum(state.energy, tally.lowest_energy),
            lax.cond(lower, lambda: occupation_from(state, gas.sites), lambda: tally.lowest),
        )

    return lax.fori_loop(0, _BLOCK, attempt, (state, tally))
