"""Linear maps that commute with rotations: they mix the channels of each irrep."""

from collections.abc import Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from efg_jax.descriptors import Irrep
from efg_jax.network.couplings import Features

Channels = Mapping[Irrep, int]


def random_weights(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers; float32 whatever JAX's configuration, so that a seed gives one network."""
    return jax.random.normal(key, shape, dtype=jnp.float32)


class Linear(eqx.Module):
    """Mixes channels. Weights have size one; sums are divided by the square root of their number of terms."""

    weights: dict[Irrep, Float[Array, "_ _"]]

    def __init__(self, inputs: Channels, outputs: Channels, key: PRNGKeyArray):
        """Random weights for each irrep that inputs and outputs share."""
        shared = [irrep for irrep in outputs if irrep in inputs]
        keys = jax.random.split(key, max(len(shared), 1))
        self.weights = {
            irrep: random_weights(k, (inputs[irrep], outputs[irrep])) for k, irrep in zip(keys, shared, strict=False)
        }

    def __call__(self, features: Features) -> Features:
        """Features with the channels of the outputs."""
        return {irrep: features[irrep] @ weights / weights.shape[0] ** 0.5 for irrep, weights in self.weights.items()}


class SpeciesLinear(eqx.Module):
    """Mixes channels with different weights for each element: NequIP's self-connection (Batzner et al. 2022)."""

    weights: dict[Irrep, Float[Array, "species _ _"]]

    def __init__(self, species: int, inputs: Channels, outputs: Channels, key: PRNGKeyArray):
        """Random weights for each irrep that inputs and outputs share."""
        shared = [irrep for irrep in outputs if irrep in inputs]
        keys = jax.random.split(key, max(len(shared), 1))
        self.weights = {
            irrep: random_weights(k, (species, inputs[irrep], outputs[irrep]))
            for k, irrep in zip(keys, shared, strict=False)
        }

    def __call__(self, features: Features, species: Int[Array, " atoms"]) -> Features:
        """Features with the channels of the outputs."""
        return {irrep: _mixed(features[irrep], weights, species) for irrep, weights in self.weights.items()}


def _mixed(values, weights, species):
    """One matrix product for all elements, with zeros for the other elements: cheaper than a matrix for each atom."""
    count, size = weights.shape[:2]
    own = jax.nn.one_hot(species, count, dtype=values.dtype)[:, None, :, None] * values[:, :, None, :]
    return own.reshape(*values.shape[:2], count * size) @ weights.reshape(count * size, -1) / size**0.5


def add(first: Features, second: Features) -> Features:
    """Sum of features of size one, again of size one; an irrep that one side lacks is that of the other."""
    both = {irrep: (first[irrep] + second[irrep]) * 0.5**0.5 for irrep in first.keys() & second.keys()}
    return {irrep: both.get(irrep, value) for irrep, value in (first | second).items()}
