"""Regularised least squares from sums over rows: pure linear algebra, no atoms.

A regression with few columns and many rows, y ≈ Φ v with the prior v ~ N(0, s²) and noise ρ s², needs of its rows only
A = ΦᵀΦ, b = Φᵀy and yᵀy. They are summed chunk by chunk and fold by fold, so that memory does not grow with the number
of rows, and the error on each held-out fold follows from the sums alone.

The columns should be orthonormal in the prior (`nystrom.whitening`). Then the eigenvalues of A + ρ lie between ρ and
tr A + ρ, and its Cholesky factor is as accurate as the regularisation allows. The bare normal equations of a subset of
regressors have the squared condition number of the kernel instead (Foster et al. 2009, J. Mach. Learn. Res. 10, 857).
"""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.linalg import cho_solve
from jaxtyping import Array, Float

from efg_jax.gp.gaussian_process import parabola_minimum

HIGHEST = lax.Precision.HIGHEST
_PANELS = 4  # of the symmetric product: ten of sixteen blocks are computed


class Gram(NamedTuple):
    """Sums over rows: A = ΦᵀΦ, b = Φᵀy, yᵀy and the number of rows."""

    matrix: Float[Array | np.ndarray, "columns columns"]
    vector: Float[Array | np.ndarray, " columns"]
    square: Float[Array | np.ndarray, ""]
    rows: Float[Array | np.ndarray, ""]

    @classmethod
    def zero(cls, columns: int) -> "Gram":
        """The sums over no rows."""
        return cls(np.zeros((columns, columns)), np.zeros(columns), np.zeros(()), np.zeros(()))

    def plus(self, other: "Gram") -> "Gram":
        """Both sets of rows."""
        return Gram(*(one + two for one, two in zip(self, other, strict=True)))

    def minus(self, other: "Gram") -> "Gram":
        """Without some of the rows."""
        return Gram(*(one - two for one, two in zip(self, other, strict=True)))


def gram_of(features: Float[Array, "rows columns"], targets: Float[Array, " rows"], rows: Float[Array, ""]) -> Gram:
    """Sums over these rows; padding has zero features and a zero target.

    Args:
        features: Φ.
        targets: y.
        rows: number of rows without padding.
    """
    matrix = _symmetric_product(features)
    vector = jnp.matmul(features.T, targets, precision=HIGHEST)
    return Gram(matrix, vector, jnp.sum(targets**2), rows)


def _symmetric_product(features: Float[Array, "rows columns"]) -> Float[Array, "columns columns"]:
    """ΦᵀΦ from the blocks on and below its diagonal."""
    columns = features.shape[1]
    edges = [columns * number // _PANELS for number in range(_PANELS + 1)]
    lower = jnp.zeros((columns, columns), dtype=features.dtype)
    for first, last in itertools.pairwise(edges):
        block = jnp.matmul(features[:, first:].T, features[:, first:last], precision=HIGHEST)
        lower = lower.at[first:, first:last].set(block)
    return jnp.tril(lower) + jnp.tril(lower, -1).T


@partial(jax.jit, static_argnames=("factor_too",))
def _solve(gram: Gram, noise: Float[Array, ""], factor_too: bool = False):
    factor = jnp.linalg.cholesky(gram.matrix + noise * jnp.eye(gram.vector.shape[0]))
    solution = cho_solve((factor, True), gram.vector)
    return (solution, factor) if factor_too else solution


def solve(gram: Gram, noise: float) -> tuple[Float[Array, " columns"], Float[Array, "columns columns"]]:
    """v = (A + ρ)⁻¹ b and the Cholesky factor of A + ρ; NaN if that is not positive definite."""
    return _solve(gram, jnp.asarray(noise), factor_too=True)


@jax.jit
def _held_out_square(total: Gram, fold: Gram, noise: Float[Array, ""]) -> Float[Array, ""]:
    solution = _solve(total.minus(fold), noise)
    projected = jnp.matmul(fold.matrix, solution, precision=HIGHEST)
    return fold.square + jnp.dot(solution, projected - 2.0 * fold.vector)


def held_out_rms(total: Gram, folds: Sequence[Gram], noise: float) -> float:
    """Root mean square of y − ŷ with each fold predicted from the others: |y_f − Φ_f v|² = y_f² − 2 v·b_f + v·A_f v.

    The difference loses digits: residuals are known to about 1e-8 of the targets. Infinite if a matrix is not positive
    definite.
    """
    squares = [float(_held_out_square(total, fold, jnp.asarray(noise))) for fold in folds]
    mean = sum(squares) / float(total.rows)
    return float(np.sqrt(max(mean, 0.0))) if np.isfinite(mean) else np.inf


def choose_regularisation(
    total: Gram, folds: Sequence[Gram], decades: tuple[float, float] = (-9.0, 1.0)
) -> tuple[float, float]:
    """The regularisation (ρ over the mean diagonal of ΦΦᵀ) with the smallest error on held-out folds.

    Downhill from 1e-4 in steps of a decade, then of half a decade, then by a parabola in log ρ. A step factorises one
    matrix for each fold, about a second for thousands of columns.

    Args:
        total: sums over all rows.
        folds: sums over each fold.
        decades: range of log₁₀ of the regularisation.

    Returns:
        The regularisation, and the root mean square residual there.
    """
    diagonal = float(jnp.trace(total.matrix) / total.rows)
    known: dict[float, float] = {}

    def loss(exponent: float) -> float:
        if exponent not in known:
            known[exponent] = held_out_rms(total, folds, 10.0**exponent * diagonal)
        return known[exponent]

    best = -4.0
    for step in (1.0, 0.5):
        while True:
            around = [e for e in (best - step, best, best + step) if decades[0] <= e <= decades[1]]
            lowest = min(around, key=loss)
            if lowest == best:
                break
            best = lowest
    if decades[0] < best < decades[1]:
        left, middle, right = (known[e] for e in (best - 0.5, best, best + 0.5))
        if np.isfinite([left, middle, right]).all() and left - 2.0 * middle + right > 0.0:
            loss(best + 0.5 * parabola_minimum(left, middle, right))
    exponent = min(known, key=known.get)
    return 10.0**exponent, known[exponent]


def evidence(gram: Gram, solution: np.ndarray, factor: np.ndarray, noise: float) -> tuple[float, float | None]:
    """Prior variance s² that maximises the marginal likelihood of y ~ N(0, s²(ΦΦᵀ + ρ)), and log N there.

    By the determinant lemma, log det(ΦΦᵀ + ρ) = log det(A + ρ) + (rows − columns) log ρ. The second is None if y is
    zero.
    """
    rows, columns = float(gram.rows), len(solution)
    amplitude = max(float(gram.square - gram.vector @ solution), 0.0) / (noise * rows)
    if amplitude == 0.0:
        return 0.0, None
    determinant = 2.0 * float(np.sum(np.log(np.diag(factor)))) + (rows - columns) * np.log(noise)
    return amplitude, float(-0.5 * (rows * (1.0 + np.log(amplitude) + np.log(2.0 * np.pi)) + determinant))
