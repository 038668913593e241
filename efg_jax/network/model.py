"""The network as a model like the others: fit, predict, evaluate, save."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from ase import Atoms

import efg_jax
from efg_jax.errors import InputError
from efg_jax.io import check_frames
from efg_jax.io.checkpoint import Checkpoint
from efg_jax.io.journal import fingerprint
from efg_jax.models import evaluation
from efg_jax.models.prediction import Precision, Predicted, nothing_to_predict
from efg_jax.models.storage import write_model
from efg_jax.models.training import as_group
from efg_jax.network.architecture import Architecture
from efg_jax.network.backbone import Network
from efg_jax.network.batches import samples
from efg_jax.network.data import TrainingData
from efg_jax.network.fitted import FittedNetworks, outputs
from efg_jax.network.labels import Standard
from efg_jax.network.loss import Objective
from efg_jax.network.prediction import predict_stream
from efg_jax.network.training import Progress, Training, train
from efg_jax.precision import float64
from efg_jax.report import Report, TargetReport
from efg_jax.targets import place_of
from efg_jax.tensors.nuclei import Isotope


def _as_names(target: str | Sequence[str]) -> tuple[str, ...]:
    return (target,) if isinstance(target, str) else tuple(target)


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
    members: int = eqx.field(static=True, default=1)
    array: str | None = eqx.field(static=True, default=None)
    fitted: FittedNetworks | None = None

    def __check_init__(self):
        if self.members < 1:
            raise InputError(f"members = {self.members}: a committee has one member or more")
        names = _as_names(self.target)
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
    ) -> "EquivariantNetwork":
        """Train from random weights.

        Args:
            structures: the training set.
            validation: structures that early stopping watches; None: a part of the training set (`Training.validation`), which is then not
                trained on.
            checkpoint: folder where the state is kept after every epoch: a fit that was stopped at any moment, and is called again with the
                same data and options, goes on from there, to the same bits on a CPU. It is emptied when the fit is done.
            resume: False: forget first what the folder has of this fit.
            progress: called after each epoch with (done, all, what), of a committee with the epochs of all members.

        Raises:
            InputError: bad structures or labels, an empty validation set, or a loss that became infinite.
        """
        data = self._data(structures, validation)
        architecture = data.settled(self.architecture)
        standards = {
            name: Standard.of(target, data.training, architecture.species, self.species)
            for name, target in data.targets.items()
        }
        scales = data.scales(standards, architecture.species)
        starts = tuple(
            Network(architecture, outputs(data.targets), jax.random.key(self.training.seed + member))
            for member in range(self.members)
        )
        begun = FittedNetworks(architecture, data.targets, standards, scales, starts, ())
        fitted = self._trained(begun, data, Checkpoints(checkpoint, resume), False, progress)
        return replace(self, architecture=architecture, fitted=fitted)

    def finetune(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        target: str | Sequence[str] | None = None,
        frozen: bool = False,
        training: Training | None = None,
        validation: Sequence[Atoms] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: Progress | None = None,
    ) -> "EquivariantNetwork":
        """Go on from what the fitted model has learned, with other data or another target.

        A target that the model knows keeps its last map and its units; a new one gets both anew.

        Args:
            structures, validation, checkpoint, resume, progress: as for `fit`.
            target: what the new model predicts; None: what this one does.
            frozen: train the heads alone, and leave all layers as they are.
            training: how; None: as before.

        Raises:
            InputError: the model is not fitted, the structures contain an element that it does not know, or a target has a part that
                its features cannot make; and as `fit`.
        """
        known = self._require_fitted()
        new = replace(
            self,
            target=self.target if target is None else target,
            training=training or self.training,
            array=self.array if target is None else None,
        )
        data = new._data(structures, validation)
        architecture = known.architecture
        standards = {
            name: known.standards[name]
            if name in known.standards
            else Standard.of(found, data.training, architecture.species, self.species)
            for name, found in data.targets.items()
        }
        fresh = {name: found for name, found in data.targets.items() if name not in known.targets}
        starts = tuple(
            network.with_heads(outputs(data.targets), jax.random.key(new.training.seed + member))
            for member, network in enumerate(known.networks)
        )
        targets = {name: known.targets.get(name, found) for name, found in data.targets.items()}
        scales = {name: scale for name, scale in known.scales.items() if name in targets}
        scales |= TrainingData(fresh, data.training, data.validation).scales(standards, architecture.species)
        begun = FittedNetworks(architecture, targets, standards, scales, starts, ())
        fitted = new._trained(begun, data, Checkpoints(checkpoint, resume), frozen, progress)
        return replace(new, fitted=fitted)

    def _data(self, structures, validation) -> TrainingData:
        options = self.training
        names = _as_names(self.target)
        return TrainingData.of(names, self.array, structures, validation, options.validation, options.seed)

    def _trained(
        self, begun: FittedNetworks, data: TrainingData, kept: "Checkpoints", frozen: bool, progress: Progress | None
    ) -> FittedNetworks:
        """Every network of a committee trained, one after another."""
        architecture, targets = begun.architecture, list(data.targets.values())
        sets = [samples(part, architecture, targets, begun.standards) for part in (data.training, data.validation)]
        objective = Objective(self.training.loss, targets, begun.standards, begun.scales, architecture.species)
        identity = {
            "version": efg_jax.__version__,
            "training": fingerprint(data.training, tuple(data.targets)),
            "validation": fingerprint(data.validation, tuple(data.targets)),
            "architecture": architecture.to_dict(),
            "targets": {name: target.to_dict() for name, target in data.targets.items()},
            "species": self.species,
            "options": self.training.to_dict(),
            "frozen": frozen,
        }
        networks, histories, all_kept = [], [], []
        for member, network in enumerate(begun.networks):
            options = replace(self.training, seed=self.training.seed + member)
            own = kept.of(identity | {"member": member, "start": _digest(network)})
            all_kept.append(own)
            with float64(False):
                found = train(
                    network,
                    objective,
                    *sets,
                    options,
                    trainable=_trainable(network, frozen),
                    checkpoint=own,
                    describe=lambda numbers: _named(data.training, numbers),
                    progress=_of_member(progress, member, self.members),
                )
            networks.append(found.network)
            histories.append(found.history)
        for own in all_kept:
            own.clear()
        return replace(begun, networks=tuple(networks), histories=tuple(histories))

    @property
    def known(self) -> list[str]:
        """Elements that the fitted model predicts."""
        fitted = self._require_fitted()
        return [s for s in fitted.architecture.species if any(s in fitted.known(name) for name in fitted.targets)]

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
            For one structure an array (atoms, 3, 3), NaN for atoms that are not predicted; for an iterable a list of them. With ``variance`` a
            pair, the second (atoms,).

        Raises:
            InputError: the model is not fitted, an element or target that it was not trained on, a variance of one network, or
                nothing to predict.
        """
        values, variances, present, count = [], [], set(), 0
        for found in self.predict_stream(
            structures, target=target, variance=variance, precision=precision, species=species, indices=indices
        ):
            values.append(found.values)
            variances.append(found.variance)
            present.update(found.atoms.symbols)
            count += len(found.centres)
        if count == 0:
            raise nothing_to_predict(self.known, present)
        if isinstance(structures, Atoms):
            values, variances = values[0], variances[0]
        return (values, variances) if variance else values

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
        fitted = self._require_fitted()
        if precision not in ("float64", "float32"):
            raise InputError(f"precision = {precision!r} is unknown; choose 'float64' or 'float32'")
        if variance and len(fitted.networks) < 2:
            raise InputError("one network has no spread; train a committee with members=4 or so, or leave variance out")
        return predict_stream(
            fitted,
            self._one_target(target),
            structures,
            variance=variance,
            precision=np.dtype(precision),
            species=species,
            indices=indices,
        )

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
            target: which; None: the only one.
        """
        fitted, chosen = self._require_fitted(), self._one_target(target)
        structures = check_frames(structures, chosen.name, array=self.array, per="atom")
        predicted = self.predict(structures, target=chosen.name)
        if chosen.is_efg:
            return evaluation.efg_report(structures, predicted, chosen, fitted.scales[chosen.name], isotopes, title)
        return evaluation.target_report(structures, predicted, chosen, fitted.known(chosen.name), title)

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

    def _one_target(self, name: str | None):
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


class Checkpoints:
    """Where the states of the members of a committee are kept."""

    def __init__(self, folder: str | Path | None, resume: bool):
        self._folder, self._resume = folder, resume

    def of(self, identity: Mapping[str, Any]) -> Checkpoint:
        """That of one member, emptied if nothing is to be resumed."""
        found = Checkpoint(self._folder, identity)
        if not self._resume:
            found.clear()
        return found


def _trainable(network: Network, frozen: bool) -> Network:
    """True where a weight may change."""
    every = jax.tree.map(lambda _: not frozen, network)
    return eqx.tree_at(lambda n: n.heads, every, jax.tree.map(lambda _: True, network.heads))


def _digest(network: Network) -> str:
    """Checksum of the weights that training begins with."""
    checksum = hashlib.sha256()
    for leaf in jax.tree.leaves(network):
        checksum.update(np.asarray(leaf).tobytes())
    return checksum.hexdigest()[:32]


def _named(frames: Sequence[Atoms], numbers: Sequence[int]) -> str:
    """Files and frames in words."""
    places = [place_of(frames[number], number) for number in numbers]
    return "; ".join(", ".join(f"{key} {value}" for key, value in place.items()) for place in places)


def _of_member(progress: Progress | None, member: int, members: int) -> Progress | None:
    """Progress of one member as that of the whole committee."""
    if progress is None or members == 1:
        return progress
    return lambda done, epochs, what: progress(
        member * epochs + done, members * epochs, f"network {member + 1} of {members}: {what}"
    )
