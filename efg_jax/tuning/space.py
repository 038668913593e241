"""What a search moves: hyperparameters within bounds, as unconstrained numbers for gradients and as a cube for designs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.descriptors import LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp import ScalarGPR, TensorGPR

Model = TensorGPR | ScalarGPR
Values = dict[str, Float[Array | np.ndarray, "..."]]
"""Hyperparameters by name, those that a search leaves alone included."""

DESCRIPTOR = (
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

LOGARITHMIC = ("regularisation", "scaling_rate", "species_weights")
UNBOUNDED = ("contraction",)
"""Matrices that only a gradient can move; they have no bounds."""

IMPORTANCE = (
    "cutoff",
    "sigma",
    "regularisation",
    "scaling_exponent",
    "scaling_radius",
    "zeta",
    "cutoff_width",
    "centre_weight",
    "species_weights",
    "scaling_rate",
)
"""Which hyperparameters a design takes first where it cannot afford them all."""

START_REGULARISATION = 1e-4  # where the model says "auto"
_EDGE = 1e-3  # a start on a bound is moved this part of the interval inside, where the logit is finite


@dataclass(frozen=True)
class Space:
    """Hyperparameters to tune, and their intervals.

    Attributes:
        bounds: (low, high) by name; all elements of ``species_weights`` share theirs.
        contraction: whether the matrix that contracts the density's channels is learned too (by gradient only).
    """

    bounds: Mapping[str, tuple[float, float]]
    contraction: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the hyperparameters that move."""
        return (*self.bounds, *(UNBOUNDED if self.contraction else ()))

    def unconstrain(self, values: Mapping[str, Array | np.ndarray]) -> Values:
        """Logit of the place of each value in its interval; matrices as they are."""
        free = {}
        for name, (low, high) in self.bounds.items():
            place = np.clip(_place(name, values[name], low, high), _EDGE, 1.0 - _EDGE)
            free[name] = jnp.asarray(np.log(place / (1.0 - place)))
        return free | {name: jnp.asarray(values[name]) for name in self.names if name in UNBOUNDED}

    def constrain(self, free: Mapping[str, Array | np.ndarray]) -> Values:
        """Inverse of `unconstrain`: smooth, and always inside the bounds."""
        values = dict(free)
        for name, (low, high) in self.bounds.items():
            values[name] = _value(name, jax.nn.sigmoid(free[name]), low, high)
        return values

    def coordinates(self, values: Mapping[str, Array | np.ndarray]) -> list[str]:
        """Names of the axes of the cube: ``species_weights`` has one for each element."""
        return [
            name if np.ndim(values[name]) == 0 else f"{name}[{place}]"
            for name in self.bounds
            for place in range(np.size(values[name]))
        ]

    def to_cube(self, values: Mapping[str, Array | np.ndarray]) -> Float[np.ndarray, " coordinates"]:
        """Place of each coordinate in its interval, [0, 1]."""
        return np.concatenate([np.ravel(_place(name, values[name], *pair)) for name, pair in self.bounds.items()])

    def from_cube(
        self, cube: Float[np.ndarray, " coordinates"], fixed: Mapping[str, Array | np.ndarray]
    ) -> dict[str, np.ndarray]:
        """Inverse of `to_cube`; hyperparameters that do not move are taken from ``fixed``."""
        values, start = dict(fixed), 0
        for name, pair in self.bounds.items():
            shape = np.shape(fixed[name])
            size = int(np.prod(shape))
            values[name] = np.asarray(_value(name, np.reshape(cube[start : start + size], shape), *pair))
            start += size
        return values


def default_bounds(model: Model) -> dict[str, tuple[float, float]]:
    """Interval of each hyperparameter that is tuned, wide enough to hold the model's own value.

    What has no gradient is left as it is: a hard cutoff, and a radial scaling that is switched off; so is the ζ = 1 of a primal model.
    """
    descriptor = model.descriptor
    cutoff = float(descriptor.cutoff)
    bounds = {
        "cutoff": (0.6 * cutoff, 1.6 * cutoff),
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
    if descriptor.cutoff_width is None:
        del bounds["cutoff"], bounds["cutoff_width"]
    if descriptor.scaling_exponent == 0 or descriptor.scaling_rate == 0:
        for name in ("scaling_rate", "scaling_radius", "scaling_exponent"):
            del bounds[name]
    if isinstance(model, TensorGPR) and model.primal:
        del bounds["zeta"]
    values = values_of(model)
    return {
        name: (min(low, float(np.min(values[name]))), max(high, float(np.max(values[name]))))
        for name, (low, high) in bounds.items()
    }


def space_of(
    model: Model, bounds: Mapping[str, tuple[float, float]] | None, parameters: tuple[str, ...] | None
) -> Space:
    """The space of a search, checked against the model that it starts from.

    Args:
        model: with species.
        bounds: intervals by name; those that are not given are the default ones.
        parameters: what to tune; None: what ``bounds`` names, or everything (and the contraction, if the model has one).

    Raises:
        InputError: an unknown name, an empty interval, or one that excludes the start.
    """
    usual, given, values = default_bounds(model), dict(bounds or {}), values_of(model)
    contracted = model.descriptor.contraction is not None
    known = (*usual, *(UNBOUNDED if contracted else ()))
    if parameters is None:
        parameters = tuple(given) or known
    for name in (*parameters, *given):
        if name in ("cutoff", "cutoff_width") and model.descriptor.cutoff_width is None:
            raise InputError(f"{name}: a hard cutoff has no gradient to tune it by; set cutoff_width, or leave it out")
        if name not in known:
            raise InputError(f"cannot tune {name}; choose among {', '.join(known)}")
        if name in given and name in UNBOUNDED:
            raise InputError(f"{name} is a matrix without bounds; give its name as a parameter only")
    if not parameters:
        raise InputError(f"there is nothing to tune; choose among {', '.join(known)}")
    chosen = {name: tuple(map(float, given.get(name, usual.get(name, ())))) for name in dict.fromkeys(parameters)}
    learned = chosen.pop("contraction", None) is not None
    for name, (low, high) in chosen.items():
        _check_interval(name, low, high, np.asarray(values[name]))
    return Space(chosen, learned)


def _check_interval(name: str, low: float, high: float, value: np.ndarray) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise InputError(f"bounds of {name} are ({low:g}, {high:g}), an empty box; give the lower one first")
    least = {"zeta": 1.0, "scaling_exponent": 0.0, "centre_weight": 0.0}.get(name)
    if low <= 0 if least is None else low < least:
        raise InputError(
            f"the lower bound {low:g} of {name} is not {'positive' if least is None else f'{least:g} or more'}"
        )
    if not ((value >= low).all() and (value <= high).all()):
        raise InputError(
            f"the start {name} = {np.array2string(value, precision=6)} lies outside its bounds ({low:g}, {high:g}); widen them, or start inside"
        )


def values_of(model: Model) -> dict[str, np.ndarray]:
    """The model's own hyperparameters; what it does not have (a hard cutoff's width, a contraction) is left out."""
    values = {name: getattr(model.descriptor, name) for name in DESCRIPTOR}
    if values["species_weights"] is None and model.descriptor.species is not None:
        values["species_weights"] = np.ones(len(model.descriptor.species))
    regularisation = START_REGULARISATION if model.regularisation == "auto" else float(model.regularisation)
    values |= {"zeta": model.zeta, "regularisation": regularisation}
    return {name: np.asarray(value, dtype=np.float64) for name, value in values.items() if value is not None}


def with_values(descriptor: LambdaSOAP, values: Mapping[str, Float[Array | np.ndarray, "..."]]) -> LambdaSOAP:
    """The descriptor with these hyperparameters."""
    return replace(descriptor, **{name: values[name] for name in DESCRIPTOR if name in values})


def parse_bounds(texts: list[str]) -> dict[str, tuple[float, float]]:
    """Intervals from text: ["sigma=0.2:0.8"] → {"sigma": (0.2, 0.8)}."""
    bounds = {}
    for text in texts:
        match = re.fullmatch(r"\s*(\w+)\s*=\s*([^:]+):([^:]+)", text)
        try:
            name, low, high = match.groups()
            bounds[name] = (float(low), float(high))
        except (AttributeError, ValueError):
            raise InputError(f"bounds {text!r} are not of the form sigma=0.2:0.8") from None
    return bounds


def _scaled(name: str, value):
    return np.log(value) if name in LOGARITHMIC else np.asarray(value, dtype=np.float64)


def _place(name: str, value, low: float, high: float) -> np.ndarray:
    low, high = _scaled(name, low), _scaled(name, high)
    return np.asarray((_scaled(name, np.asarray(value, dtype=np.float64)) - low) / (high - low))


def _value(name: str, place, low: float, high: float):
    low, high = float(_scaled(name, low)), float(_scaled(name, high))
    value = low + (high - low) * place
    if name not in LOGARITHMIC:
        return value
    return jnp.exp(value) if isinstance(value, jax.Array) else np.exp(value)
