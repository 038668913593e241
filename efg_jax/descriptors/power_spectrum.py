"""λ-SOAP: second-order features of a neighbour density that turn as a spherical tensor of order λ."""

from math import sqrt

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.tensors.coupling import real_clebsch_gordan

SQRT2 = sqrt(2.0)


def coupled_pairs(lmax: int, order: int, parity: int = 1) -> list[tuple[int, int]]:
    """The pairs l ≤ l' that couple to λ: |l − l'| ≤ λ ≤ l + l', and l + l' + λ even (parity +1) or odd (−1, pseudotensors)."""
    remainder = 0 if parity == 1 else 1
    return [
        (l1, l2)
        for l1 in range(lmax + 1)
        for l2 in range(l1, lmax + 1)
        if l2 - l1 <= order <= l1 + l2 and (l1 + l2 + order) % 2 == remainder
    ]


def power_spectrum(
    density: list[Float[Array, "channels _"]], order: int, parity: int = 1
) -> Float[Array, "components features"]:
    """λ-SOAP features of one environment: P^{λμ}_{q l, q' l'} = Σ C^{λμ}_{lm, l'm'} c_{q l m} c_{q' l' m'} (Grisafi et al. 2018, Eq. 8).

    (l', l) carries what (l, l') does, and so do (q', q) and (q, q') where l = l': one of the two is kept and weighted by √2, so that
    scalar products of features, and with them kernels, equal those of the full sum.

    Args:
        density: expansion coefficients c_{q l m}, one array per l; the channel q is neighbour species and radial function together.
        order: λ.
        parity: +1 for tensors with parity (−1)^λ under inversion (scalars, vectors, EFG), −1 for pseudotensors (the antisymmetric
            part of a shielding tensor is λ = 1, −1).

    Returns:
        Features, the first axis μ = −λ..λ, not normalised.

    Raises:
        InputError: no pair couples, as lmax is too small.
    """
    pairs = coupled_pairs(len(density) - 1, order, parity)
    if not pairs:
        raise InputError(
            f"lmax = {len(density) - 1} is too small for features of λ = {order} and parity {parity:+d}; raise lmax"
        )
    return jnp.concatenate([_couple(density[l1], density[l2], l1, l2, order) for l1, l2 in pairs], axis=-1)


def _couple(
    left: Float[Array, "channels _"], right: Float[Array, "channels _"], l1: int, l2: int, order: int
) -> Float[Array, "components _"]:
    coupling = jnp.asarray(real_clebsch_gordan(l1, l2, order), dtype=left.dtype)
    right_coupled = jnp.einsum("uab,qb->uaq", coupling, right, precision=lax.Precision.HIGHEST)
    block = jnp.einsum("pa,uaq->upq", left, right_coupled, precision=lax.Precision.HIGHEST)
    channels = left.shape[0]
    if l1 != l2:
        return SQRT2 * block.reshape(2 * order + 1, channels * channels)
    rows, columns = np.triu_indices(channels)
    weight = jnp.asarray(np.where(rows == columns, 1.0, SQRT2), dtype=left.dtype)
    return block[:, rows, columns] * weight[None, :]
