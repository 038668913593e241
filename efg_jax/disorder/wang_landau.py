"""Density of states by Wang–Landau sampling, with ln f = 1/t at the end (Belardinelli and Pereyra)."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from math import comb, lgamma, log
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.units import kB
from jax import lax
from jaxtyping import Array, Bool, Float, Int
from scipy.special import logsumexp

from efg_jax.disorder.lattice_gas import LatticeGas, enumerate_occupations
from efg_jax.disorder.metropolis import State, exchanged, occupation_from, proposal, starting_state
from efg_jax.errors import InputError
from efg_jax.precision import x64

FLATNESS = 0.8  # visits of the least visited bin over the mean at which ln f is halved
_BLOCK = 20_000  # attempts between two looks at the histogram
MOST_COUNTED = 200_000  # arrangements of which all energies are computed; of more a sample is drawn
SAMPLE = 20_000
MISSED = 0.01  # part of the canonical weight outside of the bounds from which a mean warns
_EDGE = 20  # the weight of one in so many bins, those next to a bound, tells how much lies beyond

logger = logging.getLogger(__name__)


class Tally(NamedTuple):
    """Counts by bin: log density, energies, visits in total and since ln f changed; the lowest arrangement; and the
    attempts that led below and above the bounds.
    """

    log_count: Float[Array, " bins"]
    energy: Float[Array, " bins"]
    visits: Int[Array, " bins"]
    histogram: Int[Array, " bins"]
    lowest_energy: Float[Array, ""]
    lowest: Bool[Array, " sites"]
    beyond: Int[Array, "2"]


class Census(NamedTuple):
    """Energies of all arrangements, or of a random sample of them, where they lie outside of the bounds.

    Attributes:
        fraction: part of all arrangements that the bounds hold; NaN where no sampled one is within.
        error: its standard error; 0 where all are counted.
        outside: energies outside of the bounds, eV.
        log_each: natural logarithm of the number of arrangements that each of them stands for.
    """

    fraction: float
    error: float
    outside: Float[np.ndarray, " outside"]
    log_each: float

    @property
    def is_complete(self) -> bool:
        """Whether all arrangements were counted."""
        return self.log_each == 0.0


@dataclass(frozen=True)
class DensityOfStates:
    """Number of arrangements by energy, within bounds. Canonical means are those of the arrangements within.

    Attributes:
        energies: mean energy of the sampled arrangements in each bin, eV, without empty bins.
        log_count: natural logarithm of the number of arrangements in them. They add up to the number of all
            arrangements times the fraction that the bounds hold; to 1 where that fraction is not known.
        attempts: number of attempts.
        lowest: sampled arrangement of lowest energy.
        lowest_energy: its energy, eV.
        bounds: lowest and highest energy, eV.
        census: what is known of the arrangements outside.
        beyond: whether attempts led below and above the bounds, so that there are arrangements.
    """

    energies: Float[np.ndarray, " bins"]
    log_count: Float[np.ndarray, " bins"]
    attempts: int
    lowest: Bool[np.ndarray, " sites"]
    lowest_energy: float
    bounds: tuple[float, float]
    census: Census
    beyond: tuple[bool, bool]

    def missed(self, temperature: float) -> float:
        """Part of the canonical weight at a temperature (K) that lies outside of the bounds, 0 to 1.

        Exact where all arrangements were counted. Otherwise an estimate, the larger of two: that of a random sample of
        arrangements, which knows the many but not the rare ones; and the weight of the outermost twentieth of the
        bins at a bound beyond which there are arrangements.
        """
        missed, edge, weights = 0.0, 0.0, self._weights(temperature)
        if np.isfinite(self.census.fraction) and len(self.census.outside):
            inside = logsumexp(self.log_count - self.energies / (kB * temperature))
            outside = self.census.log_each + logsumexp(-self.census.outside / (kB * temperature))
            missed = float(1.0 / (1.0 + np.exp(np.clip(inside - outside, -700.0, 700.0))))
        if not self.census.is_complete:
            near = -(-len(weights) // _EDGE)
            edge = float(self.beyond[0] * weights[:near].sum() + self.beyond[1] * weights[-near:].sum())
        return max(missed, min(edge, 1.0))

    def mean_energy(self, temperature: float) -> float:
        """Canonical mean of the energy at a temperature (K), eV; it warns where the bounds leave out what counts."""
        return float(self._told(temperature) @ self.energies)

    def heat_capacity(self, temperature: float) -> float:
        """(⟨E²⟩ − ⟨E⟩²)/(k T²), eV/K; it warns where the bounds leave out what counts."""
        weights = self._told(temperature)
        mean = weights @ self.energies
        return float(weights @ (self.energies - mean) ** 2 / (kB * temperature**2))

    def _told(self, temperature: float) -> np.ndarray:
        """Weights at a temperature; warns of those that are missing."""
        if (missed := self.missed(temperature)) > MISSED:
            logger.warning(
                "at %g K about %.2g of the canonical weight lies outside of the bounds (%g, %g) eV, and the mean is "
                "that of the arrangements within; widen the bounds",
                temperature,
                missed,
                *self.bounds,
            )
        return self._weights(temperature)

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

    The sampling gives relative numbers. Their sum is that of the arrangements within the bounds: counted if there are
    at most 200,000 in all, else estimated from 20,000 random ones (`DensityOfStates.census`). Arrangements within the
    bounds that exchanges reach only through energies outside are not found.

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
            state.energy, jnp.asarray(occupation), jnp.zeros(2, dtype=int),
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
    census = _census(gas, int(occupation.sum()), (low, high), seed)
    within = 0.0
    if np.isfinite(census.fraction):
        within = _log_all(len(occupation), int(occupation.sum())) + log(census.fraction)
    else:
        logger.warning(
            "none of %d random arrangements lies within the bounds (%g, %g) eV, so log_count is relative: its numbers "
            "add up to 1; raise the upper bound to know them all",
            SAMPLE,
            low,
            high,
        )
    log_count = np.asarray(tally.log_count)[met]
    return DensityOfStates(
        energies=np.asarray(tally.energy)[met] / np.asarray(tally.visits)[met],
        log_count=log_count + within - logsumexp(log_count),
        attempts=attempts,
        lowest=np.asarray(tally.lowest),
        lowest_energy=float(tally.lowest_energy),
        bounds=(low, high),
        census=census,
        beyond=tuple((np.asarray(tally.beyond) > 0).tolist()),
    )


def _log_all(sites: int, held: int) -> float:
    """Natural logarithm of the number of all arrangements."""
    return lgamma(sites + 1) - lgamma(held + 1) - lgamma(sites - held + 1)


def _census(gas: LatticeGas, held: int, bounds: tuple[float, float], seed: int) -> Census:
    """Count the arrangements within bounds, or estimate their part from a random sample."""
    complete = comb(gas.sites, held) <= MOST_COUNTED
    if complete:
        arrangements = enumerate_occupations(gas.sites, held)
    else:
        generator = np.random.default_rng(seed)
        arrangements = generator.permuted(np.tile(np.arange(gas.sites) < held, (SAMPLE, 1)), axis=1)
    energies = np.asarray(gas.energy(arrangements))
    rounding = 1e-9 * max(1.0, float(np.abs(energies).max()))
    inside = (energies >= bounds[0] - rounding) & (energies <= bounds[1] + rounding)
    fraction = float(inside.mean())
    if complete:
        return Census(fraction, 0.0, energies[~inside], 0.0)
    error = float(np.sqrt(fraction * (1.0 - fraction) / SAMPLE))
    log_each = _log_all(gas.sites, held) - log(SAMPLE)
    return Census(fraction or float("nan"), error or 1.0 / SAMPLE, energies[~inside], log_each)


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
        beyond = jnp.stack([energy < bounds[0], energy > bounds[1]])
        inside = ~beyond.any()
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
            tally.beyond + beyond.astype(int),
        )

    return lax.fori_loop(0, _BLOCK, attempt, (state, tally))
