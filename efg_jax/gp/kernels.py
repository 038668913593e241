"""Kernels between environments, from their λ-SOAP features."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def soap_kernel(
    left: Float[Array, "left invariants"], right: Float[Array, "right invariants"], zeta: Float[Array, ""]
) -> Float[Array, "left right"]:
    """Scalar kernel (k⁰_ij)^ζ, where k⁰ is the scalar product of λ = 0 features (Bartók et al. 2013).

    Args:
        left, right: features of order 0.
        zeta: ζ ≥ 0; need not be an integer.
    """
    k = jnp.matmul(left, right.T, precision=lax.Precision.HIGHEST)
    # k⁰ averages squared overlaps: it is negative only by rounding, and its powers need a finite logarithm.
    return jnp.maximum(k, jnp.finfo(k.dtype).tiny) ** zeta


def lambda_soap_kernel(
    left: Float[Array, "left components features"],
    right: Float[Array, "right components features"],
    left_invariants: Float[Array, "left invariants"],
    right_invariants: Float[Array, "right invariants"],
    zeta: Float[Array, ""],
) -> Float[Array, "left components right components"]:
    """λ-SOAP kernel k^λ_{iμ, jμ'} = (P_i P_jᵀ)_μμ' (k⁰_ij)^(ζ−1) (Grisafi et al. 2018; TENSOAP).

    Args:
        left, right: features of order λ (2λ+1 components).
        left_invariants, right_invariants: features of order 0 of the same environments.
        zeta: ζ ≥ 1. 1 is linear in the correlations of the density; 2 multiplies by the scalar kernel once. Integers
            give positive definite kernels (Schur). Other values may give small negative eigenvalues, which the noise
            must cover.

    Returns:
        The kernel in blocks; for λ = 0 it is (k⁰)^ζ.
    """
    linear = jnp.einsum("iuf,jvf->iujv", left, right, precision=lax.Precision.HIGHEST)
    return linear * soap_kernel(left_invariants, right_invariants, zeta - 1.0)[:, None, :, None]
