"""What alignment echoes are given as: table, files, figure."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from jaxtyping import Float
from rich import box
from rich.table import Table

from efg_jax.storage.results import ResultWithRows
from efg_jax.tensors.nuclei import Isotope, moments_used
from efg_jax.text import with_error
from efg_jax.trajectories.echo_decay import Decay
from efg_jax.trajectories.jump_model import Part
from efg_jax.trajectories.site_averages import plain

AMPLITUDES = {1.0: 3.0 / 4.0, 1.5: 9.0 / 20.0}
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"), (1e-12, "ps"), (1e-15, "fs"))


@dataclass(frozen=True)
class AlignmentEcho(ResultWithRows):
    """Two-time echoes F₂(t_p, t_m).

    Attributes:
        isotope: nucleus.
        preparation: t_p, s.
        mixing: t_m, s, ascending from 0.
        values: F₂, without the amplitude.
        errors: standard errors from the scatter of the atoms, taken for independent; NaN for one atom, and for a jump
            model, which is exact.
        plateau, plateau_errors: F₂ for long t_m, of the equilibrium distribution: for a trajectory that of all atoms
            and frames together, as if every atom reached every site in the end.
        decays: of each t_p.
        decay_errors: standard errors of their numbers.
        part: "sin" or "cos".
        source: what it was computed from.
    """

    isotope: Isotope
    preparation: Float[np.ndarray, " preparations"]
    mixing: Float[np.ndarray, " mixings"]
    values: Float[np.ndarray, "preparations mixings"]
    errors: Float[np.ndarray, "preparations mixings"]
    plateau: Float[np.ndarray, " preparations"]
    plateau_errors: Float[np.ndarray, " preparations"]
    decays: tuple[Decay, ...]
    decay_errors: tuple[Decay, ...]
    part: Part
    source: str

    width: ClassVar[int] = 120

    @property
    def amplitude(self) -> float:
        """A of the alignment echo A·F₂, relative to the signal after one pulse; NaN for the cosine, of other pulses."""
        return AMPLITUDES[float(self.isotope.spin)] if self.part == "sin" else float("nan")

    def rows(self) -> list[dict[str, Any]]:
        """One row for each t_p and t_m, s."""
        return [
            {
                "preparation": float(t_p), "mixing": float(t_m), "echo": float(self.values[i, k]),
                "echo_error": plain(float(self.errors[i, k])), "plateau": float(self.plateau[i]),
            }
            for i, t_p in enumerate(self.preparation)
            for k, t_m in enumerate(self.mixing)
        ]  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain values; times in s; None for NaN."""
        arrays = ("preparation", "mixing", "values", "errors", "plateau", "plateau_errors")
        whose = {"isotope": str(self.isotope), "part": self.part, "amplitude": self.amplitude, "source": self.source}
        whose["quadrupole_moment"] = moments_used([self.isotope])
        decays = {name: [one._asdict() for one in getattr(self, name)] for name in ("decays", "decay_errors")}
        return plain(whose | {name: getattr(self, name).tolist() for name in arrays} | decays)

    def table(self) -> Table:
        """Start, plateau and decay for each t_p."""
        lines = [
            f"F₂ = ⟨{self.part} ω(0)t_p · {self.part} ω(t_m)t_p⟩ over directions of the field and ions.",
            "Plateau: of the equilibrium distribution. τ, β: of exp(−(t_m/τ)^β) between start and plateau.",
        ]
        if self.part == "sin":
            lines.append(f"The signal of the alignment echo is {self.amplitude:g} F₂ of that after one pulse.")
        lines.append(f"{moments_used([self.isotope])}.")
        if np.isfinite(self.errors).any():
            lines.append("Standard errors in last digits, from the scatter of the atoms.")
        table = Table(
            title=f"spin-alignment echo of {self.isotope.symbol_text}: {self.source}", caption="\n".join(lines),
            caption_justify="left", box=box.SIMPLE_HEAD, title_justify="left", title_style="bold", pad_edge=False,
        )  # fmt: skip
        for heading in ("t_p", "F₂(t_m = 0)", "plateau", "plateau/F₂(0)", "τ", "β", "1/e"):
            table.add_column(heading, justify="right", no_wrap=True)
        for i, (decay, error) in enumerate(zip(self.decays, self.decay_errors, strict=True)):
            table.add_row(
                in_time(self.preparation[i]),
                _shown(self.values[i, 0], self.errors[i, 0]),
                _shown(self.plateau[i], self.plateau_errors[i]),
                _shown(self.plateau[i] / self.values[i, 0]),
                in_time(decay.time, error.time),
                _shown(decay.stretching, error.stretching),
                in_time(decay.e_time, error.e_time),
            )
        return table

    def plot(self) -> Any:
        """F₂ against t_m with its plateau, one colour for each t_p: a `plots.Picture`."""
        from efg_jax.trajectories.echo_figure import echo_figure

        return echo_figure(self)


def in_time(value: float, error: float = np.nan) -> str:
    """A time with its error in the unit that suits it."""
    if not np.isfinite(value):
        return "–"
    size, unit = next((entry for entry in UNITS if abs(value) >= entry[0]), UNITS[-1])
    return f"{_shown(value / size, error / size)} {unit}"


def _shown(value: float, error: float = np.nan) -> str:
    if not np.isfinite(value):
        return "–"
    return with_error(float(value), float(error) if np.isfinite(error) else None).replace("-", "−")
