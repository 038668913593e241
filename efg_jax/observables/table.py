"""Observables of sites as a table: on a terminal, as CSV, as JSON."""

import csv
import dataclasses
import io
import json
import os
from typing import Any

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table

from efg_jax.errors import InputError
from efg_jax.observables.columns import (
    CONVENTIONS,
    CS_ANGLES,
    EFG,
    EFG_ANGLES,
    ISOTROPIC,
    RELATIVE_ANGLES,
    Column,
    written_for,
)
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.tensors.nuclei import Isotope

KNOWN: dict[str, Column] = (
    EFG
    | ISOTROPIC
    | {name: column for own in CONVENTIONS.values() for name, column in own.items()}
    | EFG_ANGLES
    | CS_ANGLES
    | RELATIVE_ANGLES
)


@dataclasses.dataclass(frozen=True)
class SiteObservables:
    """One row a site.

    ``observables["c_q_mhz"]`` is a column, an array with NaN where a site has no such value; ``len`` is the number of sites.

    Attributes:
        values: columns by name, in order; the names end in their unit. First come frame (position in the list), atom (from 0), element,
            label and isotope; before them, where the sites are of several files, file and source_frame (number of the frame in it).
        sense: whether the columns of shielding are of "shielding" or of "shift".
        conventions: of the shielding's anisotropy.
        rotation: sense of the Euler angles, "active" or "passive".
        efg_axes: order of the field gradient's axes, "nqr" or "haeberlen".
        isotopes: the nuclei by name, with the quadrupole moments that were used.
    """

    values: dict[str, np.ndarray]
    sense: str
    conventions: tuple[str, ...]
    rotation: str
    efg_axes: str
    isotopes: dict[str, Isotope]

    def __len__(self) -> int:
        return len(self.values["atom"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def __str__(self) -> str:
        text = io.StringIO()
        Console(file=text, width=1000, color_system=None).print(self.table())
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n")

    @property
    def columns(self) -> dict[str, Column]:
        """Symbol, unit and meaning of the columns that are observables."""
        return {name: written_for(KNOWN[name], self.sense) for name in self.values if name in KNOWN}

    def described(self) -> dict[str, dict[str, Any]]:
        """Observables with unit and meaning, {"values": array, "units": "MHz", "description": ...}."""
        return {
            name: {"values": self.values[name], "units": column.unit, "description": column.what}
            for name, column in self.columns.items()
        }

    def names(self, part: str = "all") -> list[str]:
        """Names of the observables of a part: "quadrupolar", "shielding", "angles" or "all"."""
        angles = EFG_ANGLES | CS_ANGLES | RELATIVE_ANGLES
        shielding = [name for name in KNOWN if name not in EFG and name not in angles]
        parts = {"all": KNOWN, "quadrupolar": EFG, "shielding": shielding, "angles": angles}
        if part not in parts:
            raise InputError(f"unknown part {part!r} of the table; known are {', '.join(parts)}")
        return [name for name in self.values if name in parts[part]]

    def table(self, part: str = "all") -> Table:
        """For a terminal: print it with rich.

        Args:
            part: "quadrupolar", "shielding", "angles" or "all" of the observables.

        Raises:
            InputError: another part.
        """
        table = Table(caption=self._caption(), caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        columns = {name: self.columns[name] for name in self.names(part)}
        named = [name for name in self.values if name not in KNOWN and not (name == "frame" and self._one_frame)]
        for name in named:
            table.add_column(
                name, justify="right" if name in ("source_frame", "frame", "atom") else "left", no_wrap=True
            )
        for column in columns.values():
            heading = f"{column.symbol} \\[{column.unit}]" if column.unit else column.symbol
            table.add_column(heading, justify="right", no_wrap=True)
        for i in range(len(self)):
            texts = [str(self.values[name][i]).replace("[", r"\[") for name in named]
            texts += [_digits(self.values[name][i], column.digits) for name, column in columns.items()]
            table.add_row(*texts)
        return table

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write one line a site under a line of names, which end in their units; empty where there is no value. Whole or not at all.

        Args:
            path: file to write.

        Raises:
            InputError: it cannot be written.
        """
        with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(self._exported)
            for row in zip(*(self.values[name].tolist() for name in self.values), strict=True):
                writer.writerow(["" if _absent(value) else value for value in row])

    def to_json(self, path: str | os.PathLike[str]) -> None:
        """Write `to_dict` as JSON, whole or not at all.

        Args:
            path: file to write.

        Raises:
            InputError: it cannot be written.
        """
        with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as stream:
            json.dump(self.to_dict(), stream, indent=1, ensure_ascii=False, allow_nan=False)
            stream.write("\n")

    def to_dict(self) -> dict[str, Any]:
        """JSON types: conventions, units, nuclei, and one dictionary a site, with None where there is no value."""
        sites = zip(*(self.values[name].tolist() for name in self.values), strict=True)
        return {
            "sense": self.sense,
            "conventions": list(self.conventions),
            "euler_angles": {
                "order": "zyz",
                "rotation": self.rotation,
                "efg_axes": self.efg_axes,
                "cs_axes": "haeberlen",
            },
            "units": {self._name(name): column.unit for name, column in self.columns.items()},
            "what": {self._name(name): column.what for name, column in self.columns.items()},
            "isotopes": {
                name: {
                    "spin": nucleus.spin,
                    "quadrupole_moment_mb": nucleus.quadrupole_moment,
                    "source": nucleus.quadrupole_source,
                }
                for name, nucleus in self.isotopes.items()
            },
            "sites": [
                {name: None if _absent(value) else value for name, value in zip(self._exported, row, strict=True)}
                for row in sites
            ],
        }

    @property
    def _one_frame(self) -> bool:
        return len(set(self.values["frame"].tolist())) == 1

    @property
    def _exported(self) -> list[str]:
        return [self._name(name) for name in self.values]

    def _name(self, name: str) -> str:
        """A shielding and a shift must not have one name in files."""
        letter = "sigma" if self.sense == "shielding" else "delta"
        return (
            name.replace("cs_", f"{letter}_")
            if name in CONVENTIONS["iupac"]
            else {"iso_ppm": f"{letter}_iso_ppm"}.get(name, name)
        )

    def _caption(self) -> str:
        said = []
        if any(name in self.values for name in EFG_ANGLES | CS_ANGLES):
            said.append(
                f"Euler angles: ZYZ, {self.rotation}; EFG axes in {'NQR' if self.efg_axes == 'nqr' else 'Haeberlen'} order"
            )
        if "iso_ppm" in self.values:
            said.append(f"{self.sense} in ppm, its axes in Haeberlen order")
        moments = [
            f"{name} {nucleus.quadrupole_moment:g} mb"
            for name, nucleus in self.isotopes.items()
            if nucleus.quadrupole_moment is not None
        ]
        if "c_q_mhz" in self.values and moments:
            said.append(f"Q: {', '.join(moments)}")
        return ". ".join(said)


def _absent(value: Any) -> bool:
    return isinstance(value, float) and not np.isfinite(value)


def _digits(value: Any, digits: int) -> str:
    return "" if not np.isfinite(value) else f"{value:.{digits}f}"
