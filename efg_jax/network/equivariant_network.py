"""The network as a model like the others: fit, predict, evaluate, save."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.errors import InputError, as_int
from efg_jax.gp.labelled import as_group
from efg_jax.gp.prediction import Precision, Predicted, cartesian, collected
from efg_jax.network.architecture import Architecture
from efg_jax.network.committee import Keeping, train_committee
from efg_jax.network.fitted import FittedNetworks
from efg_jax.network.network_prediction import predict_stream
from efg_jax.network.rows import filled, in_rows, kinds_of_atoms
from efg_jax.network.starts import known_networks, random_networks
from efg_jax.network.trainer import Progress, Training, Watch
from efg_jax.network.training_sets import TrainingData, labelled_frames
from efg_jax.precision import cast
from efg_jax.report import Report, TargetReport, judging
from efg_jax.storage.model_files import write_model
from efg_jax.structures.environments import Environments, environments
from efg_jax.structures.targets import Target, find
from efg_jax.tensors.nuclei import Isotope


class EquivariantNetwork(eqx.Module):
    """Message-passing network for tensors of atoms (Batzner et al. 2022; Ben Mahmoud et al. 2024), behind the interface of the kernel models.

    One network learns one target or several ("efg" and "ms" share all layers but the last map); atoms without a label (NaN, or a structure
    that does not carry the target) say nothing about it. `fit` returns a new, fitted model; nothing is changed in place.

    Args:
        architecture: sizes.
        species: element or elements whose labels are learned; None: all that have labels.
        target: name of what is learned, or several.
        training: how.
        members: networks of the committee, which differ in their seed; their spread is the variance of a prediction.
        array: name under which the structures carry the target, where it differs (one target only).
    """

    architecture: Architecture = eqx.field(static=True, default=Architecture())
    species: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=as_group)
    target: str | tuple[str, ...] = eqx.field(
        static=True, default="efg", converter=lambda target: target if isinstance(target, str) else tuple(target)
    )
    training: Training = eqx.field(static=True, default=Training())
    members: int = eqx.field(static=True, default=1, converter=partial(as_int, "members"))
    array: str | None = eqx.field(static=True, default=None)
    fitted: FittedNetworks | None = None

    def __check_init__(self):
        if self.members < 1:
            raise InputError(f"members = {self.members}: a committee has one member or more")
        names = self.targets
        if not names or len(set(names)) != len(names):
            raise InputError(f"target = {', '.join(names) or 'none'}: name each target once, and at least one")
        if self.array is not None and len(names) > 1:
            raise InputError("array names where one target is found; with several, rename the arrays of the structures")

    def fit(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        validation: Sequence[Atoms] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> "EquivariantNetwork":
        """Train from random weights.

        Args:
            structures: the training set.
            validation: structures that early stopping watches; None: a part of the training set (`Training.validation`), which is then not
                trained on.
            checkpoint: folder where the state is kept after every epoch: a fit that was stopped at any moment, and is called again with the
                same data and options, goes on from there, to the same bits on a CPU with as many cores. It is emptied when the fit is done.
            resume: False: forget first what the folder has of this fit.
            progress: called after each epoch with (done, all, what), of a committee with the epochs of all members.
            watch: called after each epoch with its row of the history (`History.rows`); what it raises ends the training, and the checkpoint
                stays. Epochs that a checkpoint already held are not told again.

        Raises:
            InputError: bad structures or labels, an empty validation set, or a loss that became infinite.
        """
        data = self._data(structures, validation)
        begun = random_networks(self.architecture, data, self.species, self.members, self.training.seed)
        keeping = Keeping(checkpoint, resume, progress, watch)
        fitted = train_committee(begun, data, self.species, self.training, False, keeping)
        return replace(self, architecture=begun.architecture, fitted=fitted)

    def finetune(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        target: str | Sequence[str] | None = None,
        species: str | Sequence[str] | None = None,
        frozen: bool = False,
        training: Training | None = None,
        validation: Sequence[Atoms] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> "EquivariantNetwork":
        """Go on from what the fitted model has learned, with other data or another target.

        A target that the model knows keeps its last map and its units (elements that had no labels of it get theirs); a new one gets both anew.

        Args:
            structures, validation, checkpoint, resume, progress, watch: as for `fit`.
            target: what the new model predicts; None: what this one does.
            species: element or elements whose labels are learned; None: as before. Others that the model knows are still predicted, by layers that
                have moved on without them, unless ``frozen``.
            frozen: train the heads alone, and leave all layers as they are.
            training: how; None: as before.

        Raises:
            InputError: the model is not fitted, the structures contain an element that it does not know, or a target has a part that
                its features cannot make; and as `fit`.
        """
        known = self._require_fitted()
        new = replace(
            self,
            species=self.species if species is None else species,
            target=self.target if target is None else target,
            training=training or self.training,
            array=self.array if target is None else None,
        )
        data = new._data(structures, validation)
        begun = known_networks(known, data, new.species, new.training.seed)
        keeping = Keeping(checkpoint, resume, progress, watch)
        return replace(new, fitted=train_committee(begun, data, new.species, new.training, frozen, keeping))

    def _data(self, structures, validation) -> TrainingData:
        options = self.training
        return TrainingData.of(
            self.targets, self.array, structures, validation, options.validation, options.seed, self.species
        )

    @property
    def known(self) -> list[str]:
        """Elements that the fitted model predicts."""
        return self._require_fitted().elements

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, one or several."""
        return (self.target,) if isinstance(self.target, str) else self.target

    def predict(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        target: str | None = None,
        variance: bool = False,
        precision: Precision = "float32",
        species: str | Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
    ):
        """Predict a target of one structure or of several.

        Args:
            structures: atoms, or any iterable of them.
            target: which; None: the only one.
            variance: also return the variance among the members of the committee, summed over the components of a tensor.
            precision: of the arithmetic; networks are trained in float32.
            species: elements to predict, of those that the model knows; None: all.
            indices: atoms to predict in every structure; None: all of these elements.

        Returns:
            For one structure an array (atoms, 3, 3) (or (atoms, 3), (atoms,) for vectors and scalars), NaN for atoms that are not predicted; for
            an iterable a list of them. With ``variance`` a pair, the second (atoms,).

        Raises:
            InputError: the model is not fitted, an element or target that it was not trained on, a variance of one network, or
                nothing to predict.
        """
        chosen = self.one_target(target).name
        found = self.predict_stream(
            structures, target=chosen, variance=variance, precision=precision, species=species, indices=indices
        )
        return collected(found, structures, self.fitted.known(chosen), variance)

    def predict_stream(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        target: str | None = None,
        variance: bool = False,
        precision: Precision = "float32",
        species: str | Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
    ) -> Iterator[Predicted]:
        """Predict a trajectory of any length: one `Predicted` a structure, in their order; see `predict`."""
        chosen = self.one_target(target).name
        options = {"variance": variance, "precision": precision, "species": species, "indices": indices}
        return (found[chosen] for found in self.predict_targets(structures, targets=[chosen], **options))

    def predict_targets(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        targets: Sequence[str] | None = None,
        variance: bool = False,
        precision: Precision = "float32",
        species: str | Sequence[str] | None = None,
        indices: Sequence[int] | None = None,
    ) -> Iterator[dict[str, Predicted]]:
        """Predict several targets of a trajectory of any length, at the cost of one.

        Args:
            structures, variance, precision, indices: as for `predict`.
            targets: which; None: all.
            species: elements to predict; of a target that was not trained for one of them its atoms stay NaN.

        Returns:
            For each structure in turn a `Predicted` by name of the target.
        """
        fitted = self._require_fitted()
        if precision not in ("float64", "float32"):
            raise InputError(f"precision = {precision!r} is unknown; choose 'float64' or 'float32'")
        if variance:
            self.check_variance()
        return predict_stream(
            fitted,
            [self.one_target(name) for name in (fitted.targets if targets is None else targets)],
            structures,
            variance=variance,
            precision=np.dtype(precision),
            species=species,
            indices=indices,
        )

    def check_variance(self) -> None:
        """Make sure that predictions have a variance.

        Raises:
            InputError: the model is one network, or not fitted.
        """
        if len(self._require_fitted().networks) < 2:
            raise InputError("one network has no spread; train a committee with members=4 or so, or leave variance out")

    def environments_of(self, structures: Atoms | Sequence[Atoms]) -> Environments:
        """Environments of all atoms in short rows, as `tensors` wants them.

        Raises:
            InputError: the model is not fitted, or an element that it does not know.
        """
        architecture = self._require_fitted().architecture
        structures = [structures] if isinstance(structures, Atoms) else structures
        return filled(in_rows(environments(structures, architecture.cutoff, architecture.species, pad=False)))

    def tensors(self, environments: Environments, target: str | None = None) -> Float[Array, "atoms *shape"]:
        """Predicted target as a pure function of environments, in the precision of their positions; of a committee the mean.

        For derivatives: with respect to ``environments.positions`` and ``.cells`` it is differentiable and jit-able. A tensor depends on atoms
        within the cutoff of each of its layers, one after another, through the environments of all atoms between.

        Args:
            environments: from `environments_of`; of atoms whose elements the model does not predict the rows mean nothing.
            target: which; None: the only one.

        Returns:
            Cartesian values in the target's unit and shape, a row an atom (and rows of padding, which mean nothing).
        """
        fitted, chosen = self._require_fitted(), self.one_target(target)
        standard, kinds = fitted.standards[chosen.name], kinds_of_atoms(environments)
        precision = np.dtype(environments.positions.dtype)
        parts = [cast(network, precision)(environments)[chosen.name] for network in fitted.networks]
        values = [cartesian(chosen.kind, standard.restored(own, kinds)) for own in parts]
        return jnp.mean(jnp.stack(values), axis=0)

    def evaluate(
        self,
        structures: Atoms | Iterable[Atoms],
        title: str = "",
        isotopes: Mapping[str, Isotope | str] | None = None,
        target: str | None = None,
    ) -> Report | TargetReport:
        """Compare predictions with the labels of structures that were held out; see `TensorGPR.evaluate`.

        Args:
            structures: with labels for at least one of the model's species.
            title: heading of the report.
            isotopes: nucleus by element, where it is not the one that NMR uses.
            target: which; None: the only one. Structures that carry only others of the model's targets are left out.

        Raises:
            InputError: as `predict`, bad labels, or none of the target for the model's species.
        """
        fitted, chosen = self._require_fitted(), self.one_target(target)
        frames = labelled_frames(self.targets, self.array, structures, "the set to evaluate")
        structures = [atoms for atoms in frames if find(atoms, chosen.name, "atom") is not None]
        if not structures:
            raise InputError(f"nothing to evaluate: no structure carries '{chosen.name}'; pass some that do")
        predicted = self.predict(structures, target=chosen.name)
        if chosen.is_efg:
            return judging.efg_report(structures, predicted, chosen, fitted.scales[chosen.name], isotopes, title)
        return judging.target_report(structures, predicted, chosen, fitted.known(chosen.name), title)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to one file of arrays and JSON (no pickle), whole or not at all."""
        header, arrays = self._require_fitted().pack()
        options = {
            "species": self.species,
            "target": self.target,
            "training": self.training.to_dict(),
            "members": self.members,
            "array": self.array,
        }
        write_model(path, {"kind": "EquivariantNetwork", "options": options, **header}, arrays)

    @classmethod
    def unpack(cls, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "EquivariantNetwork":
        """The model from what `save` wrote."""
        fitted = FittedNetworks.unpack(header, arrays)
        options = {**header["options"], "training": Training.from_dict(header["options"]["training"])}
        return cls(fitted.architecture, fitted=fitted, **options)

    def one_target(self, name: str | None) -> Target:
        """A target by its name; None: the only one.

        Raises:
            InputError: the model is not fitted, does not predict it, or predicts several.
        """
        targets = self._require_fitted().targets
        if name is None and len(targets) > 1:
            raise InputError(
                f"the model predicts {' and '.join(targets)}; say which with target='{next(iter(targets))}'"
            )
        if name is not None and name not in targets:
            raise InputError(f"the model predicts {' and '.join(targets)}, not '{name}'; train on it, or fine-tune")
        return targets[name or next(iter(targets))]

    def _require_fitted(self) -> FittedNetworks:
        if self.fitted is None:
            raise InputError("the model is not fitted yet; use the one that fit(structures) returns")
        return self.fitted
