"""A fitted model as an ASE calculator."""

from collections import OrderedDict
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from efg_jax.errors import InputError
from efg_jax.models.predicted import DType
from efg_jax.models.protocol import FittedModel
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.structures.declared_units import drop_units


class TensorCalculator(Calculator):
    """Tensors of a fitted model, for ``atoms.calc`` or straight into ``atoms.arrays``.

    ``atoms.calc = TensorCalculator(fitted)`` makes ``atoms.calc.get_property("efg", atoms)`` work; `annotate` adds the
    tensors to the structure, where a writer finds them. Structures that are the same to the last bit (elements,
    positions, cell, periodicity) are predicted once, as long as they are among the last ``remembered`` ones.

    Args:
        fitted: what `Model.fit` returned; of several targets it gives all.
        variance: also give NAME_std, the square root of the variance summed over a tensor's components.
        dtype: precision of the arithmetic; None: the model's own.
        chunk: atoms that are worked on at a time, see `FittedModel.predict`.
        remembered: number of structures whose tensors are kept.

    Attributes:
        implemented_properties: name of each target, and NAME_std.

    Raises:
        InputError: the model is not fitted, predicts no tensors, or has no variance.
    """

    def __init__(
        self,
        fitted: FittedModel,
        *,
        variance: bool = False,
        dtype: DType | None = None,
        chunk: int | Literal["auto"] = "auto",
        remembered: int = 16,
    ):
        if not fitted.gives_tensors:
            raise InputError(f"a calculator needs a model of tensors, got a {fitted.model.kind} model; fit a TensorGPR")
        super().__init__()
        self._fitted, self._targets = fitted, fitted.targets
        self.implemented_properties = [
            name for target in self._targets for name in (target, f"{target}_std")[: 1 + variance]
        ]
        self._options = {"variance": variance, "dtype": dtype, "chunk": chunk}
        fitted.predict_targets([], **self._options)  # refuses options that it does not have
        self._remembered = remembered
        self._known: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = ()) -> None:
        """Fill ``results``; called by ASE.

        Raises:
            InputError: a bad structure, or an element that the model was not trained on.
        """
        super().calculate(atoms, properties or self.implemented_properties, system_changes)
        self.results = {name: np.array(value) for name, value in self._predicted(self.atoms).items()}

    def annotate(self, atoms: Atoms) -> Atoms:
        """Put the tensors into ``atoms.arrays`` (a target per structure into ``atoms.info``) under their names, in
        place.

        Args:
            atoms: structure; changed, whatever calculator it has.

        Returns:
            The same object.

        Raises:
            InputError: a bad structure, or an element that the model was not trained on.
        """
        per_atom = all(target.per == "atom" for target in self._targets.values())  # or it is the only one
        home = atoms.arrays if per_atom else atoms.info
        home.update({name: np.array(value) for name, value in self._predicted(atoms).items()})
        for target in self._targets:
            drop_units(atoms, target)
        return atoms

    def _predicted(self, atoms: Atoms) -> dict[str, np.ndarray]:
        key = fingerprint([atoms])
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        values = {}
        for target, found in next(self._fitted.predict_targets([atoms], **self._options)).items():
            values |= found.arrays(target)
        self._known[key] = values
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return values
