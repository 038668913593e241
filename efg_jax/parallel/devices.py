"""Rows of a batch over the devices of this process.

Pure functions of a batch work on chunks of its rows, one after the other (`lax.map`). An automatic partitioner sees a loop there, and
gathers all rows on every device; `jax.shard_map` gives each device its own rows and its own loop.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

AXIS = "data"
ROWS, WHOLE = PartitionSpec(AXIS), PartitionSpec()
_KEPT = 64  # compiled functions by (function, mesh); their shapes are counted by JAX


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Mesh with the one axis "data".

    Args:
        devices: of this process; None: all of them.
    """
    return Mesh(np.asarray(jax.local_devices() if devices is None else list(devices)), (AXIS,))


def replicated(tree: Any, mesh: Mesh) -> Any:
    """The same PyTree with its arrays on every device of the mesh.

    Do this once with what many calls share (a model), as `sharded` and `summed` otherwise copy it at every call.
    """
    arrays, rest = eqx.partition(tree, _is_array)
    place = mesh.devices.flat[0] if mesh.size == 1 else NamedSharding(mesh, WHOLE)
    return eqx.combine(jax.device_put(arrays, place), rest)


@lru_cache(maxsize=_KEPT)
def sharded(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """A pure function of the rows of a batch, each device working on its own rows; compiled once a shape.

    Args:
        function: ``function(*shared, batch)``. Every array of ``batch`` and of the result has one row a centre first; of two rows
            neither sees the other. ``shared`` are PyTrees that every device has (see `replicated`); what is no array in them is
            static. Pass a function of a module, not a new closure each time, or it is compiled anew.
        mesh: from `data_mesh`.

    Returns:
        A function of the same arguments with the same result. Rows that do not divide among the devices are padded with zeros
        (masks False), and the results of these cut off. On a mesh of the one default device: `equinox.filter_jit` of the function.
    """
    return eqx.filter_jit(function) if _is_default(mesh) else _over_devices(function, mesh, ROWS)


@lru_cache(maxsize=_KEPT)
def summed(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """The same for a function whose result is a PyTree of sums over rows (Gram matrices); the devices' sums are added up.

    Args:
        function: as for `sharded`. A row of zeros (masks False) must add nothing.
        mesh: from `data_mesh`.
    """
    return eqx.filter_jit(function) if _is_default(mesh) else _over_devices(partial(_added, function), mesh, WHOLE)


def _added(function: Callable[..., Any], *arguments: Any) -> Any:
    return lax.psum(function(*arguments), AXIS)


def _over_devices(function: Callable[..., Any], mesh: Mesh, result: PartitionSpec) -> Callable[..., Any]:
    @eqx.filter_jit
    def compiled(shared: tuple, batch: Any) -> Any:
        arrays, static = eqx.partition(shared, _is_array)

        def own(arrays: tuple, rows_of_one: Any) -> Any:
            return function(*eqx.combine(arrays, static), rows_of_one)

        # Without check_vma, which refuses loops whose carry starts as a constant.
        mapped = jax.shard_map(own, mesh=mesh, in_specs=(WHOLE, ROWS), out_specs=result, check_vma=False)
        return mapped(arrays, batch)

    def call(*arguments: Any) -> Any:
        *shared, batch = arguments
        rows = _rows(batch)
        missing = -rows % mesh.size
        padded = jax.tree.map(lambda leaf: _padded(leaf, missing), batch)
        values = compiled(replicated(tuple(shared), mesh), jax.device_put(padded, NamedSharding(mesh, ROWS)))
        # Cut outside of what is compiled, which then serves all numbers of rows that are padded to the same.
        return jax.tree.map(lambda value: value[:rows], values) if missing and result is ROWS else values

    return call


def _rows(batch: Any) -> int:
    rows = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(rows) != 1 or rows == {()}:
        raise ValueError(f"the arrays of a batch must have as many rows each; they have {sorted(rows)}")
    return rows.pop()[0]


def _padded(leaf: Any, missing: int) -> Any:
    if missing == 0:
        return leaf
    pad = (
        jnp.pad if isinstance(leaf, jax.Array) else np.pad
    )  # host arrays stay on the host until their rows are shared out
    return pad(leaf, [(0, missing)] + [(0, 0)] * (np.ndim(leaf) - 1))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def _is_default(mesh: Mesh) -> bool:
    return mesh.size == 1 and mesh.devices.flat[0] == jax.local_devices()[0]
