"""Dependence of messages on distance: Bessel functions with an envelope, and a small network."""

from itertools import pairwise
from math import pi

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from efg_jax.network.activations import silu
from efg_jax.network.architecture import Architecture
from efg_jax.network.linear import random_weights

ENVELOPE_POWER = 6


def bessel_basis(r: Float[Array, "*batch"], cutoff: float, count: int) -> Float[Array, "*batch {count}"]:
    """√(2/r_c) sin(nπ r/r_c)/r for n = 1..count (Gasteiger et al. 2020, Eq. 7), without the envelope.

    Args:
        r: distance, Å, above zero.
        cutoff: r_c, Å.
        count: number of functions.

    Returns:
        In Å^(−3/2); orthonormal on [0, r_c] with the weight r².
    """
    r = jnp.expand_dims(r, -1)
    n = jnp.arange(1, count + 1, dtype=r.dtype).reshape((1,) * (r.ndim - 1) + (count,))
    return (2.0 / cutoff) ** 0.5 * jnp.sin(r * (n * (pi / cutoff))) / r


def envelope(r: Float[Array, "*batch"], cutoff: float) -> Float[Array, "*batch"]:
    """Polynomial from 1 to 0 with two vanishing derivatives at the cutoff (Gasteiger et al. 2020, Eq. 8, p = 6)."""
    p, x = ENVELOPE_POWER, jnp.minimum(r / cutoff, 1.0)
    return 1.0 - x**p * ((p + 1) * (p + 2) / 2 - p * (p + 2) * x + p * (p + 1) / 2 * x**2)


class RadialNetwork(eqx.Module):
    """Weights of messages by distance: a multilayer perceptron of Bessel functions, zero at the cutoff."""

    layers: list[Float[Array, "_ _"]]
    cutoff: float = eqx.field(static=True)  # Å

    def __init__(self, architecture: Architecture, outputs: int, key: PRNGKeyArray):
        """Random weights for this number of outputs."""
        sizes = [architecture.bessels, *[architecture.radial_width] * architecture.radial_depth, outputs]
        keys = jax.random.split(key, len(sizes) - 1)
        self.layers = [random_weights(k, shape) for k, shape in zip(keys, pairwise(sizes), strict=True)]
        self.cutoff = architecture.cutoff

    def __call__(self, r: Float[Array, "*batch"]) -> Float[Array, "*batch outputs"]:
        """Weights at these distances, Å."""
        # The derivative with respect to weights takes half the time when it sums over one axis instead of two.
        flat = r.ravel()
        scale = self.cutoff**1.5 / 3.0**0.5  # the mean square over the ball becomes 1
        values = scale * bessel_basis(flat, self.cutoff, self.layers[0].shape[0])
        for weights in self.layers[:-1]:
            values = silu(values @ weights / weights.shape[0] ** 0.5)
        values = values @ self.layers[-1] / self.layers[-1].shape[0] ** 0.5
        return (values * envelope(flat, self.cutoff)[:, None]).reshape(*r.shape, -1)
