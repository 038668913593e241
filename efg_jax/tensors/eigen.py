"""Eigen-decomposition of symmetric 3×3 tensors whose derivatives stay finite and right where eigenvalues coincide."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

HIGHEST = jax.lax.Precision.HIGHEST
# Two eigenvalues closer than this many units of rounding of the largest cannot be told apart by LAPACK, nor can their eigenvectors.
DEGENERATE_ULPS = 64.0


def eigh3(tensor: Float[Array, "*batch 3 3"]) -> tuple[Float[Array, "*batch 3"], Float[Array, "*batch 3 3"]]:
    """Eigenvalues and eigenvectors of the symmetric part, ½(V + Vᵀ) = U diag(w) Uᵀ, differentiable to any order.

    First-order perturbation theory, dw_j = u_jᵀ dV u_j and dU = U (F ∘ Uᵀ dV U) with F_ij = 1/(w_j − w_i), except that F_ij = 0 for
    pairs with |w_j − w_i| ≤ 64 ε max|w|, ε the rounding of the dtype. What that drops is a turn inside a degenerate subspace, where
    no eigenvector is defined. The derivative is never NaN, not even at the zero tensor. Where two eigenvalues coincide,

    - the other eigenvalue, its axis and the sum of the two have exact derivatives of first and second order (V_zz at η = 0);
    - symmetric functions of the two, such as w_1² + w_2², have an exact gradient, but their Hessian lacks the turn: write them without
      eigenvalues (Tr V², det V), as :func:`efg_jax.tensors.efg.invariant_strength` does;
    - a function of one of the two alone (η) has a kink, and gets the derivative along the eigenvectors that LAPACK happened to return.

    Args:
        tensor: tensor, any unit (not V/m²: float32 overflows there).

    Returns:
        Eigenvalues in ascending order, and orthonormal eigenvectors as columns (signs and handedness arbitrary: use
        :func:`efg_jax.tensors.principal.principal_axes` for a defined frame).
    """
    return _eigh(0.5 * (tensor + jnp.swapaxes(tensor, -1, -2)))


@jax.custom_jvp
def _eigh(symmetric):
    vectors, values = jax.lax.linalg.eigh(symmetric, symmetrize_input=False)
    return values, vectors


@_eigh.defjvp
def _eigh_jvp(primals, tangents):
    (symmetric,), (tangent,) = primals, tangents
    # Calling the rule's own function, not LAPACK's, is what makes the derivative differentiable again.
    values, vectors = _eigh(symmetric)
    rotated = jnp.einsum("...ki,...kl,...lj->...ij", vectors, tangent, vectors, precision=HIGHEST)
    gap = values[..., None, :] - values[..., :, None]
    scale = jnp.max(jnp.abs(values), axis=-1)[..., None, None]
    tolerance = DEGENERATE_ULPS * float(jnp.finfo(values.dtype).eps) * scale
    # <=, not <: at the zero tensor both sides are 0. The inner where keeps 1/0 out of the derivative of the derivative.
    degenerate = jnp.abs(gap) <= tolerance
    inverse_gap = jnp.where(degenerate, 0.0, 1.0 / jnp.where(degenerate, 1.0, gap))
    values_dot = jnp.diagonal(rotated, axis1=-2, axis2=-1)
    vectors_dot = jnp.matmul(vectors, inverse_gap * rotated, precision=HIGHEST)
    return (values, vectors), (values_dot, vectors_dot)
