"""What NMR measures of sites as a table: on a terminal, as CSV, as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from rich import box
from rich.table import Table

from efg_jax.errors import InputError
from efg_jax.storage.results import ResultWithRows
from efg_jax.tensors.nuclei import Isotope, default_isotope, isotopes, moments_used
from efg_jax.tensors.quantities import QUANTITIES, Quantity

EFG = {"v_zz": "v_zz", "c_q_mhz": "c_q", "p_q_mhz": "p_q", "eta_q": "eta", "nu_q_khz": "splitting"}
"""Columns of field gradients, and the quantities in them."""

CONVENTIONS = {
    "haeberlen": {"anisotropy_ppm": "anisotropy", "reduced_anisotropy_ppm": "zeta", "eta_cs": "eta"},
    "maryland": {"span_ppm": "span", "skew": "skew"},
    "iupac": {"cs_11_ppm": "_11", "cs_22_ppm": "_22", "cs_33_ppm": "_33"},
}
"""Columns of the shielding's anisotropy by convention."""

HEADINGS = {"eta_q": "η_Q", "eta_cs": "η_CS"}  # two columns of one symbol
UNDEFINED = "–"
LETTERS = {"shielding": "sigma", "shift": "delta"}


def columns_of(tensors: Sequence[str], sense: str, conventions: Sequence[str]) -> dict[str, Quantity]:
    """The quantity of each column, in their order.

    Args:
        tensors: "efg" and "ms", as far as there are some.
        sense: "shielding" or "shift".
        conventions: of `CONVENTIONS`.
    """
    named: dict[str, Quantity] = {}
    if "efg" in tensors:
        named |= {column: QUANTITIES["efg"][name] for column, name in EFG.items()} | _angles("efg", "efg")
    if "ms" in tensors:
        own = {"iso_ppm": "_iso"} | {column: name for one in conventions for column, name in CONVENTIONS[one].items()}
        names = {column: LETTERS[sense] + name if name.startswith("_") else name for column, name in own.items()}
        named |= {column: QUANTITIES[sense][name] for column, name in names.items()} | _angles("cs", sense)
    if "efg" in tensors and "ms" in tensors:
        named |= _angles("rel", "relative")
    return {column: replace(one, symbol=HEADINGS.get(column, one.symbol)) for column, one in named.items()}


def _angles(label: str, kind: str) -> dict[str, Quantity]:
    return {f"{label}_{angle}_deg": QUANTITIES[kind][angle] for angle in ("alpha", "beta", "gamma")}


@dataclass(frozen=True)
class SiteObservables(ResultWithRows):
    """One row for each site.

    ``observables["c_q_mhz"]`` is a column, an array with NaN where a site has no such value; ``len`` is the number of
    sites.

    Attributes:
        values: columns by name, in order; the names end in their unit. First come frame (position in the list), atom
            (from 0), element, label and isotope; before them, where the sites come from several files, file and
            source_frame (the number of the frame in that file).
        sense: whether the columns of the shielding are of "shielding" or of "shift".
        conventions: of the shielding's anisotropy.
        rotation: sense of the Euler angles, "active" or "passive".
        efg_axes: order of the field gradient's axes, "nqr" or "haeberlen".
        isotopes: the nuclei by name, with the quadrupole moments that were used.
        by_default: names of those that nobody asked for.
        undefined: by column, whether each value is undefined, because the tensor is isotropic, or axial, to rounding:
            the array has 0 there, tables "–" and files nothing. Columns without such values are left out.
    """

    values: dict[str, np.ndarray]
    sense: str
    conventions: tuple[str, ...]
    rotation: str
    efg_axes: str
    isotopes: dict[str, Isotope]
    by_default: tuple[str, ...]
    undefined: dict[str, np.ndarray]

    width: ClassVar[int] = 1000

    def __len__(self) -> int:
        return len(self.values["atom"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    @property
    def columns(self) -> dict[str, Quantity]:
        """The quantities in the columns, with symbol, unit and meaning."""
        known = columns_of(("efg", "ms"), self.sense, tuple(CONVENTIONS))
        return {name: known[name] for name in self.values if name in known}

    def described(self) -> dict[str, dict[str, Any]]:
        """Observables with unit and meaning, {"values": array, "units": "MHz", "description": ...}."""
        return {
            name: {"values": self.values[name], "units": one.display_unit, "description": one.what}
            for name, one in self.columns.items()
        }

    def names(self, part: str = "all") -> list[str]:
        """Columns of a part: "quadrupolar", "shielding", "angles" or "all"."""
        parts = {"all", "quadrupolar", "shielding", "angles"}
        if part not in parts:
            raise InputError(f"unknown part {part!r} of the table; known are {', '.join(sorted(parts))}")
        return [name for name, one in self.columns.items() if part in ("all", _part(one))]

    def table(self, part: str = "all") -> Table:
        """For a terminal: print it with rich.

        Args:
            part: "quadrupolar", "shielding", "angles" or "all" of the observables.

        Raises:
            InputError: another part.
        """
        table = Table(caption=self._caption(), caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        columns = {name: self.columns[name] for name in self.names(part)}
        named = [name for name in self.values if name not in self.columns and not (name == "frame" and self._one_frame)]
        for name in named:
            table.add_column(
                name, justify="right" if name in ("source_frame", "frame", "atom") else "left", no_wrap=True
            )
        for one in columns.values():
            heading = f"{one.symbol} \\[{one.display_unit}]" if one.display_unit else one.symbol
            table.add_column(heading, justify="right", no_wrap=True)
        for i in range(len(self)):
            texts = [str(self.values[name][i]).replace("[", r"\[") for name in named]
            texts += [
                UNDEFINED if self._is_undefined(name, i) else _rounded(self.values[name][i], one.decimals)
                for name, one in columns.items()
            ]
            table.add_row(*texts)
        return table

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary for each site; None where there is no value, or an undefined one."""
        sites = enumerate(zip(*(self.values[name].tolist() for name in self.values), strict=True))
        return [
            {
                self._name(name): None if _absent(value) or self._is_undefined(name, i) else value
                for name, value in zip(self.values, row, strict=True)
            }
            for i, row in sites
        ]

    def to_dict(self) -> dict[str, Any]:
        """Conventions, units, nuclei, `rows`, and by column the numbers of the rows in which it is undefined."""
        return {
            "sense": self.sense,
            "conventions": list(self.conventions),
            "euler_angles": {
                "order": "zyz",
                "rotation": self.rotation,
                "efg_axes": self.efg_axes,
                "cs_axes": "haeberlen",
            },
            "units": {self._name(name): one.display_unit for name, one in self.columns.items()},
            "what": {self._name(name): one.what for name, one in self.columns.items()},
            "isotopes": {
                name: {
                    "spin": nucleus.spin,
                    "quadrupole_moment_mb": nucleus.quadrupole_moment,
                    "source": nucleus.quadrupole_source,
                    "by_default": name in self.by_default,
                }
                for name, nucleus in self.isotopes.items()
            },
            "undefined": {self._name(name): np.flatnonzero(flag).tolist() for name, flag in self.undefined.items()},
            "sites": self.rows(),
        }

    @property
    def _one_frame(self) -> bool:
        return len(set(self.values["frame"].tolist())) == 1

    def _is_undefined(self, name: str, row: int) -> bool:
        return name in self.undefined and bool(self.undefined[name][row])

    def _name(self, name: str) -> str:
        """Name in files, where a shielding and a shift must not have the same."""
        letter = LETTERS[self.sense]
        if name in CONVENTIONS["iupac"]:
            return name.replace("cs_", f"{letter}_")
        return f"{letter}_iso_ppm" if name == "iso_ppm" else name

    def _caption(self) -> str:
        said = []
        if self.names("angles"):
            order = "NQR" if self.efg_axes == "nqr" else "Haeberlen"
            said.append(f"Euler angles: ZYZ, {self.rotation}; EFG axes in {order} order")
        if "iso_ppm" in self.values:
            said.append(f"{self.sense} in ppm, its axes in Haeberlen order")
        if "c_q_mhz" in self.values and (moments := moments_used(self.isotopes.values())):
            said.append(moments)
        if self.undefined:
            said.append(f"{UNDEFINED}: undefined, the tensor is isotropic or axial to rounding")
        return ". ".join(said + self._defaults())

    def _defaults(self) -> list[str]:
        """Which nuclei were taken where there was a choice, and how to choose."""
        taken = [self.isotopes[name] for name in self.by_default]
        others = {one: [str(other) for other in isotopes(one.symbol) if other != one] for one in taken}
        named = [
            f"{one} (of a shielding alone)" if one != default_isotope(one.symbol) else str(one)
            for one in taken
            if others[one]
        ]
        if not named:
            return []
        another = next(names[0] for names in others.values() if names)
        return [f"By default {', '.join(named)}; another with --isotope {another}"]


def _absent(value: Any) -> bool:
    return isinstance(value, float) and not np.isfinite(value)


def _rounded(value: float, decimals: int) -> str:
    return "" if not np.isfinite(value) else f"{value:z.{decimals}f}"


def _part(quantity: Quantity) -> str:
    if quantity.display == "°":
        return "angles"
    return "quadrupolar" if quantity.tensor == "efg" else "shielding"
