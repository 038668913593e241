"""Posterior variance of a sparse regression: the deterministic training conditional (DTC)."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import solve_triangular
from jaxtyping import Array, Float, Int

from efg_jax.gp.nystrom import Whitening


class SparsePosterior(eqx.Module):
    """What the variance of a sparse regression needs.

    Attributes:
        pivots: independent columns among the kernels with inducing environments; None: columns are features (primal).
        factor: Cholesky factor of A + ρ; files keep it.
        space: whitening of the columns; files leave it out, because it follows from the inducing environments.
    """

    pivots: Int[np.ndarray, " rank"] | None
    factor: Float[np.ndarray, "rank rank"]
    space: Whitening | None = None


@partial(jax.jit, static_argnames="components")
def sparse_variance(
    columns: Float[Array, "rows columns"],
    prior: Float[Array, " targets"],
    posterior: SparsePosterior,
    noise: Float[Array, ""],
    components: int,
) -> Float[Array, " targets"]:
    """Trace of each target's posterior covariance in units of the kernel, k** − |φ|² + ρ φ·(A + ρ)⁻¹φ.

    Quiñonero-Candela & Rasmussen 2005, Eq. 20b.

    Args:
        columns: of each target, its components one after the other.
        prior: trace of k**; not used for a primal model, where it is |φ|².
        posterior: of the regression.
        noise: ρ.
        components: 2λ + 1.
    """
    features = columns if posterior.space is None else posterior.space.features(columns)
    spread = solve_triangular(jnp.asarray(posterior.factor), features.T, lower=True)

    def trace(squares):
        return squares.reshape(-1, components).sum(axis=1)

    seen = noise * trace(jnp.sum(spread**2, axis=0))
    if posterior.space is None:
        return seen
    return seen + jnp.maximum(prior - trace(jnp.sum(features**2, axis=1)), 0.0)
