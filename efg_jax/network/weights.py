"""Where the random numbers of a network come from: float32, whatever JAX's configuration, so that a seed means one network."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray


def random_weights(key: PRNGKeyArray, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal."""
    return jax.random.normal(key, shape, dtype=jnp.float32)
