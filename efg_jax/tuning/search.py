"""One interface to all methods of tuning: what to move, how to judge it, how to search; and the model that comes out."""

import inspect
import json
import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from ase import Atoms

from efg_jax.descriptors.lambda_soap import settled
from efg_jax.errors import InputError
from efg_jax.gp import ScalarGPR
from efg_jax.network import EquivariantNetwork
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.structures.checks import check_frames
from efg_jax.structures.targets import target_of
from efg_jax.tuning.bayes import sample
from efg_jax.tuning.box_behnken import Surface, affordable, shrink_box
from efg_jax.tuning.gradient import descend
from efg_jax.tuning.history import Callback, Recorder, Trial, write_csv
from efg_jax.tuning.hyperparameters import Hyperparameters, write_hyperparameters
from efg_jax.tuning.losses import Loss, parse_loss
from efg_jax.tuning.objective import Objective
from efg_jax.tuning.space import Model, Space, space_of, with_values

if TYPE_CHECKING:
    from efg_jax.tuning.networks import EpochWatch, NetworkTrial, TrialCallback

logger = logging.getLogger(__name__)

Method = Literal["gradient", "box-behnken", "bayes"]
METHODS: tuple[Method, ...] = ("gradient", "box-behnken", "bayes")

_ROWS = 5000  # of the kernel matrices, up to which more environments are taken to report the bias of a subset
_WORTHWHILE = 1.1  # times as many environments
_FACTORS = (3.0, 1.0, 0.3, 0.1)  # of the regularisation, tried there


@dataclass(frozen=True)
class Search:
    """What a search has found, and how.

    Attributes:
        model: unfitted, with the best hyperparameters.
        method: by which they were found.
        trials: the whole history, the start first.
        space: what was moved.
        details: of the method (surfaces of a Box–Behnken search, convergence), seconds of compilation, and, where the loss was taken on a
            subset, its bias: the loss of the start and of the best hyperparameters on a larger set.
    """

    model: Model
    method: Method
    trials: tuple[Trial, ...]
    space: Space
    details: Mapping[str, Any]

    @property
    def best(self) -> "Trial | NetworkTrial":
        """The trial with the lowest loss."""
        return min(self.trials, key=lambda trial: trial.loss)

    @property
    def start(self) -> "Trial | NetworkTrial":
        """The first trial."""
        return self.trials[0]

    @property
    def surfaces(self) -> list[Surface]:
        """Response surfaces of a Box–Behnken search, one a box."""
        return [Surface.from_dict(entry) for entry in self.details.get("surfaces", ())]

    def hyperparameters(self) -> Hyperparameters:
        """The best hyperparameters with a record of the search."""
        return Hyperparameters.of(self.model, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Everything about the search as JSON types."""
        return {
            "method": self.method,
            "start_loss": self.trials[0].to_dict()["loss"],
            "best_loss": self.best.loss,
            "best_trial": self.best.number,
            "evaluations": len(self.trials),
            "cpu_s": round(self.trials[-1].cpu_s, 3),
            "bounds": {name: list(pair) for name, pair in self.space.bounds.items()},
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
        """Write the history as a tidy table, a row an evaluation."""
        write_csv(path, self.trials, self.model.descriptor.species, self.method)

    def plot(self):
        """Loss against evaluations and processor time; how each hyperparameter moved; slices of the last response surface, if there is one."""
        from efg_jax.tuning import figures

        return figures.search_figures(self)


def search(
    model: Model | EquivariantNetwork,
    structures: Atoms | Iterable[Atoms],
    loss: Loss = "observables",
    *,
    method: str | None = None,
    budget: int = 25,
    folds: int | None = 5,
    environments: int | None = 500,
    bounds: Mapping[str, tuple[int | float, int | float]] | None = None,
    parameters: Iterable[str] | None = None,
    weights: Mapping[str, float] | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    fresh: bool = False,
    workers: int | None = None,
    optimiser: str = "lbfgs",
    learning_rate: float = 0.15,
    prune: bool = True,
    callback: "Callback | TrialCallback | None" = None,
    watch: "EpochWatch | None" = None,
) -> Search:
    """Search hyperparameters that minimise a loss of structures which the model has not seen: of a kernel model a cross-validated one, of a
    network the validation loss of its best epoch.

    The same arguments give the same numbers on the same machine. With a ``cache`` every evaluation is on disk when it is done: a
    search that was stopped, at any moment, and is called again takes them from there and goes on where it was, with a network in the
    middle of its training.

    An evaluation of a network is a training. All trials are judged by the same validation set, a part of the structures (`Training.validation`) drawn
    with ``seed``. Those whose best loss is above the median of the trials before at the same epoch are pruned, once four have come to an end and
    a tenth of the epochs is over; the start never is. What networks minimise is said in `Training.loss`.

    Args:
        model: where to start from (fitted or not).
        structures: the training set; the held-out structures of each fold, or the validation set, come from it.
        loss: what to minimise (`tuning.losses`): for an EFG "observables" (the paper's: C̃_Q, η̃, q̃), "tilt", "mae-vij", "rmse" or "lml";
            for a `ScalarGPR` "observables" or one of its quantities; sums such as "observables+0.1*lml".
        method: "gradient" of all hyperparameters at once, "box-behnken" (designs and response surfaces), "bayes" (optuna). None: "gradient", and
            "bayes" of a network, which knows no other.
        budget: number of evaluations; one with gradient counts one, and so does one that is pruned.
        folds: number of folds, by structure; None: each structure is held out by itself.
        environments: about how many environments of each species the loss is taken on, drawn as whole structures; None: all.
        bounds: interval by name; those of the others are `tuning.default_bounds`, or `tuning.network_bounds`.
        parameters: names of what to tune; None: those of ``bounds``, or else all (for Box–Behnken: as many of the most
            important ones as the budget allows two rounds of; of a network: learning_rate, channels, layers, lmax, cutoff, batch_edges and
            weight_decay, besides which there are bessels, radial_width, product_order and products).
        weights: of the species in the loss, which is their weighted mean; None: equal ones, so that an abundant species does not drown the others.
        seed: of folds, subset and sampler.
        cache: folder of evaluations, which several searches may share.
        fresh: forget what the cache holds for these data and settings.
        workers: evaluations at a time (methods without gradient); None: one a core.
        optimiser, learning_rate: of the gradient (`gradient.descend`).
        prune: of networks: end trials that promise nothing.
        callback: called after each evaluation with its `Trial`, or `NetworkTrial`.
        watch: of networks: called after each epoch with the number of the trial and the row of its `History`.

    ``loss``, ``folds``, ``environments``, ``weights``, ``workers``, ``optimiser`` and ``learning_rate`` are for kernel models.

    Returns:
        A `Search`; of a network a `NetworkSearch`.

    Raises:
        InputError: an unknown loss, method or hyperparameter, an empty box or one that excludes the start, more folds than structures, bad
            structures, no finite loss at the start, or options of kernel models for a network.
    """
    if isinstance(model, EquivariantNetwork):
        kernels = {"loss": loss, "folds": folds, "environments": environments, "weights": weights, "workers": workers}
        _check_for_networks(method, kernels | {"optimiser": optimiser, "learning_rate": learning_rate}, budget)
        from efg_jax.tuning.networks import search_networks

        return search_networks(
            model,
            structures,
            budget=budget,
            bounds=bounds,
            parameters=parameters,
            seed=seed,
            cache=cache,
            fresh=fresh,
            prune=prune,
            callback=callback,
            watch=watch,
        )
    method = method or "gradient"
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}; choose among {', '.join(METHODS)}")
    if optimiser not in ("lbfgs", "adam"):
        raise InputError(f"unknown optimiser {optimiser!r}; choose lbfgs or adam")
    for name, value, least in (("budget", budget, 1), ("environments", environments, 1), ("folds", folds, 2)):
        if value is not None and value < least:
            raise InputError(f"{name} = {value} is below {least}")
    objective, space = _prepare(
        model, structures, loss, method, folds, environments, bounds, parameters, weights, seed, cache, workers
    )
    if fresh:
        objective.journal.clear()
    recorder = Recorder(budget, callback)
    if method == "gradient":
        details = descend(objective, space, recorder, optimiser=optimiser, learning_rate=learning_rate)
    elif method == "box-behnken":
        if parameters is None and not bounds:
            sizes = {name: int(np.size(objective.start[name])) for name in space.bounds}
            space = affordable(space, budget, sizes)
        details = shrink_box(objective, space, recorder)
    else:
        details = sample(objective, Space(space.bounds), recorder, seed)
    if not np.isfinite(recorder.best.loss):
        raise InputError(
            "the cross-validated loss is finite nowhere; raise the regularisation that the search starts from"
        )
    details |= {"compile_s": round(objective.compile_s, 3), "environments": objective.counts}
    details |= _bias(objective, recorder)
    tuned = replace(_tuned(objective, recorder.best), array=model.array)
    return Search(tuned, method, tuple(recorder.trials), space, details)


def tune(
    model: Model | EquivariantNetwork, structures: Atoms | Iterable[Atoms], loss: Loss = "observables", **options
) -> Model | EquivariantNetwork:
    """Search hyperparameters, then fit on all structures: `search` with the same arguments, and its model fitted.

    The regularisation that is found on a subset belongs to it, so that a model with ``regularisation="auto"`` finds its own again in
    the final fit. A network is trained on all structures but its own validation set.
    """
    structures = [structures] if isinstance(structures, Atoms) else list(structures)
    return search(model, structures, loss, **options).model.fit(structures)


def _check_for_networks(method: str | None, of_kernels: Mapping[str, Any], budget: int) -> None:
    """Refuse what would be without effect."""
    if method not in (None, "bayes"):
        raise InputError(f"method = {method!r}: networks are searched by 'bayes'; leave method out")
    for name, value in of_kernels.items():
        if value != inspect.signature(search).parameters[name].default:
            raise InputError(
                f"{name} = {value!r} is for kernel models; leave it out (what a network starts from and minimises is in its Training)"
            )
    if budget < 1:
        raise InputError(f"budget = {budget} is below 1")


def _prepare(
    model, structures, loss, method, folds, environments, bounds, parameters, weights, seed, cache, workers
) -> tuple[Objective, Space]:
    """Everything that can be refused is refused here, before the work begins."""
    scalar = isinstance(model, ScalarGPR)
    per = "atom" if scalar else model.per
    checked = check_frames(structures, model.target, array=model.array, per=per)
    target = target_of(model.target, checked, per)
    if scalar and not target.is_efg:
        raise InputError(f"scalar learning is for electric field gradients; '{model.target}' is none")
    terms = parse_loss(loss, scalar, target.is_efg)
    descriptor = settled(model.descriptor)
    if descriptor.species is None:
        descriptor = descriptor.with_species(sorted({symbol for atoms in checked for symbol in atoms.symbols}))
    start = replace(model, descriptor=descriptor, zeta=settled(model.zeta), array=None, fitted=None)
    space = space_of(start, bounds, None if parameters is None else tuple(parameters))
    if space.contraction and parameters is not None and method != "gradient":
        raise InputError("a contraction can only be tuned by gradient; leave it out, or use method='gradient'")
    if folds is not None and len(checked) < folds:
        raise InputError(
            f"{len(checked)} structures cannot fill {folds} folds; give more structures, or folds={max(len(checked), 2)}"
        )
    objective = Objective(
        start,
        checked,
        target,
        terms,
        folds=folds,
        environments=environments,
        seed=seed,
        weights=weights,
        cache=cache,
        workers=workers or os.cpu_count() or 1,
    )
    return objective, space


def _tuned(objective: Objective, best: Trial) -> Model:
    """The model with the best values; what was off (no species weights) stays off if it was not moved."""
    model = objective.model
    values = dict(best.values)
    if model.descriptor.species_weights is None and (values["species_weights"] == 1.0).all():
        del values["species_weights"]
    regularisation = float(values["regularisation"])
    if model.regularisation == "auto" and not objective.is_whole:
        regularisation = "auto"
    return replace(
        model,
        descriptor=settled(with_values(model.descriptor, values)),
        zeta=np.asarray(values["zeta"], dtype=np.float64),
        regularisation=regularisation,
    )


def _bias(objective: Objective, recorder: Recorder) -> dict[str, Any]:
    """Loss of start and best on more environments than the search used: what the subset's estimate is off by.

    The best regularisation depends on the number of environments; where the model leaves it to be found ("auto"), so it is here.
    """
    if objective.is_whole:
        return {}
    rows = max(part.targets.shape[0] / problem.count for problem in objective.problems for part in problem.parts)
    most = int(_ROWS / rows / len(objective.problems))
    wider = objective.with_environments(most)
    if sum(wider.counts) < _WORTHWHILE * sum(objective.counts):
        return {}
    factors = _FACTORS if objective.model.regularisation == "auto" else (1.0,)

    def lowest(values) -> float:
        points = [{**values, "regularisation": factor * values["regularisation"]} for factor in factors]
        return min(evaluation.loss for evaluation in wider.evaluate(points))

    start, best = lowest(recorder.trials[0].values), lowest(recorder.best.values)
    logger.info(
        "on %d environments the loss is %.5g at the start and %.5g at the best point (on the %d that were used: %.5g and %.5g)",
        sum(wider.counts), start, best, sum(objective.counts), recorder.trials[0].loss, recorder.best.loss,
    )  # fmt: skip
    return {
        "more_environments": {
            "environments": wider.counts,
            "start_loss": start,
            "best_loss": best,
            "bias_start": recorder.trials[0].loss - start,
            "bias_best": recorder.best.loss - best,
        }
    }
