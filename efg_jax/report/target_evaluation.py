"""From reference and predicted values of any target to all scores."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from efg_jax import metrics
from efg_jax.errors import InputError
from efg_jax.observables.arrays import axes_of, shape_of, values_of
from efg_jax.precision import x64
from efg_jax.report.scored_quantities import SHIELDING_SCORES
from efg_jax.report.selection import Arrays, of_species, require_finite, require_length
from efg_jax.report.summaries import Series, mean_and_median, scores_entry, with_meaning
from efg_jax.structures.targets import Target, to_irreps
from efg_jax.tensors.principal import Degeneracy
from efg_jax.tensors.quantities import QUANTITIES


@dataclasses.dataclass(frozen=True)
class TargetResult:
    """The evaluation of one species, or of all structures.

    Args:
        reference: Cartesian values (n, *shape) of the reference, in the target's unit.
        predicted: the same for the model.
        components: reference and predicted components (n, 2λ+1) of each irreducible part by λ, in the basis of
            `efg_jax.tensors.irreps`.
        series: of a shielding the reference and predicted values (n,) by the names of the JSON: ``sigma_iso``,
            ``anisotropy``, ``eta``, ``span`` and ``skew``; empty for other targets.
        angles: of a shielding the angle between the z axes in degrees, ``z_axis_deg``; empty for other targets.
        q_tilde: of a shielding the overlap q̃ of the principal axes; None for other targets.
        metrics: the JSON of this species.
    """

    reference: np.ndarray
    predicted: np.ndarray
    components: dict[int, Series]
    series: dict[str, Series]
    angles: dict[str, np.ndarray]
    q_tilde: np.ndarray | None
    metrics: dict[str, Any]


def pairs(
    target: Target, reference: Mapping[str, Arrays], predicted: Mapping[str, Arrays]
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Species, reference and prediction where there is a label, (n, *shape) in float64.

    Raises:
        InputError: shapes that do not fit, nothing to evaluate, or predictions that are not finite.
    """
    if not reference:
        raise InputError(f"nothing to evaluate: no '{target.name}' was given")
    for species, values in reference.items():
        place = "the structures" if target.per == "structure" else species
        truth = _values(target, values, place, f"reference {target.name}")
        labelled = np.isfinite(truth).reshape(len(truth), -1).all(axis=1)
        if not labelled.any():
            raise InputError(f"nothing to evaluate for {place}: none of the {len(truth)} carries '{target.name}'")
        what = f"predicted {target.name}"
        guess = _values(target, of_species(predicted, species, what), place, what)
        require_length(guess, len(truth), place, what)
        yield species, truth[labelled], require_finite(guess[labelled], place, what)


def evaluate_target(target: Target, reference: np.ndarray, predicted: np.ndarray) -> TargetResult:
    """Evaluate predicted values (n, *shape) of one species, or of all structures."""
    parts = [to_irreps(target, values) for values in (reference, predicted)]
    components = {order: tuple(part[order, parity] for part in parts) for order, parity in target.irreps}
    by_order = {str(order): scores_entry(pair) for order, pair in components.items()}
    whole = scores_entry(tuple(values.reshape(len(values), -1) for values in (reference, predicted)))
    entry = {
        "n": len(reference),
        "unit": target.unit or None,
        "rmse_percent": whole["rmse_percent"],
        "rmse_percent_by_order": {order: scores["rmse_percent"] for order, scores in by_order.items()},
        "mae": whole["mae"],
        "rmse": whole["rmse"],
        "r": whole["r"],
        "by_order": by_order,
    }
    series, angles, q_tilde = {}, {}, None
    if is_shielding(target):
        series, z_axis, q_tilde, count = _compare_shielding(reference, predicted)
        angles["z_axis_deg"] = z_axis
        entry |= {key: scores_entry(pair) for key, pair in series.items()}
        entry |= count | {"q_tilde": mean_and_median(q_tilde), "z_axis_deg": mean_and_median(z_axis)}
    return TargetResult(reference, predicted, components, series, angles, q_tilde, entry)


def is_shielding(target: Target) -> bool:
    """Whether the target is a magnetic shielding tensor, which has parameters of its own."""
    return target.name == "ms" and target.kind == "matrix"


_orientation_errors = jax.jit(metrics.orientation_errors)


def _compare_shielding(
    reference: np.ndarray, predicted: np.ndarray
) -> tuple[dict[str, Series], np.ndarray, np.ndarray, dict[str, int]]:
    """Parameters of both sides by name, the angles between z axes in degrees, q̃ of the Haeberlen frames, and how many
    reference tensors are isotropic or axial to rounding. What has no meaning for them is left out.
    """
    quantities = [QUANTITIES["shielding"][name] for name in SHIELDING_SCORES]
    sides = [values_of(quantities, ms=side) for side in (reference, predicted)]
    shape = shape_of(reference)
    oriented = with_meaning(~shape.isotropic)
    series = {
        one.name: tuple(side if one.undefined is None else side[oriented] for side in pair)
        for one, pair in zip(quantities, zip(*sides, strict=True), strict=True)
    }
    with x64():
        axes = (jnp.asarray(axes_of(side, "haeberlen").axes) for side in (reference, predicted))
        z_axis, q_tilde = map(np.asarray, _orientation_errors(*axes, Degeneracy(*map(jnp.asarray, shape))))
    count = {"isotropic": int(shape.isotropic.sum()), "axial": int(shape.axial.sum())}
    return series, np.degrees(z_axis)[oriented], q_tilde[oriented], count


def _values(target: Target, values: Arrays, place: str, what: str) -> np.ndarray:
    """(n, *shape) in float64; matrices may also come as (n, 9)."""
    array = np.asarray(values, dtype=np.float64)
    if target.kind == "matrix" and array.ndim == 2 and array.shape[1] == 9:
        array = array.reshape(-1, 3, 3)
    if array.ndim == 0 or array.shape[1:] != target.shape:
        wanted = ", ".join(["n", *map(str, target.shape)]) if target.shape else "n,"
        raise InputError(f"{what} for {place} have shape {array.shape}; give ({wanted})")
    return array
