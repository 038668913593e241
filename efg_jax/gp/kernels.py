"""Kernels between environments from their λ-SOAP features."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float


def invariant_factor(
    left: Float[Array, "left invariants"], right: Float[Array, "right invariants"], zeta: Float[Array, ""]
) -> Float[Array, "left right"]:
    """(k⁰_ij)^(ζ−1), with k⁰ the scalar product of λ = 0 features: the factor that makes a linear kernel of order ζ.

    Args:
        left, right: λ = 0 features.
        zeta: ζ ≥ 1, not only integers.
    """
    k = jnp.matmul(left, right.T, precision=lax.Precision.HIGHEST)
    # k⁰ is an average of squared overlaps, so negative only by rounding; its powers must have a finite logarithm.
    return jnp.maximum(k, jnp.finfo(k.dtype).tiny) ** (zeta - 1.0)


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
        zeta: ζ; 1 is linear in the density's correlations, 2 multiplies by the scalar kernel once. Whole numbers give positive
            definite kernels (Schur); between them a kernel may have small negative eigenvalues, which the regularisation must cover.

    Returns:
        The kernel in blocks; for λ = 0 it is (k⁰)^ζ.
    """
    linear = jnp.einsum("iuf,jvf->iujv", left, right, precision=lax.Precision.HIGHEST)
    return linear * invariant_factor(left_invariants, right_invariants, zeta)[:, None, :, None]
