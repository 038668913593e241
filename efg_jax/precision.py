"""Where float64 is switched on, and nowhere else.

JAX computes in float32 unless it is told otherwise. Fitting a Gaussian process needs float64 (a kernel's condition number eats more
digits than float32 has), so `fit`, `predict`, `evaluate` and `tune` run their device work inside `float64()`, a thread-local
context that leaves the caller's own configuration alone. Importing efg_jax changes nothing.

Who calls the pure functions directly (descriptors, kernels, tensor algebra) gets the precision of JAX's configuration: call
`enable_x64()` once, first thing, for float64.
"""

from contextlib import AbstractContextManager

import jax


def enable_x64() -> None:
    """Make float64 JAX's default for the whole process, as `jax.config.update("jax_enable_x64", True)`."""
    jax.config.update("jax_enable_x64", True)


def float64(enabled: bool = True) -> AbstractContextManager:
    """Context in which device work runs in float64 (or, with ``enabled=False``, in float32)."""
    return jax.enable_x64(enabled)
