"""One call for all methods of tuning and all kinds of models: what to move, how to search; and what came out."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from ase import Atoms
from rich.console import Group
from rich.table import Table
from rich.text import Text

from efg_jax.errors import InputError
from efg_jax.models import FittedModel, Model
from efg_jax.models.tuning_problem import Interval, TuningProblem
from efg_jax.storage.atomic_write import atomic_write, write_rows
from efg_jax.storage.plain_values import to_plain
from efg_jax.text import render
from efg_jax.tuning.bayes import Bayes
from efg_jax.tuning.box_behnken import BoxBehnken, Surface
from efg_jax.tuning.gradient import Gradient
from efg_jax.tuning.hyperparameters import Hyperparameters, write_hyperparameters
from efg_jax.tuning.method import Method
from efg_jax.tuning.space import Space, space_of
from efg_jax.tuning.trials import Callback, Recorder, Trial

METHODS: dict[str, type[Method]] = {method.name: method for method in (Gradient, BoxBehnken, Bayes)}
"""The methods of searching, by name."""


@dataclass(frozen=True, repr=False)
class Search:
    """What a search has found, and how.

    Attributes:
        model: with the best hyperparameters, not fitted.
        method: name of the method by which they were found.
        trials: the whole history, the start first.
        space: what was moved.
        details: of method and problem: surfaces of a Box–Behnken search, convergence, seconds of compilation; numbers
            of structures, of epochs, and of trials pruned and failed; and, where the loss was taken on a subset, its
            bias: the loss of the start and of the best hyperparameters on a larger set.
        loss_name: what the loss is.
    """

    model: Model
    method: str
    trials: tuple[Trial, ...]
    space: Space
    details: Mapping[str, Any]
    loss_name: str = "loss"

    @property
    def best(self) -> Trial:
        """The trial with the lowest loss."""
        return min(self.trials, key=lambda trial: trial.loss)

    @property
    def start(self) -> Trial:
        """The first trial."""
        return self.trials[0]

    @property
    def surfaces(self) -> list[Surface]:
        """Response surfaces of a Box–Behnken search, one a box."""
        return [Surface.from_dict(entry) for entry in self.details.get("surfaces", ())]

    def fit(self, structures: Atoms | Iterable[Atoms], **options: Any) -> FittedModel:
        """Fit the model with the best hyperparameters: `model.fit` with the same arguments."""
        return self.model.fit(structures, **options)

    def hyperparameters(self) -> Hyperparameters:
        """The best hyperparameters with a record of the search."""
        return Hyperparameters.of(self.model, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Everything about the search as JSON types."""
        return {
            "method": self.method,
            "start_loss": self.start.to_dict()["loss"],
            "best_loss": self.best.loss,
            "best_trial": self.best.number,
            "evaluations": len(self.trials),
            "cpu_s": round(self.trials[-1].cpu_s, 3),
            "bounds": to_plain(self.space.bounds),
            "details": dict(self.details),
            "history": [trial.to_dict() for trial in self.trials],
        }

    def save(self, path: str | Path) -> None:
        """Write hyperparameters and history as JSON (`tuning.read_hyperparameters` reads it)."""
        write_hyperparameters(path, self.hyperparameters())

    def to_json(self, path: str | Path) -> None:
        """Write the history as JSON."""
        with atomic_write(path) as temporary:
            Path(temporary).write_text(json.dumps(self.to_dict(), indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def to_csv(self, path: str | Path) -> None:
        """Write the history as a tidy table, a row a trial; matrices and losses by epoch are left to the JSON."""
        rows = []
        for trial in self.trials:
            plain = {name: value for name, value in trial.to_dict().items() if name not in ("values", "losses")}
            rows.append({"method": self.method, **plain, **self.space.scalars(trial.values)})
        write_rows(path, list(rows[0]), rows)

    def plot(self):
        """Loss against trials and processor time; hyperparameters; slices of the last response surface, if any."""
        from efg_jax.tuning import tuning_figures

        return tuning_figures.search_figures(self)

    def table(self) -> Group:
        """What was gained, and where the hyperparameters went."""
        start, best = self.space.scalars(self.start.values), self.space.scalars(self.best.values)
        moved = Table(box=None, pad_edge=False)
        for heading, side in (("hyperparameter", "left"), ("start", "right"), ("best", "right"), ("bounds", "left")):
            moved.add_column(heading, justify=side)
        for name in start:
            if bounds := self.space.bounds.get(name.split("[")[0]):
                moved.add_row(name, f"{start[name]:.4g}", f"{best[name]:.4g}", f"{bounds[0]:.4g} to {bounds[1]:.4g}")
        return Group(*map(Text, self._gains()), moved)

    def _gains(self) -> list[str]:
        start, best = self.start.loss, self.best.loss
        gain = f" ({1.0 - best / start:.1%} lower)" if 0 < start < np.inf else ""
        lines = [
            f"{self.loss_name} {start:.5f} → {best:.5f}{gain} in {len(self.trials)} evaluations, "
            f"{self.trials[-1].cpu_s:.0f} s of processor time"
        ]
        if "pruned" in self.details:
            lines.append("{pruned} of them pruned, {failed} failed, {epochs} epochs in all".format(**self.details))
        if more := self.details.get("more_environments"):
            lines.append(
                f"on {sum(more['environments'])} instead of {sum(self.details['environments'])} environments "
                f"{more['start_loss']:.5f} → {more['best_loss']:.5f}"
            )
        return lines

    def __str__(self) -> str:
        return render(self.table())

    def __repr__(self) -> str:
        return f"<Search by {self.method}: {self._gains()[0]}>"


def tune(
    model: Model,
    structures: Atoms | Iterable[Atoms],
    loss: str | Mapping[str, float] | None = None,
    *,
    method: str | Method | None = None,
    budget: int = 25,
    bounds: Mapping[str, Interval] | None = None,
    parameters: Iterable[str] | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    resume: bool = True,
    callback: Callback | None = None,
    watch: Callable[[int, Mapping[str, Any]], None] | None = None,
    **options: Any,
) -> Search:
    """Search hyperparameters that minimise a loss of structures which the model has not seen.

    For a kernel model that is a cross-validated loss; for a network the validation loss of the best epoch, and every
    evaluation is a full training run. Fit what was found with ``tune(...).fit(structures)``.

    The same arguments give the same numbers on the same machine. With a ``cache`` every evaluation is on disk when it
    is done, and the same call resumes an interrupted search, also in the middle of a training.

    Args:
        model: where to start from, not fitted.
        structures: the training set; what is held out comes from it.
        loss: of a kernel model; see `gp.kernel_tuning.CrossValidation`, which also has its other options.
        method: "gradient" of all hyperparameters at once (`Gradient`), "box-behnken" designs and response surfaces
            (`BoxBehnken`), "bayes" by optuna (`Bayes`); or one of these objects. None: what is usual for the model:
            gradient, or bayes for a network, which has no other.
        budget: number of evaluations; one with gradient counts one, and so does one that is pruned.
        bounds: interval by name; those of the others are the usual ones.
        parameters: names of what to tune; None: those of ``bounds``, or else the usual ones (for Box–Behnken: the most
            important ones, as many as two rounds within the budget can take).
        seed: of folds, subset, validation set and sampler.
        cache: folder of evaluations, which several searches may share.
        resume: False: discard first what the cache holds for these data and settings.
        callback: called after each evaluation with its `Trial`.
        watch: of networks: called after each epoch with the number of the trial and the row of its `History`.
        options: of the kind of model (for kernel models ``folds``, ``environments``, ``weights``, ``workers``), or of
            the method (``optimiser``, ``learning_rate``; ``prune``).

    Raises:
        InputError: a fitted model; an unknown loss, method, option or hyperparameter; an empty box or one that excludes
            the start; more folds than structures; bad structures; or no finite loss.
    """
    if isinstance(method, str) and method not in METHODS:
        raise InputError(f"unknown method {method!r}; choose among {', '.join(METHODS)}")
    if budget < 1:
        raise InputError(f"budget = {budget} is below 1")
    if loss is not None:
        options = {"loss": loss, **options}
    of_methods = {name for kind in METHODS.values() for name in _options_of(kind)} & options.keys()
    of_method = {name: options.pop(name) for name in of_methods}
    problem = model.tuning_problem(structures, seed, **options)
    chosen = _method(method, problem.methods[0], of_method)
    if chosen.name not in problem.methods:
        possible = " or ".join(map(repr, problem.methods))
        raise InputError(f"method = {chosen.name!r}: {problem.what} are searched by {possible}; choose that")
    space = _space(problem, chosen, budget, bounds, None if parameters is None else tuple(parameters))
    problem.keep(cache, {"bounds": to_plain(space.bounds), "seed": seed, **to_plain(chosen)}, resume)
    recorder = Recorder(budget, callback, watch)
    details = chosen.run(problem, space, recorder, seed)
    best = recorder.best
    if not np.isfinite(best.loss):
        raise InputError(f"the {problem.loss_name} is finite in no trial; {problem.remedy}")
    details |= problem.details(recorder.trials[0].values, best.values)
    found = problem.model_at(best.values)
    return Search(found, chosen.name, tuple(recorder.trials), space, details, problem.loss_name)


def _method(method: str | Method | None, usual: str, options: Mapping[str, Any]) -> Method:
    """The method with its options.

    Args:
        method: as for `tune`.
        usual: name of the one for None.
        options: of methods.
    """
    chosen = method if isinstance(method, Method) else METHODS[method or usual]()
    for name, value in options.items():
        if name not in _options_of(type(chosen)):
            raise InputError(f"{name} = {value!r} is no option of method {chosen.name!r}; leave it out")
    return replace(chosen, **options)


def _options_of(kind: type[Method]) -> set[str]:
    return {option.name for option in fields(kind)}


def _space(
    problem: TuningProblem,
    method: Method,
    budget: int,
    bounds: Mapping[str, Interval] | None,
    parameters: tuple[str, ...] | None,
) -> Space:
    """What moves, and what the method can move of it."""
    space = space_of(problem, bounds, parameters)
    if parameters is None and not bounds:
        space = method.affordable(problem, space, budget)
    if method.moves_matrices or space.bounded.parameters == space.parameters:
        return space
    if parameters is not None:
        matrix = next(name for name in space.parameters if name not in space.bounds)
        raise InputError(f"a {matrix} can only be tuned by gradient; leave it out, or use method='gradient'")
    return space.bounded
