"""A learning curve: one fit after another, each kept on disk as soon as it is finished."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ase import Atoms

from efg_jax.compilation import drop_programs
from efg_jax.errors import InputError
from efg_jax.learning_curves.curve_plan import Learner, Plan, Subset, check_subsets, checked_sizes, named, plan, subsets
from efg_jax.learning_curves.curve_result import LearningCurve
from efg_jax.learning_curves.curve_statistics import Row, flatten
from efg_jax.models import Model
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.storage.journal import Journal
from efg_jax.version import __version__

logger = logging.getLogger(__name__)

STATES = "states"
"""Folder in the cache for the states of unfinished fits."""


class Fit(NamedTuple):
    """What the callback gets when a fit is finished (and on disk, where a cache is kept).

    Attributes:
        model: name of the model.
        repeat: from 1.
        structures: number of training structures.
        number: of the fit, from 1.
        total: number of fits of the whole curve.
        reused: it was found in the cache.
        rows: its values.
    """

    model: str
    repeat: int
    structures: int
    number: int
    total: int
    reused: bool
    rows: tuple[Row, ...]


def learning_curve(
    models: Model | Mapping[str, Model],
    structures: Atoms | Iterable[Atoms],
    sizes: Iterable[int] | None = None,
    repeats: int = 4,
    test: float = 0.2,
    seed: int = 0,
    cache: str | os.PathLike[str] | None = None,
    callback: Callable[[Fit], Any] | None = None,
    resume: bool = True,
    progress: Callable[[str], Any] | None = None,
) -> LearningCurve:
    """Errors on held-out structures against the number of training structures.

    See Harper et al. 2025, Fig. 5, and Ben Mahmoud et al. 2024, Fig. 4. The test set is held out once, by structure.
    Each repeat is a permutation of the remaining structures, of which the first 10, 20, ... are trained on, so that
    the training sets of one repeat contain each other. μ and σ of C̃_Q and η̃ are those of the whole training part
    for all sizes. Training sets of different repeats overlap more, the larger they are: the spread over repeats says
    little near the size of the whole training part, and the whole is fitted once.

    All models are trained on the same structures and tested on the same structures. Networks take their validation set
    (`Training.validation`) from their training structures.

    Args:
        models: a model, or several by name, ``{"tensor": TensorGPR(...), "network": EquivariantNetwork(...)}``. Their
            hyperparameters are kept; the regularisation "auto" is found for each fit. Every network starts from the
            same random weights in each fit, in units that are measured on its training set.
        structures: with labels of the models' target.
        sizes: numbers of training structures, in any order; None: `default_sizes`.
        repeats: number of permutations.
        test: part of the structures that is held out.
        seed: of the split and of the permutations; the same seed gives the same curve on the same machine.
        cache: folder for finished fits and for the state of an unfinished one. An interrupted curve resumes from it,
            and a longer curve (more sizes, repeats or models) uses the fits of a shorter one. Fits of other data,
            hyperparameters, test sets or seeds are told apart.
        callback: called with a `Fit` after each; what it raises stops the curve.
        resume: False: first discard what the cache has of these models and data.
        progress: called with a line about the fit under way, after each of its steps.

    Returns:
        Every metric of the report by model, species, repeat and size.

    Raises:
        InputError: sizes below 2 or above the training set, repeats below 1, bad structures, a training set that a
            model cannot be fitted to, a model of several targets, or a fit that fails.
    """
    models = named(models)
    if repeats < 1:
        raise InputError(f"repeats={repeats} leaves nothing to fit; give 1 or more (4 and more for error bars)")
    work = plan(models, structures, test, seed)
    sizes = checked_sizes(sizes, len(work.training))
    chosen = subsets(len(work.training), sizes, repeats, seed)
    check_subsets(work.learners, chosen)
    settings = _settings(work, sizes, repeats, test, seed)
    journals = {name: Journal(cache, _identity(name, work, settings)) for name in work.learners}
    if not resume:
        for journal in journals.values():
            journal.clear()
    fits = [(subset, name) for subset in chosen for name in work.learners]
    if cache is not None and (there := sum(subset.key in journals[name] for subset, name in fits)):
        logger.info("%d of %d fits are taken from %s", there, len(fits), cache)
    options = {"checkpoint": None if cache is None else Path(cache) / STATES, "resume": resume}
    rows: list[Row] = []
    for number, (subset, name) in enumerate(fits, start=1):
        journal, learner = journals[name], work.learners[name]
        reused = subset.key in journal
        if not reused:
            journal.put(subset.key, _fit(name, learner, work, subset, options, progress))
            drop_programs()
        new = _rows(name, learner, work, subset, journal.get(subset.key))
        rows += new
        if callback is not None:
            callback(Fit(name, subset.repeat, len(subset.indices), number, len(fits), reused, tuple(new)))
    return LearningCurve(tuple(rows), settings)


def _fit(
    name: str,
    learner: Learner,
    work: Plan,
    subset: Subset,
    options: Mapping[str, Any],
    progress: Callable[[str], Any] | None,
) -> dict[str, Any]:
    """Fit to a subset and evaluate on the test set; the report as it stands in the journal."""
    training = [work.training[i] for i in subset.indices]

    def step(done: int, steps: int, what: str) -> None:
        if progress is not None:
            progress(f"{name}, {subset.key}: step {done}/{steps}, {what}")

    try:
        report = learner.model.fit(training, progress=step, **options).evaluate(work.test)
    except InputError as error:
        raise InputError(
            f"{error} (model '{name}' trained on {len(training)} structures, repeat {subset.repeat})"
        ) from error
    return {"report": report.to_dict()}


def _rows(name: str, learner: Learner, work: Plan, subset: Subset, entry: Mapping[str, Any]) -> list[Row]:
    rows = []
    for species, of_species in entry["report"].items():
        environments = int(learner.counts[species][subset.indices].sum())
        rows += [
            Row(name, species, metric, subset.repeat, len(subset.indices), environments, value)
            for metric, value in flatten(of_species, work.scales.get(species)).items()
        ]
    return rows


def _identity(name: str, work: Plan, settings: Mapping[str, Any]) -> dict[str, Any]:
    """What the fits of a model depend on besides size and repeat."""
    shared = {key: settings[key] for key in ("version", "data", "test", "seed")}
    return {"task": "learning curve", **shared, "target": work.target.to_dict(), "model": settings["models"][name]}


def _settings(work: Plan, sizes: tuple[int, ...], repeats: int, test: float, seed: int) -> dict[str, Any]:
    return {
        "target": work.target.name,
        "unit": work.target.unit,
        "per": work.target.per,
        "models": {name: learner.description for name, learner in work.learners.items()},
        "sizes": list(sizes),
        "repeats": repeats,
        "test": test,
        "seed": seed,
        "training_structures": len(work.training),
        "test_structures": len(work.test),
        "test_values": work.test_counts,
        "scales": {symbol: {"mu": scale.mean, "sigma": scale.std} for symbol, scale in work.scales.items()},
        "data": fingerprint(work.structures, [work.target.name]),
        "version": __version__,
    }
