"""Linear maps that commute with rotations: they mix the channels of an irrep, and nothing else."""

from collections.abc import Mapping

import equinox as eqx
import jax
from jaxtyping import Array, Float, Int, PRNGKeyArray

from efg_jax.descriptors import Irrep
from efg_jax.network.couplings import Features
from efg_jax.network.weights import random_weights

Channels = Mapping[Irrep, int]


class Linear(eqx.Module):
    """Mixes channels; weights are of size one, and the sum is scaled by the root of its number of terms."""

    weights: dict[Irrep, Float[Array, "_ _"]]

    def __init__(self, inputs: Channels, outputs: Channels, key: PRNGKeyArray):
        """Random weights for each irrep of the outputs that the inputs have."""
        shared = [irrep for irrep in outputs if irrep in inputs]
        keys = jax.random.split(key, max(len(shared), 1))
        self.weights = {
            irrep: random_weights(k, (inputs[irrep], outputs[irrep])) for k, irrep in zip(keys, shared, strict=False)
        }

    def __call__(self, features: Features) -> Features:
        """Features with the channels of the outputs."""
        return {irrep: features[irrep] @ weights / weights.shape[0] ** 0.5 for irrep, weights in self.weights.items()}


class SpeciesLinear(eqx.Module):
    """The same with weights of its own for each element of the centre: NequIP's self-connection (Batzner et al. 2022)."""

    weights: dict[Irrep, Float[Array, "species _ _"]]

    def __init__(self, species: int, inputs: Channels, outputs: Channels, key: PRNGKeyArray):
        """Random weights for each irrep of the outputs that the inputs have."""
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
    """One product for all elements, in which each sees zeros where the atom is of another: cheaper than a matrix an atom."""
    count, size = weights.shape[:2]
    own = jax.nn.one_hot(species, count, dtype=values.dtype)[:, None, :, None] * values[:, :, None, :]
    return own.reshape(*values.shape[:2], count * size) @ weights.reshape(count * size, -1) / size**0.5


def add(first: Features, second: Features) -> Features:
    """Sum of features of size one, of size one; an irrep that one of them lacks is the other's."""
    both = {irrep: (first[irrep] + second[irrep]) * 0.5**0.5 for irrep in first.keys() & second.keys()}
    return {irrep: both.get(irrep, value) for irrep, value in (first | second).items()}
