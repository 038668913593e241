"""Radial part of the neighbour density: integrals over Gaussian-type orbitals, cutoff function and radial scaling."""

from functools import cache
from math import gamma, pi, sqrt

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float
from scipy.special import gammaln

from efg_jax.descriptors.hypergeometric import scaled_hyp1f1
from efg_jax.errors import InputError


def gto_radial_integrals(
    r_squared: Float[Array, ""], sigma: Float[Array, ""], cutoff: Float[Array, ""], nmax: int, lmax: int
) -> Float[Array, "{lmax}+1 {nmax}"]:
    """Overlap of a Gaussian at distance r with the radial basis, divided by r^l (which `solid_harmonics` carries).

    c_nl(r) = 4π g ∫ x² R_n(x) exp(−(x² + r²)/2σ²) i_l(x r/σ²) dx, with i_l the modified spherical Bessel function,
    g = (πσ²)^(−3/4) the normalisation of the Gaussian, and R_n the Löwdin-orthonormalised GTOs x^n exp(−x²/2σ_n²),
    σ_n = max(√n, 1)·r_c/n_max (Musil et al. 2021, Chem. Rev. 121, 9759, and the programs TENSOAP and featomic). The
    closed form is a ₁F₁, which as a function of r² is smooth at r = 0.

    Args:
        r_squared: squared distance, Å².
        sigma: width of the Gaussian on each atom, Å.
        cutoff: r_c, Å.
        nmax, lmax: number of radial functions, highest angular momentum.

    Returns:
        c_nl/r^l in Å^(−l), to a relative error of about 1e-13 in float64 before orthonormalisation.
    """
    dtype = r_squared.dtype
    n, l = np.arange(nmax, dtype=dtype)[None, :], np.arange(lmax + 1, dtype=dtype)[:, None]
    atom_exponent = 0.5 / sigma**2
    width = np.sqrt(np.maximum(n, 1.0)) * cutoff / nmax
    basis_exponent = 0.5 / width**2
    exponent = atom_exponent + basis_exponent
    a, b = 0.5 * (n + l + 3.0), np.broadcast_to(l + 1.5, (lmax + 1, nmax))
    z = jnp.broadcast_to(atom_exponent**2 * r_squared / exponent, a.shape)
    # e^(−a r²) ₁F₁(z) without overflow: e^(−a r² + z) · e^(−z) ₁F₁(z), and a r² − z is never negative.
    kummer = scaled_hyp1f1(a, b, z) * jnp.exp(-atom_exponent * basis_exponent / exponent * r_squared)
    # Γ((n+l+3)/2)/Γ(l+3/2) and the √π 4π/4 in front are constants of the basis.
    constant = jnp.asarray(_integral_constants(nmax, lmax), dtype=dtype)
    normalisation = (pi * sigma**2) ** -0.75 * jnp.asarray(_norms(nmax), dtype=dtype)[None, :] * width ** -(n + 1.5)
    primitive = normalisation * constant * atom_exponent**l * exponent**-a * kummer
    return jnp.matmul(primitive, jnp.asarray(_loewdin(nmax), dtype=dtype), precision=lax.Precision.HIGHEST)


class RadialTable(eqx.Module):
    """Radial integrals of one set of hyperparameters as Chebyshev series in the distance, from 0 to the cutoff.

    One matrix product gives all integrals of all neighbours, and derivatives are exact for the computed values. The
    integrals are as smooth as a Gaussian of width σ, so that the error falls exponentially: relative to the size of the
    function, with 64 terms, it is below 1e-13 for σ/r_c = 0.08, 1e-11 for 0.03 and 1e-8 for 0.02.
    """

    coefficients: Float[Array, "terms integrals"]
    at_centre: Float[Array, " radial"]  # of the atom at the centre, where only l = 0 is not zero
    cutoff: Float[Array, ""]  # Å
    nmax: int = eqx.field(static=True)

    def __call__(self, r: Float[Array, " neighbours"]) -> Float[Array, "neighbours _ {self.nmax}"]:
        """`gto_radial_integrals` for distances up to the cutoff; constant beyond it."""
        x = jnp.minimum(2.0 * r / self.cutoff - 1.0, 1.0)
        terms = _chebyshev_polynomials(x, self.coefficients.shape[0])
        values = jnp.matmul(terms, self.coefficients, precision=lax.Precision.HIGHEST)
        return values.reshape(r.shape[0], -1, self.nmax)


def radial_table(
    sigma: Float[Array, ""], cutoff: Float[Array, ""], nmax: int, lmax: int, terms: int = 64
) -> RadialTable:
    """Expand `gto_radial_integrals` between 0 and the cutoff; differentiable in σ and cutoff.

    Args:
        sigma, cutoff: Å.
        nmax, lmax: number of radial functions, highest angular momentum.
        terms: number of Chebyshev polynomials.
    """
    nodes, transform = _chebyshev_nodes(terms)
    r = 0.5 * cutoff * (1.0 + jnp.asarray(nodes, dtype=cutoff.dtype))
    values = jax.vmap(lambda distance: gto_radial_integrals(distance**2, sigma, cutoff, nmax, lmax))(r)
    coefficients = jnp.matmul(
        jnp.asarray(transform, dtype=cutoff.dtype), values.reshape(terms, -1), precision=lax.Precision.HIGHEST
    )
    return RadialTable(coefficients, values[0, 0], cutoff, nmax)


@cache
def _chebyshev_nodes(terms: int) -> tuple[np.ndarray, np.ndarray]:
    """Extrema of the last polynomial, and the matrix from values there to coefficients (discrete cosine transform)."""
    order = np.arange(terms)
    angle = np.pi * order[::-1] / (terms - 1)
    ends = np.where((order == 0) | (order == terms - 1), 0.5, 1.0)
    transform = 2.0 / (terms - 1) * ends[:, None] * ends[None, :] * np.cos(order[:, None] * angle[None, :])
    nodes = np.cos(angle)
    nodes[0], nodes[-1] = -1.0, 1.0
    return nodes, transform


def _chebyshev_polynomials(x: Float[Array, " points"], terms: int) -> Float[Array, "points {terms}"]:
    """T_0(x) to T_{terms−1}(x); each step doubles their number by T_{m+j} = 2 T_m T_j − T_{m−j}."""
    known = jnp.stack([jnp.ones_like(x), x], axis=-1)
    while (last := known.shape[-1] - 1) < terms - 1:
        known = jnp.concatenate([known, 2.0 * known[:, last:] * known[:, 1:] - known[:, :last][:, ::-1]], axis=-1)
    return known[:, :terms]


def cutoff_function(
    r: Float[Array, "*batch"], cutoff: Float[Array, ""], width: Float[Array, ""] | None
) -> Float[Array, "*batch"]:
    """Smooth cutoff: 1, then ½(1 + cos π(r − r_c + w)/w) over the last w before r_c. No width: TENSOAP's hard step."""
    if width is None:
        return jnp.where(r < cutoff, 1.0, 0.0).astype(r.dtype)
    phase = jnp.clip((r - cutoff + width) / width, 0.0, 1.0)
    return 0.5 * (1.0 + jnp.cos(pi * phase))


def radial_scaling(
    r: Float[Array, "*batch"], rate: Float[Array, ""], radius: Float[Array, ""], exponent: Float[Array, ""]
) -> Float[Array, "*batch"]:
    """Weight of a neighbour at distance r, u(r) = c/(c + (r/r0)^m) (Willatt et al. 2018, PCCP 20, 29661).

    For c = 0 it is (r/r0)^(−m), and for m = 0 it is 1.

    Args:
        r: distance, Å, above zero.
        rate, radius, exponent: c (no unit), r0 (Å) and m (no unit).
    """
    power = (r / radius) ** exponent
    pure = rate == 0.0
    screened = jnp.where(pure, 1.0, rate) / (jnp.where(pure, 1.0, rate) + power)
    return jnp.where(exponent == 0.0, 1.0, jnp.where(pure, 1.0 / power, screened))


@cache
def _norms(nmax: int) -> np.ndarray:
    """√(2/Γ(n+3/2)): with σ_n^−(n+3/2) the norm of x^n exp(−x²/2σ_n²)."""
    return np.array([sqrt(2.0 / gamma(n + 1.5)) for n in range(nmax)])


@cache
def _integral_constants(nmax: int, lmax: int) -> np.ndarray:
    n, l = np.arange(nmax)[None, :], np.arange(lmax + 1)[:, None]
    return pi**1.5 * np.exp(gammaln(0.5 * (n + l + 3)) - gammaln(l + 1.5))


@cache
def _loewdin(nmax: int) -> np.ndarray:
    """S^(−1/2) of the normalised GTOs. Widths are proportional to the cutoff, so the overlap does not depend on it."""
    n = np.arange(nmax)
    exponents = 0.5 * nmax**2 / np.maximum(n, 1)  # in units of 1/r_c²
    norms = _norms(nmax) * (np.sqrt(np.maximum(n, 1)) / nmax) ** -(n + 1.5)
    power = n[:, None] + n[None, :] + 3
    overlap = 0.5 * np.exp(gammaln(power / 2)) * (exponents[:, None] + exponents[None, :]) ** (-power / 2)
    values, vectors = np.linalg.eigh(overlap * norms[:, None] * norms[None, :])
    if values[0] < 1e-13 * values[-1]:
        raise InputError(f"nmax = {nmax} radial functions are linearly dependent in double precision; give 18 or fewer")
    return (vectors / np.sqrt(values)) @ vectors.T
