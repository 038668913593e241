"""A model as ASE knows calculators: tensors of the structure at hand, computed once."""

from collections import OrderedDict
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from efg_jax.errors import InputError
from efg_jax.io.journal import fingerprint
from efg_jax.io.units import drop_units
from efg_jax.models import ScalarGPR, TensorGPR
from efg_jax.models.prediction import Precision


class TensorCalculator(Calculator):
    """Tensors of a fitted model, for ``atoms.calc`` or straight into ``atoms.arrays``.

    ``atoms.calc = TensorCalculator(model)`` makes ``atoms.calc.get_property("efg", atoms)`` work; `annotate` adds the tensors to
    the structure, where a writer finds them. Structures that are the same to the last bit (elements, positions, cell, periodicity) are
    predicted once, as long as they are among the last ``remembered`` ones.

    Args:
        model: fitted.
        variance: also give NAME_std, the square root of the posterior variance summed over a tensor's components.
        precision, chunk: as for `TensorGPR.predict`.
        remembered: number of structures whose tensors are kept.

    Attributes:
        implemented_properties: name of the target, and NAME_std.

    Raises:
        InputError: the model is not fitted, or is no tensor model.
    """

    def __init__(
        self,
        model: TensorGPR | ScalarGPR,
        *,
        variance: bool = False,
        precision: Precision = "float64",
        chunk: int | Literal["auto"] = "auto",
        remembered: int = 16,
    ):
        if not isinstance(model, TensorGPR):
            raise InputError(f"a calculator wants a tensor model, not a {type(model).__name__}; train a TensorGPR")
        if model.fitted is None:
            raise InputError("the model is not fitted yet; use the one that fit(structures) returns")
        super().__init__()
        self._target = model.fitted.target.name
        self.implemented_properties = [self._target, f"{self._target}_std"][: 1 + variance]
        self._model, self._remembered = model, remembered
        self._options = {"variance": variance, "precision": precision, "chunk": chunk}
        self._known: OrderedDict[str, dict[str, np.ndarray]] = OrderedDict()

    def calculate(self, atoms: Atoms | None = None, properties: Any = None, system_changes: Any = ()) -> None:
        """Fill ``results``; called by ASE.

        Raises:
            InputError: a bad structure, or an element that the model was not trained on.
        """
        super().calculate(atoms, properties or self.implemented_properties, system_changes)
        self.results = {name: np.array(value) for name, value in self._predicted(self.atoms).items()}

    def annotate(self, atoms: Atoms) -> Atoms:
        """Put the tensors into ``atoms.arrays`` (a target per structure into ``atoms.info``) under their names, in place.

        Args:
            atoms: structure; changed, whatever calculator it has.

        Returns:
            The same object.

        Raises:
            InputError: a bad structure, or an element that the model was not trained on.
        """
        home = atoms.arrays if self._model.fitted.target.per == "atom" else atoms.info
        home.update({name: np.array(value) for name, value in self._predicted(atoms).items()})
        drop_units(atoms, self._target)
        return atoms

    def _predicted(self, atoms: Atoms) -> dict[str, np.ndarray]:
        key = fingerprint([atoms])
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        (found,) = self._model.predict_stream([atoms], **self._options)
        values = {self._target: found.values}
        if found.variance is not None:
            values[f"{self._target}_std"] = np.sqrt(found.variance)
        self._known[key] = values
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return values
