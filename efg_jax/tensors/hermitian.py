"""Eigen-decomposition of small Hermitian matrices, such as the Hamiltonian of a spin, with derivatives that stay finite
where levels coincide.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Inexact, Int

from efg_jax.tensors.eigen import DEGENERATE_ULPS, HIGHEST

SWEEPS = 7  # of Jacobi rotations; six reached rounding for thousands of matrices of each size up to 10, seven up to 15


def eigh_hermitian(
    matrix: Inexact[Array, "*batch n n"],
) -> tuple[Float[Array, "*batch n"], Inexact[Array, "*batch n n"]]:
    """Eigenvalues and eigenvectors, A = U diag(w) U†, differentiable to any order.

    As :func:`efg_jax.tensors.eigen.eigh3`: first-order perturbation theory, without the turn inside a degenerate
    subspace. Where levels coincide, sums over them (of energies, of intensities) have exact gradients; one level alone
    has a kink there.

    Args:
        matrix: Hermitian, or real and symmetric; what is not is ignored.

    Returns:
        Eigenvalues in ascending order, and orthonormal eigenvectors as columns, with any phase.
    """
    return _eigh(0.5 * (matrix + jnp.conj(jnp.swapaxes(matrix, -1, -2))))


@jax.custom_jvp
@partial(jax.jit, inline=True)
def _eigh(matrix):
    """Jacobi's method, disjoint pairs at a time (Golub & Van Loan, section 8.5), elementwise over the batch, which is
    the last axis meanwhile; for why not LAPACK see `efg_jax.tensors.eigen`.
    """
    size = matrix.shape[-1]
    partners = jnp.asarray(_rounds(size))
    rows = jnp.moveaxis(matrix.reshape(-1, size, size), 0, -1)
    start = jnp.broadcast_to(jnp.eye(size, dtype=matrix.dtype)[..., None], rows.shape)

    def turn(step, pair):
        return _turn(*pair, partners[step % len(partners)])

    rows, columns = jax.lax.fori_loop(0, SWEEPS * len(partners), turn, (rows, start))
    values = jnp.diagonal(rows).real.reshape(*matrix.shape[:-1])
    vectors = jnp.moveaxis(columns, -1, 0).reshape(matrix.shape)
    order = jnp.argsort(values, axis=-1)
    return jnp.take_along_axis(values, order, axis=-1), jnp.take_along_axis(vectors, order[..., None, :], axis=-1)


def _rounds(size: int) -> Int[np.ndarray, "rounds n"]:
    """Partner of each row in each round of a tournament in which every pair meets once; one without is its own."""
    even = size + size % 2
    rounds = []
    for shift in range(even - 1):
        circle = [0, *np.roll(np.arange(1, even), shift).tolist()]
        partner = np.empty(even, dtype=int)
        partner[circle] = circle[::-1]
        rounds.append(np.where(partner[:size] < size, partner[:size], np.arange(size)))
    return np.array(rounds)


def _turn(matrix, vectors, partner):
    """A rotation of each pair that makes its off-diagonal element vanish: column i becomes c·i + u_i·partner."""
    own = jnp.arange(len(partner))
    first = (partner > own)[:, None]
    off = matrix[own, partner]
    off = jnp.where(first, off, jnp.conj(off[partner]))  # of one triangle: the other may differ by a rounding
    size = jnp.abs(off)
    exists = (size > 0.0) & (partner != own)[:, None]
    safe = jnp.where(exists, size, 1.0)
    energy = matrix[own, own].real
    gap = 0.5 * (energy[partner] - energy)
    sign = jnp.where((gap > 0.0) | ((gap == 0.0) & first), 1.0, -1.0)
    tangent = jnp.where(exists, size / (jnp.abs(gap) + jnp.hypot(gap, safe)), 0.0)
    cosine = (1.0 / jnp.sqrt(1.0 + tangent * tangent)).astype(off.dtype)
    other = (-sign * tangent).astype(off.dtype) * cosine * jnp.conj(off / safe.astype(off.dtype))
    turned = cosine[:, None] * matrix + jnp.conj(other)[:, None] * matrix[partner]
    turned, vectors = (cosine[None] * values + other[None] * values[:, partner] for values in (turned, vectors))
    return turned, vectors


@_eigh.defjvp
def _eigh_jvp(primals, tangents):
    (matrix,), (tangent,) = primals, tangents
    values, vectors = _eigh(matrix)
    adjoint = jnp.conj(jnp.swapaxes(vectors, -1, -2))
    rotated = jnp.matmul(jnp.matmul(adjoint, tangent, precision=HIGHEST), vectors, precision=HIGHEST)
    gap = values[..., None, :] - values[..., :, None]
    scale = jnp.max(jnp.abs(values), axis=-1)[..., None, None]
    degenerate = jnp.abs(gap) <= DEGENERATE_ULPS * float(jnp.finfo(values.dtype).eps) * scale
    inverse_gap = jnp.where(degenerate, 0.0, 1.0 / jnp.where(degenerate, 1.0, gap))
    vectors_dot = jnp.matmul(vectors, inverse_gap.astype(rotated.dtype) * rotated, precision=HIGHEST)
    return (values, vectors), (jnp.diagonal(rotated, axis1=-2, axis2=-1).real, vectors_dot)
