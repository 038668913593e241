"""The network as a model: options, and the fitted network."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.errors import InputError, as_int
from efg_jax.metrics import Scale
from efg_jax.models.predicted import Choice, DType, Predicted, PredictionOptions
from efg_jax.models.protocol import FittedModel, Model, Packed, Progress
from efg_jax.network.architecture import Architecture
from efg_jax.network.backbone import check_makes
from efg_jax.network.committee import Committee
from efg_jax.network.committee_training import Keeping, train_committee
from efg_jax.network.network_prediction import predict_stream
from efg_jax.network.network_tuning import NetworkTuning
from efg_jax.network.rows import filled, in_rows, kinds_of_atoms
from efg_jax.network.starts import known_networks, random_networks
from efg_jax.network.trainer import Training, Watch
from efg_jax.network.training_history import History
from efg_jax.network.training_sets import TrainingData, labelled_frames
from efg_jax.precision import cast
from efg_jax.storage.plain_values import from_plain, to_plain
from efg_jax.structures.environments import Environments, Neighbours, environments
from efg_jax.structures.site_selection import named_species
from efg_jax.structures.splits import split
from efg_jax.structures.targets import Target, cartesian, find

OF_TRAINING = ("learning_rate", "weight_decay", "warmup", "clip", "average", "batch_edges")
"""Options of the training that are hyperparameters: neither its length nor its loss and validation set."""


def _one_or_several(target: str | Sequence[str]) -> str | tuple[str, ...]:
    """Names as a tuple; a single one as it is."""
    names = (target,) if isinstance(target, str) else tuple(target)
    return names[0] if len(names) == 1 else names


class EquivariantNetwork(Model):
    """Equivariant message-passing network for tensors of atoms (Batzner et al. 2022; Ben Mahmoud et al. 2024).

    One network learns one target or several ("efg" and "ms" share all layers but the last map). Atoms without a
    label, and structures without a target, are left out of its loss.

    Args:
        architecture: sizes.
        species: element or elements whose labels are learned; None: all that have labels.
        target: name of what is learned, or several names.
        training: options of the training.
        members: number of networks of the committee, which differ in their seed; their spread is the variance of a
            prediction.
        array: name under which the structures carry the target, where it differs (one target only).
    """

    kind: ClassVar[str] = "network"
    family: ClassVar[str] = "network"

    architecture: Architecture = eqx.field(static=True, default=Architecture())
    species: tuple[str, ...] | None = eqx.field(static=True, default=None, converter=named_species)
    target: str | tuple[str, ...] = eqx.field(static=True, default="efg", converter=_one_or_several)
    training: Training = eqx.field(static=True, default=Training())
    members: int = eqx.field(static=True, default=1, converter=partial(as_int, "members"))
    array: str | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.members < 1:
            raise InputError(f"members must be 1 or more, got {self.members}")
        names = self.targets
        if not names or len(set(names)) != len(names):
            raise InputError(f"target must name each target once, and at least one, got {', '.join(names) or 'none'}")
        if self.array is not None and len(names) > 1:
            raise InputError("array is the name of one target; with several, rename the arrays of the structures")

    def fit(
        self,
        structures: Atoms | Iterable[Atoms],
        *,
        validation: Sequence[Atoms] | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = True,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> "FittedNetwork":
        """Train from random weights.

        Args:
            structures: the training set.
            validation: structures for early stopping; None: a part of the training set (`Training.validation`), which
                is then not trained on.
            checkpoint: folder for the state after every epoch. An interrupted fit that is called again with the same
                data and options continues there, with the same result to the last bit on a CPU with as many cores.
                The folder is emptied when the fit is done.
            resume: False: first discard what the folder holds of this fit.
            progress: called after each epoch, with the epochs of all members counted together.
            watch: called after each new epoch with its row of the history (`History.rows`). An exception ends the
                training, and the checkpoint stays.

        Raises:
            InputError: bad structures or labels, an empty validation set, or a loss that became infinite.
        """
        data = self._data(structures, validation, self.training.seed)
        begun = random_networks(self.architecture, data, self.species, self.members, self.training.seed)
        keeping = Keeping(checkpoint, resume, progress, watch)
        committee = train_committee(begun, data, self.species, self.training, False, keeping)
        return FittedNetwork(replace(self, architecture=begun.architecture), committee)

    def _data(self, structures, validation, seed: int) -> TrainingData:
        part = self.training.validation
        return TrainingData.of(self.targets, self.array, structures, validation, part, seed, self.species)

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of the targets, one or several."""
        return (self.target,) if isinstance(self.target, str) else self.target

    @property
    def is_resumable(self) -> bool:
        """Whether `fit` keeps its state in a checkpoint: after every epoch."""
        return True

    def knowing(self, elements: Sequence[str]) -> "EquivariantNetwork":
        """The same with an architecture that knows these elements."""
        known = self.architecture.species
        if known is None:
            return replace(self, architecture=replace(self.architecture, species=tuple(sorted(elements))))
        if foreign := [symbol for symbol in elements if symbol not in known]:
            raise InputError(
                f"the network knows {', '.join(known)}, and the structures also contain {', '.join(foreign)}; "
                "leave the species of its architecture out"
            )
        return self

    def check_target(self, target: Target) -> None:
        """A network learns targets of atoms whose parts its features can make."""
        if target.per != "atom":
            raise InputError(f"'{target.name}' belongs to whole structures; take a tensor model for it")
        check_makes(self.architecture, {target.name: target.irreps})

    def check_labels(self, counts: Mapping[str, Int[np.ndarray, " structures"]]) -> None:
        """Both parts of the training set need labels: of every element to train on, of any for validation."""
        options = self.training
        if options.validation == 0.0:
            raise InputError("an empty validation set leaves early stopping nothing to watch; give validation=0.1")
        numbers = range(len(next(iter(counts.values()))))
        training, validation = split(numbers, options.validation, options.seed)
        for name, count in counts.items():
            if not count[training].any():
                raise InputError(
                    f"all structures with {name} labels are held out for validation; use more structures, or another "
                    "seed or validation"
                )
        if not any(count[validation].any() for count in counts.values()):
            raise InputError(
                "no structure that is held out for validation has labels; use more structures, or another seed or "
                "validation"
            )

    def hyperparameters(self) -> dict[str, Any]:
        """Architecture and training as JSON types."""
        return {name: to_plain(getattr(self, name)) for name in ("architecture", "training")}

    def with_hyperparameters(self, values: dict[str, Any]) -> "EquivariantNetwork":
        """The same model with another architecture and with `OF_TRAINING` of another training; all else stays."""
        training = from_plain(Training, values["training"])
        changes = {name: getattr(training, name) for name in OF_TRAINING}
        return replace(
            self,
            architecture=from_plain(Architecture, values["architecture"]),
            training=replace(self.training, **changes),
        )

    def tuning_problem(self, structures: Atoms | Iterable[Atoms], seed: int = 0, **options: Any) -> NetworkTuning:
        """Validation losses of trainings; see `Model.tuning_problem`. What is minimised, and when, `Training` says.

        The validation set is a part of the structures (`Training.validation`), drawn with the seed.
        """
        for name, value in options.items():
            raise InputError(
                f"{name} = {value!r} is no option for tuning networks; leave it out (what a network starts from and "
                "minimises is in its Training)"
            )
        return NetworkTuning(self, self._data(structures, None, seed))

    def unpack(self, header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> "FittedNetwork":
        """Inverse of `FittedNetwork.pack`."""
        return FittedNetwork(self, Committee.unpack(self.architecture, header, arrays))


class FittedNetwork(FittedModel):
    """A trained `EquivariantNetwork`: one network, or a committee of them that differ in their seed."""

    default_dtype: ClassVar[DType] = "float32"
    is_local: ClassVar[bool] = False

    model: EquivariantNetwork
    committee: Committee

    @property
    def targets(self) -> dict[str, Target]:
        """What it predicts, by name."""
        return self.committee.targets

    @property
    def histories(self) -> tuple[History, ...]:
        """Losses and errors by epoch, one history a network."""
        return self.committee.histories

    def species_of(self, target: str | None = None) -> list[str]:
        """Elements whose atoms had labels of a target."""
        return self.committee.species_of(self.one_target(target).name)

    def scales(self, target: str) -> dict[str, Scale]:
        """μ and σ of |V_zz| by element, V/Å²."""
        return self.committee.scales.get(target, {})

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
    ) -> "FittedNetwork":
        """Train the fitted networks further, with other data or another target.

        A known target keeps its head and its units (elements that had no labels of it get units); a new target gets
        both.

        Args:
            structures, validation, checkpoint, resume, progress, watch: as for `fit`.
            target: what the new model predicts; None: the same as this one.
            species: element or elements whose labels are learned; None: as before. Other elements that the model
                knows are still predicted, but unless ``frozen`` the layers have changed without regard to them.
            frozen: train the heads alone, and leave the layers as they are.
            training: options of the training; None: as before.

        Raises:
            InputError: an element that the model does not know, a target with a part that its features cannot make,
                or as `fit`.
        """
        old = self.model
        new = replace(
            old,
            species=old.species if species is None else species,
            target=old.target if target is None else target,
            training=training or old.training,
            array=old.array if target is None else None,
        )
        data = new._data(structures, validation, new.training.seed)
        begun = known_networks(self.committee, data, new.species, new.training.seed)
        keeping = Keeping(checkpoint, resume, progress, watch)
        return FittedNetwork(new, train_committee(begun, data, new.species, new.training, frozen, keeping))

    def _stream(
        self, structures: Atoms | Iterable[Atoms], targets: Sequence[Target], options: PredictionOptions
    ) -> Iterator[dict[str, Predicted]]:
        if options.variance and len(self.committee.networks) < 2:
            raise InputError("one network has no spread; train a committee with members=4 or so, or leave variance out")
        return predict_stream(self.committee, targets, structures, options)

    def environments_of(
        self, structures: Atoms | Sequence[Atoms], species: str | Sequence[str] | None = None
    ) -> Environments:
        """Environments of all atoms in short rows, as `tensors` takes them.

        A network describes every atom, whatever ``species`` are predicted; row ``k`` of `tensors` is atom ``k``.

        Raises:
            InputError: an element that the model does not know.
        """
        Choice(self.species, species, None)
        architecture = self.committee.architecture
        structures = [structures] if isinstance(structures, Atoms) else structures
        return filled(in_rows(environments(structures, architecture.cutoff, architecture.species, pad=False)))

    def tensors(
        self, environments: Environments | Neighbours, target: str | None = None
    ) -> Float[Array, "atoms *shape"]:
        """Predicted target as a pure function of environments, one row an atom; of a committee the mean.

        A tensor depends on atoms within the cutoff of each of the layers, one after another, through the environments
        of all atoms between; see `FittedModel.tensors`.
        """
        chosen = self.one_target(target)
        standard, kinds = self.committee.standards[chosen.name], kinds_of_atoms(environments)
        precision = jnp.asarray(environments.positions).dtype
        parts = [cast(network, precision)(environments)[chosen.name] for network in self.committee.networks]
        values = [cartesian(chosen.kind, standard.restored(own, kinds)) for own in parts]
        return jnp.mean(jnp.stack(values), axis=0)

    def _frames_to_judge(self, structures: Atoms | Iterable[Atoms], target: Target) -> list[Atoms]:
        """Structures that carry the target, under its own name; of several targets a structure need carry one only."""
        frames = labelled_frames(self.model.targets, self.model.array, structures, "the set to evaluate")
        carrying = [atoms for atoms in frames if find(atoms, target.name, "atom") is not None]
        if not carrying:
            raise InputError(f"nothing to evaluate: no structure carries '{target.name}'; pass some that do")
        return carrying

    def pack(self) -> Packed:
        """Header and arrays of all networks."""
        return self.committee.pack()
