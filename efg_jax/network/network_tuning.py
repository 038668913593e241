"""Tuning of networks: the validation loss of a training, pruned where it is not promising (Ben Mahmoud et al. 2024)."""

import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from efg_jax.compilation import drop_programs
from efg_jax.errors import InputError
from efg_jax.models.protocol import Model
from efg_jax.models.tuning_problem import EpochReport, EpochWatch, Evaluation, Parameter, Pruned, TuningProblem, Values
from efg_jax.network.backbone import check_makes
from efg_jax.network.committee import outputs
from efg_jax.network.network_parameters import (
    MOVED,
    narrowed,
    network_parameters,
    network_values,
    reasons_to_stay,
    with_network_values,
)
from efg_jax.network.trainer import TrainingFailed
from efg_jax.network.training_history import EpochRow, History
from efg_jax.network.training_sets import TrainingData
from efg_jax.storage.checkpoint import stored_arrays
from efg_jax.storage.fingerprints import digest, fingerprint
from efg_jax.storage.plain_values import to_plain
from efg_jax.version import __version__


class NetworkTuning(TuningProblem[Model]):
    """Trainings with various hyperparameters on the same data: every evaluation is a training.

    All are judged by the same validation set: by the validation loss of their best epoch, in units of the labels in the
    training set. Trainings are of single networks; the model that comes out has as many members as the one that went
    in. What is finished is on disk, and an interrupted training resumes from its checkpoint.

    Args:
        model: network that the search starts from.
        data: training and validation set.

    Raises:
        InputError: the network cannot make a target, or does not know an element; or its training counts steps.
    """

    what = "networks"
    loss_name = "validation loss"
    remedy = "lower the learning rate that the search starts from"
    methods: ClassVar[tuple[str, ...]] = ("bayes",)

    def __init__(self, model: Model, data: TrainingData):
        if model.training.steps:
            raise InputError(
                f"steps = {model.training.steps}: a search compares trainings by epoch; leave steps out, and say how "
                "many epochs"
            )
        check_makes(model.architecture, outputs(data.targets))
        data.settled(model.architecture)  # refuses elements that are not known
        self.model, self._single, self._data = model, replace(model, members=1, array=None), data
        self.start = network_values(model)
        self.parameters, self.fixed = network_parameters(model), reasons_to_stay(model)
        self.usual = tuple(name for name in MOVED if name in self.parameters)
        self.epochs = model.training.epochs
        self._counted: set[str] = set()
        self.keep(None, {})

    def identity(self, search: Mapping[str, Any]) -> dict[str, Any]:
        """All that a training depends on, and the search: what is pruned depends on all trials before."""
        sets = {"training": self._data.training, "validation": self._data.validation}
        names, species = tuple(self._data.targets), self.model.species
        return {
            "version": __version__,
            **{name: fingerprint(list(frames.values()), names) for name, frames in sets.items()},
            "targets": list(names),
            "species": None if species is None else list(species),
            "architecture": to_plain(self.model.architecture),
            "options": to_plain(self.model.training),
            **search,
        }

    def narrowed(self, parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
        """The parameters without sizes that cannot make the targets."""
        return narrowed(parameters, self.model, outputs(self._data.targets))

    def model_at(self, values: Values) -> Model:
        """The network with this architecture and training."""
        return with_network_values(self.model, values)

    def details(self, start: Values, best: Values) -> dict[str, Any]:
        """Numbers of structures."""
        return {
            "training_structures": len(self._data.training),
            "validation_structures": len(self._data.validation),
        }

    def forget(self) -> None:
        """Discard all trainings, on disk as well, and the states of unfinished ones."""
        super().forget()
        if (path := self.journal.path) is not None:
            for folder in path.parent.glob(f"{path.stem}-*"):
                shutil.rmtree(folder)

    def evaluate(
        self, points: Sequence[Values], report: EpochReport | None = None, watch: EpochWatch | None = None
    ) -> list[Evaluation]:
        """Train at each point, or find what the training came to."""
        return [self._evaluated(values, report or _unheard, watch or _unheard) for values in points]

    def _evaluated(self, values: Values, report: EpochReport, watch: EpochWatch) -> Evaluation:
        model = with_network_values(self._single, values)
        values = network_values(model)
        key = digest(values)
        if (entry := self.journal.get(key)) is not None:
            for epoch, loss in enumerate(entry["losses"]):
                with suppress(Pruned):
                    report(epoch, loss)
        else:
            folder = (
                None if self.journal.path is None else self.journal.path.with_name(f"{self.journal.path.stem}-{key}")
            )
            entry = {"values": values, **_trained(model, self._data, folder, report, watch)}
            self.journal.put(key, entry)
            drop_programs()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        # The same hyperparameters again cost nothing.
        cpu_s, wall_s = (0.0, 0.0) if key in self._counted else (entry["cpu_s"], entry["wall_s"])
        self._counted.add(key)
        loss = np.inf if entry["state"] == "failed" else min(entry["losses"])
        return Evaluation(values, loss, cpu_s, wall_s, entry["state"] == "pruned", tuple(entry["losses"]))


def _unheard(*_: Any) -> None:
    """Do nothing after an epoch."""


def _trained(
    model: Model, data: TrainingData, folder: Path | None, report: EpochReport, watch: EpochWatch
) -> dict[str, Any]:
    """Train until the end, or until ``report`` ends it; what the journal keeps of it.

    Raises:
        InputError: the training fails for another reason than a loss that is not finite.
    """
    kept = _kept_rows(folder)  # `fit` does not report them again
    losses: list[float] = []

    def record(row: EpochRow) -> None:
        losses.append(row["validation_loss"])
        report(len(losses) - 1, losses[-1])

    def after_epoch(row: EpochRow) -> None:
        watch(row)
        for missed in kept[len(losses) : row["epoch"]]:
            record(missed)
        record(row)

    clock, processor, state = time.perf_counter(), time.process_time(), "complete"
    try:
        try:
            fitted = model.fit(
                list(data.training.values()),
                validation=list(data.validation.values()),
                checkpoint=folder,
                watch=after_epoch,
            )
            rows = fitted.histories[0].rows
        except TrainingFailed:
            rows, state = kept, "failed"
        for missed in rows[len(losses) :]:
            record(missed)
    except Pruned:
        state = "pruned"
    return {
        "state": state,
        "losses": losses,
        "cpu_s": round(time.process_time() - processor, 4),
        "wall_s": round(time.perf_counter() - clock, 4),
    }


def _kept_rows(folder: Path | None) -> tuple[EpochRow, ...]:
    """Epochs in the last checkpoint of a training that was interrupted."""
    paths = [] if folder is None else sorted(folder.glob("[!.]*-state.npz"), key=lambda path: path.stat().st_mtime_ns)
    return History.from_arrays(stored_arrays(paths[-1])).rows if paths else ()
