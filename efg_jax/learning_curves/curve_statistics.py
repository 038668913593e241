"""The numbers of a learning curve: one row a measured value, means with standard errors over repeats, power laws."""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from efg_jax.metrics import Scale

DESCRIPTIVE = ("n", "unit", "isotope", "quadrupole_moment_mb", "quadrupole_source", "scale", "isotropic", "axial")
"""Entries of a report that say what was judged, not how well."""
OVERLAPS = ("q_tilde", "q_tilde_reassigned")
"""Entries of which 1 is perfect; 1 − value stands in the rows, under the name with ``one_minus_``."""


class Row(NamedTuple):
    """One value of one fit.

    Attributes:
        model: name of the model, such as "tensor".
        species: element, or "structure" for a target per structure.
        metric: name in the report, parts joined by dots: "theta.mae", "rmse_percent", "one_minus_q_tilde.mean".
        repeat: number of the permutation of the training structures, from 1.
        structures: number of structures that were trained on.
        environments: number of labelled atoms of the species in them.
        value: in the unit of the report (angles θ, φ in rad, ``_deg`` in degrees).
    """

    model: str
    species: str
    metric: str
    repeat: int
    structures: int
    environments: int
    value: float


class Point(NamedTuple):
    """Mean over the repeats of one size.

    Attributes:
        environments: mean over the repeats.
        mean: of the value.
        standard_error: of that mean, s/√n with s² over n − 1; None for a single repeat.
        repeats: n.
    """

    model: str
    species: str
    metric: str
    structures: int
    environments: float
    mean: float
    standard_error: float | None
    repeats: int


class Slope(NamedTuple):
    """Power law error = prefactor · structures^slope through one curve.

    Attributes:
        slope: of log error against log structures.
        standard_error: of the slope, from the scatter of the points about the line; None with two points, which have
            none.
        prefactor: the law's error at one structure.
        points: number of sizes.
    """

    model: str
    species: str
    metric: str
    slope: float
    standard_error: float | None
    prefactor: float
    points: int


def flatten(entry: Mapping[str, Any], scale: Scale | None = None) -> dict[str, float]:
    """Every number of one species of a report by its dotted name; what is undefined (None) is left out.

    Args:
        entry: ``report.to_dict()[species]``.
        scale: μ and σ of |V_zz| for C̃_Q and η̃ in place of the report's own, which are those of the structures that
            the model was trained on: errors of models of different training sets compare only in one unit. Exact, as
            C̃_Q and η̃ are linear in 1/σ and 1/μ.
    """
    numbers = dict(_numbers("", {key: value for key, value in entry.items() if key not in DESCRIPTIVE}))
    if scale is not None:
        own = entry["scale"]
        for name, factor in (("c_q_tilde", own["sigma"] / scale.std), ("eta_tilde", own["mu"] / scale.mean)):
            numbers |= {key: numbers[key] * factor for key in (f"{name}.mae", f"{name}.rmse") if key in numbers}
    return numbers


def _numbers(prefix: str, entry: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in entry.items():
        if isinstance(value, Mapping):
            if key in OVERLAPS:
                value = {statistic: None if q is None else 1.0 - q for statistic, q in value.items()}
                key = f"one_minus_{key}"
            yield from _numbers(f"{prefix}{key}.", value)
        elif value is not None:
            yield f"{prefix}{key}", float(value)


def is_error(metric: str) -> bool:
    """Whether smaller is better; of a correlation r it is not."""
    return metric.rpartition(".")[2] != "r"


def summarise(rows: Iterable[Row]) -> list[Point]:
    """Means over the repeats, by model, species and metric in the order of the rows, sizes ascending."""
    points = []
    for (model, species, metric), by_size in _curves(rows).items():
        for structures in sorted(by_size):
            values = np.array([row.value for row in by_size[structures]])
            error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
            environments = float(np.mean([row.environments for row in by_size[structures]]))
            mean = float(values.mean())
            points.append(Point(model, species, metric, structures, environments, mean, error, len(values)))
    return points


def power_laws(rows: Iterable[Row]) -> list[Slope]:
    """Least-squares lines through log error against log structures.

    Each size counts once, with the mean of log error over its repeats: the subsets of one repeat contain each other,
    so that its values are not independent, and taking them for such would make the slope look surer than it is.
    Curves of a single size, and those that touch zero, which no power law does, are left out.
    """
    slopes = []
    for (model, species, metric), by_size in _curves(rows).items():
        values = [[row.value for row in by_size[structures]] for structures in sorted(by_size)]
        if not is_error(metric) or len(values) < 2 or min(map(min, values)) <= 0:
            continue
        x = np.log(sorted(by_size))
        y = np.array([np.mean(np.log(of_size)) for of_size in values])
        deviation = x - x.mean()
        spread = float(deviation @ deviation)
        slope = float(deviation @ y) / spread
        residual = y - y.mean() - slope * deviation
        error = math.sqrt(float(residual @ residual) / (len(x) - 2) / spread) if len(x) > 2 else None
        prefactor = math.exp(float(y.mean() - slope * x.mean()))
        slopes.append(Slope(model, species, metric, slope, error, prefactor, len(x)))
    return slopes


def _curves(rows: Iterable[Row]) -> dict[tuple[str, str, str], dict[int, list[Row]]]:
    curves: dict[tuple[str, str, str], dict[int, list[Row]]] = {}
    for row in rows:
        curves.setdefault((row.model, row.species, row.metric), {}).setdefault(row.structures, []).append(row)
    return curves
