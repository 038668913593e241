"""Frequencies of pure quadrupole resonance as a table: one row for each line of each site."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from rich import box
from rich.table import Table

from efg_jax.errors import InputError
from efg_jax.observables.arrays import values_of
from efg_jax.observables.collecting import collect, numbering
from efg_jax.precision import x64
from efg_jax.storage.results import ResultWithRows
from efg_jax.structures.padding import in_bucket
from efg_jax.structures.site_selection import chosen_isotopes, finite_rows, named_species
from efg_jax.tensors.efg import coupling_factor
from efg_jax.tensors.nuclei import Isotope, Nuclei, moments_used
from efg_jax.tensors.principal import CONTRIBUTIONS, rounding
from efg_jax.tensors.quantities import QUANTITIES, Context
from efg_jax.tensors.spin import NqrLines, nqr_labels, nqr_lines

PARAMETERS = {"c_q_mhz": "c_q", "eta_q": "eta"}
LEAST = 1e-3
HEADINGS = {"c_q_mhz": "C_Q \\[MHz]", "eta_q": "η_Q", "frequency_mhz": "ν \\[MHz]", "intensity": "intensity"}
DECIMALS = {"c_q_mhz": 4, "eta_q": 4, "frequency_mhz": 4, "intensity": 3}


@dataclass(frozen=True)
class NqrTable(ResultWithRows):
    """One row for each line of each site.

    Attributes:
        values: columns by name: those that name the site, as in `SiteObservables`; c_q_mhz, eta_q; transition (see
            `efg_jax.tensors.nqr_labels`), frequency_mhz, and intensity (see `efg_jax.tensors.NqrLines`).
        isotopes: the nuclei by name, with the quadrupole moments that were used.
    """

    values: dict[str, np.ndarray]
    isotopes: dict[str, Isotope]

    def __len__(self) -> int:
        return len(self.values["transition"])

    def __getitem__(self, name: str) -> np.ndarray:
        return self.values[name]

    def table(self) -> Table:
        """For a terminal: print it with rich."""
        moments = moments_used(self.isotopes.values())
        caption = f"Without a field. Intensity: part of I(I + 1)(2I + 1), of a powder. {moments}"
        table = Table(caption=caption, caption_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
        for name in self.values:
            table.add_column(HEADINGS.get(name, name), justify="right" if name in HEADINGS else "left", no_wrap=True)
        for row in zip(*self.values.values(), strict=True):
            texts = zip(self.values, row, strict=True)
            table.add_row(*(f"{x:.{DECIMALS[name]}f}" if name in DECIMALS else str(x) for name, x in texts))
        return table

    def rows(self) -> list[dict[str, Any]]:
        """One dictionary for each line."""
        columns = (column.tolist() for column in self.values.values())
        return [dict(zip(self.values, row, strict=True)) for row in zip(*columns, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Nuclei and `rows`."""
        nuclei = {
            name: {"spin": one.spin, "quadrupole_moment_mb": one.quadrupole_moment, "source": one.quadrupole_source}
            for name, one in self.isotopes.items()
        }
        return {"isotopes": nuclei, "lines": self.rows()}


def nqr_table(
    frames: Atoms | Sequence[Atoms],
    *,
    species: str | Sequence[str] | None = None,
    isotopes: Mapping[str, Isotope | str] | None = None,
    least: float = LEAST,
) -> NqrTable:
    """Frequencies of pure quadrupole resonance (NQR) of every site that has a field gradient, by exact diagonalisation.

    Args:
        frames: structures with ``efg`` (V/Å²), NaN for atoms without.
        species: elements; None: all.
        isotopes: nuclei by element; the default is the quadrupolar one that NMR uses.
        least: smallest intensity of a line; weaker ones are left out, as are those between levels that rounding alone
            sets apart (cubic sites; ν₀ of axial ones).

    Raises:
        InputError: no field gradients, none of the species, no quadrupolar nucleus, or one without a known moment.
    """
    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    sites = collect(frames, named_species(species), ("efg",))
    nuclei = chosen_isotopes(sites.symbols, isotopes, sites.usual)
    for symbol, name in zip(sites.symbols, nuclei, strict=True):
        if name and symbol in (isotopes or {}):
            name.require_quadrupole()
    own = np.array([one is not None and one.quadrupole_moment is not None for one in nuclei]) & finite_rows(sites.efg)
    if not own.any():
        named = ", ".join(dict.fromkeys(sites.symbols))
        raise InputError(f"none of {named} has a nucleus with a known quadrupole moment, and so no NQR; choose others")
    context = Context(Nuclei.of(nuclei))
    quantities = [QUANTITIES["efg"][name] for name in PARAMETERS.values()]
    parameters = zip(PARAMETERS, quantities, values_of(quantities, context, efg=sites.efg), strict=True)
    columns = numbering(sites, nuclei) | {name: values / one.display_factor for name, one, values in parameters}
    used = {str(nucleus): nucleus for nucleus, has in zip(nuclei, own, strict=True) if has}
    rows, transitions, frequencies, intensities = [], [], [], []
    for name, nucleus in used.items():
        members = np.flatnonzero(own & (columns["isotope"] == name))
        with x64():
            efg = jnp.asarray(in_bucket(sites.efg[members]))
            found = *_lines(nucleus, efg), abs(coupling_factor(nucleus)) * rounding(efg, CONTRIBUTIONS)
        frequency, intensity, lowest = (np.asarray(values)[: len(members)] for values in found)
        site, line = np.nonzero((intensity >= least) & (frequency > lowest[:, None]))
        rows.append(members[site])
        transitions.append(np.array(nqr_labels(nucleus.spin))[line])
        frequencies.append(frequency[site, line] / 1e6)
        intensities.append(intensity[site, line])
    order = np.argsort(np.concatenate(rows), kind="stable")
    lines = {"transition": transitions, "frequency_mhz": frequencies, "intensity": intensities}
    of_lines = {name: np.concatenate(values)[order] for name, values in lines.items()}
    of_sites = {name: values[np.concatenate(rows)[order]] for name, values in columns.items()}
    return NqrTable(of_sites | of_lines, used)


@partial(jax.jit, static_argnums=0)
def _lines(nucleus: Isotope, efg: Any) -> NqrLines:
    return nqr_lines(efg, nucleus)
