"""How far environments lie from those that a model was trained on: what no error bar of a test set says."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax import lax
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.predictor import repeated, shared_size
from efg_jax.models.predicted import Choice
from efg_jax.precision import x64
from efg_jax.structures.checks import checked
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.streaming import chunk_size, stream

if TYPE_CHECKING:
    from efg_jax.gp.tensor_gpr import FittedTensorGPR


def training_distance(fitted: "FittedTensorGPR", structures: Atoms | Iterable[Atoms]):
    """Distance of each atom's environment from the nearest training environment of its element, in the space of normalised λ = 0 features.

    d = √(2 − 2 k), where k is the largest λ = 0 kernel: 0 for an environment that was trained on, √2 for one that has nothing in common with any. Of a
    sparse model the training environments are the inducing ones.

    Args:
        fitted: not a primal model, which keeps no environments.
        structures: atoms, or any iterable of them; streamed.

    Returns:
        For one structure an array (atoms,), NaN for elements that the model does not predict; for an iterable, a list of them.

    Raises:
        InputError: the model has no environments to compare with.
    """
    bases = fitted.bases
    if any(basis.features is None for basis in bases.values()):
        raise InputError("a primal model keeps no training environments to compare with; train a dense or sparse one")
    evaluate = _Evaluator(fitted.model.descriptor, {symbol: basis.invariants for symbol, basis in bases.items()})
    choose, cutoff = Choice(list(bases), None, None), float(fitted.model.descriptor.cutoff)
    streamed = stream(
        checked(structures), choose, evaluate, cutoff, fitted.model.descriptor.species, chunk_size("auto")
    )
    found = [part.values.get("distance", np.full(len(part.atoms), np.nan)) for part in streamed]
    return found[0] if isinstance(structures, Atoms) else found


class _Evaluator:
    """Distances of a piece of centres."""

    def __init__(self, descriptor: LambdaSOAP, references: dict[str, Float[Array | np.ndarray, "references _"]]):
        with x64():
            # Up to a size that models share: nothing is nearer for a reference that is there twice.
            self._references = {
                symbol: _compiled_unit(repeated(own, shared_size(len(own)))) for symbol, own in references.items()
            }
        self._descriptor = descriptor

    def __call__(self, symbol: str, neighbours: Neighbours) -> dict[str, Array]:
        with x64():
            return {"distance": _distances(self._descriptor, self._references[symbol], neighbours)}


@jax.jit
def _distances(
    descriptor: LambdaSOAP, references: Float[Array, "references features"], neighbours: Neighbours
) -> Float[Array, " centres"]:
    """References have norm one."""
    features = _unit(descriptor(neighbours, (INVARIANT,))[INVARIANT][:, 0])
    kernels = jnp.matmul(features, references.T, precision=lax.Precision.HIGHEST)
    return jnp.sqrt(jnp.maximum(2.0 - 2.0 * kernels.max(axis=1), 0.0))


def _unit(features: Float[Array, "rows features"]) -> Float[Array, "rows features"]:
    norm = jnp.linalg.norm(features, axis=1, keepdims=True)
    return features / jnp.where(norm > 0, norm, 1.0)


_compiled_unit = jax.jit(_unit)
