"""Quantities of many tensors on the host: NumPy in, NumPy out, in float64, padded to a few shapes so that little is
compiled.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from efg_jax.precision import x64
from efg_jax.structures.padding import in_bucket
from efg_jax.tensors.nuclei import Nuclei
from efg_jax.tensors.principal import Degeneracy, PrincipalAxes
from efg_jax.tensors.quantities import (
    Context,
    Quantity,
    View,
    evaluate,
    evaluate_flagged,
    evaluate_with_gradients,
)
from efg_jax.tensors.shielding import shift_tensor

_evaluate = jax.jit(evaluate, static_argnums=0)
_evaluate_flagged = jax.jit(evaluate_flagged, static_argnums=0)
_evaluate_with_gradients = jax.jit(evaluate_with_gradients, static_argnums=(0, 2))
_shift_tensor = jax.jit(shift_tensor)
_efg_axes = jax.jit(lambda tensors: View(Context(), efg=tensors).principal)
_shape = jax.jit(lambda shieldings: View(Context(), ms=shieldings).shielding.degeneracy)


@jax.jit
def _shielding_axes(tensors: Any) -> PrincipalAxes:
    found = View(Context(), ms=tensors).shielding
    return PrincipalAxes(found.iso[:, None] + found.deviations, found.axes)


def values_of(
    quantities: Sequence[Quantity], context: Context | None = None, **tensors: Float[np.ndarray, "n 3 3"]
) -> list[Float[np.ndarray, " n"]]:
    """Quantities of n tensors, or n sites; NaN where a tensor is.

    Args:
        quantities: from `efg_jax.tensors.QUANTITIES`.
        context: what they need, one for all or one for each.
        tensors: efg (V/Å²), ms (ppm) or shift (ppm).
    """
    each = _one_each(context or Context(), len(next(iter(tensors.values()))))
    return list(_on_host(partial(_evaluate, tuple(quantities)), each, **tensors))


def flagged_values_of(
    quantities: Sequence[Quantity], context: Context | None = None, **tensors: Float[np.ndarray, "n 3 3"]
) -> tuple[tuple[Float[np.ndarray, " n"], ...], tuple[Bool[np.ndarray, " n"], ...]]:
    """Values as from `values_of`, and whether each is undefined; see `efg_jax.tensors.evaluate_flagged`."""
    each = _one_each(context or Context(), len(next(iter(tensors.values()))))
    return _on_host(partial(_evaluate_flagged, tuple(quantities)), each, **tensors)


def values_and_gradients(
    functions: Sequence[Callable[[View], Any]], context: Context, tensor: str, values: Float[np.ndarray, "n 3 3"]
) -> tuple[tuple[Float[np.ndarray, " n"], ...], tuple[Float[np.ndarray, "n 3 3"], ...]]:
    """Functions of n tensors and their derivatives; see `efg_jax.tensors.quantities.evaluate_with_gradients`."""

    def compiled(context: Context, values: Any) -> Any:
        return _evaluate_with_gradients(tuple(functions), context, tensor, values)

    return _on_host(compiled, _one_each(context, len(values)), values=values)


def axes_of(tensors: Float[np.ndarray, "n 3 3"], convention: str = "nqr") -> PrincipalAxes:
    """Principal values and axes as NumPy arrays, of field gradients (V/Å², "nqr") or shieldings (ppm, "haeberlen");
    rounding does not choose the axes, see `efg_jax.tensors.settled_axes`.
    """
    return _on_host({"nqr": _efg_axes, "haeberlen": _shielding_axes}[convention], tensors)


def shape_of(shieldings: Float[np.ndarray, "n 3 3"]) -> Degeneracy:
    """Which shielding tensors (ppm) are isotropic or axial to rounding, as NumPy arrays."""
    return _on_host(_shape, shieldings)


def shift_tensors(
    shieldings: Float[np.ndarray, "n 3 3"], reference: Float[np.ndarray, " n"] | float
) -> Float[np.ndarray, "n 3 3"]:
    """Shift tensors as NumPy arrays, ppm."""
    return _on_host(_shift_tensor, shieldings, np.broadcast_to(reference, len(shieldings)))


def _one_each(context: Context, count: int) -> Context:
    """The context with one entry for each of the tensors."""

    def entries(leaf: Any, *shape: int) -> np.ndarray | None:
        return None if leaf is None else np.broadcast_to(np.asarray(leaf, dtype=float), (count, *shape))

    nuclei = None if context.nuclei is None else Nuclei(*(entries(leaf) for leaf in context.nuclei))
    return Context(nuclei, entries(context.reference), entries(context.direction, 3), context.axes, context.passive)


def _on_host(function: Callable[..., Any], *arrays: Any, **named: Any) -> Any:
    """The results of a compiled function of padded arrays, without the padding."""
    count = len(jax.tree.leaves((arrays, named))[-1])
    with x64():
        padded, padded_named = jax.tree.map(lambda array: jnp.asarray(in_bucket(array)), (arrays, named))
        results = function(*padded, **padded_named)
    return jax.tree.map(lambda result: np.asarray(result)[:count], results)
