"""What kernel models have in common: descriptor, kernel and regularisation; once fitted, a target and environments."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any, ClassVar, Literal

import equinox as eqx
import numpy as np
from ase import Atoms
from equinox import AbstractVar
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import LambdaSOAP
from efg_jax.descriptors.lambda_soap import leaf, settled
from efg_jax.errors import InputError
from efg_jax.gp.basis import Basis, gather
from efg_jax.models.predicted import Choice
from efg_jax.models.protocol import FittedModel, Model
from efg_jax.storage.plain_values import from_plain, to_plain
from efg_jax.structures.environments import Environments
from efg_jax.structures.site_selection import named_species
from efg_jax.structures.targets import Target


def _as_regularisation(value: float | str) -> float | str:
    """NumPy numbers as Python numbers; "auto" as it is."""
    return float(value) if isinstance(value, Real) else value


class KernelModel(Model):
    """Options of every kernel model.

    Args:
        descriptor: hyperparameters of the environments.
        species: element or elements whose labels are learned; None: all that have labels.
        target: name of what is learned: "efg", "ms", "dipole", or any array of the structures.
        zeta: power ζ of the kernel, 1 or more.
        regularisation: noise variance over the kernel's mean diagonal; "auto" minimises the error of predicting each
            training structure from the others.
        array: name under which the structures carry the target, where it differs.
    """

    family: ClassVar[str] = "kernel model"

    descriptor: LambdaSOAP = LambdaSOAP()
    species: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named_species)
    target: str = eqx.field(static=True, default="efg")
    zeta: Float[Array | np.ndarray, ""] = eqx.field(default=2.0, converter=leaf)
    regularisation: float | Literal["auto"] = eqx.field(static=True, default="auto", converter=_as_regularisation)
    array: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        # Below 1 the kernel is not positive definite. Traced values cannot be checked.
        if isinstance(self.zeta, np.ndarray) and not self.zeta >= 1:
            raise InputError(f"zeta must be 1 (linear) or more, got {self.zeta}; 2 is usual")
        ratio = self.regularisation
        if ratio != "auto" and not (isinstance(ratio, Real) and 0 < ratio < np.inf):
            raise InputError(f"regularisation must be a positive number such as 1e-4, or 'auto', got {ratio!r}")

    @property
    def targets(self) -> tuple[str, ...]:
        """Name of the target, as a tuple."""
        return (self.target,)

    def knowing(self, elements: Sequence[str]) -> "KernelModel":
        """The same with a descriptor that knows these elements."""
        known = self.descriptor.species
        if known is None:
            return replace(self, descriptor=self.descriptor.with_species(elements))
        if foreign := [symbol for symbol in elements if symbol not in known]:
            raise InputError(
                f"the descriptor is for {', '.join(known)}, and the structures also contain {', '.join(foreign)}; "
                "leave out its species, or tune it on structures that contain all elements"
            )
        return self

    def check_labels(self, counts: Mapping[str, Int[np.ndarray, " structures"]]) -> None:
        """Regularisation "auto" needs labels in two structures."""
        for name, count in counts.items():
            if self.regularisation == "auto" and np.count_nonzero(count) < 2:
                raise InputError(
                    f"regularisation 'auto' predicts each structure from the others, and only one has labels ({name}); "
                    "use more structures, or give a number such as 1e-4"
                )

    def settled_for(self, structures: Sequence[Atoms]) -> "KernelModel":
        """The same with float64 hyperparameters and, unless the descriptor names species, the structures' elements."""
        model = replace(self, descriptor=settled(self.descriptor), zeta=settled(self.zeta))
        if model.descriptor.species is None:
            return model.knowing(sorted({symbol for atoms in structures for symbol in atoms.symbols}))
        return model

    def hyperparameters(self) -> dict[str, Any]:
        """What is tuned, and the rest of the descriptor, as JSON types; `with_hyperparameters` is the inverse."""
        return {name: to_plain(getattr(self, name)) for name in ("descriptor", "zeta", "regularisation")}

    def with_hyperparameters(self, values: dict[str, Any]) -> "KernelModel":
        """The same model with other hyperparameters; its species and target stay."""
        descriptor = from_plain(LambdaSOAP, values["descriptor"])
        return replace(self, descriptor=descriptor, zeta=values["zeta"], regularisation=values["regularisation"])


class FittedKernelModel(FittedModel):
    """What fitted kernel models have in common: one target, and training environments by species."""

    model: AbstractVar[KernelModel]
    target: AbstractVar[Target]
    bases: AbstractVar[dict[str, Basis]]

    @property
    def targets(self) -> dict[str, Target]:
        """The only target, by its name."""
        return {self.target.name: self.target}

    def species_of(self, target: str | None = None) -> list[str]:
        """Elements that it was trained for."""
        self.one_target(target)
        return list(self.bases)

    def environments_of(
        self, structures: Atoms | Sequence[Atoms], species: str | Sequence[str] | None = None
    ) -> Environments:
        """Environments of all atoms that the model predicts, one row each; see `FittedModel.environments_of`."""
        structures = [structures] if isinstance(structures, Atoms) else structures
        choose = Choice(self.species, species, None)
        centres = [np.sort(np.concatenate(list(choose(i, atoms).values()))) for i, atoms in enumerate(structures)]
        return gather(structures, self.model.descriptor, centres)
