"""Distance of environments from those that a model was trained on, which the error on a test set does not show."""

from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jax import lax
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.basis import Basis
from efg_jax.gp.predictor import repeated, shared_size
from efg_jax.models.predicted import Choice
from efg_jax.precision import x64
from efg_jax.structures.checks import checked
from efg_jax.structures.environments import Neighbours
from efg_jax.structures.streaming import chunk_size, stream


def training_distance(
    descriptor: LambdaSOAP, bases: Mapping[str, Basis], structures: Atoms | Iterable[Atoms]
) -> Float[np.ndarray, " atoms"] | list[Float[np.ndarray, " atoms"]]:
    """Distance of each atom's environment from the nearest training environment of its element, in feature space.

    d = √(2 − 2 k), where k is the largest normalised λ = 0 kernel: 0 for a training environment, √2 for one that has
    nothing in common with any.

    Args:
        descriptor: with species.
        bases: training environments by species; of a sparse model the inducing ones.
        structures: atoms, or any iterable of them; streamed.

    Returns:
        For one structure an array (atoms,), NaN for elements that the model does not predict; for an iterable, a list
        of arrays.

    Raises:
        InputError: the model is primal, and keeps no environments.
    """
    if any(basis.features is None for basis in bases.values()):
        raise InputError("a primal model keeps no training environments to compare with; train a dense or sparse one")
    with x64():
        # Padded to a size that models share: a reference that occurs twice changes no distance.
        references = {
            symbol: _compiled_unit(repeated(basis.invariants, shared_size(basis.size)))
            for symbol, basis in bases.items()
        }

        def evaluate(symbol: str, neighbours: Neighbours) -> dict[str, Array]:
            return {"distance": _distances(descriptor, references[symbol], neighbours)}

        choose, cutoff = Choice(list(bases), None, None), float(descriptor.cutoff)
        streamed = stream(checked(structures), choose, evaluate, cutoff, descriptor.species, chunk_size("auto"))
        found = [part.values.get("distance", np.full(len(part.atoms), np.nan)) for part in streamed]
    return found[0] if isinstance(structures, Atoms) else found


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
