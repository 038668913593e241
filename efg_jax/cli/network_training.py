"""What `efg-jax train --model network` does."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from efg_jax.cli.inputs import read_structures
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.network import EquivariantNetwork
    from efg_jax.structures.targets import Target


class NetworkOptions(NamedTuple):
    """What the command line says of a network.

    Attributes:
        architecture: arguments of `Architecture`.
        training: arguments of `Training`, but for the loss.
        loss: its kind.
        members: networks of the committee.
        source: model to fine-tune; None: train anew.
        freeze: train the heads alone.
        hyperparameters: file that has the architecture and the steps instead.
    """

    architecture: dict[str, Any]
    training: dict[str, Any]
    loss: str
    members: int
    source: Path | None
    freeze: bool
    hyperparameters: Path | None = None

    def untrained(self, targets: tuple[str, ...] | None, species: tuple[str, ...] | None) -> "EquivariantNetwork":
        """The model to fit, or the fitted one to fine-tune, for these targets and elements.

        Raises:
            InputError: options that cannot be, or a file that holds no network.
        """
        from dataclasses import replace

        from efg_jax.models import load
        from efg_jax.network import Architecture, EquivariantNetwork, Loss, Training

        training = Training(**self.training, loss=Loss(self.loss))
        if self.source is None:
            if self.freeze:
                raise InputError("--freeze leaves the layers of a trained model as they are; name it with --from")
            names = targets or ("efg",)
            model = EquivariantNetwork(
                Architecture(**self.architecture),
                species,
                names[0] if len(names) == 1 else names,
                training,
                self.members,
            )
            if self.hyperparameters is None:
                return model
            from efg_jax.tuning import read_hyperparameters

            return read_hyperparameters(self.hyperparameters).apply(model)
        known = load(self.source)
        if not isinstance(known, EquivariantNetwork):
            raise InputError(
                f"holds a {type(known).__name__}, and only networks are fine-tuned; leave --from out",
                file=str(self.source),
            )
        # Labels are read under the targets' own names.
        return replace(known, training=training, species=species or known.species, array=None)


class NetworkLearner:
    """A network from the command line to its fit, or to its fine-tuning.

    Attributes:
        model: to be fitted, or fine-tuned.
        elements: that it knows before.

    Raises:
        InputError: options that cannot be, a file that holds no network, or a name of an array for several targets.
    """

    def __init__(
        self,
        options: NetworkOptions,
        targets: tuple[str, ...] | None,
        species: tuple[str, ...] | None,
        array: str | None,
        progress: Progress,
    ):
        self.model = options.untrained(targets, species)
        self._targets = targets or self.model.targets
        self.elements = self.model.architecture.species if self.model.fitted is not None else ()
        self._freeze, self._array, self._progress = options.freeze, array, progress
        if array is not None and len(self._targets) > 1:
            raise InputError("--array names where one target is found; with several, rename the arrays of the files")

    def read(self, data: Sequence[str], index: str) -> "tuple[list[Atoms], dict[str, Target]]":
        """Structures that carry one of the targets or several, under their own names, and what the targets are.

        Raises:
            InputError: as `read_structures`; bad labels, or a structure without any.
        """
        from efg_jax.network.training_sets import atomic_target, labelled_frames

        frames = labelled_frames(self._targets, self._array, read_structures(data, index), "the training set")
        return frames, {name: atomic_target(name, frames) for name in self._targets}

    def predicted(self, target: str) -> Sequence[str]:
        """Elements whose target it predicts before."""
        fitted = self.model.fitted
        return fitted.known(target) if fitted is not None and target in fitted.targets else ()

    def fit(self, training: "list[Atoms]", cache: Path | None, resume: bool) -> "EquivariantNetwork":
        """Fitted, or fine-tuned where it was fitted before; with a bar. Who interrupts that is told how to go on."""
        with self._progress.bar(f"training on {len(training)} structures") as bar:

            def told(done: int, epochs: int, what: str) -> None:
                bar.advance(what, epochs, done=done)

            keeping = {"checkpoint": cache, "resume": resume, "progress": told}
            try:
                if self.model.fitted is None:
                    return self.model.fit(training, **keeping)
                target = self._targets[0] if len(self._targets) == 1 else self._targets
                return self.model.finetune(training, target=target, frozen=self._freeze, **keeping)
            except KeyboardInterrupt:
                if bar.done and cache is not None:
                    self._progress.say(
                        f"stopped after {bar.done} of {bar.total} epochs; the same command with --resume goes on from there"
                    )
                raise


def write_histories(model: "EquivariantNetwork", log: Path | None, plots: Path | None) -> None:
    """Losses and errors by epoch as CSV, and as a picture in the folder of the plots, made if it is missing."""
    if log is not None:
        from efg_jax.network import training_history as history

        history.write_histories(log, model.fitted.histories)
    if plots is not None:
        from efg_jax.network.training_figure import training_figure
        from efg_jax.plots import save

        plots.mkdir(parents=True, exist_ok=True)
        save(training_figure(model.fitted.histories), plots / "training.png")
