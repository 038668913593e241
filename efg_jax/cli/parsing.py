"""Texts of options to values: elements, isotopes, numbers with units, lists and ranges.

Nothing here imports JAX early.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import Parameter

from efg_jax.errors import InputError

Texts = Sequence[str]
QUANTITIES = {"δ": "delta_iso", "eta2": "eta_squared"}  # beside names and symbols
SPINNING = {"static": 0.0, "inf": math.inf, "infinite": math.inf}


def one(parse: Callable[[str], Any], name: str | None = None, **settings: Any) -> Parameter:
    """An option whose text a function reads."""
    return Parameter(
        name, converter=lambda _, tokens: parse(tokens[-1].value), n_tokens=1, accepts_keys=False, **settings
    )


Repeated = tuple[Any, ...] | dict[str, Any]
"""Type of an option by name, such as O=17O; the tuple is there for `several`."""


def several(parse: Callable[[Texts], Any], name: str | None = None, **settings: Any) -> Parameter:
    """An option that may be repeated, and whose texts a function reads.

    Its type is a tuple, or `Repeated`: of an option of any other type cyclopts passes the last text alone.
    """
    return Parameter(
        name,
        converter=lambda _, tokens: parse([token.value for token in tokens]),
        n_tokens=1,
        accepts_keys=False,
        allow_repeating=True,
        **settings,
    )


def parse_names(values: Texts) -> tuple[str, ...]:
    """Names, one by one or with commas: ["efg,ms", "V"] → ("efg", "ms", "V")."""
    return tuple(dict.fromkeys(name.strip() for value in values for name in value.split(",")))


def parse_species(values: Texts) -> tuple[str, ...]:
    """Element symbols, one by one or with commas: ["O,Si", "Al"] → ("O", "Si", "Al")."""
    if "" in (symbols := parse_names(values)):
        raise InputError("--species has an empty element; write --species O,Si")
    return symbols


def parse_isotopes(values: Texts) -> dict[str, Any]:
    """Isotopes by element: ["Ti=49Ti", "17O"] → {"Ti": ⁴⁹Ti, "O": ¹⁷O}."""
    from efg_jax.tensors.nuclei import isotope

    chosen: dict[str, Any] = {}
    for value in parse_names(values):
        symbol, equals, name = value.rpartition("=")
        nucleus = isotope(name)
        if equals and symbol.strip() != nucleus.symbol:
            raise InputError(
                f"--isotope {value}: {nucleus} is no isotope of {symbol.strip() or 'nothing'}; "
                f"write {nucleus.symbol}={nucleus}, or {nucleus} alone"
            )
        _put(chosen, nucleus.symbol, nucleus, "--isotope")
    return chosen


def parse_references(values: Texts) -> dict[str, float]:
    """Reference shieldings by element: ["O=287.5,Si=330"] → {"O": 287.5, "Si": 330.0}."""
    return _pairs(values, "--reference", "O=287.5, a shielding in ppm", lambda text: _in_range(_number(text), 1e5))


def parse_weights(values: Texts) -> dict[str, float]:
    """Weights by element: ["O=2"] → {"O": 2.0}."""
    return _pairs(values, "--weight", "O=2", _number)


def parse_charges(values: Texts) -> dict[str, float]:
    """Formal charges by element: ["Na=1,O=-2"] → {"Na": 1.0, "O": -2.0}."""
    return _pairs(values, "--charges", "O=-2, a charge in e", lambda text: _in_range(_number(text), 100.0))


def parse_supercell(text: str) -> int | tuple[int, ...]:
    """Multiples of a cell: "2" → 2, "2,2,1" → (2, 2, 1)."""
    numbers = text.split(",")
    if len(numbers) not in (1, 3) or not all(number.strip().isdecimal() and int(number) for number in numbers):
        raise InputError(f"--supercell {text}: expected one whole number or three; write 2, or 2,2,1")
    return int(text) if len(numbers) == 1 else tuple(map(int, numbers))


def parse_bounds(values: Texts) -> dict[str, tuple[float, float]]:
    """Intervals by name: ["sigma=0.2:0.8"] → {"sigma": (0.2, 0.8)}."""
    return _pairs(values, "--bounds", "sigma=0.2:0.8", lambda text: _numbers(text, ":", 2))


def parse_arrays(values: Texts) -> dict[str, str]:
    """Names of tensors in the files: ["V", "ms=sigma"] → {"efg": "V", "ms": "sigma"}.

    A name alone is that of the EFG.
    """
    named = [value if "=" in value else f"efg={value}" for value in values]
    found = _pairs(named, "--array", "efg=NAME or ms=NAME", lambda text: text or None)
    if unknown := sorted(set(found) - {"efg", "ms"}):
        raise InputError(f"--array {unknown[0]}={found[unknown[0]]} is not of the form efg=NAME or ms=NAME")
    return found


def parse_indices(text: str) -> list[int]:
    """Whole numbers and ranges that include both ends: "0,5,10-12" → [0, 5, 10, 11, 12]."""
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = (number.strip() for number in part.partition("-"))
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise InputError(
                f"--indices {text}: {part.strip()!r} is neither a number from 0 on nor a range; write 0,5,10-20"
            )
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)


def parse_sizes(text: str) -> list[int]:
    """Whole numbers with commas: "10,20" → [10, 20]."""
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise InputError(f"--sizes {text}: expected whole numbers with commas; write --sizes 10,20,40") from None


def parse_times(values: Texts) -> tuple[float, ...]:
    """Times in seconds, one by one or with commas: ["1e-5,2e-5"] → (1e-5, 2e-5)."""
    found = tuple(_number(text) for text in parse_names(values))
    if any(time is None or not 0.0 < time < math.inf for time in found):
        raise InputError(f"{','.join(values)}: expected positive times in seconds; write 1e-5,2e-5")
    return found


def parse_direction(text: str) -> tuple[float, float, float]:
    """A vector: "0,0,1" → (0.0, 0.0, 1.0)."""
    if (numbers := _numbers(text, ",", 3)) is None:
        raise InputError(f"--direction {text} is not of the form 0,0,1")
    return numbers


def number_or(word: str, option: str, value: Any = None, positive: bool = False) -> Callable[[str], Any]:
    """Reader of a number, or of a word that stands for a value."""

    def parse(text: str) -> Any:
        number = _number(text)
        if text != word and (number is None or (positive and not number > 0)):
            raise InputError(f"{option} {text} is neither a {'positive ' * positive}number nor '{word}'")
        return value if text == word else number

    return parse


def count_or(word: str, option: str, value: Any = None) -> Callable[[str], Any]:
    """Reader of a whole number, or of a word that stands for a value."""

    def parse(text: str) -> Any:
        try:
            return value if text == word else int(text)
        except ValueError:
            raise InputError(f"{option} {text} is neither a whole number nor '{word}'") from None

    return parse


def parse_spinning(text: str) -> float:
    """A spinning rate in Hz: "static" → 0, "inf" → ∞, or a number."""
    rate = SPINNING.get(text.strip().lower(), _number(text))
    if rate is None or not rate >= 0.0:
        raise InputError(f"--spinning {text} is no rate; give Hz (20000), inf or static")
    return rate


def parse_one_reference(text: str) -> tuple[str, float]:
    """The shielding of one reference with its element: "O=287.5" → ("O", 287.5), "287.5" → ("", 287.5)."""
    symbol, _, number = text.rpartition("=")
    if (shielding := _number(number)) is None:
        raise InputError(f"--reference {text} is no shielding in ppm; write 287.5 or O=287.5")
    return symbol.strip(), shielding


def parse_quantity(text: str) -> str:
    """A quantity by name or symbol: "C_Q", "cq" → "c_q"; case matters only for Δ (the anisotropy) and δ (the shift)."""
    from efg_jax.tensors.quantities import QUANTITIES as KNOWN

    known = [quantity for kind in ("efg", "shielding", "shift") for quantity in KNOWN[kind].values()]
    exact = QUANTITIES | {quantity.symbol: quantity.name for quantity in reversed(known)}
    loose = {_plain(own): quantity.name for quantity in reversed(known) for own in (quantity.symbol, quantity.name)}
    return exact.get(text) or loose.get(_plain(text), text)


def _plain(text: str) -> str:
    return text.lower().replace("_", "")


def _pairs(values: Texts, option: str, form: str, read: Callable[[str], Any]) -> dict[str, Any]:
    """Values by name: ["O=1,Si=2"]; `read` gives None for a text that is none."""
    found: dict[str, Any] = {}
    for pair in parse_names(values):
        name, _, text = (part.strip() for part in pair.partition("="))
        value = read(text)
        if not name or value is None:
            raise InputError(f"{option} {pair} is not of the form {form}")
        _put(found, name, value, option)
    return found


def _put(known: dict[str, Any], name: str, value: Any, option: str) -> None:
    """Add a value, unless another one has the name."""
    if known.setdefault(name, value) != value:
        raise InputError(f"{option} gives both {known[name]} and {value} for {name}; give one of them")


def _number(text: str) -> float | None:
    """A number, which may be infinite."""
    try:
        return None if math.isnan(number := float(text)) else number
    except ValueError:
        return None


def _numbers(text: str, mark: str, count: int) -> tuple[float, ...] | None:
    """So many numbers with a mark between them."""
    found = tuple(number for part in text.split(mark) if (number := _number(part)) is not None)
    return found if len(found) == count == text.count(mark) + 1 else None


def _in_range(number: float | None, largest: float) -> float | None:
    return number if number is not None and abs(number) < largest else None
