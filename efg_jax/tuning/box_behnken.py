"""Search by designed experiments: Box–Behnken designs, quadratic response surfaces, a box that shrinks.

Box & Behnken 1960; Harper et al. 2025.

A round evaluates a design in the present box, fits a quadratic to the losses, finds the quadratic's minimum inside the
box and evaluates the loss there. The next box is centred on the best point so far: half as large if that was inside, as
large as before if it lies on the edge.
"""

import logging
from dataclasses import dataclass
from itertools import combinations_with_replacement
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from efg_jax.errors import InputError
from efg_jax.models.tuning_problem import TuningProblem
from efg_jax.storage.plain_values import to_plain
from efg_jax.tuning.method import Method
from efg_jax.tuning.space import Space, components
from efg_jax.tuning.trials import Recorder

logger = logging.getLogger(__name__)

FEWEST, MOST = 3, 12  # factors: a design needs three, and more than a dozen cost hundreds of runs
_FIRST_BOX = 0.25  # half-width of the first box, in parts of the bounds
_SMALLEST_BOX = 0.01
_GAIN = 1e-3  # relative improvement of a round below which the search stops
_STARTS = 30  # random ones, of the search for the surface's minimum


@dataclass(frozen=True)
class Surface:
    """A quadratic response surface y = β₀ + Σ β_i x_i + Σ_{i≤j} β_ij x_i x_j over one box, x ∈ [−1, 1].

    Attributes:
        coordinates: names of the axes.
        centre, half_width: of the box, in parts of the bounds.
        coefficients: in the order of `terms`.
        points, losses: the runs of the design.
        minimum: where the surface is lowest inside the box.
        predicted, evaluated: the surface and the loss there.
        lack_of_fit: root mean square residual of the runs over degrees of freedom, in the loss's unit. The loss has no
            noise, so that this is all lack of fit: what a quadratic cannot describe.
        r_squared, r_squared_predicted: of the runs, and of each run predicted from the others.
    """

    coordinates: tuple[str, ...]
    centre: Float[np.ndarray, " axes"]
    half_width: Float[np.ndarray, " axes"]
    coefficients: Float[np.ndarray, " terms"]
    points: Float[np.ndarray, "runs axes"]
    losses: Float[np.ndarray, " runs"]
    minimum: Float[np.ndarray, " axes"]
    predicted: float
    evaluated: float
    lack_of_fit: float
    r_squared: float
    r_squared_predicted: float

    def __call__(self, x: Float[np.ndarray, "points axes"]) -> Float[np.ndarray, " points"]:
        """The surface at points of the box."""
        return terms(x) @ self.coefficients

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; an infinite loss is None."""
        plain = to_plain(self)
        losses = [loss if np.isfinite(loss) else None for loss in (*plain["losses"], self.evaluated)]
        return {**plain, "losses": losses[:-1], "evaluated": losses[-1]}

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> "Surface":
        """Inverse of `to_dict`."""
        *losses, evaluated = (np.inf if loss is None else loss for loss in (*entry["losses"], entry["evaluated"]))
        arrays = {name: np.asarray(value) for name, value in entry.items() if isinstance(value, list)}
        own = {"coordinates": tuple(entry["coordinates"]), "losses": np.array(losses), "evaluated": evaluated}
        return cls(**{**entry, **arrays, **own})


def design(factors: int) -> Float[np.ndarray, "runs {factors}"]:
    """Box–Behnken design in [−1, 1]: mid-edge points of all pairs of factors, and the centre.

    The centre is there once, because the loss has no noise.
    """
    from pydoe import bbdesign

    return np.asarray(bbdesign(factors, center=1), dtype=np.float64)


def terms(x: Float[np.ndarray, "points axes"]) -> Float[np.ndarray, "points terms"]:
    """1, x_i and x_i x_j (i ≤ j)."""
    pairs = combinations_with_replacement(range(x.shape[1]), 2)
    return np.column_stack([np.ones(len(x)), x, *(x[:, i] * x[:, j] for i, j in pairs)])


@dataclass(frozen=True)
class _Box:
    """Where a design is laid, in places of the cube."""

    centre: Float[np.ndarray, " axes"]
    half_width: Float[np.ndarray, " axes"]

    def cube(self, x: Float[np.ndarray, "*points axes"]) -> Float[np.ndarray, "*points axes"]:
        """Places in the cube of points of the box, x ∈ [−1, 1]."""
        return self.centre + x * self.half_width

    def next(self, best: Float[np.ndarray, " axes"], gained: bool) -> "_Box":
        """Around the best point so far; half as wide along axes where that was inside, or along all without a gain."""
        inside = np.abs(best - self.centre) < 0.9 * self.half_width
        half_width = np.where(inside | (not gained), 0.5 * self.half_width, self.half_width)
        return _Box(np.clip(best, half_width, 1.0 - half_width), half_width)


@dataclass(frozen=True)
class BoxBehnken(Method):
    """Rounds of designs in boxes that shrink.

    They end when a round gains less than a thousandth, the box is a hundredth of the bounds, or the budget is spent.
    """

    name: ClassVar[str] = "box-behnken"

    def affordable(self, problem: TuningProblem, space: Space, budget: int) -> Space:
        """The most important hyperparameters, as many as two rounds within the budget can take."""
        parameters, chosen, factors = space.bounded.parameters, [], 0
        for name in sorted(parameters, key=lambda name: parameters[name].importance):
            more = factors + len(components(name, parameters[name]))
            if more <= FEWEST or (more <= MOST and 1 + 2 * (len(design(more)) + 1) <= budget):
                chosen.append(name)
                factors = more
        return space.of(chosen)

    def run(self, problem: TuningProblem, space: Space, recorder: Recorder, seed: int) -> dict[str, Any]:
        """See `Method.run`; the details hold the surfaces with their lack of fit.

        Raises:
            InputError: the space has too few or too many coordinates, or the budget does not hold one round.
        """
        plan = _plan(space.coordinates, recorder.budget)
        start = space.to_cube(problem.start)
        half_width = np.full(len(start), _FIRST_BOX)
        box = _Box(np.clip(start, half_width, 1.0 - half_width), half_width)
        surfaces: list[Surface] = []
        converged = False
        best, best_cube = recorder.add(problem.value(problem.start), "start").loss, start
        while recorder.left >= len(plan) + 1:  # the design and the evaluation of its surface's minimum
            surface = _round(problem, space, recorder, plan, box, len(surfaces) + 1)
            surfaces.append(surface)
            runs = np.append(surface.losses, surface.evaluated)
            lowest = int(np.argmin(runs))
            gain = _gain(best, float(runs[lowest]))
            if runs[lowest] < best:
                best, best_cube = float(runs[lowest]), box.cube(np.vstack([plan, surface.minimum])[lowest])
            converged = gain < _GAIN and bool(box.half_width.max() <= _FIRST_BOX / 2)
            box = box.next(best_cube, gained=gain >= _GAIN)
            if converged or box.half_width.max() < _SMALLEST_BOX:
                converged = True
                break
        return {"converged": converged, "surfaces": [surface.to_dict() for surface in surfaces]}


def _plan(coordinates: list[str], budget: int) -> Float[np.ndarray, "runs axes"]:
    """The design of a space, if there is one and the budget holds it."""
    factors = len(coordinates)
    if not FEWEST <= factors <= MOST:
        raise InputError(
            f"a Box–Behnken design takes {FEWEST} to {MOST} hyperparameters, not {factors} "
            f"({', '.join(coordinates)}); choose them by name"
        )
    plan = design(factors)
    if budget < len(plan) + 2:
        raise InputError(
            f"a design of {factors} hyperparameters takes {len(plan)} evaluations besides the start and the minimum; "
            f"raise the budget to {len(plan) + 2} or more, or tune fewer hyperparameters"
        )
    return plan


def _round(
    problem: TuningProblem, space: Space, recorder: Recorder, plan: np.ndarray, box: _Box, number: int
) -> Surface:
    """One design, its surface, and the surface's minimum evaluated."""
    points, losses = [space.from_cube(cube, problem.start) for cube in box.cube(plan)], []
    for first in range(0, len(points), problem.workers):  # as many as run at a time: what is finished is on disk
        found = problem.evaluate(points[first : first + problem.workers])
        losses += [recorder.add(evaluation, f"design {number}").loss for evaluation in found]
    losses = np.array(losses)
    fit = _fit(plan, losses)
    lowest = space.from_cube(box.cube(fit["minimum"]), problem.start)
    evaluated = recorder.add(problem.value(lowest), f"minimum {number}").loss
    logger.info(
        "box %d: surface's minimum %.5g, evaluated %.5g, lack of fit %.2g, R² %.3f",
        number, fit["predicted"], evaluated, fit["lack_of_fit"], fit["r_squared"],
    )  # fmt: skip
    return Surface(
        coordinates=tuple(space.coordinates),
        centre=box.centre,
        half_width=box.half_width,
        points=plan,
        losses=losses,
        evaluated=evaluated,
        **fit,
    )


def _gain(before: float, after: float) -> float:
    """What a round gained, as a part of the loss before; infinite losses are those of points that failed."""
    if np.isfinite(before) and before != 0.0:
        return (before - after) / abs(before)
    return np.inf if after < before else 0.0


def _fit(x: np.ndarray, losses: np.ndarray) -> dict[str, Any]:
    """Quadratic through the finite losses by least squares, its quality, and its minimum in [−1, 1]."""
    finite = np.isfinite(losses)
    worst = losses[finite].max() if finite.any() else 0.0
    y = np.where(finite, losses, worst)  # a point that fails is as bad as the worst
    matrix = terms(x)
    # A design without a pair of coordinates could be singular; least squares then takes the smallest coefficients.
    coefficients = np.linalg.lstsq(matrix, y, rcond=None)[0]
    residuals = y - matrix @ coefficients
    leverage = np.einsum("ij,ji->i", matrix, np.linalg.pinv(matrix))
    spread = float(np.sum((y - y.mean()) ** 2)) or 1.0
    left_out = residuals / np.maximum(1.0 - leverage, 1e-9)
    minimum = _minimum(coefficients, x.shape[1])
    freedom = max(len(y) - matrix.shape[1], 1)
    return {
        "coefficients": coefficients,
        "minimum": minimum,
        "predicted": float((terms(minimum[None]) @ coefficients)[0]),
        "lack_of_fit": float(np.sqrt(np.sum(residuals**2) / freedom)),
        "r_squared": float(1.0 - np.sum(residuals**2) / spread),
        "r_squared_predicted": float(1.0 - np.sum(left_out**2) / spread),
    }


def _minimum(coefficients: np.ndarray, axes: int) -> np.ndarray:
    """Minimum of the quadratic in [−1, 1].

    It need not be convex, so that the search starts from the centre and from many random points.
    """

    def value(x: np.ndarray) -> float:
        return float((terms(x[None]) @ coefficients)[0])

    random = np.random.Generator(np.random.PCG64(0)).uniform(-1.0, 1.0, (_STARTS, axes))
    starts = [np.zeros(axes), *random]
    found = [minimize(value, start, method="L-BFGS-B", bounds=[(-1.0, 1.0)] * axes) for start in starts]
    return np.clip(min(found, key=lambda result: result.fun).x, -1.0, 1.0)
