"""Metropolis Monte Carlo in the canonical ensemble: atoms of two species are exchanged, in any number of chains."""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase.units import kB
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from efg_jax.disorder.lattice_gas import LatticeGas
from efg_jax.errors import InputError
from efg_jax.precision import x64


class Sampled(NamedTuple):
    """Result of Metropolis chains.

    Attributes:
        occupation: last arrangement of each chain.
        energy: at the end of each sweep, eV.
        acceptance: fraction of accepted attempts in each sweep.
        best: arrangement with the lowest energy at the end of a sweep.
        best_energy: its energy, eV.
    """

    occupation: Bool[np.ndarray, "chains sites"]
    energy: Float[np.ndarray, "chains sweeps"]
    acceptance: Float[np.ndarray, "chains sweeps"]
    best: Bool[np.ndarray, "chains sites"]
    best_energy: Float[np.ndarray, " chains"]


class State(NamedTuple):
    """One chain. ``potential`` is h + W x: an attempt reads two elements, an accepted one adds two columns of W."""

    first: Int[Array, " firsts"]  # sites of the first species, in any order
    second: Int[Array, " seconds"]
    potential: Float[Array, " sites"]
    energy: Float[Array, ""]


def metropolis(
    gas: LatticeGas,
    occupation: Bool[np.ndarray, "chains sites"],
    temperatures: Float[np.ndarray, " sweeps"],
    seed: int,
) -> Sampled:
    """Exchange atoms of the two species at given temperatures; a sweep has as many attempts as there are sites.

    Args:
        gas: the energy.
        occupation: start of each chain; all have the same composition.
        temperatures: temperature of each sweep, K.
        seed: seed of the random numbers, which differ between chains.

    Raises:
        InputError: a temperature is not positive; chains differ in composition; there is nothing to exchange.
    """
    temperatures = np.asarray(temperatures, dtype=float)
    if not (temperatures.size and (temperatures > 0).all() and np.isfinite(temperatures).all()):
        raise InputError("temperatures must be positive numbers, one for each sweep")
    counts = {int(chain.sum()) for chain in occupation}
    if len(counts) != 1:
        raise InputError(f"the chains hold different numbers of atoms of the first species: {sorted(counts)}")
    if counts & {0, gas.sites}:
        raise InputError("all sites hold the same species; nothing can be exchanged")
    with x64():
        own = jax.tree.map(jnp.asarray, gas)
        keys = jax.random.split(jax.random.key(seed), len(occupation))
        start = [starting_state(own, chain) for chain in occupation]
        batch = jax.tree.map(lambda *parts: jnp.stack(parts), *start)
        found = _chains(own, batch, keys, jnp.asarray(1.0 / (kB * temperatures)))
        return Sampled(*(np.asarray(part) for part in found))


def anneal(
    gas: LatticeGas,
    occupation: Bool[np.ndarray, "chains sites"],
    seed: int,
    hot: float = 20_000.0,
    cold: float = 300.0,
    sweeps: int = 1000,
) -> Sampled:
    """Metropolis sampling while the temperature falls geometrically from ``hot`` to ``cold`` (K)."""
    if not hot >= cold > 0:
        raise InputError(f"annealing needs hot ≥ cold > 0, got {hot:g} K and {cold:g} K")
    return metropolis(gas, occupation, np.geomspace(hot, cold, sweeps), seed)


def starting_state(gas: LatticeGas, occupation: Bool[np.ndarray, " sites"]) -> State:
    """A chain at an arrangement."""
    x = jnp.asarray(occupation).astype(gas.field.dtype)
    return State(
        jnp.asarray(np.flatnonzero(occupation)),
        jnp.asarray(np.flatnonzero(~np.asarray(occupation))),
        gas.field + gas.pair @ x,
        gas.energy(occupation),
    )


def proposal(gas: LatticeGas, state: State, key: Array) -> tuple[Int[Array, "2"], Float[Array, ""]]:
    """Two atoms to exchange, as indices into ``first`` and ``second``, and the energy that this costs."""
    pick = jnp.floor(jax.random.uniform(key, (2,)) * jnp.array([len(state.first), len(state.second)], dtype=float))
    pick = pick.astype(int)
    i, j = state.first[pick[0]], state.second[pick[1]]
    own = 0.5 * (gas.pair[i, i] + gas.pair[j, j]) - gas.pair[i, j]
    return pick, state.potential[j] - state.potential[i] + own


def exchanged(gas: LatticeGas, state: State, pick: Int[Array, "2"], cost: Float[Array, ""], accept: Bool[Array, ""]):
    """The state after an attempt."""
    i, j = state.first[pick[0]], state.second[pick[1]]
    return State(
        state.first.at[pick[0]].set(jnp.where(accept, j, i)),
        state.second.at[pick[1]].set(jnp.where(accept, i, j)),
        state.potential + jnp.where(accept, 1.0, 0.0) * (gas.pair[j] - gas.pair[i]),
        state.energy + jnp.where(accept, cost, 0.0),
    )


def occupation_from(state: State, sites: int) -> Bool[Array, " sites"]:
    """Sites of the first species."""
    return jnp.zeros(sites, dtype=bool).at[state.first].set(True)


@jax.jit
def _chains(gas: LatticeGas, start: State, keys: Array, inverse_temperatures: Float[Array, " sweeps"]):
    return jax.vmap(partial(_chain, gas), in_axes=(0, 0, None))(start, keys, inverse_temperatures)


def _chain(gas: LatticeGas, start: State, key: Array, inverse_temperatures: Float[Array, " sweeps"]):
    def sweep(carry, inputs):
        state, best, lowest = carry
        key, beta = inputs

        def attempt(number, carry):
            state, accepted = carry
            own, decision = jax.random.split(jax.random.fold_in(key, number))
            pick, cost = proposal(gas, state, own)
            accept = jnp.log1p(-jax.random.uniform(decision)) <= -beta * cost
            return exchanged(gas, state, pick, cost, accept), accepted + accept.astype(int)

        state, accepted = lax.fori_loop(0, gas.sites, attempt, (state, jnp.zeros((), dtype=int)))
        lower = state.energy < lowest
        best = jnp.where(lower, occupation_from(state, gas.sites), best)
        carry = state, best, jnp.minimum(state.energy, lowest)
        return carry, (state.energy, accepted.astype(float) / gas.sites)

    keys = jax.random.split(key, len(inverse_temperatures))
    carry = start, occupation_from(start, gas.sites), start.energy
    (state, best, lowest), (energy, acceptance) = lax.scan(sweep, carry, (keys, inverse_temperatures))
    return occupation_from(state, gas.sites), energy, acceptance, best, lowest
