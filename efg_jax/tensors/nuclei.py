"""The nuclei of NMR: spin, quadrupole moment, gyromagnetic ratio, with sources; users can override all of them.

Quadrupole moments are those of Pyykkö's year-2008 compilation; `use_moments` takes his year-2017 one instead. Other
values (²⁷Al ≈ 148.2 mb): ``isotope("27Al").replace(quadrupole_moment=148.2, quadrupole_source="...")``, for one call,
or `register_isotope` it for good."""

import dataclasses
import difflib
import math
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.text import SUPERSCRIPT

PYYKKO_2008 = "P. Pyykkö, Mol. Phys. 106 (2008) 1965"
PYYKKO_2018 = "P. Pyykkö, Mol. Phys. 116 (2018) 1328"
HARRIS_2001 = "R. K. Harris et al., Pure Appl. Chem. 73 (2001) 1795"


@dataclasses.dataclass(frozen=True)
class Isotope:
    """A nucleus as NMR sees it.

    Args:
        symbol: chemical element, "O".
        mass_number: 17.
        spin: nuclear spin I, in units of ħ: 2.5.
        quadrupole_moment: Q in millibarn with its sign; None for spins below 1 (and where it is unknown).
        gyromagnetic_ratio: γ in rad/s/T, with its sign.
        quadrupole_source: where Q was taken from.
        gyromagnetic_source: where γ was taken from.
    """

    symbol: str
    mass_number: int
    spin: float
    quadrupole_moment: float | None
    gyromagnetic_ratio: float
    quadrupole_source: str = "user"
    gyromagnetic_source: str = "user"

    def __post_init__(self):
        if self.spin < 0 or not float(2 * self.spin).is_integer():
            raise InputError(f"{self.name}: spin {self.spin} is not a multiple of 1/2; give I in units of ħ, as 2.5")
        if self.spin < 1 and self.quadrupole_moment is not None:
            raise InputError(
                f"{self.name}: a nucleus of spin {self.spin} has no quadrupole moment; give quadrupole_moment=None"
            )

    @property
    def name(self) -> str:
        """Mass number and element, "17O"."""
        return f"{self.mass_number}{self.symbol}"

    @property
    def symbol_text(self) -> str:
        """Mass number as a superscript, and element, "¹⁷O"."""
        return self.name.translate(SUPERSCRIPT)

    def __str__(self) -> str:
        return self.name

    @property
    def is_quadrupolar(self) -> bool:
        """Whether the nucleus couples to the electric field gradient: spin 1 or more."""
        return self.spin >= 1

    @property
    def quadrupolar_sibling(self) -> "Isotope | None":
        """The isotope of the same element with a quadrupole moment that this table would use, None where it knows of
        none.
        """
        candidates = [other for other in isotopes(self.symbol) if other.quadrupole_moment is not None and other != self]
        preferred = default_isotope(self.symbol)
        return preferred if preferred in candidates else next(iter(candidates), None)

    def require_quadrupole(self) -> float:
        """Q in millibarn.

        Raises:
            InputError: the nucleus has none (spin below 1), or the table does not know it.
        """
        if self.quadrupole_moment is not None:
            return self.quadrupole_moment
        if self.is_quadrupolar:
            raise InputError(
                f"no quadrupole moment is known for {self}; "
                f"give one: isotope({self.name!r}).replace(quadrupole_moment=...)"
            )
        sibling = self.quadrupolar_sibling
        mend = f"did you mean {sibling}?" if sibling else f"and {self.symbol} has no quadrupolar isotope in the table"
        raise InputError(f"{self} has spin {self.spin:g} and no quadrupole moment, so no quadrupolar coupling; {mend}")

    def replace(self, **changes) -> "Isotope":
        """A copy with some values changed, as `dataclasses.replace`; a changed value without a source is marked as the
        user's.
        """
        for value, source in (
            ("quadrupole_moment", "quadrupole_source"),
            ("gyromagnetic_ratio", "gyromagnetic_source"),
        ):
            if value in changes:
                changes.setdefault(source, "user")
        return dataclasses.replace(self, **changes)


class Nuclei(NamedTuple):
    """Nuclei as arrays, one for each atom, so that one compiled function serves all isotopes.

    Attributes:
        spin: nuclear spin I; NaN for an atom without a nucleus.
        quadrupole_moment: Q in millibarn; NaN where there is none.
    """

    spin: Float[Array | np.ndarray, "*atoms"]
    quadrupole_moment: Float[Array | np.ndarray, "*atoms"]

    @classmethod
    def of(cls, nuclei: "Sequence[Isotope | None]") -> "Nuclei":
        """Arrays (atoms,) of isotopes; None: an atom without a nucleus of interest."""
        moments = [None if nucleus is None else nucleus.quadrupole_moment for nucleus in nuclei]
        return cls(
            np.array([math.nan if nucleus is None else nucleus.spin for nucleus in nuclei], dtype=float),
            np.array([math.nan if moment is None else moment for moment in moments], dtype=float),
        )

    def require_quadrupole(self) -> Float[Array | np.ndarray, "*atoms"]:
        """Q in millibarn; NaN where there is none."""
        return self.quadrupole_moment


# Isotope, spin I, Q (mb, Pyykkö 2008), γ (10⁷ rad/s/T, Harris 2001). The first isotope of an element is its default:
# the quadrupolar one that people measure, or, for elements that have only spin 1/2, that one. The first of spin 1/2 is
# the default where nothing but the shielding is known.
_TABLE = """
2H 1 2.86 4.10662791 | 1H 1/2 - 26.7522128 | 3H 1/2 - 28.5349779 | 3He 1/2 - -20.3801587
7Li 3/2 -40.1 10.3977013 | 6Li 1 -0.808 3.9371709 | 9Be 3/2 52.88 -3.759666
11B 3/2 40.59 8.5847044 | 10B 3 84.59 2.8746786 | 13C 1/2 - 6.728284
14N 1 20.44 1.9337792 | 15N 1/2 - -2.71261804 | 17O 5/2 -25.58 -3.62808 | 19F 1/2 - 25.18148 | 21Ne 3/2 101.55 -2.11308
23Na 3/2 104 7.0808493 | 25Mg 5/2 199.4 -1.63887 | 27Al 5/2 146.6 6.9762715 | 29Si 1/2 - -5.3190 | 31P 1/2 - 10.8394
33S 3/2 -67.8 2.055685 | 35Cl 3/2 -81.65 2.624198 | 37Cl 3/2 -64.35 2.184368
39K 3/2 58.5 1.2500608 | 40K 4 -73 -1.5542854 | 41K 3/2 71.1 0.68606808 | 43Ca 7/2 -40.8 -1.803069
45Sc 7/2 -220 6.5087973
47Ti 5/2 302 -1.5105 | 49Ti 7/2 247 -1.51095 | 51V 7/2 -52 7.0455117 | 50V 6 210 2.670649 | 53Cr 3/2 -150 -1.5152
55Mn 5/2 330 6.6452546 | 57Fe 1/2 - 0.8680624 | 59Co 7/2 420 6.332 | 61Ni 3/2 162 -2.3948
63Cu 3/2 -220 7.111789 | 65Cu 3/2 -204 7.60435 | 67Zn 5/2 150 1.676688
71Ga 3/2 107 8.181171 | 69Ga 3/2 171 6.438855 | 73Ge 9/2 -196 -0.9360303 | 75As 3/2 314 4.596163 | 77Se 1/2 - 5.1253857
81Br 3/2 262 7.249776 | 79Br 3/2 313 6.725616 | 83Kr 9/2 259 -1.0331
87Rb 3/2 133.5 8.7864 | 85Rb 5/2 276 2.592705 | 87Sr 9/2 305 -1.1639376 | 89Y 1/2 - -1.3162791 | 91Zr 5/2 -176 -2.49743
93Nb 9/2 -320 6.5674 | 95Mo 5/2 -22 -1.751 | 97Mo 5/2 255 -1.788 | 99Tc 9/2 -129 6.046
99Ru 5/2 79 -1.229 | 101Ru 5/2 457 -1.377
103Rh 1/2 - -0.8468 | 105Pd 5/2 660 -1.23 | 109Ag 1/2 - -1.2518634 | 107Ag 1/2 - -1.0889181
113Cd 1/2 - -5.9609155 | 111Cd 1/2 - -5.6983131 | 115In 9/2 770 5.8972 | 113In 9/2 759 5.8845
119Sn 1/2 - -10.0317 | 117Sn 1/2 - -9.58879 | 115Sn 1/2 - -8.8013 | 121Sb 5/2 -543 6.4435 | 123Sb 7/2 -692 3.4892
125Te 1/2 - -8.5108404 | 123Te 1/2 - -7.059098 | 127I 5/2 -696 5.389573 | 131Xe 3/2 -114 2.209076
129Xe 1/2 - -7.452103
133Cs 7/2 -3.43 3.5332539 | 137Ba 3/2 245 2.99295 | 135Ba 3/2 160 2.6755 | 139La 7/2 200 3.8083318
138La 5 450 3.557239
141Pr 5/2 -58.9 8.1907 | 143Nd 7/2 -630 -1.457 | 145Nd 7/2 -330 -0.898 | 147Sm 7/2 -259 -1.115 | 149Sm 7/2 75 -0.9192
151Eu 5/2 903 6.651 | 153Eu 5/2 2412 2.9369 | 157Gd 3/2 1350 -1.0769 | 155Gd 3/2 1270 -0.82132 | 159Tb 3/2 1432 6.431
163Dy 5/2 2648 1.289 | 161Dy 5/2 2507 -0.9201 | 165Ho 7/2 3580 5.71 | 167Er 7/2 3565 -0.77157 | 169Tm 1/2 - -2.218
173Yb 5/2 2800 -1.3025 | 171Yb 1/2 - 4.7288 | 175Lu 7/2 3490 3.0552 | 176Lu 7 4970 2.1684
177Hf 7/2 3365 1.086 | 179Hf 9/2 3793 -0.6821 | 181Ta 7/2 3170 3.2438 | 183W 1/2 - 1.1282403
187Re 5/2 2070 6.1682 | 185Re 5/2 2180 6.1057 | 189Os 3/2 856 2.10713 | 187Os 1/2 - 0.6192895
193Ir 3/2 751 0.5227 | 191Ir 3/2 816 0.4812 | 195Pt 1/2 - 5.8385 | 197Au 3/2 547 0.47306
201Hg 3/2 387 -1.788769 | 199Hg 1/2 - 4.8457916 | 205Tl 1/2 - 15.6921808 | 203Tl 1/2 - 15.5393338 | 207Pb 1/2 - 5.58046
209Bi 9/2 -516 4.375 | 235U 7/2 4936 -0.52
"""

# What Pyykkö's year-2017 table (Mol. Phys. 2018) has changed, mb; the others are as in 2008.
_SINCE_2008 = """
2H 2.85783 | 33S -69.4 | 35Cl -81.12 | 37Cl -63.93 | 39K 60.3 | 40K -75.0 | 41K 73.4 | 67Zn 122 | 75As 311
79Br 308.7 | 81Br 257.9 | 113In 761 | 115In 772 | 127I -688.22 | 131Xe -114.6 | 135Ba 153 | 137Ba 236 | 139La 206
"""


def _parse(row: str) -> Isotope:
    name, spin, moment, ratio = row.split()
    mass_number, symbol = re.fullmatch(r"(\d+)([A-Z][a-z]?)", name).groups()
    numerator, _, denominator = spin.partition("/")
    quadrupolar = moment != "-"
    return Isotope(
        symbol=symbol,
        mass_number=int(mass_number),
        spin=int(numerator) / int(denominator or 1),
        quadrupole_moment=float(moment) if quadrupolar else None,
        gyromagnetic_ratio=float(f"{ratio}e7"),
        quadrupole_source=PYYKKO_2008 if quadrupolar else "none: spin 1/2",
        gyromagnetic_source=HARRIS_2001,
    )


def _read_table() -> tuple[dict[str, Isotope], dict[str, str]]:
    """All isotopes by name, and the name of each element's default."""
    known, defaults = {}, {}
    for row in filter(str.strip, re.split(r"[|\n]", _TABLE)):
        entry = _parse(row)
        known[entry.name] = entry
        defaults.setdefault(entry.symbol, entry.name)
    return known, defaults


_ISOTOPES, _DEFAULTS = _read_table()
_CHANGED = {name: float(q) for name, q in map(str.split, re.split(r"[|\n]", _SINCE_2008.strip()))}
MOMENTS: dict[str, tuple[str, dict[str, float]]] = {
    "pyykko2008": (PYYKKO_2008, {}),
    "pyykko2018": (PYYKKO_2018, _CHANGED),
}
"""Compilations of quadrupole moments: source, and values in mb where they are not those of 2008."""
_NICKNAMES = {"D": "2H", "T": "3H"}


def use_moments(moments: str = "pyykko2008") -> None:
    """Take the quadrupole moments from another compilation, in this process. Do so first: compiled functions keep what
    they were compiled with. Nuclei that the user changed or registered stay as they are.

    Args:
        moments: compilation of quadrupole moments: pyykko2008 (P. Pyykkö, Mol. Phys. 106, 1965), or pyykko2018, its
            revision (Mol. Phys. 116, 1328).

    Raises:
        InputError: another name.
    """
    if moments not in MOMENTS:
        raise InputError(f"unknown table of quadrupole moments {moments!r}; known are {', '.join(MOMENTS)}")
    source, changed = MOMENTS[moments]
    of_2008, _ = _read_table()
    ours = {source for source, _ in MOMENTS.values()}
    for name, old in of_2008.items():
        if _ISOTOPES[name].quadrupole_source in ours:
            moment = changed.get(name, old.quadrupole_moment)
            _ISOTOPES[name] = _ISOTOPES[name].replace(quadrupole_moment=moment, quadrupole_source=source)


def moments_used(nuclei: Iterable[Isotope | None]) -> str:
    """Quadrupole moments with their sources, for the foot of a table that shows C_Q: "Q: ¹⁷O −25.58 mb (P. Pyykkö,
    ...)". Empty where no nucleus has one.
    """
    by_source: dict[str, list[str]] = {}
    for nucleus in dict.fromkeys(nuclei):
        if nucleus is not None and nucleus.quadrupole_moment is not None:
            text = f"{nucleus} {nucleus.quadrupole_moment:g} mb"
            by_source.setdefault(nucleus.quadrupole_source, []).append(text)
    return "; ".join(f"Q: {', '.join(texts)} ({source})" for source, texts in by_source.items())


def isotopes(symbol: str | None = None) -> tuple[Isotope, ...]:
    """The isotopes in the table, of one element (its default first) or of all."""
    return tuple(entry for entry in _ISOTOPES.values() if symbol is None or entry.symbol == symbol)


def isotope(name: str | Isotope | Nuclei) -> Isotope | Nuclei:
    """Look up a nucleus.

    Args:
        name: "17O", "O17", "O-17", "17-O", "D"; an `Isotope` passes through, and so do `Nuclei`.

    Returns:
        The table's entry, with the user's overrides.

    Raises:
        InputError: not in the table; the message names the isotopes of that element, or names that look alike.
    """
    if isinstance(name, Isotope | Nuclei):
        return name
    text = _NICKNAMES.get(name.strip(), name.strip())
    match = re.fullmatch(r"(\d+)[-_ ]?([A-Za-z]{1,2})", text) or re.fullmatch(r"([A-Za-z]{1,2})[-_ ]?(\d+)", text)
    if match:
        mass_number, symbol = sorted(match.groups())  # digits sort before letters
        found = _ISOTOPES.get(f"{int(mass_number)}{symbol.capitalize()}")
        if found is not None:
            return found
    raise InputError(f"unknown isotope {name!r}; {_near(text)}, or add it with register_isotope(Isotope(...))")


def _near(text: str) -> str:
    symbol = re.sub(r"[^A-Za-z]", "", text).capitalize()
    siblings = [entry.name for entry in isotopes(symbol)]
    alike = siblings or difflib.get_close_matches(text, _ISOTOPES, n=3, cutoff=0.5)
    return f"did you mean {' or '.join(alike)}?" if alike else "write it as 17O"


def default_isotope(symbol: str, *, gradient: bool = True) -> Isotope | None:
    """The isotope of an element that NMR would use to see what is known of its atoms.

    Args:
        symbol: chemical element, "O".
        gradient: whether the field gradient is known. Without it, the quadrupolar isotope of an element that has one of
            spin 1/2 as well (H, N, Xe, Yb, Os, Hg) would be observed without its largest interaction.

    Returns:
        With the gradient the quadrupolar isotope (²H, ⁷Li, ¹⁴N, ¹⁷O, ²⁷Al, ⁴⁷Ti, ...), or, where there is none, that of
        spin 1/2 (¹³C, ²⁹Si, ³¹P); without it that of spin 1/2 (¹H, ¹⁵N, ¹²⁹Xe, ¹³C, ...), or, where there is none, the
        quadrupolar one. None for an element that is not in the table.
    """
    name = _DEFAULTS.get(symbol)
    if name is None:
        return None
    chosen = _ISOTOPES[name]
    if gradient:
        return chosen
    return next((other for other in isotopes(symbol) if not other.is_quadrupolar), chosen)


def default_quadrupolar_isotope(symbol: str) -> Isotope | None:
    """`default_isotope`, where that has a quadrupole moment; None for elements without one."""
    entry = default_isotope(symbol)
    return entry if entry is not None and entry.quadrupole_moment is not None else None


def register_isotope(entry: Isotope, *, default: bool = False) -> Isotope:
    """Add an isotope to the table of this process, or override one that is there.

    Args:
        entry: the isotope, complete with the sources of its values.
        default: also make it its element's default.

    Returns:
        The same isotope.
    """
    _ISOTOPES[entry.name] = entry
    if default or entry.symbol not in _DEFAULTS:
        _DEFAULTS[entry.symbol] = entry.name
    return entry
