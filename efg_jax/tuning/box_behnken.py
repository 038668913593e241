"""Search by designed experiments: Box–Behnken designs, quadratic response surfaces, a box that shrinks (Box & Behnken 1960; Harper et al. 2025).

A round evaluates a design in the present box, fits a quadratic to the losses, finds the quadratic's minimum inside the box and evaluates the
loss there. The next box is centred on the best point so far: half as large if that was inside, as large as before if it lies on the edge.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize

from efg_jax.errors import InputError
from efg_jax.tuning.history import Recorder
from efg_jax.tuning.objective import Objective
from efg_jax.tuning.space import IMPORTANCE, Space

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
        lack_of_fit: root mean square residual of the runs over degrees of freedom, in the loss's unit. The loss has no noise, so that this is
            all lack of fit: what a quadratic cannot describe.
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
        """As JSON types."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(self).items()
        }

    @classmethod
    def from_dict(cls, entry: dict[str, Any]) -> "Surface":
        """Inverse of `to_dict`."""
        arrays = {name: np.asarray(value) for name, value in entry.items() if isinstance(value, list)}
        return cls(**{**entry, **arrays, "coordinates": tuple(entry["coordinates"])})


def design(factors: int) -> Float[np.ndarray, "runs {factors}"]:
    """Box–Behnken design in [−1, 1]: mid-edge points of all pairs of factors, and the centre once, because the loss has no noise."""
    from pydoe import bbdesign

    return np.asarray(bbdesign(factors, center=1), dtype=np.float64)


def terms(x: Float[np.ndarray, "points axes"]) -> Float[np.ndarray, "points terms"]:
    """1, x_i and x_i x_j (i ≤ j)."""
    pairs = combinations_with_replacement(range(x.shape[1]), 2)
    return np.column_stack([np.ones(len(x)), x, *(x[:, i] * x[:, j] for i, j in pairs)])


def affordable(space: Space, budget: int, sizes: dict[str, int]) -> Space:
    """The most important hyperparameters, as many as allow two rounds within the budget.

    Args:
        space: what could be tuned.
        budget: number of evaluations.
        sizes: number of coordinates of each hyperparameter.
    """
    chosen: list[str] = []
    for name in sorted(space.bounds, key=IMPORTANCE.index):
        factors = sum(sizes[other] for other in (*chosen, name))
        if factors <= FEWEST or (factors <= MOST and 1 + 2 * (len(design(factors)) + 1) <= budget):
            chosen.append(name)
    return Space({name: space.bounds[name] for name in space.bounds if name in chosen})


def shrink_box(objective: Objective, space: Space, recorder: Recorder) -> dict[str, Any]:
    """Rounds of designs until a round gains less than a thousandth, the box has shrunk to a hundredth of the bounds, or the budget is spent.

    Returns:
        Details for the report: the surfaces with their lack of fit, and whether it converged.

    Raises:
        InputError: the space has too few or too many coordinates, or the budget does not hold one round.
    """
    coordinates = space.coordinates(objective.start)
    factors = len(coordinates)
    if not FEWEST <= factors <= MOST:
        raise InputError(
            f"a Box–Behnken design takes {FEWEST} to {MOST} hyperparameters, not {factors} ({', '.join(coordinates)}); choose them by name"
        )
    plan = design(factors)
    if recorder.budget < len(plan) + 2:
        raise InputError(
            f"a design of {factors} hyperparameters takes {len(plan)} evaluations besides the start and the minimum; "
            f"raise the budget to {len(plan) + 2} or more, or tune fewer hyperparameters"
        )
    start = space.to_cube(objective.start)
    half_width = np.full(factors, _FIRST_BOX)
    centre = np.clip(start, half_width, 1.0 - half_width)
    surfaces: list[Surface] = []
    converged = False
    recorder.add(objective.value(objective.start), "start")
    best, best_cube = recorder.best.loss, start
    while recorder.left >= len(plan) + 1:  # the design and the evaluation of its surface's minimum
        surface, lowest, place = _round(
            objective, space, recorder, coordinates, plan, centre, half_width, len(surfaces)
        )
        surfaces.append(surface)
        gain = (best - lowest) / abs(best) if np.isfinite(best) else np.inf
        if lowest < best:
            best, best_cube = lowest, place
        inside = np.abs(best_cube - centre) < 0.9 * half_width
        converged = gain < _GAIN and bool(half_width.max() <= _FIRST_BOX / 2)
        half_width = np.where(inside | (gain < _GAIN), 0.5 * half_width, half_width)
        centre = np.clip(best_cube, half_width, 1.0 - half_width)
        if converged or half_width.max() < _SMALLEST_BOX:
            converged = True
            break
    return {"converged": converged, "surfaces": [surface.to_dict() for surface in surfaces]}


def _round(
    objective: Objective,
    space: Space,
    recorder: Recorder,
    coordinates: Sequence[str],
    plan: np.ndarray,
    centre: np.ndarray,
    half_width: np.ndarray,
    number: int,
) -> tuple[Surface, float, np.ndarray]:
    """One design, its surface, and the surface's minimum evaluated; returns the best of all runs and where it was."""
    cubes = centre + plan * half_width
    losses = []
    for first in range(0, len(cubes), objective.workers):  # as many as run at a time: what is finished is on disk
        points = [space.from_cube(cube, objective.start) for cube in cubes[first : first + objective.workers]]
        losses += [recorder.add(found, f"design {number + 1}").loss for found in objective.evaluate(points)]
    losses = np.array(losses)
    fit = _fit(plan, losses)
    lowest = space.from_cube(centre + fit["minimum"] * half_width, objective.start)
    evaluated = recorder.add(objective.value(lowest), f"minimum {number + 1}").loss
    surface = Surface(
        coordinates=tuple(coordinates), centre=centre, half_width=half_width, points=plan, losses=losses,
        evaluated=evaluated, **fit,
    )  # fmt: skip
    logger.info(
        "box %d: surface's minimum %.5g, evaluated %.5g, lack of fit %.2g, R² %.3f",
        number + 1, surface.predicted, evaluated, surface.lack_of_fit, surface.r_squared,
    )  # fmt: skip
    runs = np.append(losses, evaluated)
    places = np.vstack([cubes, centre + fit["minimum"] * half_width])
    index = int(np.argmin(runs))
    return surface, float(runs[index]), places[index]


def _fit(x: np.ndarray, losses: np.ndarray) -> dict[str, Any]:
    """Quadratic through the finite losses by least squares, its quality, and its minimum in [−1, 1]."""
    finite = np.isfinite(losses)
    y = np.where(finite, losses, np.max(losses[finite], initial=0.0))  # a point that fails is as bad as the worst
    matrix = terms(x)
    # A design with a pair of coordinates missing could be singular; least squares then takes the smallest coefficients.
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
    """Minimum of the quadratic in [−1, 1]; it need not be convex, so that the centre and many random points are tried as starts."""

    def value(x: np.ndarray) -> float:
        return float((terms(x[None]) @ coefficients)[0])

    random = np.random.Generator(np.random.PCG64(0)).uniform(-1.0, 1.0, (_STARTS, axes))
    starts = [np.zeros(axes), *random]
    found = [minimize(value, start, method="L-BFGS-B", bounds=[(-1.0, 1.0)] * axes) for start in starts]
    return np.clip(min(found, key=lambda result: result.fun).x, -1.0, 1.0)
