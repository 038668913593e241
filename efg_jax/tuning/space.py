"""What a search moves: hyperparameters within bounds, as unconstrained numbers or as places in a cube."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf, isqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.models.tuning_problem import Interval, Parameter, TuningProblem, Values

_EDGE = 1e-3  # a start on a bound is moved this part of the interval inside, where the logit is finite


@dataclass(frozen=True)
class Space:
    """The hyperparameters that a search moves.

    Attributes:
        parameters: by name, each with the interval in which it moves.
        others: that could move, and do not.
    """

    parameters: Mapping[str, Parameter]
    others: Mapping[str, Parameter] = field(default_factory=dict)

    @property
    def bounds(self) -> dict[str, Interval]:
        """Interval of each hyperparameter that has one."""
        return {name: found.bounds for name, found in self.parameters.items() if found.bounds is not None}

    @property
    def bounded(self) -> "Space":
        """The space without matrices that only a gradient can move."""
        return self.of(self.bounds)

    def of(self, names: Collection[str]) -> "Space":
        """The space of these hyperparameters only."""
        moved = {name: found for name, found in self.parameters.items() if name in names}
        return replace(self, parameters=moved, others={**self.others, **self.parameters})

    def unconstrain(self, values: Values) -> dict[str, Float[Array, "..."]]:
        """Logit of the place of each value in its interval; matrices as they are."""
        free = {}
        for name, parameter in self.parameters.items():
            if parameter.bounds is None:
                free[name] = jnp.asarray(values[name])
            else:
                place = np.clip(_place(parameter, values[name]), _EDGE, 1.0 - _EDGE)
                free[name] = jnp.asarray(np.log(place / (1.0 - place)))
        return free

    def constrain(self, free: Values) -> dict[str, Float[Array, "..."]]:
        """Inverse of `unconstrain`: smooth, and always inside the bounds."""
        return {
            name: free[name] if parameter.bounds is None else _value(parameter, jax.nn.sigmoid(free[name]))
            for name, parameter in self.parameters.items()
        }

    @property
    def coordinates(self) -> list[str]:
        """Names of the axes of the cube: an array has one for each component."""
        return [axis for name in self.bounds for axis in components(name, self.parameters[name])]

    def to_cube(self, values: Values) -> Float[np.ndarray, " coordinates"]:
        """Place of each coordinate in its interval, [0, 1]."""
        return np.concatenate([np.ravel(_place(self.parameters[name], values[name])) for name in self.bounds])

    def from_cube(self, cube: Float[np.ndarray, " coordinates"], fixed: Values) -> dict[str, Any]:
        """Inverse of `to_cube`; hyperparameters that do not move are taken from ``fixed``."""
        values, start = dict(fixed), 0
        for name in self.bounds:
            shape = np.shape(fixed[name])
            size = int(np.prod(shape))
            values[name] = np.asarray(_value(self.parameters[name], np.reshape(cube[start : start + size], shape)))
            start += size
        return values

    def suggested(self, trial: Any, fixed: Values) -> dict[str, Any]:
        """What a sampler asks for: continuous hyperparameters as places in [0, 1], whole numbers as themselves.

        Args:
            trial: of optuna, that is asked for each coordinate.
            fixed: hyperparameters that do not move.
        """
        values = dict(fixed)
        for name in self.bounds:
            parameter = self.parameters[name]
            if parameter.whole:
                low, high = (_root(parameter, end) for end in parameter.bounds)
                found = trial.suggest_int(name, low, high, log=parameter.logarithmic)
                values[name] = found**2 if parameter.square else found
            else:
                places = [trial.suggest_float(axis, 0.0, 1.0) for axis in components(name, parameter)]
                values[name] = np.asarray(_value(parameter, np.reshape(places, np.shape(fixed[name]))))
        return values

    def suggestion(self, values: Values) -> dict[str, float | int]:
        """The numbers by which a sampler knows these values."""
        known = {}
        for name in self.bounds:
            parameter = self.parameters[name]
            if parameter.whole:
                known[name] = _root(parameter, values[name])
            else:
                places = np.clip(np.ravel(_place(parameter, values[name])), 0.0, 1.0)
                known |= dict(zip(components(name, parameter), places.tolist(), strict=True))
        return known

    def scalars(self, values: Values) -> dict[str, float]:
        """Hyperparameters that are single numbers, the components of arrays among them; matrices are left out."""
        known, flat = {**self.others, **self.parameters}, {}
        for name, value in values.items():
            if np.ndim(value) == 0:
                flat[name] = float(value)
            elif np.ndim(value) == 1:
                flat |= dict(zip(components(name, known[name]), np.asarray(value).tolist(), strict=True))
        return flat


def components(name: str, parameter: Parameter) -> list[str]:
    """Names of the numbers that a hyperparameter consists of: its own, or ``species_weights[O]``."""
    return [f"{name}[{label}]" for label in parameter.labels] or [name]


def space_of(
    problem: TuningProblem, bounds: Mapping[str, Interval] | None = None, parameters: Iterable[str] | None = None
) -> Space:
    """The space of a search, checked against the model that it starts from.

    Args:
        problem: that is searched.
        bounds: intervals by name; those that are not given are the usual ones.
        parameters: what to move; None: what ``bounds`` names, or what is usual.

    Raises:
        InputError: an unknown name, an empty interval, or one of impossible values or without the start.
    """
    known, given = problem.parameters, dict(bounds or {})
    chosen = tuple(given) or problem.usual if parameters is None else tuple(dict.fromkeys(parameters))
    for name in (*chosen, *given):
        if name in problem.fixed:
            raise InputError(f"cannot tune {name}: {problem.fixed[name]}")
        if name not in known:
            raise InputError(f"cannot tune {name}; choose among {', '.join(known)}")
        if name in given and known[name].bounds is None:
            raise InputError(f"{name} is a matrix without bounds; give its name as a parameter only")
    if not chosen:
        raise InputError(f"there is nothing to tune; choose among {', '.join(known)}")
    moved = {name: known[name].within(given.get(name, known[name].bounds)) for name in chosen}
    checked = {name: _checked(name, parameter, problem.start[name]) for name, parameter in moved.items()}
    return Space(problem.narrowed(checked), known)


def _checked(name: str, parameter: Parameter, start: Any) -> Parameter:
    """The parameter with bounds that are possible and hold the start; of whole numbers and squares those inside."""
    if parameter.bounds is None:
        return parameter
    (low, high), (least, most) = parameter.bounds, parameter.limits
    given = f"bounds of {name} are ({low:g}, {high:g})"
    if not (-inf < low < high < inf):
        raise InputError(f"{given}, an empty box; give the lower one first")
    if not (least <= low and high <= most if parameter.closed else least < low and high < most):
        beyond = "beyond" if parameter.closed else "beyond or on"
        raise InputError(f"{given}, {beyond} its limits {least:g} and {most:g}; narrow them")
    if parameter.whole and (low % 1 or high % 1):
        raise InputError(f"{given}, and it is a whole number; give whole numbers")
    if not (np.all(start >= low) and np.all(start <= high)):
        value = ", ".join(f"{number:g}" for number in np.ravel(start))
        raise InputError(
            f"the start {name} = {value} lies outside its bounds ({low:g}, {high:g}); widen them, or start inside"
        )
    if parameter.square:
        root = isqrt(int(low))
        return parameter.within(((root + (root**2 < low)) ** 2, isqrt(int(high)) ** 2))
    return parameter.within((int(low), int(high)) if parameter.whole else (float(low), float(high)))


def _root(parameter: Parameter, value: int) -> int:
    return isqrt(int(value)) if parameter.square else int(value)


def _scaled(parameter: Parameter, value: Any) -> np.ndarray:
    value = np.asarray(value, dtype=np.float64)
    return np.asarray(np.log(value)) if parameter.logarithmic else value


def _place(parameter: Parameter, value: Any) -> np.ndarray:
    low, high = (_scaled(parameter, end) for end in parameter.bounds)
    return np.asarray((_scaled(parameter, value) - low) / (high - low))


def _value(parameter: Parameter, place: Any) -> Any:
    low, high = (float(_scaled(parameter, end)) for end in parameter.bounds)
    value = low + (high - low) * place
    if not parameter.logarithmic:
        return value
    return jnp.exp(value) if isinstance(value, jax.Array) else np.exp(value)
