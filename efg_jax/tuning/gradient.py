"""Search by the exact gradient of the cross-validated loss: L-BFGS (few evaluations) or Adam (robust on rough losses)."""

import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree
from scipy.optimize import minimize

from efg_jax.precision import x64
from efg_jax.tuning.history import BudgetSpent, Recorder
from efg_jax.tuning.objective import Objective
from efg_jax.tuning.space import Space, Values

logger = logging.getLogger(__name__)

_OPTIONS = {"maxiter": 10**6, "maxfun": 10**6, "ftol": 1e-6, "gtol": 1e-6, "maxcor": 20, "maxls": 12}
_RESTART = 1e-3  # relative decrease of the loss in a round of L-BFGS from which another one is worth it
_BAD = 10.0  # what an infinite loss counts in units of the start's


def descend(
    objective: Objective, space: Space, recorder: Recorder, *, optimiser: str = "lbfgs", learning_rate: float = 0.15
) -> dict[str, Any]:
    """Follow the gradient from the objective's start until the budget is spent or, with L-BFGS, nothing is gained any more.

    Both optimisers see logits of the places within the bounds. They are deterministic functions of the evaluations, so that a search that was
    stopped continues exactly where it was when its evaluations are found on disk again; neighbours that are gathered anew for a larger
    cutoff do not touch their state.

    Args:
        objective, space, recorder: of the search.
        optimiser: "lbfgs" or "adam".
        learning_rate: of Adam, in logits.

    Returns:
        Details for the report: whether it converged.
    """
    try:
        if optimiser == "adam":
            _adam(objective, space, recorder, learning_rate)
            return {"optimiser": "adam", "converged": False}
        return {"optimiser": "lbfgs", **_lbfgs(objective, space, recorder)}
    except BudgetSpent:
        return {"optimiser": optimiser, "converged": False}


def _value_and_slope(objective: Objective, space: Space, recorder: Recorder, free: Values) -> tuple[float, Values]:
    """Loss and gradient in unconstrained numbers, recorded as one trial."""
    recorder.require()
    with x64():
        moved, pull_back = jax.vjp(space.constrain, free)
        values = {**objective.start, **{name: np.asarray(value) for name, value in moved.items()}}
        evaluation = objective.value_and_gradient(values)
        (slope,) = pull_back({name: jnp.asarray(evaluation.gradient[name]) for name in moved})
    number = len(recorder.trials)
    recorder.add(evaluation, f"step {number}" if number else "start")
    return evaluation.loss, slope


def _adam(objective: Objective, space: Space, recorder: Recorder, learning_rate: float) -> None:
    with x64():
        optimiser = optax.adam(learning_rate)
        free = space.unconstrain(objective.start)
        state, best, trust = optimiser.init(free), (np.inf, free), 1.0
        while recorder.left:
            loss, slope = _value_and_slope(objective, space, recorder, free)
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


def _lbfgs(objective: Objective, space: Space, recorder: Recorder) -> dict[str, Any]:
    with x64():
        start, unravel = ravel_pytree(space.unconstrain(objective.start))
    unit: list[float] = []

    def function(x: np.ndarray) -> tuple[float, np.ndarray]:
        with x64():
            loss, slope = _value_and_slope(objective, space, recorder, unravel(jnp.asarray(x)))
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
        after = recorder.best.loss
        gained = (before - after) / unit[0] if np.isfinite(before) else np.inf
        # Absolute errors have kinks, where the memory of past slopes misleads the line search: begin again from the best point without it.
        with x64():
            x = np.asarray(ravel_pytree(space.unconstrain(recorder.best.values))[0])
        rounds += 1
        logger.info("L-BFGS: %s", result.message)
    return {"converged": True, "rounds": rounds, "message": str(result.message)}
