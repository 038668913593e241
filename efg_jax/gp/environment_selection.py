"""Choosing representative environments: farthest-point sampling, and the greedy CUR decomposition of their kernel."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

SELECTIONS = ("fps", "cur")

# Squared distance over squared norm, or variance left over variance, below which environments are the same.
_SAME = 1e-10


def select_environments(
    invariants: Float[np.ndarray, "environments features"], count: int, selection: str, zeta: float
) -> Int[np.ndarray, " chosen"]:
    """Indices of the chosen environments in the order of the choice; fewer than ``count`` if the others repeat them.

    Args:
        invariants: λ = 0 features.
        count: how many.
        selection: "fps" takes the environment that is farthest from those taken so far (Euclidean distance of features;
            Eldar et al. 1997), and so spreads evenly over what occurs. "cur" takes the one with the largest residual of
            the kernel (k⁰)^ζ: pivoted Cholesky decomposition, the adaptive cross approximation of a CUR decomposition
            (Harbrecht et al. 2012, Appl. Numer. Math. 62, 428).
        zeta: ζ, for "cur".
    """
    count, features = min(count, len(invariants)), jnp.asarray(invariants)
    if selection == "fps":
        chosen, left = _farthest_points(features, count)
    else:
        chosen, left = _pivots(features, count, jnp.asarray(zeta))
    enough = np.flatnonzero(np.asarray(left) <= _SAME)
    return np.asarray(chosen)[: enough[0] if enough.size else count]


@partial(jax.jit, static_argnames="count")
def _farthest_points(
    features: Float[Array, "n features"], count: int
) -> tuple[Int[Array, " chosen"], Float[Array, " chosen"]]:
    """Indices, and the squared distance of each from those before it over the largest squared norm.

    The first is the one farthest from the mean. Differences are squared one by one: |x|² − 2 x·y + |y|² would lose the
    distance of near neighbours to rounding.
    """
    scale = jnp.maximum(jnp.max(jnp.sum(features**2, axis=1)), jnp.finfo(features.dtype).tiny)

    def distances(point):
        return jnp.sum((features - point[None, :]) ** 2, axis=1) / scale

    first = jnp.argmax(distances(jnp.mean(features, axis=0)))

    def step(nearest, _):
        taken = jnp.argmax(nearest)
        return jnp.minimum(nearest, distances(features[taken])), (taken, nearest[taken])

    _, (others, gaps) = lax.scan(step, distances(features[first]), None, length=count - 1)
    return jnp.concatenate([first[None], others]), jnp.concatenate([jnp.ones(1, features.dtype), gaps])


@partial(jax.jit, static_argnames="count")
def _pivots(
    features: Float[Array, "n features"], count: int, zeta: Float[Array, ""]
) -> tuple[Int[Array, " chosen"], Float[Array, " chosen"]]:
    """Pivots of the kernel's Cholesky decomposition, and the remaining variance of each over the largest variance."""
    n, tiny = features.shape[0], jnp.finfo(features.dtype).tiny
    diagonal = jnp.maximum(jnp.sum(features**2, axis=1), tiny) ** zeta
    largest = jnp.maximum(jnp.max(diagonal), tiny)

    def step(state, number):
        left, columns = state
        taken = jnp.argmax(left)
        kernel = jnp.maximum(jnp.matmul(features, features[taken], precision=lax.Precision.HIGHEST), tiny) ** zeta
        explained = jnp.matmul(columns, columns[taken], precision=lax.Precision.HIGHEST)
        column = (kernel - explained) / jnp.sqrt(jnp.maximum(left[taken], tiny))
        # Set to zero: rounding would leave a small residual.
        remaining = jnp.maximum(left - column**2, 0.0).at[taken].set(0.0)
        return (remaining, columns.at[:, number].set(column)), (taken, left[taken] / largest)

    start = (diagonal, jnp.zeros((n, count), dtype=features.dtype))
    return lax.scan(step, start, jnp.arange(count))[1]
