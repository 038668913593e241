"""Search by Bayesian optimisation: optuna's tree-structured Parzen estimator, as tuned the networks of Ben Mahmoud et al. (2024)."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from efg_jax.errors import InputError
from efg_jax.tuning.history import Recorder
from efg_jax.tuning.objective import Objective
from efg_jax.tuning.space import Space

if TYPE_CHECKING:
    import optuna

FEWEST = 4  # trials that came to an end, before a median of them says anything
_WORST = 10.0  # what a loss that is not finite counts, in units of the start's


def sample(objective: Objective, space: Space, recorder: Recorder, seed: int) -> dict[str, Any]:
    """Ask for as many points as run at a time, evaluate, tell; until the budget is spent. The start is the first point.

    Args:
        objective, space, recorder: of the search.
        seed: of the sampler.

    Returns:
        Details for the report.

    Raises:
        InputError: optuna is not installed.
    """
    coordinates = space.coordinates(objective.start)
    with study_of(seed, several=objective.workers > 1) as study:
        study.enqueue_trial(dict(zip(coordinates, space.to_cube(objective.start).tolist(), strict=True)))
        worst = np.inf
        while recorder.left:
            asked = [study.ask() for _ in range(min(objective.workers, recorder.left) if recorder.trials else 1)]
            cubes = [np.array([trial.suggest_float(name, 0.0, 1.0) for name in coordinates]) for trial in asked]
            points = [space.from_cube(cube, objective.start) for cube in cubes]
            if not recorder.trials:
                points = [objective.start]  # to the last bit
            for trial, evaluation in zip(asked, objective.evaluate(points), strict=True):
                loss = recorder.add(evaluation, f"sample {len(recorder.trials)}" if recorder.trials else "start").loss
                if not np.isfinite(worst):
                    worst = _WORST * abs(loss) if np.isfinite(loss) else 1.0
                study.tell(trial, min(loss, worst))
    return {"sampler": "TPE", "converged": False}


@contextmanager
def study_of(seed: int, several: bool = False, warmup: int | None = None) -> Iterator["optuna.Study"]:
    """A search for the lowest loss that is asked and told, and keeps silent meanwhile.

    Args:
        seed: of the sampler.
        several: points are asked for before the ones before are told.
        warmup: epochs in which no trial is pruned; later those are whose best loss is above the median of the trials before at the same epoch, once
            there are a few. None: there are no epochs.

    Raises:
        InputError: optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise InputError("Bayesian search needs optuna; install it with pip install 'efg-jax[bayes]'") from error

    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)  # multivariate sampling
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=several)
        pruner = optuna.pruners.NopPruner()
        if warmup is not None:
            pruner = optuna.pruners.MedianPruner(FEWEST, warmup, n_min_trials=FEWEST)
        yield optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)
    finally:
        optuna.logging.set_verbosity(verbosity)
