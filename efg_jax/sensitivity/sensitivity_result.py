"""Sensitivities as arrays, table, files and picture."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from ase import Atoms
from jaxtyping import Float
from rich import box
from rich.table import Table

from efg_jax.sensitivity.differentiation import Differentiated
from efg_jax.sensitivity.internal_coordinates import Cluster, Internal
from efg_jax.storage.results import ResultWithRows
from efg_jax.tensors.nuclei import Isotope, moments_used
from efg_jax.text import digits

MOST_ROWS = 15
NEAR = 0.1  # Å; a nearer kink is noted


@dataclass(frozen=True)
class Sensitivity(ResultWithRows):
    """Result of `gradient`.

    Attributes:
        atoms: the structure.
        atom: index of the atom whose quantity it is.
        quantity: what it is, its value, and its derivative with respect to the tensor.
        isotope: nucleus, where the quantity is a frequency.
        tensor: predicted, V/Å² or ppm.
        positions: ∂f/∂r of every atom (with all its periodic images), unit of the quantity per Å. The rows add up to
            zero.
        strain: ∂f/∂ε, unit of the quantity per unit strain, symmetric; atoms and cell are strained alike. ∂f of a
            strain δε is Σ_ij ∂f/∂ε_ij δε_ij.
        cluster: the atom and its neighbours, periodic images apart.
        cluster_gradient: ∂f/∂r of the points of the cluster, each moved alone.
        internal: derivatives with respect to bonds and angles, largest first; see `internal_coordinates`.
        missing: part of the gradient that they do not hold.
        reach: Å by which the most sensitive neighbour may move before the quantity meets a kink, to first order.
        at_kink: what happens there.
    """

    atoms: Atoms
    atom: int
    quantity: Differentiated
    isotope: Isotope | None
    tensor: Float[np.ndarray, "3 3"]
    positions: Float[np.ndarray, "atoms 3"]
    strain: Float[np.ndarray, "3 3"]
    cluster: Cluster
    cluster_gradient: Float[np.ndarray, "points 3"]
    internal: tuple[Internal, ...]
    missing: float
    reach: float
    at_kink: str

    width: ClassVar[int] = 120

    @property
    def unit(self) -> tuple[str, float]:
        """Unit to print in, and how many of the quantity's own it is."""
        return ("kHz", 1e3) if self.quantity.unit == "Hz" else (self.quantity.unit, 1.0)

    @property
    def heading(self) -> str:
        """What is differentiated, and its value."""
        unit, factor = self.unit
        name = f"{self.atoms.symbols[self.atom]}{self.atom}"
        known = self.isotope is not None and self.quantity.unit == "Hz"
        nucleus = f" ({self.isotope.symbol_text})" if known else ""
        value = digits(self.quantity.value / factor).replace("-", "−")
        return f"{self.quantity.symbol} of {name}{nucleus} = {value} {unit}".strip()

    @property
    def notes(self) -> list[str]:
        """Remarks for the reader: how far the gradient holds, what the bonds and angles leave out, and the quadrupole
        moment of a frequency.
        """
        found = []
        if self.reach < NEAR:
            found.append(f"linear for displacements below {digits(self.reach)} Å only: {self.at_kink}")
        if not self.internal:
            found.append("no bonds: no atom is near enough; raise bond_scale")
        elif self.missing > 0.01:
            found.append(
                f"{self.missing:.0%} of the gradient (norm) belong to farther atoms and dihedral angles, not to these"
            )
        if self.quantity.unit == "Hz":
            found.append(moments_used([self.isotope]))
        return found

    def table(self, rows: int = MOST_ROWS) -> Table:
        """The bonds and angles that matter most.

        Args:
            rows: number of them at most.
        """
        unit, factor = self.unit
        table = Table(
            title=self.heading,
            caption="\n".join(self.notes) or None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
            pad_edge=False,
        )
        table.add_column("bond or angle")
        for heading in ("value", "", "derivative", "", f"along the arc, {unit or self.quantity.symbol}/Å"):
            table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
        for one in self.internal[:rows]:
            bond = one.kind == "bond"
            value = f"{one.value:.3f}" if bond else f"{np.degrees(one.value):.1f}"
            slope = one.derivative / factor * (1.0 if bond else np.pi / 180.0)
            per = f"{unit}/{'Å' if bond else '°'}" if unit else f"per {'Å' if bond else '°'}"
            table.add_row(
                one.name,
                value,
                "Å" if bond else "°",
                digits(slope).replace("-", "−"),
                per,
                digits(one.along / factor).replace("-", "−"),
            )
        return table

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values, in the quantity's own unit per Å, per rad and per unit strain."""
        return {
            "quantity": self.quantity.name,
            "value": self.quantity.value,
            "unit": self.quantity.unit,
            "atom": self.atom,
            "symbol": str(self.atoms.symbols[self.atom]),
            "isotope": None if self.isotope is None else str(self.isotope),
            "tensor": self.tensor.tolist(),
            "positions": self.positions.tolist(),
            "strain": self.strain.tolist(),
            "internal": [one._asdict() | {"atoms": list(one.atoms)} for one in self.internal],
            "missing": self.missing,
            "reach": self.reach if np.isfinite(self.reach) else None,
            "notes": self.notes,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each atom: index, element, position (Å) and gradient (unit of the quantity per Å)."""
        columns = ("x", "y", "z", "gradient_x", "gradient_y", "gradient_z")
        return [
            {"atom": i, "symbol": str(self.atoms.symbols[i])}
            | dict(zip(columns, [*place.tolist(), *slope.tolist()], strict=True))
            for i, (place, slope) in enumerate(zip(self.atoms.positions, self.positions, strict=True))
        ]

    def plot(self, **options: Any) -> Any:
        """Arrows on the structure: see `sensitivity_figure`, which takes the same options."""
        from efg_jax.sensitivity.sensitivity_figure import sensitivity_figure

        return sensitivity_figure(self, **options)

    def __repr__(self) -> str:
        return f"<Sensitivity: {self.heading}; {len(self.positions)} atoms>"
