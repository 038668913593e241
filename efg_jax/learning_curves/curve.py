"""The learning curve itself: one fit after another, each kept as soon as it is there."""

import logging
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ase import Atoms

from efg_jax.compilation import drop_programs
from efg_jax.errors import InputError
from efg_jax.learning_curves.curve_result import LearningCurve
from efg_jax.learning_curves.plan import (
    Learner,
    Model,
    Plan,
    Subset,
    check_subsets,
    checked_sizes,
    default_sizes,
    describe,
    named,
    plan,
    subsets,
)
from efg_jax.learning_curves.points import Row, flatten
from efg_jax.network import EquivariantNetwork
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.storage.journal import Journal
from efg_jax.version import __version__

__all__ = ["Fit", "default_sizes", "learning_curve"]

logger = logging.getLogger(__name__)

STATES = "states"
"""Folder in the cache of what a network in training has reached."""


class Fit(NamedTuple):
    """What the callback is told when a fit is finished (and on disk, where a cache is kept).

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
    """Errors on held-out structures against the number of training structures (Harper et al. 2025, Fig. 5; Ben Mahmoud et al. 2024, Fig. 4).

    The test set is held out once, by structure. Each repeat is a permutation of the remaining structures of which the first 10, 20, ... are
    trained on, so that the training sets of one repeat contain each other. μ and σ of C̃_Q and η̃ are those of the whole training
    part for all sizes. Repeats share structures the more, the larger they are: the spread over repeats of a size near the whole training part
    says little, and the whole is fitted once.

    All models are trained on the same structures and judged on the same structures, networks among them: the part that a network's early
    stopping watches (`Training.validation`) is taken from its training structures.

    Args:
        models: a model, or several by name, ``{"tensor": TensorGPR(...), "network": EquivariantNetwork(...)}``; their hyperparameters are kept, the
            regularisation "auto" is found for each fit. Networks know all elements of the data, and begin from the same random weights in each fit, in units
            that are measured on its training set.
        structures: with labels of the models' target.
        sizes: numbers of training structures, in any order; None: `default_sizes`.
        repeats: number of permutations.
        test: part of the structures that is held out.
        seed: of the split and of the permutations; the same seed gives the same curve on the same machine.
        cache: folder where each finished fit is kept, so that a stopped curve goes on where it was, and a longer one (more sizes, repeats or
            models) uses the shorter one, and a network goes on in the middle of its training. Fits of other data, hyperparameters, test or seed
            are never mistaken for these.
        callback: called with a `Fit` after each; what it raises stops the curve.
        resume: False: forget what the cache has of these models and data first.
        progress: called with a line about the fit under way, after each epoch of a network.

    Returns:
        Every metric of the report by model, species, repeat and size.

    Raises:
        InputError: sizes below 2 or above the training set, repeats below 1, bad structures, a training set without labels of a species
            or that the regularisation "auto" cannot use or a network cannot divide, a network of several targets, a fit that fails.
    """
    models = named(models)
    if repeats < 1:
        raise InputError(f"repeats={repeats} leaves nothing to fit; give 1 or more (4 and more for error bars)")
    work = plan(models, structures, test, seed)
    sizes = checked_sizes(sizes, len(work.training))
    chosen = subsets(len(work.training), sizes, repeats, seed)
    check_subsets(work.learners, chosen)
    data = fingerprint(work.structures, [work.target.name])
    journals = {
        name: _journal(cache, _identity(learner, work, data, test, seed), resume)
        for name, learner in work.learners.items()
    }
    fits = [(subset, name) for subset in chosen for name in work.learners]
    if cache is not None and (there := sum(_key(subset) in journals[name] for subset, name in fits)):
        logger.info("%d of %d fits are taken from %s", there, len(fits), cache)
    rows: list[Row] = []
    for number, (subset, name) in enumerate(fits, start=1):
        journal, key = journals[name], _key(subset)
        reused = key in journal
        if not reused:
            keeping = {} if cache is None else {"checkpoint": Path(cache) / STATES, "resume": resume}
            journal.put(key, _fit(name, work.learners[name], work, subset, keeping, progress))
            drop_programs()
        new = _rows(name, work.learners[name], work, subset, journal.get(key))
        rows += new
        if callback is not None:
            callback(Fit(name, subset.repeat, len(subset.indices), number, len(fits), reused, tuple(new)))
    return LearningCurve(tuple(rows), _settings(work, data, sizes, repeats, test, seed))


def _identity(learner: Learner, work: Plan, data: str, test: float, seed: int) -> dict[str, Any]:
    """What a fit depends on besides its size and repeat."""
    return {
        "task": "learning curve",
        "version": __version__,
        "data": data,
        "target": work.target.to_dict(),
        "model": describe(learner.model),
        "test": test,
        "seed": seed,
    }


def _journal(cache: str | os.PathLike[str] | None, identity: dict[str, Any], resume: bool) -> Journal:
    journal = Journal(cache, identity)
    if not resume:
        journal.clear()
    return journal


def _key(subset: Subset) -> str:
    return f"{len(subset.indices)} structures, repeat {subset.repeat}"


def _fit(
    name: str,
    learner: Learner,
    work: Plan,
    subset: Subset,
    keeping: Mapping[str, Any],
    progress: Callable[[str], Any] | None,
) -> dict[str, Any]:
    """Fit to a subset and evaluate on the test set; the report as it stands in the journal."""
    training = [work.training[i] for i in subset.indices]

    def told(done: int, epochs: int, what: str) -> None:
        if progress is not None:
            progress(f"{name}, {len(training)} structures, repeat {subset.repeat}: epoch {done}/{epochs}, {what}")

    # Kernel models are fitted in one piece.
    options = keeping | {"progress": told} if isinstance(learner.model, EquivariantNetwork) else {}
    try:
        report = learner.model.fit(training, **options).evaluate(work.test)
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


def _settings(work: Plan, data: str, sizes: tuple[int, ...], repeats: int, test: float, seed: int) -> dict[str, Any]:
    return {
        "target": work.target.name,
        "unit": work.target.unit,
        "per": work.target.per,
        "models": {name: describe(learner.model) for name, learner in work.learners.items()},
        "sizes": list(sizes),
        "repeats": repeats,
        "test": test,
        "seed": seed,
        "training_structures": len(work.training),
        "test_structures": len(work.test),
        "test_values": work.test_counts,
        "scales": {symbol: {"mu": scale.mean, "sigma": scale.std} for symbol, scale in work.scales.items()},
        "data": data,
        "version": __version__,
    }
