"""λ-SOAP: second-order features of a neighbour density that transform as a spherical tensor of order λ."""

from math import sqrt

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.tensors.coupling import real_clebsch_gordan

SQRT2 = sqrt(2.0)


def coupled_pairs(lmax: int, order: int, parity: int = 1) -> list[tuple[int, int]]:
    """Pairs l ≤ l' that couple to λ: |l − l'| ≤ λ ≤ l + l', with l + l' + λ even (parity +1) or odd (−1)."""
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
    """λ-SOAP features of one environment (Grisafi et al. 2018, Eq. 8).

    P^{λμ}_{q l, q' l'} = Σ C^{λμ}_{lm, l'm'} c_{q l m} c_{q' l' m'}. Of (l, l') and (l', l), and for l = l' of (q, q')
    and (q', q), only one is kept, weighted by √2: scalar products of features, and so kernels, equal those of the full
    sum.

    Args:
        density: expansion coefficients c_{q l m}, one array per l; a channel q is a neighbour species and a radial
            function.
        order: λ.
        parity: +1 for tensors with parity (−1)^λ under inversion (scalars, vectors, EFG), −1 for pseudotensors (the
            antisymmetric part of a shielding tensor is λ = 1, −1).

    Returns:
        Features, not normalised; the first axis is μ = −λ..λ.

    Raises:
        InputError: lmax is too small for any pair to couple.
    """
    return jnp.concatenate(power_spectrum_blocks(density, order, parity), axis=-1)


def power_spectrum_blocks(
    density: list[Float[Array, "*batch channels _"]], order: int, parity: int = 1
) -> list[Float[Array, "*batch components _"]]:
    """The parts of `power_spectrum`, one per pair (l, l'), for a batch; writing them in place saves a copy."""
    pairs = coupled_pairs(len(density) - 1, order, parity)
    if not pairs:
        raise InputError(
            f"lmax = {len(density) - 1} is too small for features of λ = {order} and parity {parity:+d}; raise lmax"
        )
    return [block for l1, l2 in pairs for block in _couple(density[l1], density[l2], l1, l2, order)]


def invariant_norm(density: list[Float[Array, "*batch channels _"]]) -> Float[Array, "*batch 1 1"]:
    """Squared norm of the λ = 0 features, which are c_l c_lᵀ/√(2l+1)."""
    grams = [jnp.einsum("...qm,...pm->...qp", part, part, precision=lax.Precision.HIGHEST) for part in density]
    return sum(jnp.sum(gram**2, axis=(-2, -1), keepdims=True) / (2 * l + 1) for l, gram in enumerate(grams))


def _couple(
    left: Float[Array, "*batch channels _"], right: Float[Array, "*batch channels _"], l1: int, l2: int, order: int
) -> list[Float[Array, "*batch components _"]]:
    # First the coupling coefficients, on small arrays; then one matrix product over m of the smaller l.
    coupled = _coupled(right, l1, l2, order)
    blocks = [SQRT2 * _product(coupled, left)] if l1 != l2 else _triangle(coupled, left)
    return [block.reshape(*block.shape[: left.ndim - 1], -1) for block in blocks]


def _coupled(
    right: Float[Array, "*batch channels _"], l1: int, l2: int, order: int
) -> Float[Array, "*batch components channels _"]:
    coupling = real_clebsch_gordan(l1, l2, order)
    if order == 0:  # a multiple of the unit matrix
        return right[..., None, :, :] * float(coupling[0, 0, 0])
    return jnp.einsum(
        "uab,...qb->...uqa", jnp.asarray(coupling, dtype=right.dtype), right, precision=lax.Precision.HIGHEST
    )


def _product(
    coupled: Float[Array, "*batch components channels m"], left: Float[Array, "*batch rows m"]
) -> Float[Array, "*batch components channels rows"]:
    return jnp.einsum("...uqa,...pa->...uqp", coupled, left, precision=lax.Precision.HIGHEST)


def _triangle(
    coupled: Float[Array, "*batch components channels m"], left: Float[Array, "*batch channels m"]
) -> list[Array]:
    """One of (q, q') and (q', q) for all pairs, without gathering.

    The first half of the channels is paired with all channels. The pairs of the second half fill the free places above
    the diagonal; if the halves are equal, their diagonal is left over as a second block.
    """
    channels = left.shape[-2]
    half, odd = (channels + 1) // 2, channels % 2
    first = _product(coupled, left[..., :half, :])
    second = _product(coupled[..., half:, :], left[..., half:, :])
    below = np.tril(np.full((channels, half), SQRT2), -1) + np.eye(channels, half)
    above = np.triu(np.full((channels - half, channels - half), SQRT2), 1) + odd * np.eye(channels - half)
    expand = tuple(range(first.ndim - 2))
    below, above = (jnp.expand_dims(jnp.asarray(weight, dtype=left.dtype), expand) for weight in (below, above))
    rectangle = first * below + jnp.pad(second * above, [(0, 0)] * len(expand) + [(0, half), (odd, 0)])
    return [rectangle] if odd else [rectangle, jnp.diagonal(second, axis1=-2, axis2=-1)]
