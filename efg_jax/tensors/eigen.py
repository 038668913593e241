"""Eigen-decomposition of symmetric 3×3 tensors whose derivatives stay finite and right where eigenvalues coincide."""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

HIGHEST = jax.lax.Precision.HIGHEST
# Two eigenvalues closer than this many units of rounding of the largest cannot be told apart, nor can their
# eigenvectors.
DEGENERATE_ULPS = 64.0
SWEEPS = 5  # of Jacobi rotations; four reached rounding for all of 200 000 tensors, nearly degenerate ones among them


def eigh3(tensor: Float[Array, "*batch 3 3"]) -> tuple[Float[Array, "*batch 3"], Float[Array, "*batch 3 3"]]:
    """Eigenvalues and eigenvectors of the symmetric part, ½(V + Vᵀ) = U diag(w) Uᵀ, differentiable to any order.

    First-order perturbation theory, dw_j = u_jᵀ dV u_j and dU = U (F ∘ Uᵀ dV U) with F_ij = 1/(w_j − w_i), except that
    F_ij = 0 for pairs with |w_j − w_i| ≤ 64 ε max|w|, ε the rounding of the dtype. What that drops is a turn inside a
    degenerate subspace, where no eigenvector is defined. The derivative is never NaN, not even at the zero tensor.
    Where two eigenvalues coincide,

    - the other eigenvalue, its axis and the sum of the two have exact derivatives of first and second order (V_zz at η
      = 0);
    - symmetric functions of the two, such as w_1² + w_2², have an exact gradient, but their Hessian lacks the turn:
      write them without eigenvalues (Tr V², det V), as :func:`efg_jax.tensors.efg.invariant_strength` does;
    - a function of one of the two alone (η) has a kink, and gets the derivative along the eigenvectors that happened to
      be returned.

    Args:
        tensor: tensor, any unit (not V/m²: float32 overflows there).

    Returns:
        Eigenvalues in ascending order, and orthonormal eigenvectors as columns (signs and handedness arbitrary: use
        :func:`efg_jax.tensors.principal.principal_axes` for a defined frame).
    """
    return _eigh(0.5 * (tensor + jnp.swapaxes(tensor, -1, -2)))


@jax.custom_jvp
@partial(jax.jit, inline=True)  # or every call outside of compiled code would compile the loop anew
def _eigh(symmetric):
    """Jacobi's method with scaled tensors: elementwise over the batch, so that it fuses, and runs as fast on
    accelerators.

    Batched LAPACK calls are no alternative: several in one compiled program can wait for each other for ever on CPUs
        (jaxlib 0.10.2)."""
    largest = jnp.max(jnp.abs(symmetric), axis=(-2, -1), keepdims=True)
    # A power of two, so that scaling is exact; NaN and infinity stay what they are.
    scale = jnp.exp2(jnp.floor(jnp.log2(jnp.where(largest > 0.0, largest, 1.0))))
    matrix = symmetric / scale
    vectors = jnp.broadcast_to(jnp.eye(3, dtype=symmetric.dtype), symmetric.shape)
    matrix, vectors = jax.lax.fori_loop(0, SWEEPS, lambda _, pair: _sweep(*pair), (matrix, vectors))
    values = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    order = jnp.argsort(values, axis=-1)
    values = jnp.take_along_axis(values, order, axis=-1) * scale[..., 0]
    return values, jnp.take_along_axis(vectors, order[..., None, :], axis=-1)


def _sweep(matrix, vectors):
    """One rotation of each pair of axes, each of which makes its off-diagonal element vanish (Golub & Van Loan, section
    8.5).
    """
    rows, columns = [[matrix[..., i, j] for j in range(3)] for i in range(3)], [vectors[..., :, j] for j in range(3)]
    for p, q in ((0, 1), (0, 2), (1, 2)):
        r = 3 - p - q
        off = rows[p][q]
        exists = off != 0.0
        tau = (rows[q][q] - rows[p][p]) / (2.0 * jnp.where(exists, off, 1.0))
        root = jnp.abs(tau) + jnp.sqrt(1.0 + jnp.minimum(tau * tau, jnp.finfo(tau.dtype).max))
        tangent = jnp.where(exists, jnp.where(tau < 0.0, -1.0, 1.0) / root, 0.0)
        cosine = 1.0 / jnp.sqrt(1.0 + tangent * tangent)
        sine = tangent * cosine
        new_p, new_q = cosine * rows[r][p] - sine * rows[r][q], sine * rows[r][p] + cosine * rows[r][q]
        rows[p][p], rows[q][q] = rows[p][p] - tangent * off, rows[q][q] + tangent * off
        rows[p][q] = rows[q][p] = jnp.zeros_like(off)
        rows[r][p] = rows[p][r] = new_p
        rows[r][q] = rows[q][r] = new_q
        left, right = columns[p], columns[q]
        columns[p] = cosine[..., None] * left - sine[..., None] * right
        columns[q] = sine[..., None] * left + cosine[..., None] * right
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2), jnp.stack(columns, axis=-1)


@_eigh.defjvp
def _eigh_jvp(primals, tangents):
    (symmetric,), (tangent,) = primals, tangents
    # Calling the rule's own function is what makes the derivative differentiable again.
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
