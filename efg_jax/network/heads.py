"""Irreducible parts of tensors from features: both decompositions of Ben Mahmoud et al. 2024."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from efg_jax.descriptors import Irrep
from efg_jax.network.couplings import Features
from efg_jax.network.linear import Linear, random_weights
from efg_jax.tensors.coupling import real_clebsch_gordan

Parts = dict[Irrep, Float[Array | np.ndarray, "atoms _"]]
"""Components m = −λ..λ of each irreducible part."""


class IrrepHead(eqx.Module):
    """Irreducible spherical decomposition (Eq. 1): each part is a linear function of features of the same irrep."""

    linear: Linear

    def __init__(self, channels: int, irreps: Sequence[Irrep], key: PRNGKeyArray):
        """Random weights for these parts."""
        self.linear = Linear(dict.fromkeys(irreps, channels), dict.fromkeys(irreps, 1), key)

    def __call__(self, features: Features) -> Parts:
        """Components m = −λ..λ of each part."""
        return {irrep: values[..., 0] for irrep, values in self.linear(features).items()}


class TensorProductHead(eqx.Module):
    """Σ w_{k1 k2} T_{k1} ⊗ T'_{k2} over two sets of N tensors of order ℓ; its parts λ = 0, 1, 2 (Eqs. 2 and 3).

    All λ share one w. Natural features are enough, as λ = 1 of the product of two equal orders is a pseudovector. Odd
    orders have limits: with ℓ = 1 vectors in a mirror plane have no component out of it, which ties λ = 0 to λ = 2,
    and with any odd ℓ everything vanishes at a centre of inversion. Use ℓ = 2 or 4 for such structures.
    """

    linear: Linear
    weights: Float[Array, "n n"]
    irreps: tuple[Irrep, ...] = eqx.field(static=True)
    order: int = eqx.field(static=True)

    def __init__(self, channels: int, irreps: Sequence[Irrep], order: int, count: int, key: PRNGKeyArray):
        """Random weights.

        Args:
            channels: of the features.
            irreps: parts of the target.
            order: order ℓ of the tensors that are multiplied, 1 or more.
            count: N; N² products are summed.
            key: of the random weights.
        """
        keys = jax.random.split(key, 2)
        self.linear = Linear({(order, 1): channels}, {(order, 1): 2 * count}, keys[0])
        self.weights = random_weights(keys[1], (count, count))
        self.irreps, self.order = tuple(irreps), order

    def __call__(self, features: Features) -> Parts:
        """Components m = −λ..λ of each part."""
        first, second = jnp.split(self.linear(features)[self.order, 1], 2, axis=-1)
        count = self.weights.shape[0]
        products = jnp.einsum("amk,kq,anq->amn", first, self.weights, second) / count
        return {
            irrep: jnp.einsum("umn,amn->au", jnp.asarray(self._coupling(irrep[0]), products.dtype), products)
            for irrep in self.irreps
        }

    def _coupling(self, order: int):
        return real_clebsch_gordan(self.order, self.order, order)
