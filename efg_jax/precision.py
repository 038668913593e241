"""The one place where float64 is switched on.

JAX computes in float32 by default. Fitting a Gaussian process needs float64, because the condition number of a kernel
costs more digits than float32 has. So `fit`, `predict`, `evaluate` and `tune` do their device work inside `x64()`, a
thread-local context that leaves the caller's configuration alone. Importing efg_jax changes nothing.

The pure functions (descriptors, kernels, tensor algebra) compute in the precision of JAX's configuration. To use them
in float64, call `enable_x64()` once at the start of a program, or run a part of it inside `x64()`.
"""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import jax
import numpy as np

Item = TypeVar("Item")


def enable_x64() -> None:
    """Make float64 JAX's default for the whole process, as `jax.config.update("jax_enable_x64", True)` does."""
    jax.config.update("jax_enable_x64", True)


def x64(enabled: bool = True) -> AbstractContextManager:
    """Context for device work in float64 or, with ``enabled=False``, in float32."""
    return jax.enable_x64(enabled)


def stepwise(items: Iterable[Item], enabled: bool = True) -> Iterator[Item]:
    """Yield the items of a generator that does its work inside `x64(enabled)`; the caller's precision is untouched.

    A generator with ``yield`` inside ``with x64():`` would leave float64 on in the caller's code between two items.
    Here the context is entered for each step and left before the item is handed over.
    """
    iterator, end = iter(items), object()
    try:
        while True:
            with x64(enabled):
                item = next(iterator, end)
            if item is end:
                return
            yield item
    finally:
        if hasattr(iterator, "close"):
            with x64(enabled):
                iterator.close()


def cast(tree: Any, dtype: np.dtype | type) -> Any:
    """The same PyTree with its floating-point arrays in another precision; everything else stays."""

    def converted(leaf: Any) -> Any:
        floating = isinstance(leaf, jax.Array | np.ndarray | np.generic) and np.issubdtype(leaf.dtype, np.floating)
        return leaf.astype(dtype) if floating else leaf

    return jax.tree.map(converted, tree)
