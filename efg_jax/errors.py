"""The one exception that tells a user how to mend their input."""

from numbers import Integral, Real
from typing import Any


class InputError(ValueError):
    """Bad input from outside: a file, a structure, an option. Renders as one line that says where, what, and how to mend it.

    Args:
        message: what is wrong and what to do about it.
        file: path of the offending file.
        frame: index of the offending structure in that file (or in the list that was passed), from 0.
        atom: index of the offending atom in that structure, from 0, optionally with its element: ``7`` or ``"7 (O)"``.
    """

    def __init__(
        self, message: str, *, file: str | None = None, frame: int | None = None, atom: int | str | None = None
    ):
        place = [str(file)] if file is not None else []
        place += [f"frame {frame}"] if frame is not None else []
        place += [f"atom {atom}"] if atom is not None else []
        super().__init__(f"{', '.join(place)}: {message}" if place else message)
        self.file, self.frame, self.atom = file, frame, atom


def as_float(name: str, value: Any) -> float:
    """A real number as Python's own.

    Raises:
        InputError: it is none.
    """
    return float(_checked(name, value, Real, "number"))


def as_int(name: str, value: Any) -> int:
    """A whole number as Python's own.

    Raises:
        InputError: it is none.
    """
    return int(_checked(name, value, Integral, "whole number"))


def _checked(name: str, value: Any, kind: type, what: str) -> Any:
    """The value, which is of a kind of number, and not a truth value either."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{name} = {value!r} is no {what}")
    return value
