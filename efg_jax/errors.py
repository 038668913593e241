"""The exception that tells users how to correct their input."""

from numbers import Integral, Real
from typing import Any


class InputError(ValueError):
    """Bad input: a file, a structure, an option. Prints as one line: where, what is wrong, and how to correct it.

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
        self.message, self.file, self.frame, self.atom = message, file, frame, atom


def as_float(name: str, value: Any) -> float:
    """A real number as a Python float.

    Raises:
        InputError: it is not a number.
    """
    return float(_checked(name, value, Real, "a number"))


def as_int(name: str, value: Any) -> int:
    """An integer as a Python int.

    Raises:
        InputError: it is not an integer.
    """
    return int(_checked(name, value, Integral, "an integer"))


def _checked(name: str, value: Any, kind: type, what: str) -> Any:
    """The value if it is a number of this kind, and not True or False."""
    if not isinstance(value, kind) or isinstance(value, bool):
        raise InputError(f"{name} must be {what}, got {value!r}")
    return value
