"""Hyperparameters as an unconstrained PyTree: what an optimiser moves."""

from collections.abc import Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.descriptors import LambdaSOAP
from efg_jax.models.tensor_gpr import TensorGPR

Bounds = Mapping[str, tuple[float, float]]
Unconstrained = dict[str, Float[Array, "..."]]

DESCRIPTOR = (
    "cutoff",
    "sigma",
    "cutoff_width",
    "scaling_rate",
    "scaling_radius",
    "scaling_exponent",
    "centre_weight",
    "species_weights",
)
"""Leaves of `LambdaSOAP` that are tuned; ``zeta`` and ``regularisation`` come with them."""

GROWTH = 1.2
"""How far the cutoff may grow beyond its start: neighbours are gathered that far, once."""


def default_bounds(model: TensorGPR) -> dict[str, tuple[float, float]]:
    """Interval of each hyperparameter that is tuned, wide enough to hold the model's own value.

    What has no gradient is left as it is: a hard cutoff, and a radial scaling that is switched off.
    """
    cutoff = float(model.descriptor.cutoff)
    bounds = {
        "cutoff": (0.6 * cutoff, GROWTH * cutoff),
        "sigma": (0.15, 0.9),
        "cutoff_width": (0.1, 0.5 * cutoff),
        "scaling_rate": (1e-3, 20.0),
        "scaling_radius": (0.8, 2.0 * cutoff),
        "scaling_exponent": (0.0, 12.0),
        "centre_weight": (0.0, 4.0),
        "species_weights": (0.05, 10.0),
        "zeta": (1.0, 6.0),
        "regularisation": (1e-9, 1.0),
    }
    descriptor = model.descriptor
    if descriptor.cutoff_width is None:
        del bounds["cutoff"], bounds["cutoff_width"]
    if descriptor.scaling_exponent == 0 or descriptor.scaling_rate == 0:
        for name in ("scaling_rate", "scaling_radius", "scaling_exponent"):
            del bounds[name]
    values = values_of(model, 1e-4)
    return {
        name: (min(low, float(np.min(values[name]))), max(high, float(np.max(values[name]))))
        for name, (low, high) in bounds.items()
    }


def unconstrain(values: Mapping[str, Float[np.ndarray, "..."]], bounds: Bounds) -> Unconstrained:
    """Logit of the place of each value in its interval, in log scale for the regularisation; values outside are moved inside."""
    free = {}
    for name, (low, high) in bounds.items():
        low, high, value = _scaled(name, low), _scaled(name, high), _scaled(name, np.asarray(values[name], dtype=float))
        place = np.clip((value - low) / (high - low), 1e-3, 1.0 - 1e-3)
        free[name] = jnp.asarray(np.log(place / (1.0 - place)))
    return free


def constrain(free: Unconstrained, bounds: Bounds) -> dict[str, Float[Array, "..."]]:
    """Inverse of `unconstrain`: smooth, and always inside the bounds."""
    values = {}
    for name, (low, high) in bounds.items():
        low, high = _scaled(name, low), _scaled(name, high)
        value = low + (high - low) * jax.nn.sigmoid(free[name])
        values[name] = 10.0**value if name == "regularisation" else value
    return values


def values_of(model: TensorGPR, regularisation: float) -> dict[str, Float[np.ndarray, "..."]]:
    """Where the search starts: the model's own hyperparameters."""
    values = {name: getattr(model.descriptor, name) for name in DESCRIPTOR}
    if values["species_weights"] is None:
        values["species_weights"] = np.ones(len(model.descriptor.species))
    return values | {"zeta": model.zeta, "regularisation": np.asarray(regularisation)}


def with_values(descriptor: LambdaSOAP, values: Mapping[str, Float[Array | np.ndarray, "..."]]) -> LambdaSOAP:
    """The descriptor with these hyperparameters."""
    return replace(descriptor, **{name: values[name] for name in DESCRIPTOR if name in values})


def _scaled(name: str, value):
    return np.log10(value) if name == "regularisation" else value
