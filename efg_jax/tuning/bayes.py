"""Search by Bayesian optimisation: optuna's tree-structured Parzen estimator.

Networks were tuned so by Ben Mahmoud et al. (2024), with trainings pruned that are not promising.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from efg_jax.errors import InputError
from efg_jax.models.tuning_problem import EpochReport, Pruned, TuningProblem
from efg_jax.tuning.method import Method
from efg_jax.tuning.space import Space
from efg_jax.tuning.trials import Recorder, Trial

FEWEST = 4  # complete trials before their median means anything
WARMUP = 0.1  # part of the epochs that every trial may have
_WORST = 10.0  # what a failed trial counts, in units of the largest loss so far


@dataclass(frozen=True)
class Bayes(Method):
    """Ask for as many points as are evaluated at a time, evaluate, tell; the start is the first point.

    Attributes:
        prune: of problems with epochs: end trials whose best loss is above the median of the trials before at the same
            epoch, once four are complete and a tenth of the epochs is over. The start is never pruned.
    """

    name: ClassVar[str] = "bayes"

    prune: bool = True

    def run(self, problem: TuningProblem, space: Space, recorder: Recorder, seed: int) -> dict[str, Any]:
        """See `Method.run`.

        Raises:
            InputError: optuna is not installed.
        """
        with _study(problem, seed) as study:
            study.enqueue_trial(space.suggestion(problem.start))
            while recorder.left:
                at_once = min(problem.workers, recorder.left) if recorder.trials else 1
                asked = [study.ask() for _ in range(at_once)]
                points = [space.suggested(trial, problem.start) for trial in asked]
                if not recorder.trials:
                    points = [problem.start]  # to the last bit
                report = self._report(asked[0], is_start=not recorder.trials)
                for trial, evaluation in zip(asked, problem.evaluate(points, report, recorder.watched), strict=True):
                    _tell(study, trial, recorder.add(evaluation, f"trial {len(recorder.trials)}"), recorder)
        details = {"sampler": "TPE", "converged": False}
        return details if problem.epochs is None else details | self._of_epochs(recorder)

    def _report(self, asked: Any, is_start: bool) -> EpochReport:
        def report(epoch: int, loss: float) -> None:
            asked.report(loss, epoch)
            if self.prune and not is_start and asked.should_prune():
                raise Pruned

        return report

    def _of_epochs(self, recorder: Recorder) -> dict[str, Any]:
        states = [trial.state for trial in recorder.trials]
        return {
            "pruner": "median" if self.prune else None,
            "pruned": states.count("pruned"),
            "failed": states.count("failed"),
            "epochs": sum(trial.epochs for trial in recorder.trials),
        }


def _tell(study: Any, asked: Any, trial: Trial, recorder: Recorder) -> None:
    """Tell the sampler what became of a point; one that failed is worse than all before."""
    from optuna.trial import TrialState

    if trial.state == "pruned":
        study.tell(asked, state=TrialState.PRUNED)
    elif trial.state == "failed":
        largest = max((other.loss for other in recorder.trials if np.isfinite(other.loss)), default=1.0)
        study.tell(asked, largest + _WORST * abs(largest))
    else:
        study.tell(asked, trial.loss)


@contextmanager
def _study(problem: TuningProblem, seed: int) -> Iterator[Any]:
    """A study of optuna that is asked and told, and silent.

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
            # Points that are asked for before those before are told must not be the same.
            sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=problem.workers > 1)
        pruner = optuna.pruners.NopPruner()
        if problem.epochs is not None:
            pruner = optuna.pruners.MedianPruner(FEWEST, round(WARMUP * problem.epochs), n_min_trials=FEWEST)
        yield optuna.create_study(direction="minimize", sampler=sampler, pruner=pruner)
    finally:
        optuna.logging.set_verbosity(verbosity)
