"""Search of a network's hyperparameters by Bayesian optimisation, where trials that promise nothing are pruned (Ben Mahmoud et al. 2024)."""

import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ase import Atoms

from efg_jax.compilation import drop_programs
from efg_jax.errors import InputError
from efg_jax.network import EquivariantNetwork, History
from efg_jax.network.fitted import outputs
from efg_jax.network.trainer import TrainingFailed
from efg_jax.network.training_history import Row
from efg_jax.network.training_sets import TrainingData
from efg_jax.storage.atomic_write import write_rows
from efg_jax.storage.checkpoint import stored_arrays
from efg_jax.storage.fingerprints import digest, fingerprint
from efg_jax.storage.journal import Journal
from efg_jax.tuning.bayes import study_of
from efg_jax.tuning.hyperparameters import NetworkHyperparameters
from efg_jax.tuning.network_space import (
    Interval,
    NetworkSpace,
    NetworkValues,
    network_space,
    network_values,
    with_network_values,
)
from efg_jax.tuning.search import Search
from efg_jax.version import __version__

if TYPE_CHECKING:
    import optuna

State = Literal["complete", "pruned", "failed"]
EpochWatch = Callable[[int, Row], None]
"""Called after each epoch with the number of the trial and the epoch's row of the `History`."""

WARMUP = 0.1  # part of the epochs that every trial may have
_WORST = 10.0  # what a training that failed counts, in units of the largest loss so far


@dataclass(frozen=True)
class NetworkTrial:
    """One training within a search.

    Attributes:
        number: from 0; the start.
        stage: "start" or "trial 7".
        values: all hyperparameters by name.
        state: "complete", "pruned", or "failed": its loss became infinite.
        loss: lowest validation loss of its epochs; infinite of one that failed.
        best: lowest loss up to here.
        losses: validation loss of each epoch.
        cpu_s: processor seconds of all trainings up to here; of one that was stopped, those since it went on.
        wall_s: seconds on the clock, likewise.
    """

    number: int
    stage: str
    values: NetworkValues
    state: State
    loss: float
    best: float
    losses: tuple[float, ...]
    cpu_s: float
    wall_s: float

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; an infinite loss is None."""
        return {
            "number": self.number,
            "stage": self.stage,
            "state": self.state,
            "loss": self.loss if np.isfinite(self.loss) else None,
            "best": self.best if np.isfinite(self.best) else None,
            "epochs": len(self.losses),
            "cpu_s": round(self.cpu_s, 4),
            "wall_s": round(self.wall_s, 4),
            "values": dict(self.values),
            "losses": list(self.losses),
        }


TrialCallback = Callable[[NetworkTrial], None]


@dataclass(frozen=True)
class NetworkSearch(Search):
    """What a search over networks has found, and how.

    Attributes:
        model: unfitted, with the best hyperparameters.
        method: "bayes".
        trials: the whole history, the start first.
        space: what was moved.
        details: sampler and pruner, numbers of structures, of trials pruned and failed, and of epochs in all.
    """

    model: EquivariantNetwork
    trials: tuple[NetworkTrial, ...]
    space: NetworkSpace

    def hyperparameters(self) -> NetworkHyperparameters:
        """The best hyperparameters with a record of the search."""
        return NetworkHyperparameters.of(self.model, self.to_dict())

    def to_csv(self, path: str | Path) -> None:
        """Write the history as a tidy table, a row a trial; the losses by epoch are left to the JSON."""
        rows = []
        for trial in self.trials:
            entry = trial.to_dict()
            plain = {name: value for name, value in entry.items() if name not in ("values", "losses")}
            rows.append({"method": self.method, **plain, **entry["values"]})
        write_rows(path, list(rows[0]), rows)

    def plot(self):
        """Loss against trials and processor time, and against each hyperparameter; pruned trials are hollow."""
        from efg_jax.tuning import network_figures

        return network_figures.search_figures(self)


def search_networks(
    model: EquivariantNetwork,
    structures: Atoms | Iterable[Atoms],
    *,
    budget: int,
    bounds: Mapping[str, Interval] | None = None,
    parameters: Iterable[str] | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    fresh: bool = False,
    prune: bool = True,
    callback: TrialCallback | None = None,
    watch: EpochWatch | None = None,
) -> NetworkSearch:
    """Train networks one after another, each with the hyperparameters that the sampler takes for the most promising.

    All are judged by the same validation set, a part of the structures (`Training.validation`) drawn with ``seed``: by the validation loss of
    their best epoch, in units of the labels in the training set. Trials are single networks; the model that comes out has as many members as
    the one that went in.

    Args:
        model, structures, budget, bounds, parameters, seed, cache, fresh, prune, callback, watch: see `tuning.search`.

    Raises:
        InputError: bad structures, an empty validation set, hyperparameters that cannot be, or a loss that is finite nowhere.
    """
    data = TrainingData.of(model.targets, model.array, structures, None, model.training.validation, seed, model.species)
    if model.training.steps:
        raise InputError(
            f"steps = {model.training.steps}: a search compares trainings by epoch; leave steps out, and say how many epochs"
        )
    start = replace(model, members=1, array=None, fitted=None)
    space = network_space(start, outputs(data.targets), bounds, None if parameters is None else tuple(parameters))
    data.settled(model.architecture)  # refuses elements that are not known
    trainings = Trainings(start, data, space, seed, prune, cache, watch)
    if fresh:
        trainings.forget()
    trials = _sampled(trainings, space, budget, seed, callback)
    best = min(trials, key=lambda trial: trial.loss)
    if not np.isfinite(best.loss):
        raise InputError(
            "the validation loss is finite in no trial; lower the learning rate that the search starts from"
        )
    details = {
        "sampler": "TPE",
        "pruner": "median" if prune else None,
        "training_structures": len(data.training),
        "validation_structures": len(data.validation),
        "pruned": sum(trial.state == "pruned" for trial in trials),
        "failed": sum(trial.state == "failed" for trial in trials),
        "epochs": sum(len(trial.losses) for trial in trials),
    }
    found = with_network_values(model, best.values)
    return NetworkSearch(found, "bayes", tuple(trials), space, details)


def _sampled(
    trainings: "Trainings", space: NetworkSpace, budget: int, seed: int, callback: TrialCallback | None
) -> list[NetworkTrial]:
    """Ask, train, tell, until the budget is spent; the start comes first, and to the last bit."""
    start, trials = network_values(trainings.start), []
    with study_of(seed, warmup=round(WARMUP * trainings.start.training.epochs)) as study:
        from optuna.trial import TrialState

        study.enqueue_trial(space.parameters(start))
        while len(trials) < budget:
            asked = study.ask()
            values = space.suggested(asked, start)
            trial = trainings.run(asked, values if trials else start, trials[-1] if trials else None)
            trials.append(trial)
            if trial.state == "pruned":
                study.tell(asked, state=TrialState.PRUNED)
            elif trial.state == "failed":
                finite = [other.loss for other in trials if np.isfinite(other.loss)]
                study.tell(asked, _WORST * max(finite, default=1.0))
            else:
                study.tell(asked, trial.loss)
            if callback is not None:
                callback(trial)
    return trials


class _Pruned(Exception):
    """Ends a training that promises nothing."""


class Trainings:
    """Trainings with various hyperparameters on the same data, each of which is done once: what is finished is on disk, and one that was stopped
    goes on from its checkpoint.

    Args:
        start: network that the search starts from.
        data: training and validation set.
        space: what moves.
        seed: of the search.
        prune: whether trainings may be pruned.
        cache: folder; None: nothing is kept.
        watch: called after each epoch.
    """

    def __init__(
        self,
        start: EquivariantNetwork,
        data: TrainingData,
        space: NetworkSpace,
        seed: int,
        prune: bool,
        cache: str | Path | None,
        watch: EpochWatch | None,
    ):
        self.start = start
        self._training, self._validation = list(data.training.values()), list(data.validation.values())
        self._prune, self._watch = prune, watch
        self._counted: set[str] = set()
        names = tuple(data.targets)
        # What is pruned depends on all trials before, and these on the space.
        self._journal = Journal(
            cache,
            {
                "version": __version__,
                "training": fingerprint(self._training, names),
                "validation": fingerprint(self._validation, names),
                "targets": list(names),
                "species": None if start.species is None else list(start.species),
                "architecture": start.architecture.to_dict(),
                "options": start.training.to_dict(),
                "bounds": {name: list(pair) for name, pair in space.bounds.items()},
                "seed": seed,
                "prune": prune,
            },
        )
        self._journal.warn_of_others()

    def forget(self) -> None:
        """Everything about these data and settings, on disk as well."""
        self._journal.clear()
        if (path := self._journal.path) is not None:
            for folder in path.parent.glob(f"{path.stem}-*"):
                shutil.rmtree(folder)

    def run(self, asked: "optuna.trial.Trial", values: NetworkValues, last: NetworkTrial | None) -> NetworkTrial:
        """One trial.

        Args:
            asked: who is told the loss of each epoch.
            values: hyperparameters.
            last: the trial before; None: this is the start, which is never pruned.

        Raises:
            InputError: the training fails by something else than an infinite loss.
        """
        key = digest(values)
        if (entry := self._journal.get(key)) is not None:
            for epoch, loss in enumerate(entry["losses"]):
                asked.report(loss, epoch)
        else:
            folder = self._folder(key)
            entry = self._trained(asked, with_network_values(self.start, values), folder, last is None)
            self._journal.put(key, entry)
            drop_programs()
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
        loss = np.inf if entry["state"] == "failed" else min(entry["losses"])
        # The same hyperparameters again cost nothing.
        cpu_s, wall_s = (0.0, 0.0) if key in self._counted else (entry["cpu_s"], entry["wall_s"])
        self._counted.add(key)
        return NetworkTrial(
            number=asked.number,
            stage="start" if last is None else f"trial {asked.number}",
            values=values,
            state=entry["state"],
            loss=loss,
            best=loss if last is None else min(loss, last.best),
            losses=tuple(entry["losses"]),
            cpu_s=cpu_s + (0.0 if last is None else last.cpu_s),
            wall_s=wall_s + (0.0 if last is None else last.wall_s),
        )

    def _trained(
        self, asked: "optuna.trial.Trial", model: EquivariantNetwork, folder: Path | None, is_start: bool
    ) -> dict[str, Any]:
        """Train until the end, or until the pruner sees no promise; what the journal keeps of it."""
        kept = _kept_rows(folder)  # `fit` does not tell them again
        losses: list[float] = []

        def report(row: Row) -> None:
            losses.append(row["validation_loss"])
            asked.report(losses[-1], len(losses) - 1)
            if self._prune and not is_start and asked.should_prune():
                raise _Pruned

        def told(row: Row) -> None:
            if self._watch is not None:
                self._watch(asked.number, row)
            for missed in kept[len(losses) : row["epoch"]]:
                report(missed)
            report(row)

        clock, processor = time.perf_counter(), time.process_time()
        state = "complete"
        try:
            try:
                fitted = model.fit(self._training, validation=self._validation, checkpoint=folder, watch=told)
                rows = fitted.fitted.histories[0].rows
            except TrainingFailed:
                rows, state = kept, "failed"
            for missed in rows[len(losses) :]:
                report(missed)
        except _Pruned:
            state = "pruned"
        return {
            "values": network_values(model),
            "state": state,
            "losses": losses,
            "cpu_s": round(time.process_time() - processor, 4),
            "wall_s": round(time.perf_counter() - clock, 4),
        }

    def _folder(self, key: str) -> Path | None:
        path = self._journal.path
        return None if path is None else path.with_name(f"{path.stem}-{key}")


def _kept_rows(folder: Path | None) -> tuple[Row, ...]:
    """Epochs in the last checkpoint of a training that was stopped."""
    paths = [] if folder is None else sorted(folder.glob("[!.]*-state.npz"), key=lambda path: path.stat().st_mtime_ns)
    return History.from_arrays(stored_arrays(paths[-1])).rows if paths else ()
