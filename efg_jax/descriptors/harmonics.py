"""Real solid harmonics: polynomials in the displacement, and so smooth everywhere."""

from functools import cache
from math import pi, sqrt

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from efg_jax.tensors.coupling import real_clebsch_gordan


def solid_harmonics(displacement: Float[Array, "*batch 3"], lmax: int) -> list[Float[Array, "*batch _"]]:
    """Real solid harmonics r^l Y_lm(r̂) for l = 0..lmax, m = −l..l.

    The sign convention is that of TENSOAP and featomic (no Condon–Shortley phase): l = 1 is proportional to (y, z, x),
    l = 2 to (xy, yz, 3z² − r², xz, x² − y²). Polynomials have no singular point: the atom at the centre is an ordinary
    neighbour at displacement zero.

    Each order is the previous one coupled to the displacement, r^(l+1) Y_(l+1) ∝ (r^l Y_l ⊗ r)_(l+1). This small matrix
    product compiles and differentiates faster than recursions over single components.

    Args:
        displacement: from the centre, Å.
        lmax: highest angular momentum.

    Returns:
        One array per l, the last axis m = −l..l, in Å^l; orthonormal on the unit sphere.
    """
    vector = jnp.roll(displacement, -1, axis=-1)  # y, z, x
    harmonics = [jnp.full_like(displacement[..., :1], 1.0 / sqrt(4.0 * pi))]
    for l in range(lmax):
        products = (harmonics[-1][..., :, None] * vector[..., None, :]).reshape(*vector.shape[:-1], 3 * (2 * l + 1))
        step = jnp.asarray(_raising(l), dtype=displacement.dtype)
        harmonics.append(jnp.matmul(products, step, precision=lax.Precision.HIGHEST))
    return harmonics


@cache
def _raising(l: int) -> np.ndarray:
    """Matrix from the products Y_lm r_k to Y_(l+1): Clebsch–Gordan coefficients, normalised at the pole."""
    coupling = real_clebsch_gordan(l, 1, l + 1)
    at_pole = coupling[l + 1, l, 1] * sqrt((2 * l + 1) / (2 * l + 3))
    return coupling.reshape(2 * l + 3, -1).T / at_pole
