"""Gaussian-process regression on a kernel matrix: pure linear algebra, no atoms.

Throughout, K is the (n, n) kernel of the training rows, ρ the noise variance in units of K, and y the targets.
Residuals of held-out groups follow in closed form from one factorisation (Rasmussen & Williams 2006, Eq. 5.12, for
blocks): with G the rows of a group, y_G − ŷ_G^(−G) = [(K+ρ)⁻¹_GG]⁻¹ [(K+ρ)⁻¹ y]_G.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float, Int

logger = logging.getLogger(__name__)

HIGHEST = lax.Precision.HIGHEST


def factorise(kernel: Float[Array, "n n"], noise: Float[Array, ""]) -> Float[Array, "n n"]:
    """Lower Cholesky factor of K + ρ; all NaN if that is not positive definite."""
    return jnp.linalg.cholesky(_noisy(kernel, noise))


def solve(factor: Float[Array, "n n"], targets: Float[Array, " n"]) -> Float[Array, " n"]:
    """Weights (K + ρ)⁻¹ y from the Cholesky factor."""
    return cho_solve((factor, True), targets)


def log_marginal_likelihood(factor: Float[Array, "n n"], targets: Float[Array, " n"]) -> Float[Array, ""]:
    """log N(y; 0, K + ρ) (Rasmussen & Williams 2006, Eq. 5.8)."""
    whitened = solve_triangular(factor, targets, lower=True)
    determinant = jnp.sum(jnp.log(jnp.diag(factor)))
    return -0.5 * jnp.sum(whitened**2) - determinant - 0.5 * targets.shape[0] * jnp.log(2.0 * jnp.pi)


def posterior_covariance(
    factor: Float[Array, "n n"], cross: Float[Array, "n m"], prior: Float[Array, "m m"]
) -> Float[Array, "m m"]:
    """k** − k*ᵀ (K + ρ)⁻¹ k* in units of the kernel, without the noise (Rasmussen & Williams 2006, Eq. 2.24)."""
    whitened = solve_triangular(factor, cross, lower=True)
    return prior - jnp.matmul(whitened.T, whitened, precision=HIGHEST)


Groups = tuple[Int[Array | np.ndarray, "_ _"], ...]
"""Rows of each held-out group: one group a line, padded with −1; groups of similar size share an array."""


def group_rows(labels: Int[np.ndarray, " n"]) -> Groups:
    """Rows of each group of equal labels (host).

    Groups are collected by size in powers of two. The work on a group grows with the square of its padded size, so
    padding all to the largest would be wasteful.
    """
    order = np.argsort(labels, kind="stable")
    _, counts = np.unique(labels, return_counts=True)
    ends = np.cumsum(counts)
    steps = np.ceil(np.log2(counts)).astype(int)
    blocks = []
    for step in np.unique(steps):
        members = np.flatnonzero(steps == step)
        rows = np.full((len(members), counts[members].max()), -1)
        for line, group in enumerate(members):
            rows[line, : counts[group]] = order[ends[group] - counts[group] : ends[group]]
        blocks.append(rows)
    return tuple(blocks)


def held_out_residuals(
    kernel: Float[Array, "n n"],
    targets: Float[Array, " n"],
    groups: Groups,
    noise: Float[Array, ""],
) -> Float[Array, " n"]:
    """Residuals y − ŷ of every row, predicted without its group; differentiable (reverse mode) in all but the groups.

    The gradient costs a small part of the value: with A = (K+ρ)⁻¹ it is a sum of outer products of A with vectors, one
        pair
    a group, and needs no product of n×n matrices.

    Args:
        kernel: K.
        targets: y.
        groups: rows of each group (`group_rows`).
        noise: ρ.
    """
    return _held_out(_noisy(kernel, noise), targets, groups)


def _noisy(kernel: Float[Array, "n n"], noise: Float[Array, ""]) -> Float[Array, "n n"]:
    return kernel + noise * jnp.eye(kernel.shape[0], dtype=kernel.dtype)


@jax.custom_vjp
def _held_out(noisy: Float[Array, "n n"], targets: Float[Array, " n"], groups: Groups) -> Float[Array, " n"]:
    return _held_out_forward(noisy, targets, groups)[0]


def _held_out_forward(noisy, targets, groups):
    factor = jnp.linalg.cholesky(noisy)
    half_inverse = lower_inverse(factor)
    weights = solve(factor, targets)

    def inverse_block(rows):
        columns = half_inverse[:, rows]
        return jnp.matmul(columns.T, columns, precision=HIGHEST)

    blocks = _inverse_blocks(inverse_block, groups, weights.dtype)
    residuals = _solve_groups(blocks, weights, groups)
    return residuals, (factor, weights, residuals, blocks, groups)


def _held_out_backward(saved, cotangent):
    """With w = A y and r_G = [A_GG]⁻¹ w_G: dr_G = [A_GG]⁻¹ (dw_G − dA_GG r_G) and dA = −A dK A."""
    factor, weights, residuals, blocks, groups = saved
    adjoint = _solve_groups(blocks, cotangent, groups)
    left = cho_solve((factor, True), _by_group(adjoint, groups))  # A_{:,G} [A_GG]⁻¹ r̄_G
    right = cho_solve((factor, True), _by_group(residuals, groups))
    total = jnp.sum(left, axis=1)  # A times the adjoint
    kernel = jnp.matmul(left, right.T, precision=HIGHEST) - total[:, None] * weights[None, :]
    return kernel, total, tuple(np.zeros(lines.shape, dtype=jax.dtypes.float0) for lines in groups)


_held_out.defvjp(_held_out_forward, _held_out_backward)


def lower_inverse(factor: Float[Array, "n n"], largest: int = 256) -> Float[Array, "n n"]:
    """Inverse of a lower triangular matrix by halves, in a third of the work of solving for the identity."""
    n = factor.shape[0]
    if n <= largest:
        return solve_triangular(factor, jnp.eye(n, dtype=factor.dtype), lower=True)
    half = n // 2
    upper, lower = lower_inverse(factor[:half, :half], largest), lower_inverse(factor[half:, half:], largest)
    corner = -jnp.matmul(lower, jnp.matmul(factor[half:, :half], upper, precision=HIGHEST), precision=HIGHEST)
    zeros = jnp.zeros((half, n - half), dtype=factor.dtype)
    return jnp.block([[upper, zeros], [corner, lower]])


class Eigenmodes(NamedTuple):
    """Eigen-decomposition of a kernel. Eigenvalues may be negative by rounding, or where ζ is not an integer."""

    values: Float[Array, " n"]
    vectors: Float[Array, "n n"]


@jax.jit
def eigenmodes(kernel: Float[Array, "n n"]) -> Eigenmodes:
    """Eigenvalues in ascending order and eigenvectors (columns)."""
    return Eigenmodes(*jnp.linalg.eigh(kernel))


def held_out_residuals_from_modes(
    modes: Eigenmodes, targets: Float[Array, " n"], groups: Groups, noise: Float[Array, ""]
) -> Float[Array, " n"]:
    """`held_out_residuals` from the eigen-decomposition of K: cheap for many ρ of one kernel."""
    inverse, vectors = 1.0 / (modes.values + noise), modes.vectors
    weights = jnp.matmul(vectors, inverse * jnp.matmul(targets, vectors, precision=HIGHEST), precision=HIGHEST)

    def inverse_block(rows):
        block = vectors[rows]
        return jnp.matmul(block * inverse[None, :], block.T, precision=HIGHEST)

    return _solve_groups(_inverse_blocks(inverse_block, groups, weights.dtype), weights, groups)


def _inverse_blocks(
    inverse_block: Callable[[Int[Array, " _"]], Float[Array, "_ _"]], groups: Groups, dtype: jnp.dtype
) -> tuple[Float[Array, "_ _ _"], ...]:
    """Cholesky factors of [(K+ρ)⁻¹]_GG. Padded rows become an identity, which leaves the others alone."""

    def one(rows):
        present = rows >= 0
        both = present[:, None] & present[None, :]
        block = jnp.where(both, inverse_block(jnp.maximum(rows, 0)), jnp.eye(rows.shape[0], dtype=dtype))
        return jnp.linalg.cholesky(block)

    return tuple(lax.map(one, jnp.asarray(lines)) for lines in groups)


def _solve_groups(
    blocks: tuple[Float[Array, "_ _ _"], ...], right: Float[Array, " n"], groups: Groups
) -> Float[Array, " n"]:
    """Solve [(K+ρ)⁻¹_GG] x_G = b_G for each group."""
    result = jnp.zeros_like(right)
    for factors, lines in zip(blocks, map(jnp.asarray, groups), strict=True):
        own = jnp.where(lines >= 0, right[jnp.maximum(lines, 0)], 0.0)
        solved = lax.map(lambda pair: cho_solve((pair[0], True), pair[1]), (factors, own))
        # The row of padding lies past the end, where a scatter drops it.
        rows = jnp.where(lines >= 0, lines, right.shape[0])
        result = result.at[rows.ravel()].set(solved.ravel(), mode="drop")
    return result


def _by_group(values: Float[Array, " n"], groups: Groups) -> Float[Array, "n groups"]:
    """One column a group: the values of its rows, and zeros elsewhere."""
    columns = []
    for lines in map(jnp.asarray, groups):
        rows = jnp.where(lines >= 0, lines, values.shape[0])
        number = jnp.broadcast_to(jnp.arange(lines.shape[0])[:, None], lines.shape)
        own = jnp.where(lines >= 0, values[jnp.maximum(lines, 0)], 0.0)
        empty = jnp.zeros((values.shape[0], lines.shape[0]), dtype=values.dtype)
        columns.append(empty.at[rows, number].set(own, mode="drop"))
    return jnp.concatenate(columns, axis=1)


@jax.jit
def _held_out_rms(modes, targets, groups, noise):
    return jnp.sqrt(jnp.mean(held_out_residuals_from_modes(modes, targets, groups, noise) ** 2))


def choose_regularisation(
    modes: Eigenmodes,
    targets: Float[Array, " n"],
    groups: Groups,
    decades: tuple[float, float] = (-9.0, 1.0),
    steps_per_decade: int = 2,
) -> tuple[float, float]:
    """The regularisation (ρ over the mean diagonal of K) with the smallest held-out residuals.

    Args:
        modes: of the kernel (`eigenmodes`).
        targets, groups: as for `held_out_residuals`; two groups or more.
        decades: range of log₁₀ of the regularisation that is searched.
        steps_per_decade: of the scan; a parabola in log ρ then refines the minimum.

    Returns:
        The regularisation, and the root mean square of the residuals there.
    """
    diagonal = float(jnp.mean(modes.values))  # the trace over n, in either basis
    # ρ must outweigh negative eigenvalues, or K + ρ is not positive definite.
    least = np.log10(max(-2.0 * float(jnp.min(modes.values)) / diagonal, 1e-300))
    decades = (min(max(decades[0], least), decades[1] - 1.0), decades[1])

    def loss(exponent: float) -> float:
        rms = float(_held_out_rms(modes, targets, groups, jnp.asarray(10.0**exponent * diagonal)))
        return rms if np.isfinite(rms) else np.inf

    exponents = np.linspace(*decades, round((decades[1] - decades[0]) * steps_per_decade) + 1)
    losses = np.array([loss(exponent) for exponent in exponents])
    best = int(np.argmin(losses))
    exponent, lowest = float(exponents[best]), float(losses[best])
    if 0 < best < len(losses) - 1 and np.isfinite(losses[best - 1 : best + 2]).all():
        refined = exponent + (exponents[1] - exponents[0]) * parabola_minimum(*losses[best - 1 : best + 2])
        if (value := loss(refined)) < lowest:
            exponent, lowest = float(refined), value
    if best == 0:
        logger.warning(
            "the held-out error is smallest at the lower end of the search, regularisation %.0e; "
            "are structures repeated, or the labels zero?",
            10.0**exponent,
        )
    return 10.0**exponent, lowest


def parabola_minimum(left: float, middle: float, right: float) -> float:
    """Where the parabola through (−1, left), (0, middle) and (1, right) is smallest."""
    return 0.5 * (left - right) / (left - 2.0 * middle + right)
