"""Which environments stand for all: farthest-point sampling, and the greedy CUR decomposition of their kernel."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Int

SELECTIONS = ("fps", "cur")

_SAME = (
    1e-10  # squared distance over squared norm, or variance left over variance, below which environments are the same
)


def select_environments(
    invariants: Float[np.ndarray, "environments features"], count: int, selection: str, zeta: float
) -> Int[np.ndarray, " chosen"]:
    """Indices of the chosen environments in the order in which they were taken; fewer than ``count`` where others only repeat them.

    Args:
        invariants: λ = 0 features.
        count: how many.
        selection: "fps": the environment that is farthest from those taken so far (Euclidean distance of features; Eldar et al.
            1997); spreads evenly over what occurs. "cur": the one that those taken so far explain least, by the residual of the kernel (k⁰)^ζ: pivoted
            Cholesky decomposition, the adaptive cross approximation of a CUR decomposition (Harbrecht et al. 2012, Appl. Numer. Math. 62, 428).
        zeta: ζ, for "cur".
    """
    count = min(count, len(invariants))
    features = jnp.asarray(invariants)
    chosen, left = (
        _farthest_points(features, count) if selection == "fps" else _pivots(features, count, jnp.asarray(zeta))
    )
    chosen, left = np.asarray(chosen), np.asarray(left)
    enough = np.flatnonzero(left <= _SAME)
    return chosen[: enough[0]] if enough.size else chosen


@partial(jax.jit, static_argnames="count")
def _farthest_points(
    features: Float[Array, "n features"], count: int
) -> tuple[Int[Array, " chosen"], Float[Array, " chosen"]]:
    """Indices, and each one's squared distance from those before it over the largest squared norm.

    The first is the one farthest from the mean. Differences are squared one by one: |x|² − 2 x·y + |y|² could not tell neighbours apart.
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
    """Pivots of the kernel's Cholesky decomposition, and each one's variance given those before it over the largest variance."""
    n, tiny = features.shape[0], jnp.finfo(features.dtype).tiny
    diagonal = jnp.maximum(jnp.sum(features**2, axis=1), tiny) ** zeta
    largest = jnp.maximum(jnp.max(diagonal), tiny)

    def step(state, number):
        left, columns = state
        taken = jnp.argmax(left)
        kernel = jnp.maximum(jnp.matmul(features, features[taken], precision=lax.Precision.HIGHEST), tiny) ** zeta
        explained = jnp.matmul(columns, columns[taken], precision=lax.Precision.HIGHEST)
        column = (kernel - explained) / jnp.sqrt(jnp.maximum(left[taken], tiny))
        # Rounding would leave it a little to explain.
        remaining = jnp.maximum(left - column**2, 0.0).at[taken].set(0.0)
        return (remaining, columns.at[:, number].set(column)), (taken, left[taken] / largest)

    start = (diagonal, jnp.zeros((n, count), dtype=features.dtype))
    return lax.scan(step, start, jnp.arange(count))[1]
