"""Real solid harmonics: polynomials in the displacement, so smooth everywhere and differentiable to any order."""

from math import factorial, pi, sqrt

import jax.numpy as jnp
from jaxtyping import Array, Float


def solid_harmonics(displacement: Float[Array, "*batch 3"], lmax: int) -> list[Float[Array, "*batch _"]]:
    """Real solid harmonics r^l Y_lm(r̂) for l = 0..lmax, m = −l..l.

    The sign convention is that of TENSOAP and featomic (no Condon–Shortley phase): l = 1 is proportional to (y, z, x), l = 2 to
    (xy, yz, 3z² − r², xz, x² − y²). Being polynomials, they have no singular point: the atom at the centre is an ordinary
    neighbour at displacement zero.

    Args:
        displacement: from the centre, Å.
        lmax: highest angular momentum.

    Returns:
        One array per l, the last axis m = −l..l, in Å^l; orthonormal on the unit sphere.
    """
    x, y, z = displacement[..., 0], displacement[..., 1], displacement[..., 2]
    r_squared = x * x + y * y + z * z
    # Real and imaginary part of (x + iy)^m.
    cosines, sines = [jnp.ones_like(x)], [jnp.zeros_like(x)]
    for _ in range(lmax):
        c, s = cosines[-1], sines[-1]
        cosines.append(c * x - s * y)
        sines.append(s * x + c * y)
    legendre = _legendre(z, r_squared, lmax)
    return [_real_harmonics(legendre, cosines, sines, l) for l in range(lmax + 1)]


def _legendre(z: Float[Array, "*batch"], r_squared: Float[Array, "*batch"], lmax: int) -> dict:
    """Associated Legendre functions as polynomials: Q_lm = r^(l−m) P_lm(z/r) / (1 − z²/r²)^(m/2), without (−1)^m."""
    q = {(0, 0): jnp.ones_like(z)}
    for m in range(lmax + 1):
        if m > 0:
            q[m, m] = (2 * m - 1) * q[m - 1, m - 1]
        if m < lmax:
            q[m + 1, m] = (2 * m + 1) * z * q[m, m]
        for l in range(m + 2, lmax + 1):
            q[l, m] = ((2 * l - 1) * z * q[l - 1, m] - (l + m - 1) * r_squared * q[l - 2, m]) / (l - m)
    return q


def _real_harmonics(legendre: dict, cosines: list, sines: list, l: int) -> Float[Array, "*batch _"]:
    def component(m: int):
        scale = sqrt((2 * l + 1) / (2 * pi) * factorial(l - abs(m)) / factorial(l + abs(m)))
        if m == 0:
            return scale / sqrt(2) * legendre[l, 0]
        return scale * legendre[l, abs(m)] * (cosines[m] if m > 0 else sines[-m])

    return jnp.stack([component(m) for m in range(-l, l + 1)], axis=-1)
