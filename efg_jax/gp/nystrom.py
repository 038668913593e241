"""Nyström features: kernels with inducing environments, made orthonormal in the prior.

With K_MM = L Lᵀ the kernel of the inducing environments, φ(x) = L⁻¹ k_M(x) has φ(x)·φ(x') ≈ k(x, x'), exactly so for
the inducing environments. A regression v·φ(x) is the subset of regressors (Quiñonero-Candela & Rasmussen 2005, J. Mach.
Learn. Res. 6, 1939).
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import scipy.linalg
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int
from scipy.linalg.lapack import dpstrf

# Relative to the largest diagonal element: what the chosen columns leave unexplained of the others, below this, is
# rounding.
_TOLERANCE = 1e-12


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
    """Pivoted Cholesky decomposition that stops where only rounding is left (host).

    Repeated environments, and features that vanish by symmetry, make K_MM singular; its inverse or plain Cholesky
    factor would amplify rounding.

    Args:
        kernel: K_MM, positive semidefinite.
    """
    diagonal = float(np.max(np.diag(kernel), initial=0.0))
    factor, pivots, rank, _ = dpstrf(np.asarray(kernel, order="F"), tol=_TOLERANCE * diagonal, lower=1)
    rank = int(rank) if diagonal > 0.0 else 0
    return Whitening(pivots[:rank].astype(np.int64) - 1, np.tril(factor[:rank, :rank]))


def refactored(kernel: Float[np.ndarray, "columns columns"], pivots: Int[np.ndarray, " rank"]) -> Whitening:
    """The whitening from its pivots, which files keep."""
    return Whitening(pivots, np.linalg.cholesky(kernel[np.ix_(pivots, pivots)]))
