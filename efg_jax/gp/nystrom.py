"""Columns of a sparse regression: kernels with inducing environments, made orthonormal in the prior (Nyström features).

With K_MM = L Lᵀ the kernel of the inducing environments, φ(x) = L⁻¹ k_M(x) has φ(x)·φ(x') ≈ k(x, x'), exactly so for the inducing environments
themselves. A regression v·φ(x) is the subset of regressors (Quiñonero-Candela & Rasmussen 2005, J. Mach. Learn. Res. 6, 1939).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int
from scipy.linalg.lapack import dpstrf

TOLERANCE = 1e-12
"""Of the largest diagonal element: what the columns chosen so far leave unexplained of the others below it is rounding."""


class Whitening(NamedTuple):
    """K_MM on independent columns: which they are, and their Cholesky factor."""

    pivots: Int[Array | np.ndarray, " rank"]
    factor: Float[Array | np.ndarray, "rank rank"]

    def features(self, kernel: Float[Array, "rows columns"]) -> Float[Array, "rows rank"]:
        """φ = L⁻¹ k of each row."""
        return solve_triangular(jnp.asarray(self.factor), kernel[:, self.pivots].T, lower=True).T

    def weights(self, solution: Float[Array | np.ndarray, " rank"], columns: int) -> Float[np.ndarray, " columns"]:
        """w with w·k = v·φ for every row; zero for dependent columns."""
        weights = np.zeros(columns)
        factor, solution = np.asarray(self.factor), np.asarray(solution)
        weights[np.asarray(self.pivots)] = scipy.linalg.solve_triangular(factor, solution, trans="T", lower=True)
        return weights


def whitening(kernel: Float[np.ndarray, "columns columns"]) -> Whitening:
    """Pivoted Cholesky decomposition, which stops where nothing but rounding is left (host).

    Environments that repeat each other, and features that vanish by symmetry, make K_MM singular; a matrix inverse or a plain factor would
    then blow up rounding.

    Args:
        kernel: K_MM, positive semidefinite.
    """
    diagonal = float(np.max(np.diag(kernel), initial=0.0))
    factor, pivots, rank, _ = dpstrf(np.asarray(kernel, order="F"), tol=TOLERANCE * diagonal, lower=1)
    rank = int(rank) if diagonal > 0.0 else 0
    return Whitening(pivots[:rank].astype(np.int64) - 1, np.tril(factor[:rank, :rank]))


def refactored(kernel: Float[np.ndarray, "columns columns"], pivots: Int[np.ndarray, " rank"]) -> Whitening:
    """The whitening with these pivots: what a file keeps of it."""
    return Whitening(pivots, np.linalg.cholesky(kernel[np.ix_(pivots, pivots)]))
