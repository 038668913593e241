"""What a model is: options that can be fitted (`Model`), and what fitting makes of them (`FittedModel`).

Everything else (command line, tuning, learning curves, calculator, trajectories, sensitivity) talks to these two
classes and never asks which kind of model it has. Public methods enter float64 (or the requested precision) themselves,
here and nowhere below; the pure function `FittedModel.tensors` uses the precision of its arguments.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn

import equinox as eqx
import numpy as np
from ase import Atoms
from equinox import AbstractClassVar, AbstractVar
from jaxtyping import Array, Float, Int

from efg_jax.errors import InputError
from efg_jax.metrics import Scale
from efg_jax.models.predicted import DType, Predicted, PredictionOptions, Variance, nothing_to_predict
from efg_jax.models.tuning_problem import TuningProblem
from efg_jax.precision import stepwise, x64
from efg_jax.report import Report, TargetReport
from efg_jax.report.judging import efg_report, target_report
from efg_jax.storage.model_files import write_model
from efg_jax.storage.plain_values import from_plain, to_plain
from efg_jax.structures.checks import check_frames
from efg_jax.structures.environments import Environments, Neighbours
from efg_jax.structures.targets import Per, Target
from efg_jax.tensors.nuclei import Isotope

Progress = Callable[[int, int, str], None]
"""Called with the steps that are done, the number of steps, and what is being done."""

Packed = tuple[dict[str, Any], dict[str, np.ndarray]]
"""JSON types, and arrays by name."""


class NotFittedError(InputError, AttributeError):
    """A fitted model is needed, and this one has options only."""


class Model(eqx.Module):
    """Options of a model. `fit` returns another object, the fitted model; nothing is changed in place.

    Attributes:
        kind: name in the registry (`efg_jax.models.registry`).
        family: what kinds are called that share their hyperparameters.
        species: element or elements whose labels are learned; None: all that have labels.
        array: name under which structures carry the target, where it differs.
    """

    kind: AbstractClassVar[str]
    family: AbstractClassVar[str]
    species: AbstractVar[tuple[str, ...] | None]
    array: AbstractVar[str | None]

    @property
    @abstractmethod
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, one or several."""

    @abstractmethod
    def fit(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: Progress | None = None,
    ) -> "FittedModel":
        """Train on structures that carry the target; atoms without a label (NaN) are left out.

        Args:
            structures: the training set.
            checkpoint: folder for the state of an unfinished fit (of models that are `is_resumable`; others do not use
                it). An interrupted fit that is called again with the same data and options continues there.
            resume: False: discard first what the folder holds of this fit.
            progress: called after each step.

        Raises:
            InputError: bad structures or labels, or nothing to learn.
        """

    @abstractmethod
    def unpack(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "FittedModel":
        """Inverse of `FittedModel.pack`; these are the options that it was fitted with."""

    @abstractmethod
    def knowing(self, elements: Sequence[str]) -> "Model":
        """The same options for structures of these elements, where they leave the elements open.

        Raises:
            InputError: an element is not among those that the options name.
        """

    @property
    def per(self) -> Per | None:
        """Whether the target belongs to atoms or to structures; None: as the structures carry it."""
        return None

    @property
    def extensive(self) -> bool | None:
        """Whether a structure's target is a sum over atoms or a mean; None: as its name says."""
        return None

    def check_target(self, target: Target) -> None:
        """Check that this kind of model can learn a target.

        Raises:
            InputError: it cannot.
        """

    def check_labels(self, counts: Mapping[str, Int[np.ndarray, " structures"]]) -> None:
        """Check that a training set has enough labels, before the time for a fit is spent.

        Args:
            counts: number of labels in each structure of the training set, in its order, by element ("structure" for a
                target per structure).

        Raises:
            InputError: a fit would fail.
        """

    @abstractmethod
    def hyperparameters(self) -> dict[str, Any]:
        """The options that tuning decides, by name, as JSON types."""

    @abstractmethod
    def with_hyperparameters(self, values: dict[str, Any]) -> "Model":
        """The same model with the hyperparameters of another one of its family; species and target stay."""

    def tuning_problem(
        self, structures: Atoms | Iterable[Atoms], seed: int = 0, **options: Any
    ) -> TuningProblem["Model"]:
        """The hyperparameters that may move, and their loss on these structures; `efg_jax.tune` searches it.

        Args:
            structures: the training set; what is held out to judge the hyperparameters comes from it.
            seed: of what is drawn.
            options: how hyperparameters of this kind of model are judged.

        Raises:
            InputError: bad structures, or an option that this kind of model does not have.
        """
        raise InputError(f"a {self.kind} model has no hyperparameters to tune; fit it as it is")

    @property
    def is_resumable(self) -> bool:
        """Whether `fit` keeps its state in a checkpoint."""
        return False

    @property
    def is_distributable(self) -> bool:
        """Whether several processes share a fit."""
        return False

    def to_dict(self) -> dict[str, Any]:
        """All options as JSON types; `from_dict` is the inverse."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, values: Any) -> "Model":
        """Inverse of `to_dict`."""
        return from_plain(cls, values)

    def __getattr__(self, name: str) -> Any:
        fitted = (FittedModel, *FittedModel.__subclasses__())
        if not name.startswith("_") and any(hasattr(kind, name) for kind in fitted):
            raise NotFittedError(
                f"this {type(self).__name__} is not fitted yet and has no '{name}'; use what fit returns: "
                "fitted = model.fit(structures)"
            )
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")


class FittedModel(eqx.Module):
    """A trained model: predicts, is judged, saved and differentiated.

    Attributes:
        model: the options that it was fitted with, with everything settled that they left open.
        default_dtype: precision of predictions unless another one is asked for.
        gives_tensors: whether it predicts whole tensors; a scalar model gives quantities derived from them.
        is_local: whether a prediction depends on the neighbours within one cutoff only, so that `tensors` also takes
            `Neighbours`.
    """

    model: AbstractVar[Model]
    default_dtype: ClassVar[DType] = "float64"
    gives_tensors: ClassVar[bool] = True
    is_local: ClassVar[bool] = True

    # What a kind of model has to say.

    @property
    @abstractmethod
    def targets(self) -> dict[str, Target]:
        """What it predicts, by name."""

    @abstractmethod
    def species_of(self, target: str | None = None) -> list[str]:
        """Elements for which a target is predicted; None: the only target."""

    @abstractmethod
    def environments_of(
        self, structures: Atoms | Sequence[Atoms], species: str | Sequence[str] | None = None
    ) -> Environments:
        """Environments of all atoms that the model predicts, for `tensors`; in the order of structures and atoms.

        Args:
            structures: one or several.
            species: only these of the model's elements; None: all.

        Raises:
            InputError: an element that the model does not know, or no atom to predict.
        """

    @abstractmethod
    def tensors(
        self, environments: Environments | Neighbours, target: str | None = None
    ) -> Float[Array, "rows *shape"]:
        """Predicted target as a pure function of environments; jit-able, differentiable in positions and cells.

        Pass the fitted model to `eqx.filter_jit` as an argument: a function that closes over it compiles its weights
        in.

        Args:
            environments: from `environments_of`.
            target: which; None: the only one.

        Returns:
            Cartesian values in the target's unit and shape, one row an atom: row ``k`` belongs to ``positions[k]`` (of
            `Neighbours`, to centre ``k``). For a target per structure they are the atoms' contributions, of which it is
            the sum, or the mean if it is intensive. Rows of atoms that are not predicted, and of padding, have no
            meaning.
        """

    @abstractmethod
    def pack(self) -> Packed:
        """What a file holds besides the options; `Model.unpack` is the inverse."""

    @abstractmethod
    def _stream(
        self, structures: Atoms | Iterable[Atoms], targets: Sequence[Target], options: PredictionOptions
    ) -> Iterator[dict[str, Predicted]]:
        """Predictions by target, structure by structure. Options are checked at once, structures in their turn."""

    @abstractmethod
    def scales(self, target: str) -> dict[str, Scale]:
        """μ and σ of |V_zz| of the training labels by element, V/Å²; empty for a target that is no EFG."""

    # What follows from it.

    @property
    def species(self) -> list[str]:
        """Elements for which any target is predicted."""
        return list(dict.fromkeys(symbol for name in self.targets for symbol in self.species_of(name)))

    def one_target(self, name: str | None = None) -> Target:
        """A target by its name; None: the only one.

        Raises:
            InputError: the model does not predict it, or predicts several.
        """
        known = self.targets
        if name is None and len(known) > 1:
            raise InputError(f"the model predicts {' and '.join(known)}; choose one with target='{next(iter(known))}'")
        if name is not None and name not in known:
            raise InputError(f"the model predicts {' and '.join(known)}, not '{name}'; choose one of these")
        return known[name or next(iter(known))]

    def tensor_target(self, name: str | None = None) -> Target:
        """The same for uses that need whole tensors of atoms.

        Raises:
            InputError: the model gives no tensors, or the target belongs to whole structures.
        """
        if not self.gives_tensors:
            raise InputError(f"whole tensors are needed, and a {self.model.kind} model predicts none; fit a TensorGPR")
        target = self.one_target(name)
        if target.per != "atom":
            raise InputError(f"tensors of atoms are needed, and '{target.name}' belongs to whole structures")
        return target

    def predict(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        target: str | None = None,
        variance: Variance = False,
        dtype: DType | None = None,
        species: str | Sequence[str] | None = None,
        indices: Iterable[Any] | None = None,
        chunk: int | Literal["auto"] = "auto",
    ):
        """Predict a target of one structure or of several.

        Args:
            structures: atoms, or any iterable of them.
            target: which; None: the only one.
            variance: also return the variance: the posterior variance of a kernel model, the variance among the members
                of a committee of networks. True: summed over the components of a tensor; "isotropic": that of a third
                of the trace, as of σ_iso.
            dtype: precision of the arithmetic; None: `default_dtype`. In float32 kernel models are off by up to a few
                per cent of the tensors.
            species: elements to predict, of those that the model predicts; None: all.
            indices: atoms to predict in every structure; None: all of these elements.
            chunk: atoms that are worked on at a time, which bounds the memory; "auto": what suits the device.

        Returns:
            For one structure an array (atoms, 3, 3) ((atoms, 3) for vectors, (atoms,) for scalars), NaN for atoms that
            are not predicted, and without the axis of atoms for a target per structure; for a scalar model a dict of
            arrays. For an iterable a list of them. With ``variance`` a pair, the second (atoms,) or a float.

        Raises:
            InputError: an element or target that the model was not trained on, no variance, or nothing to predict.
        """
        chosen = self.one_target(target).name
        values, variances, present, count = [], [], set(), 0
        options = {"variance": variance, "dtype": dtype, "species": species, "indices": indices, "chunk": chunk}
        for found in self.predict_stream(structures, target=chosen, **options):
            values.append(found.values)
            variances.append(found.variance)
            present.update(found.atoms.symbols)
            count += len(found.centres)
        if count == 0:
            raise nothing_to_predict(self.species_of(chosen), present)
        if isinstance(structures, Atoms):
            values, variances = values[0], variances[0]
        return (values, variances) if variance else values

    def predict_stream(
        self, structures: Atoms | Iterable[Atoms], *, target: str | None = None, **options: Any
    ) -> Iterator[Predicted]:
        """Predict a trajectory of any length: one `Predicted` a structure, in their order.

        Structures are taken one by one, and a bounded number of atoms is held at a time. They may be of any sizes,
        which share a few compilations.

        Args:
            structures, target: as for `predict`.
            options: ``variance``, ``dtype``, ``species``, ``indices``, ``chunk``, as for `predict`.

        Yields:
            The structure with its values; all NaN where it has no atom to predict.

        Raises:
            InputError: as for `predict`, when the structure's turn comes; but not for a stream with nothing to predict.
        """
        chosen = self.one_target(target).name
        return (found[chosen] for found in self.predict_targets(structures, targets=[chosen], **options))

    def predict_targets(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        targets: Sequence[str] | None = None,
        variance: Variance = False,
        dtype: DType | None = None,
        species: str | Sequence[str] | None = None,
        indices: Iterable[Any] | None = None,
        chunk: int | Literal["auto"] = "auto",
    ) -> Iterator[dict[str, Predicted]]:
        """Predict several targets of a trajectory of any length, at the cost of one.

        Args:
            structures, variance, dtype, indices, chunk: as for `predict`.
            targets: which; None: all.
            species: elements to predict; atoms of a target that was not trained for one of them stay NaN.

        Returns:
            For each structure in turn a `Predicted` by name of the target.
        """
        dtype = self.default_dtype if dtype is None else dtype
        if dtype not in ("float64", "float32"):
            raise InputError(f"dtype must be 'float64' or 'float32', got {dtype!r}")
        chosen = [self.one_target(name) for name in (self.targets if targets is None else targets)]
        if variance not in (True, False, "isotropic"):
            raise InputError(f"variance must be True, False or 'isotropic', got {variance!r}")
        if variance == "isotropic" and (without := [one.name for one in chosen if (0, 1) not in one.irreps]):
            raise InputError(f"'{without[0]}' has no isotropic part; take variance=True, of the whole")
        double = dtype == "float64"
        indices = None if indices is None else list(indices)  # every target needs them
        options = PredictionOptions(variance, np.dtype(dtype), species, indices, chunk)
        with x64(double):
            found = self._stream(structures, chosen, options)
        return stepwise(found, double)

    def evaluate(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        target: str | None = None,
        title: str = "",
        isotopes: Mapping[str, Isotope | str] | None = None,
    ) -> Report | TargetReport:
        """Compare predictions with the labels of structures that were held out.

        θ, φ and ν_Q refer to a field along the z axis of each structure's crystal frame (`cell.standard_form`), C̃_Q
        and η̃ to μ and σ of the training set.

        Args:
            structures: with labels for at least one of the model's species; of several targets, those that carry only
                others are left out.
            target: which; None: the only one.
            title: heading of the report; "{structures}" in it becomes the number of structures that are judged.
            isotopes: nucleus by element, ``{"Ti": "49Ti"}``, where it is not the one that NMR uses; an `Isotope` may
                carry a quadrupole moment of one's own.

        Raises:
            InputError: as `predict`, bad labels, or none of the target for the model's species.
        """
        chosen = self.one_target(target)
        frames = self._frames_to_judge(structures, chosen)
        predicted = self.predict(frames, target=chosen.name)
        return self._report(frames, predicted, chosen, isotopes, title.replace("{structures}", str(len(frames))))

    def evaluate_targets(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        targets: Sequence[str] | None = None,
        title: str = "",
        isotopes: Mapping[str, Isotope | str] | None = None,
    ) -> dict[str, Report | TargetReport]:
        """A report for each of several targets, as `evaluate` gives it; None: all of the model's."""
        structures = [structures] if isinstance(structures, Atoms) else list(structures)
        names = list(self.targets if targets is None else targets)
        return {
            name: self.evaluate(
                structures, target=name, title=f"{name}, {title}" if len(names) > 1 else title, isotopes=isotopes
            )
            for name in names
        }

    def _frames_to_judge(self, structures: Atoms | Iterable[Atoms], target: Target) -> list[Atoms]:
        """Structures that carry the target, under its own name."""
        return check_frames(structures, target.name, array=self.model.array, per=target.per)

    def _report(
        self,
        frames: Sequence[Atoms],
        predicted: Sequence[Any],
        target: Target,
        isotopes: Mapping[str, Isotope | str] | None,
        title: str,
    ) -> Report | TargetReport:
        if target.is_efg:
            return efg_report(frames, predicted, target, self.scales(target.name), isotopes, title)
        return target_report(frames, predicted, target, self.species_of(target.name), title)

    def training_distance(self, structures: Atoms | Iterable[Atoms]):
        """How far environments lie from the training set; see `gp.training_distance.training_distance`.

        Raises:
            InputError: the model keeps no training environments.
        """
        raise InputError(f"a {self.model.kind} model keeps no training environments to compare with; fit a TensorGPR")

    def tuning_problem(self, structures: Atoms | Iterable[Atoms], seed: int = 0, **options: Any) -> NoReturn:
        """Refuse: a search starts from options."""
        raise InputError("tuning starts from a model that is not fitted, and this one is; pass fitted.model")

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file of arrays and JSON (no pickle), whole or not at all; `load` reads it."""
        header, arrays = self.pack()
        write_model(path, {"kind": self.model.kind, "options": self.model.to_dict(), **header}, arrays)

    def restored(self, variance: bool = False) -> "FittedModel":
        """The model from a file with everything computed that files leave out, for the variance too if it is wanted."""
        return self
