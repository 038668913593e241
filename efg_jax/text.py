"""Numbers with their errors as text, labels of quantities, and tables as plain text."""

import io
import math
from typing import Any, NamedTuple

from rich.console import Console

SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


class Label(NamedTuple):
    """How a quantity is written: in a table, as mathtext on an axis, and its unit."""

    text: str
    mathtext: str
    unit: str = ""


def with_error(mean: float, error: float | None) -> str:
    """0.0432(12) for 0.0432 ± 0.0012: the error in units of the last digit, with two digits if it begins with 1."""
    if error is None or not error > 1e-4 * abs(mean):
        return digits(mean)
    exponent = math.floor(math.log10(error))
    exponent -= error < 2 * 10.0**exponent
    decimals = max(-exponent, 0)
    return f"{mean:.{decimals}f}({round(error * 10.0**decimals)})".replace("-", "−")


def digits(value: float | None) -> str:
    """Three significant digits; a dash for what does not exist."""
    if value is None:
        return "–"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:#.3g}".rstrip(".")


def correlation(value: float | None) -> str:
    """Pearson's r to four decimals; a dash where it is undefined."""
    return "–" if value is None else f"{value:.4f}".replace("-", "−")


def counted(number: int, word: str) -> str:
    """A number of things: "1 error", "2 errors"."""
    return f"{number} {word}{'s' * (number != 1)}"


def render(renderable: Any, width: int = 110) -> str:
    """A rich renderable as plain text without trailing blanks."""
    console = Console(file=io.StringIO(), width=width, color_system=None, force_jupyter=False, force_terminal=False)
    console.print(renderable)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines()).strip("\n")
