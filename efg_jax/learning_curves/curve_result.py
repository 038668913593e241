"""A learning curve as rows, means, slopes, table, files and figure."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table

from efg_jax.errors import InputError
from efg_jax.learning_curves.curve_metrics import label_of, shown
from efg_jax.learning_curves.curve_statistics import Point, Row, Slope, power_laws, summarise
from efg_jax.storage.atomic_write import write_rows
from efg_jax.storage.results import Result
from efg_jax.text import with_error


@dataclass(frozen=True)
class LearningCurve(Result):
    """Result of `learning_curve`.

    Args:
        rows: every value of every fit.
        settings: what was fitted to what; JSON types.
    """

    rows: tuple[Row, ...]
    settings: dict[str, Any]

    def summary(self) -> list[Point]:
        """Mean and standard error over the repeats of each model, species, metric and size."""
        return list(self._summary)

    def slopes(self) -> list[Slope]:
        """Power law of each error, see `curve_statistics.power_laws`; correlations have none."""
        return list(self._slopes)

    @cached_property
    def _summary(self) -> tuple[Point, ...]:
        return tuple(summarise(self.rows))

    @cached_property
    def _slopes(self) -> tuple[Slope, ...]:
        return tuple(power_laws(self.rows))

    @property
    def models(self) -> list[str]:
        """Names of the models."""
        return list(dict.fromkeys(row.model for row in self.rows))

    @property
    def species(self) -> list[str]:
        """Elements, or "structure" for a target per structure."""
        return list(dict.fromkeys(row.species for row in self.rows))

    @property
    def sizes(self) -> list[int]:
        """Numbers of training structures, ascending."""
        return sorted({row.structures for row in self.rows})

    def to_csv(self, path: str | Path) -> None:
        """Write the rows as a tidy table with a header, whole or not at all."""
        write_rows(path, Row._fields, [row._asdict() for row in self.rows])

    def to_dict(self) -> dict[str, Any]:
        """Settings, rows, means and slopes as plain values."""
        return {
            "settings": self.settings,
            "rows": [row._asdict() for row in self.rows],
            "summary": [point._asdict() for point in self._summary],
            "slopes": [slope._asdict() for slope in self._slopes],
        }

    def metrics(self, species: str) -> list[str]:
        """The metrics that table and figure show of a species.

        Raises:
            InputError: the curve has no such species.
        """
        if species not in self.species:
            raise InputError(f"the curve has no species {species!r}; it has {', '.join(self.species)}")
        return shown({row.metric for row in self.rows if row.species == species})

    def table(self) -> Group:
        """One rich table a species: means with standard errors by size, and slopes."""
        return Group(*map(self._table, self.species))

    def _table(self, species: str) -> Table:
        points = {(p.metric, p.model, p.structures): p for p in self._summary if p.species == species}
        slopes = {(s.metric, s.model): s for s in self._slopes if s.species == species}
        table = Table(
            title=self.heading(species),
            caption=self._caption(),
            caption_justify="left",
            box=box.SIMPLE_HEAD,
            title_justify="left",
            title_style="bold",
            pad_edge=False,
        )
        table.add_column("structures")
        table.add_column("", style="dim")
        for size in self.sizes:
            table.add_column(str(size), justify="right", no_wrap=True)
        table.add_column("slope", justify="right", no_wrap=True)
        for metric in self.metrics(species):
            name, _, unit = label_of(metric, self.settings["unit"])
            label = rf"{name} \[{unit}]" if unit else name
            for model in self.models:
                of_model = [points.get((metric, model, size)) for size in self.sizes]
                if any(of_model):
                    cells = ["" if p is None else with_error(p.mean, p.standard_error) for p in of_model]
                    table.add_row(label, model, *cells, slope_text(slopes.get((metric, model))))
                    label = ""
        return table

    def heading(self, species: str) -> str:
        """Species, target and test set, for tables and figures."""
        held_out, values = self.settings["test_structures"], self.settings["test_values"][species]
        named = [species] if self.settings["per"] == "atom" else []
        what = f"{values} atoms of " if self.settings["per"] == "atom" else ""
        tested = f"tested on {what}{held_out} structures"
        return " · ".join([*named, self.settings["target"], tested])

    def _caption(self) -> str:
        repeats = self.settings["repeats"]
        what = "one repeat" if repeats == 1 else f"mean over {repeats} repeats (its standard error, in last digits)"
        return f"Errors: {what}; the slope is that of log error against log structures."

    def plot(self, species: str | None = None) -> Any:
        """Error against training structures, both logarithmic (Harper et al. 2025, Fig. 5).

        One panel for each metric, with all models.

        Args:
            species: one element; None: all, one below the other.

        Returns:
            The figure (`efg_jax.plots.Picture`), which a notebook shows; `efg_jax.plots.save` writes it.
        """
        from efg_jax.learning_curves.curve_figure import curve_figure

        return curve_figure(self, self.species if species is None else [species])

    @property
    def width(self) -> int:
        """Columns of text in which its table is printed."""
        return Result.width + 12 * max(len(self.sizes) - 5, 0)

    def __repr__(self) -> str:
        sizes = ", ".join(map(str, self.sizes))
        return f"<LearningCurve of {self.settings['target']}: {', '.join(self.models)}; structures {sizes}>"


def slope_text(slope: Slope | None) -> str:
    """−0.52 ± 0.04, or nothing."""
    if slope is None:
        return ""
    error = "" if slope.standard_error is None else f" ± {slope.standard_error:.2f}"
    return f"{round(slope.slope, 2) + 0.0:.2f}{error}".replace("-", "−")
