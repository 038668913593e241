"""A process of four simulated devices: what it finds, as JSON."""

import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from batches import (
    DESCRIPTOR,
    QUADRUPOLE,
    difference,
    frames,
    labelled,
    neighbours,
    predict,
    predictor,
    sums,
    sums_of,
)
from jax import lax

from efg_jax import TensorGPR
from efg_jax.gp import sparse
from efg_jax.parallel import data_mesh, replicated, sharded, summed

traced = []


def squares(scale, power, batch):
    """Cheap to compile: of each row its scaled power, in a loop as descriptors have one; the power is static."""
    traced.append(batch["x"].shape[0])
    return lax.map(lambda row: scale * row["x"] ** power, batch, batch_size=2)


def added(batch):
    """A loop that carries a sum."""
    return lax.scan(lambda carry, x: (carry + x, None), jnp.zeros(3), batch)[0]


def refusal(batch) -> str:
    try:
        return str(sharded(squares, mesh)(1.0, 2, batch))
    except ValueError as error:
        return str(error)


jax.config.update("jax_enable_x64", True)
mesh, one, second = data_mesh(), data_mesh(jax.local_devices()[:1]), data_mesh(jax.local_devices()[1:2])
batch = jax.tree.map(lambda leaf: leaf[:13], neighbours(frames(2)))
x = np.random.default_rng(0).normal(size=(16, 3))
scale = np.array(3.0)
model = replicated(predictor(batch), mesh)
plain = eqx.filter_jit(predict)(model, DESCRIPTOR, batch)
found = {
    "devices": mesh.size,
    "prediction": difference(sharded(predict, mesh)(model, DESCRIPTOR, batch), plain),
    "sums": difference(summed(sums, mesh)(model, DESCRIPTOR, batch), sums_of(plain)),
    "carried": difference(summed(added, mesh)(x), x.sum(axis=0)),
}
results = {rows: sharded(squares, mesh)(scale, 2, {"x": x[:rows]}) for rows in (16, 13, 15, 3, 1)}
found["rows"] = {rows: [len(result), difference(result, 3.0 * x[:rows] ** 2)] for rows, result in results.items()}
found["rows on each device"] = [part.data.shape[0] for part in results[16].addressable_shards]
found["traced"] = traced.copy()
found["on the second"] = [str(device) for device in sharded(squares, second)(scale, 2, {"x": x}).devices()]
found["on one"] = np.array_equal(sharded(squares, one)(scale, 2, {"x": x}), eqx.filter_jit(squares)(scale, 2, {"x": x}))
found["plainly compiled"] = type(sharded(squares, one)) is type(eqx.filter_jit(squares))
found["copies"] = [str(device) for device in model.zeta.devices()]
found["unequal rows"] = refusal({"x": x, "y": x[:5]})


def trained(devices) -> dict[str, np.ndarray]:
    """Weights of a sparse model: thirteen targets, which four devices cannot divide among them evenly."""
    sparse.data_mesh = lambda: devices
    fitted = TensorGPR(DESCRIPTOR, "Na", inducing=4, regularisation=1e-3).fit(labelled(4))
    return {"weights": fitted.regressions["Na",][QUADRUPOLE].weights}


found["training"] = difference(trained(mesh), trained(one))
print(json.dumps(found))
