"""A model as ASE knows calculators: tensors of the structure at hand, computed once."""

from collections import OrderedDict
from typing import Any, Literal

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator

from efg_jax.errors import InputError
from efg_jax.gp import ScalarGPR, TensorGPR
from efg_jax.gp.prediction import Precision, Predicted
from efg_jax.network import EquivariantNetwork
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.structures.units import drop_units


class TensorCalculator(Calculator):
    """Tensors of a fitted model, for ``atoms.calc`` or straight into ``atoms.arrays``.

    ``atoms.calc = TensorCalculator(model)`` makes ``atoms.calc.get_property("efg", atoms)`` work; `annotate` adds the tensors to
    the structure, where a writer finds them. Structures that are the same to the last bit (elements, positions, cell, periodicity) are
    predicted once, as long as they are among the last ``remembered`` ones.

    Args:
        model: fitted; a network with several targets gives all of them.
        variance: also give NAME_std, the square root of the variance summed over a tensor's components (of a network: among its committee).
        precision: as for the model's ``predict``; None: float64 for a kernel model, float32 for a network.
        chunk: as for `TensorGPR.predict`; networks have none.
        remembered: number of structures whose tensors are kept.

    Attributes:
        implemented_properties: name of each target, and NAME_std.

    Raises:
        InputError: the model is not fitted, is no tensor model, or has no variance or chunks.
    """

    def __init__(
        self,
        model: TensorGPR | ScalarGPR | EquivariantNetwork,
        *,
        variance: bool = False,
        precision: Precision | None = None,
        chunk: int | Literal["auto"] = "auto",
        remembered: int = 16,
    ):
        if not isinstance(model, TensorGPR | EquivariantNetwork):
            raise InputError(f"a calculator wants a tensor model, not a {type(model).__name__}; train a TensorGPR")
        if model.fitted is None:
            raise InputError("the model is not fitted yet; use the one that fit(structures) returns")
        super().__init__()
        network = isinstance(model, EquivariantNetwork)
        if network and chunk != "auto":
            raise InputError("a network takes whole structures; leave chunk out")
        if network and variance:
            model.check_variance()
        self._targets = model.fitted.targets if network else {model.target: model.fitted.target}
        self.implemented_properties = [
            name for target in self._targets for name in (target, f"{target}_std")[: 1 + variance]
        ]
        self._model, self._remembered = model, remembered
        self._options = {"variance": variance, "precision": precision or ("float32" if network else "float64")}
        if not network:
            self._options["chunk"] = chunk
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
        for target, found in self._predictions(atoms).items():
            values[target] = found.values
            if found.variance is not None:
                values[f"{target}_std"] = np.sqrt(found.variance)
        self._known[key] = values
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return values

    def _predictions(self, atoms: Atoms) -> dict[str, Predicted]:
        """By target."""
        if isinstance(self._model, EquivariantNetwork):
            return next(self._model.predict_targets([atoms], **self._options))
        return {self._model.target: next(self._model.predict_stream([atoms], **self._options))}
