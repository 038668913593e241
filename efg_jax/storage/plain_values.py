"""Dataclasses as JSON types, and back."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar

import jax
import numpy as np

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """JSON types: dataclasses as dicts of their fields, arrays and tuples as lists; `from_plain` is the inverse."""
    if is_dataclass(value):
        return {field.name: to_plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(name): to_plain(part) for name, part in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(part) for part in value]
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return np.asarray(value).tolist()
    return value


def from_plain(cls: type[T], values: Any) -> T:
    """A dataclass from what `to_plain` made of it; ``values`` come from a file and may be anything.

    A field whose default is a dataclass becomes one again, and a list a tuple (or what the field's converter makes of
    it).

    Raises:
        KeyError, TypeError: a field is missing, or there are others.
    """
    if unknown := set(values) - {field.name for field in fields(cls)}:
        raise TypeError(f"{cls.__name__} has no {', '.join(sorted(unknown))}")
    given = {}
    for field in fields(cls):
        value = values[field.name]
        default = field.default if field.default_factory is MISSING else field.default_factory()
        if is_dataclass(default) and isinstance(value, Mapping):
            value = from_plain(type(default), value)
        given[field.name] = tuple(value) if isinstance(value, list) else value
    return cls(**given)
