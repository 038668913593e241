"""From reference and predicted tensors to all scores of one species."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from efg_jax import metrics
from efg_jax.metrics import AxesErrors, Observables, Scale
from efg_jax.precision import x64
from efg_jax.report.scored_quantities import EFG_SCORES
from efg_jax.report.selection import SCALARS, Selection
from efg_jax.report.summaries import Series, mean_and_median, number, scores_entry, with_meaning
from efg_jax.tensors.efg import frequency_of_component
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.orientation import z_axis_angle
from efg_jax.tensors.quantities import QUANTITIES

ANGLES = ("z_axis_deg", "z_axis_lower_bound_deg", "direction_deg")


@dataclasses.dataclass(frozen=True)
class SpeciesResult:
    """The evaluation of one species.

    Args:
        isotope: nucleus by which V/Å² became Hz; None for an element that the table does not know.
        scale: μ and σ of |V_zz| that C̃_Q and η̃ refer to, V/Å².
        reference: observables of the reference tensors, NumPy arrays.
        predicted: observables of the prediction; None for those that the model does not give.
        axes: errors of the principal axes; None for a scalar model.
        series: reference and predicted values by the names and in the units of the JSON, for what the model gives.
        angles: error of each nucleus in degrees: ``z_axis_deg`` (of a scalar model only where it gives the axis),
            ``z_axis_lower_bound_deg``, ``direction_deg``.
        metrics: the JSON of this species.
    """

    isotope: Isotope | None
    scale: Scale
    reference: Observables
    predicted: Observables
    axes: AxesErrors | None
    series: dict[str, Series]
    angles: dict[str, np.ndarray]
    metrics: dict[str, Any]


_tensor_observables = jax.jit(metrics.tensor_observables, static_argnames="isotope")
_scalar_observables = jax.jit(metrics.scalar_observables, static_argnames="isotope")
_axes_errors = jax.jit(metrics.axes_errors)
_z_axis_angle = jax.jit(z_axis_angle)


@partial(jax.jit, static_argnames="orders")
def _tensor_scores(reference, predicted, orders):
    """%RMSE of the whole tensor, that of its irreducible parts, and MAE(V_ij)."""
    by_order = metrics.rmse_percent_by_order(reference, predicted, orders)
    return metrics.rmse_percent(reference, predicted), by_order, metrics.mae_vij(reference, predicted)


def evaluate_tensors(selection: Selection, predicted: np.ndarray) -> SpeciesResult:
    """Evaluate predicted tensors (n, 3, 3) of one species."""
    with x64():
        tensors, model_tensors, directions = (
            jnp.asarray(a) for a in (selection.tensors, predicted, selection.directions)
        )
        reference = _tensor_observables(tensors, directions, selection.scale, isotope=selection.isotope)
        model = _tensor_observables(model_tensors, directions, selection.scale, isotope=selection.isotope)
        axes = _to_numpy(_axes_errors(reference.axes, model.axes, directions, reference.shape))
        percent, by_order, vij = _tensor_scores(tensors, model_tensors, orders=(2,))
    reference, model = _to_numpy(reference), _to_numpy(model)
    series = _series(reference, model)
    series["theta_reassigned"] = (reference.theta, axes.theta_reassigned)
    series["phi_reassigned"] = (reference.phi, axes.phi_reassigned)
    axes = type(axes)(*(errors[with_meaning(~reference.shape.isotropic)] for errors in axes))
    whole = {
        "rmse_percent": number(percent),
        "rmse_percent_by_order": {str(order): number(value) for order, value in by_order.items()},
        "mae_vij": number(vij),
        "q_tilde": mean_and_median(axes.q_tilde),
        "q_tilde_reassigned": mean_and_median(axes.q_tilde_reassigned),
    }
    angles = {"z_axis_deg": np.degrees(axes.z_axis)} | _angles(reference, model)
    return _result(selection, reference, model, axes, series, angles, whole)


def evaluate_scalars(selection: Selection, scalars: dict[str, np.ndarray]) -> SpeciesResult:
    """Evaluate predicted scalars (n,) of one species: C̃_Q, η̃, θ, φ, and where they were learned n·V·n and the z axis
    (n, 3).
    """
    with x64():
        tensors, directions = jnp.asarray(selection.tensors), jnp.asarray(selection.directions)
        reference = _to_numpy(_tensor_observables(tensors, directions, selection.scale, isotope=selection.isotope))
        sign = jnp.asarray(np.where(reference.v_zz < 0, -1.0, 1.0))
        predicted = [jnp.asarray(scalars[key]) for key in SCALARS]
        model = _to_numpy(_scalar_observables(*predicted, sign, selection.scale, isotope=selection.isotope))
        series = _series(reference, model)
        if "v_nn" in scalars:
            series["v_nn_direct"] = (reference.v_nn, scalars["v_nn"])
            if reference.nu_q is not None:
                hertz = np.asarray(frequency_of_component(jnp.asarray(scalars["v_nn"]), selection.isotope))
                kilohertz = QUANTITIES["efg"]["nu_q"].display_factor
                series["nu_q_direct_khz"] = (reference.nu_q / kilohertz, hertz / kilohertz)
        angles = _angles(reference, model)
        if "z_axis" in scalars:
            axes = np.zeros_like(reference.axes)
            axes[:, :, 2] = scalars["z_axis"]  # the others do not count
            angle = np.degrees(np.asarray(_z_axis_angle(jnp.asarray(reference.axes), jnp.asarray(axes))))
            angles["z_axis_deg"] = angle[with_meaning(~reference.shape.isotropic)]
    unknown = mean_and_median(None)
    whole = {
        "rmse_percent": None,
        "rmse_percent_by_order": None,
        "mae_vij": None,
        "q_tilde": unknown,
        "q_tilde_reassigned": unknown,
    }
    return _result(selection, reference, model, None, series, angles, whole)


def _result(selection, reference, model, axes, series, angles, whole) -> SpeciesResult:
    """Put together the JSON. Every key is always there; None stands for what does not exist."""
    isotope = selection.isotope
    entry: dict[str, Any] = {
        "n": len(selection.tensors),
        "isotope": None if isotope is None else str(isotope),
        "quadrupole_moment_mb": None if isotope is None else isotope.quadrupole_moment,
        "quadrupole_source": None if isotope is None else isotope.quadrupole_source,
        "scale": {"mu": number(selection.scale.mean), "sigma": number(selection.scale.std)},
    }
    shape = reference.shape
    entry |= {"isotropic": int(shape.isotropic.sum()), "axial": int(shape.axial.sum())}
    oriented = with_meaning(~shape.isotropic)
    kept = dict.fromkeys(("eta", "theta", "theta_reassigned"), oriented)
    kept |= dict.fromkeys(("phi", "phi_reassigned"), with_meaning(~(shape.isotropic | shape.axial)))
    series = {key: tuple(side[kept.get(key, slice(None))] for side in pair) for key, pair in series.items()}
    entry |= whole
    entry |= {key: scores_entry(series.get(key)) for key in EFG_SCORES}
    entry |= {key: mean_and_median(angles.get(key)) for key in ANGLES}
    return SpeciesResult(selection.isotope, selection.scale, reference, model, axes, series, angles, entry)


def _series(reference: Observables, model: Observables) -> dict[str, Series]:
    """Pairs of reference and prediction in the units of the JSON, for what both sides have."""
    pairs = {key: (getattr(reference, key), getattr(model, key), 1.0) for key in (*SCALARS, "eta", "v_nn")}
    for key, name in (("c_q_mhz", "c_q"), ("nu_q_khz", "nu_q")):
        pairs[key] = (getattr(reference, name), getattr(model, name), QUANTITIES["efg"][name].display_factor)
    return {
        key: (truth / unit, guess / unit)
        for key, (truth, guess, unit) in pairs.items()
        if truth is not None and guess is not None
    }


def _angles(reference: Observables, model: Observables) -> dict[str, np.ndarray]:
    """What θ and φ alone say about the orientation, in degrees; both bound the error of the axes from below.

    A scalar model's angles may lie outside [0, π/2]; they are folded back first, because they mean the same there.
    """
    theta, phi = (np.abs(angle - np.pi * np.round(angle / np.pi)) for angle in (model.theta, model.phi))
    phi = np.where(reference.shape.axial, reference.phi, phi)  # which is free
    oriented = with_meaning(~reference.shape.isotropic)
    with x64():
        turn = metrics.direction_angle(*(jnp.asarray(a) for a in (reference.theta, reference.phi, theta, phi)))
    return {
        "z_axis_lower_bound_deg": np.degrees(np.abs(reference.theta - theta))[oriented],
        "direction_deg": np.degrees(np.asarray(turn))[oriented],
    }


def _to_numpy(tree: Any) -> Any:
    """The same NamedTuple with NumPy arrays."""
    return jax.tree.map(np.asarray, tree)
