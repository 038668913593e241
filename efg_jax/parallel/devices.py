"""Rows of a batch over the devices of this process.

Pure functions of a batch process its rows in chunks (`lax.map`). JAX's automatic partitioner would gather all rows of
such a loop on every device; `jax.shard_map` gives each device its own rows and its own loop.
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
_KEPT = 64  # compiled functions by (function, mesh), of any number of shapes


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Mesh with the one axis "data".

    Args:
        devices: devices of this process; None: all of them.
    """
    return Mesh(np.asarray(jax.local_devices() if devices is None else list(devices)), (AXIS,))


def replicated(tree: Any, mesh: Mesh) -> Any:
    """The same PyTree with its arrays on every device of the mesh.

    Do this once for arguments that many calls share (a model): `sharded` and `summed` otherwise copy them at every
    call.
    """
    arrays, rest = eqx.partition(tree, _is_array)
    place = mesh.devices.flat[0] if mesh.size == 1 else NamedSharding(mesh, WHOLE)
    return eqx.combine(jax.device_put(arrays, place), rest)


@lru_cache(maxsize=_KEPT)
def sharded(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """Distribute a pure function of the rows of a batch over devices; it is compiled once per shape.

    Args:
        function: ``function(*shared, batch)``. The first axis of every array in ``batch`` and in the result is the
            centre, and rows are independent. ``shared`` are PyTrees that every device has (see `replicated`); anything
            in them besides arrays is static. Pass a function defined in a module: a new closure is compiled each time.
        mesh: from `data_mesh`.

    Returns:
        A function of the same arguments with the same result. If rows do not divide among the devices, zeros are added
        (masks False) and their results cut off. On a mesh of the one default device it is `equinox.filter_jit` of the
        function.
    """
    return eqx.filter_jit(function) if _is_default(mesh) else _over_devices(function, mesh, ROWS)


@lru_cache(maxsize=_KEPT)
def summed(function: Callable[..., Any], mesh: Mesh) -> Callable[..., Any]:
    """Distribute a function whose result is a PyTree of sums over rows (Gram matrices); the sums of devices are added.

    Args:
        function: as for `sharded`; a row of zeros (masks False) must add nothing.
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

        # check_vma refuses loops whose carry starts as a constant.
        mapped = jax.shard_map(own, mesh=mesh, in_specs=(WHOLE, ROWS), out_specs=result, check_vma=False)
        return mapped(arrays, batch)

    def call(*arguments: Any) -> Any:
        *shared, batch = arguments
        rows = _rows(batch)
        missing = -rows % mesh.size
        padded = jax.tree.map(lambda leaf: _padded(leaf, missing), batch)
        values = compiled(replicated(tuple(shared), mesh), jax.device_put(padded, NamedSharding(mesh, ROWS)))
        # Cut outside the compiled function, which then serves all numbers of rows that are padded to the same one.
        return jax.tree.map(lambda value: value[:rows], values) if missing and result is ROWS else values

    return call


def _rows(batch: Any) -> int:
    rows = {np.shape(leaf)[:1] for leaf in jax.tree.leaves(batch)}
    if len(rows) != 1 or rows == {()}:
        raise ValueError(f"the arrays of a batch must have the same number of rows, got {sorted(rows)}")
    return rows.pop()[0]


def _padded(leaf: Any, missing: int) -> Any:
    if missing == 0:
        return leaf
    pad = jnp.pad if isinstance(leaf, jax.Array) else np.pad  # host arrays stay on the host until they are shared out
    return pad(leaf, [(0, missing)] + [(0, 0)] * (np.ndim(leaf) - 1))


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def _is_default(mesh: Mesh) -> bool:
    return mesh.size == 1 and mesh.devices.flat[0] == jax.local_devices()[0]
