"""Loss of a training: errors of the irreducible parts, or of the observables that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError, as_float
from efg_jax.metrics import Scale, observable_loss
from efg_jax.network.batches import Batch
from efg_jax.network.heads import Parts
from efg_jax.network.rows import kinds_of_atoms
from efg_jax.network.standard_units import Standard
from efg_jax.structures.targets import Target
from efg_jax.tensors.irreps import to_cartesian

EXAMPLES = {"targets": "targets={'ms': 2.0}", "orders": "orders={0: 0.1}", "species": "species={'O': 2.0}"}


@dataclass(frozen=True)
class Loss:
    """Weights of the terms of a loss; terms that are not named have weight 1.

    Attributes:
        kind: "irreps": mean squared error of the irreducible parts in units of their spread; "observables": for EFG
            tensors, plus the mean of the MAEs of C̃_Q, η̃ and 1 − q̃ (Harper et al. 2025), smoothed
            (`metrics.observable_loss`).
        targets: by name of the target.
        orders: by λ.
        species: by element.
        observables: of the observables, relative to the squared error.
    """

    kind: Literal["irreps", "observables"] = "irreps"
    targets: Mapping[str, float] = field(default_factory=dict)
    orders: Mapping[int | str, float] = field(default_factory=dict)
    species: Mapping[str, float] = field(default_factory=dict)
    observables: float = 1.0

    def __post_init__(self):
        if self.kind not in ("irreps", "observables"):
            raise InputError(f"loss must be 'irreps' or 'observables', got {self.kind!r}")
        for kind in ("targets", "orders", "species"):
            weights = getattr(self, kind)
            if not isinstance(weights, Mapping):
                raise InputError(f"{kind} must be weights by name, such as Loss({EXAMPLES[kind]}), got {weights!r}")
            # In JSON keys are strings.
            names = {name: int(name) if kind == "orders" and str(name).isdecimal() else name for name in weights}
            object.__setattr__(self, kind, {names[n]: _as_weight(n, weight) for n, weight in weights.items()})
        object.__setattr__(self, "observables", _as_weight("observables", self.observables))


def _as_weight(name: Any, weight: Any) -> float:
    weight = as_float(f"the weight of {name}", weight)
    if not 0.0 <= weight < np.inf:
        raise InputError(f"the weight of {name} in the loss must be 0 or more, got {weight:g}")
    return weight


def squared_errors(
    predicted: Mapping[str, Parts], batch: Batch
) -> dict[str, dict[tuple[int, int], Float[Array, " atoms"]]]:
    """Squared error of each atom by target and irrep: in standard units, mean over components, zero without a label."""
    return {
        name: {
            irrep: batch.labelled[name] * jnp.mean((parts[irrep] - batch.labels[name][irrep]) ** 2, axis=-1)
            for irrep in parts
        }
        for name, parts in predicted.items()
    }


class Objective:
    """A loss of several targets: (predictions, batch) → number, pure and differentiable.

    Args:
        loss: weights.
        targets: those that are predicted.
        standards: units of each.
        scales: μ and σ of |V_zz| by EFG target and element, V/Å².
        species: elements that the network knows.

    Raises:
        InputError: a weight of something that is not learned, or observables of a target that is no EFG or is constant.
    """

    def __init__(
        self,
        loss: Loss,
        targets: Sequence[Target],
        standards: Mapping[str, Standard],
        scales: Mapping[str, Mapping[str, Scale]],
        species: Sequence[str],
    ):
        labelled = np.any([standards[target.name].labelled for target in targets], axis=0)
        learned = [symbol for symbol, there in zip(species, labelled, strict=True) if there]
        names = {"target": [target.name for target in targets], "element": learned}
        names["order"] = sorted({order for target in targets for order, _ in target.irreps})
        for kind, weights in (("target", loss.targets), ("element", loss.species), ("order", loss.orders)):
            if unknown := [name for name in weights if name not in names[kind]]:
                raise InputError(
                    f"the loss weighs the {kind} {unknown[0]}, which is not learned; there are "
                    f"{', '.join(map(str, names[kind]))}"
                )
        if loss.kind == "observables" and not scales:
            raise InputError("observables are those of an EFG, and no target is one; take the loss 'irreps'")
        if not any(loss.targets.get(target.name, 1.0) * _weight(loss, target) for target in targets) or not any(
            loss.species.get(symbol, 1.0) for symbol in learned
        ):
            raise InputError("every term of the loss has weight 0, so that nothing is learned; raise one")
        self._loss, self._standards = loss, standards
        self._scales = (
            {name: _by_species(of, species) for name, of in scales.items()} if loss.kind == "observables" else {}
        )
        self._species = np.array([loss.species.get(symbol, 1.0) for symbol in species])

    def __call__(self, predicted: Mapping[str, Parts], batch: Batch) -> Float[Array, ""]:
        """Mean of the weighted errors of labelled atoms. Weights are factors; they are not normalised."""
        kinds = kinds_of_atoms(batch.environments)
        total = jnp.zeros((), next(iter(batch.labelled.values())).dtype)
        for name, errors in squared_errors(predicted, batch).items():
            labelled = jnp.asarray(batch.labelled[name])
            weights = labelled * jnp.asarray(self._species, labelled.dtype)[kinds]
            count = jnp.maximum(jnp.sum(labelled), 1.0)
            of_atoms = sum(self._loss.orders.get(order, 1.0) * error for (order, _), error in errors.items())
            if name in self._scales:
                of_atoms += self._loss.observables * labelled * self._of_observables(name, predicted[name], batch)
            total += self._loss.targets.get(name, 1.0) * jnp.sum(weights * of_atoms) / count
        return total

    def _of_observables(self, name: str, predicted: Parts, batch: Batch) -> Float[Array, " atoms"]:
        """Loss on observables of every atom; that of a perfect prediction for an unlabelled one."""
        kinds, labelled = kinds_of_atoms(batch.environments), jnp.asarray(batch.labelled[name]) > 0.0
        reference, model = (
            to_cartesian({irrep[0]: part for irrep, part in self._standards[name].restored(parts, kinds).items()})
            for parts in (jax.tree.map(jnp.asarray, batch.labels[name]), predicted)
        )
        # Unlabelled atoms get two tensors that are safe to decompose.
        safe = jnp.diag(jnp.asarray([-0.4, -0.6, 1.0], model.dtype))
        mean, std = (jnp.asarray(values, model.dtype)[kinds] for values in self._scales[name])
        reference, model = (
            jnp.where(labelled[:, None, None], tensors, mean[:, None, None] * safe[None])
            for tensors in (reference, model)
        )
        return jax.vmap(lambda r, m, mu, sigma: observable_loss(r[None], m[None], Scale(mu, sigma)))(
            reference, model, mean, std
        )


def _weight(loss: Loss, target: Target) -> float:
    """Sum of the weights of a target's terms."""
    observables = loss.observables if loss.kind == "observables" and target.is_efg else 0.0
    return observables + sum(loss.orders.get(order, 1.0) for order, _ in target.irreps)


def _by_species(scales: Mapping[str, Scale], species: Sequence[str]) -> Scale:
    """μ and σ as arrays in the order of the species, 1 where an element has no labels."""
    if still := [symbol for symbol, scale in scales.items() if not scale.std > 0.0]:
        raise InputError(
            f"all |V_zz| of {still[0]} are the same, so that C̃_Q has no unit; take the loss 'irreps', "
            f"or leave {still[0]} out"
        )
    pairs = np.array([scales.get(symbol, Scale(1.0, 1.0)) for symbol in species], dtype=np.float64)
    return Scale(*pairs.T)
