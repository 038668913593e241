"""The hyperparameters of kernel models that may be tuned: names, usual bounds, and values in a model."""

from collections.abc import Mapping
from dataclasses import replace
from math import inf

import numpy as np
from jaxtyping import Array, Float

from efg_jax.descriptors import LambdaSOAP
from efg_jax.gp.kernel_model import KernelModel
from efg_jax.models.tuning_problem import Parameter

OF_DESCRIPTOR = (
    "cutoff",
    "sigma",
    "cutoff_width",
    "scaling_rate",
    "scaling_radius",
    "scaling_exponent",
    "centre_weight",
    "species_weights",
    "contraction",
)
"""Leaves of `LambdaSOAP` that may be tuned; ``zeta`` and ``regularisation`` come with them."""

START_REGULARISATION = 1e-4  # where the model says "auto"


def kernel_parameters(model: KernelModel) -> dict[str, Parameter]:
    """Every hyperparameter that the model has, with an interval that holds the model's own value.

    Args:
        model: whose descriptor has species.
    """
    descriptor, values = model.descriptor, values_of(model)
    cutoff = float(descriptor.cutoff)
    from_zero, from_one = {"limits": (0.0, inf), "closed": True}, {"limits": (1.0, inf), "closed": True}
    every = {
        "cutoff": Parameter((0.6 * cutoff, 1.6 * cutoff), importance=1, symbol="$r_c$ (Å)"),
        "sigma": Parameter((0.15, 0.9), importance=2, symbol="$\\sigma$ (Å)"),
        "cutoff_width": Parameter((0.1, 0.5 * cutoff), importance=7, symbol="cutoff width (Å)"),
        "scaling_rate": Parameter((1e-3, 20.0), logarithmic=True, importance=10, symbol="scaling $c$"),
        "scaling_radius": Parameter((0.8, 2.0 * cutoff), importance=5, symbol="scaling $r_0$ (Å)"),
        "scaling_exponent": Parameter((0.0, 12.0), importance=4, symbol="scaling $m$", **from_zero),
        "centre_weight": Parameter((0.0, 4.0), importance=8, symbol="centre weight", **from_zero),
        "species_weights": Parameter(
            (0.05, 10.0), logarithmic=True, importance=9, labels=descriptor.species, symbol="weight"
        ),
        "zeta": Parameter((1.0, 6.0), importance=6, symbol="$\\zeta$", **from_one),
        "regularisation": Parameter((1e-9, 1.0), logarithmic=True, importance=3, symbol="$\\rho$"),
        "contraction": Parameter(None),
    }
    return {name: parameter.holding(values[name]) for name, parameter in every.items() if name in values}


def without_gradient(descriptor: LambdaSOAP) -> dict[str, str]:
    """Hyperparameters of a descriptor that cannot move, and why."""
    reasons = {}
    if descriptor.cutoff_width is None:
        hard = "a hard cutoff has no gradient to tune it by; set cutoff_width, or leave it out"
        reasons |= {"cutoff": hard, "cutoff_width": hard}
    if descriptor.scaling_exponent == 0 or descriptor.scaling_rate == 0:
        off = "the radial scaling is off; start from a scaling_rate and a scaling_exponent above zero"
        reasons |= {"scaling_rate": off, "scaling_radius": off, "scaling_exponent": off}
    if descriptor.contraction is None:
        reasons["contraction"] = "the descriptor has none; start from descriptors.principal_contraction"
    return reasons


def values_of(model: KernelModel) -> dict[str, np.ndarray]:
    """The model's own hyperparameters; what it does not have (a hard cutoff's width, a contraction) is left out."""
    values = {name: getattr(model.descriptor, name) for name in OF_DESCRIPTOR}
    if values["species_weights"] is None and model.descriptor.species is not None:
        values["species_weights"] = np.ones(len(model.descriptor.species))
    regularisation = START_REGULARISATION if model.regularisation == "auto" else float(model.regularisation)
    values |= {"zeta": model.zeta, "regularisation": regularisation}
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items() if value is not None}


def with_values(descriptor: LambdaSOAP, values: Mapping[str, Float[Array | np.ndarray, "..."]]) -> LambdaSOAP:
    """The descriptor with these hyperparameters."""
    return replace(descriptor, **{name: values[name] for name in OF_DESCRIPTOR if name in values})
