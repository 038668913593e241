"""Search by the exact gradient of the loss: L-BFGS (few evaluations) or Adam (robust on rough losses)."""

import logging
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from efg_jax.errors import InputError
from efg_jax.models.tuning_problem import TuningProblem, Values
from efg_jax.precision import x64
from efg_jax.tuning.method import Method
from efg_jax.tuning.space import Space
from efg_jax.tuning.trials import Recorder

logger = logging.getLogger(__name__)

_OPTIONS = {"maxiter": 10**6, "maxfun": 10**6, "ftol": 1e-6, "gtol": 1e-6, "maxcor": 20, "maxls": 12}
_RESTART = 1e-3  # relative decrease of the loss in a round of L-BFGS from which another one is worth it
_BAD = 10.0  # what an infinite loss counts, in units of the start's


class _BudgetSpent(Exception):
    """Ends a search from within an optimiser that does not know of budgets."""


@dataclass(frozen=True)
class Gradient(Method):
    """Follow the gradient of all hyperparameters at once.

    The search ends when the budget is spent or, with L-BFGS, nothing is gained any more.
    Both optimisers see logits of the places within the bounds. They are deterministic functions of the evaluations, so
    that an interrupted search resumes exactly; neighbours that are gathered again for a larger cutoff do not change
    their state.

    Attributes:
        optimiser: "lbfgs" or "adam".
        learning_rate: of Adam, in logits.
    """

    name: ClassVar[str] = "gradient"
    moves_matrices: ClassVar[bool] = True

    optimiser: Literal["lbfgs", "adam"] = "lbfgs"
    learning_rate: float = 0.15

    def __post_init__(self):
        if self.optimiser not in ("lbfgs", "adam"):
            raise InputError(f"unknown optimiser {self.optimiser!r}; choose lbfgs or adam")

    def run(self, problem: TuningProblem, space: Space, recorder: Recorder, seed: int) -> dict[str, Any]:
        """See `Method.run`; nothing is random."""
        details = {"optimiser": self.optimiser, "converged": False}
        descend = self._adam if self.optimiser == "adam" else self._lbfgs
        try:
            with x64():
                return details | descend(problem, space, recorder)
        except _BudgetSpent:
            return details

    def _adam(self, problem: TuningProblem, space: Space, recorder: Recorder) -> dict[str, Any]:
        optimiser = optax.adam(self.learning_rate)
        free = space.unconstrain(problem.start)
        state, best, trust = optimiser.init(free), (np.inf, free), 1.0
        while recorder.left:
            loss, slope = _value_and_slope(problem, space, recorder, free)
            if loss < best[0]:
                best = (loss, free)
            if not np.isfinite(loss):
                logger.warning("the loss is not finite; going back to the best point with half the step")
                trust = 0.5 * trust
                free, state = best[1], optimiser.init(best[1])
                continue
            with jax.numpy_dtype_promotion("standard"):  # optax mixes its step count with floats
                updates, state = optimiser.update(slope, state, free)
                free = optax.apply_updates(free, jax.tree.map(lambda u, t=trust: t * u, updates))
        return {}

    def _lbfgs(self, problem: TuningProblem, space: Space, recorder: Recorder) -> dict[str, Any]:
        start, unravel = ravel_pytree(space.unconstrain(problem.start))
        unit: list[float] = []

        def function(x: np.ndarray) -> tuple[float, np.ndarray]:
            loss, slope = _value_and_slope(problem, space, recorder, unravel(jnp.asarray(x)))
            flat = np.asarray(ravel_pytree(slope)[0], dtype=np.float64)
            if not unit:
                unit.append(abs(loss) or 1.0)
            if not np.isfinite(loss):
                return _BAD, np.zeros_like(flat)
            return loss / unit[0], flat / unit[0]

        x, gained, rounds = np.asarray(start), np.inf, 0
        while gained > _RESTART:
            before = recorder.best.loss if recorder.trials else np.inf
            result = minimize(function, x, jac=True, method="L-BFGS-B", options=_OPTIONS)
            gained = (before - recorder.best.loss) / unit[0] if np.isfinite(before) else np.inf
            # Absolute errors have kinks, where the memory of past slopes misleads the line search: begin again from the
            # best point without it.
            x = np.asarray(ravel_pytree(space.unconstrain(recorder.best.values))[0])
            rounds += 1
            logger.info("L-BFGS: %s", result.message)
        return {"converged": True, "rounds": rounds, "message": str(result.message)}


def _value_and_slope(
    problem: TuningProblem, space: Space, recorder: Recorder, free: Values
) -> tuple[float, dict[str, Any]]:
    """Loss and gradient in unconstrained numbers, recorded as one trial."""
    if recorder.left < 1:
        raise _BudgetSpent
    moved, pull_back = jax.vjp(space.constrain, free)
    values = {**problem.start, **{name: np.asarray(value) for name, value in moved.items()}}
    evaluation = problem.value_and_gradient(values)
    (slope,) = pull_back({name: jnp.asarray(evaluation.gradient[name]) for name in moved})
    recorder.add(evaluation, f"step {len(recorder.trials)}")
    return evaluation.loss, slope
