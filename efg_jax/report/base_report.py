"""What all reports have in common: text, JSON, arrays and figures."""

from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

from rich.console import Group
from rich.table import Table

from efg_jax.errors import InputError
from efg_jax.storage.results import Result

R = TypeVar("R")  # the evaluation of one species: its `reference`, `predicted` and `metrics` are what is used here


class BaseReport(Result, Generic[R]):
    """Results by species, or by another kind of group.

    Args:
        results: evaluation by species.
        kind: what was judged, in a word: part of the names of figure files.
        title: heading of tables and figures.
    """

    counted: str  # what the n of a species counts, in the plural

    def __init__(self, results: Mapping[str, R], kind: str, title: str = ""):
        self.results = dict(results)
        self.kind = kind
        self.title = title

    @property
    def species(self) -> list[str]:
        """The species that were evaluated."""
        return list(self.results)

    def keys(self) -> list[str]:
        """The same as `species`, so that ``dict(report)`` works."""
        return self.species

    def __getitem__(self, species: str) -> R:
        if species not in self.results:
            raise InputError(f"the report has no species {species!r}; it has {', '.join(self.results)}")
        return self.results[species]

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def arrays(self, species: str) -> tuple[Any, Any]:
        """The reference and the prediction as NumPy arrays."""
        return self[species].reference, self[species].predicted

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The report as plain numbers by species; every key is always there, None where a value is undefined."""
        return {species: result.metrics for species, result in self.results.items()}

    def table(self) -> Group:
        """One rich table per species."""
        return Group(*map(self._table, self.results))

    def plot(self, directory: str | Path | None = None) -> list:
        """One figure per species.

        Args:
            directory: existing folder to save them in as ``<species>-<kind>.png``. None: nowhere.

        Returns:
            The figures, which a notebook shows.
        """
        from efg_jax.report.parity_figures import figures_of

        return figures_of({species: self._figure(species) for species in self.results}, self.kind, directory)

    @abstractmethod
    def _table(self, species: str) -> Table: ...

    @abstractmethod
    def _figure(self, species: str) -> Any:
        """The matplotlib figure, whose type is not named because importing it takes time."""

    @abstractmethod
    def _subject(self) -> str:
        """What was judged, for a sentence."""

    def __repr__(self) -> str:
        counts = ", ".join(f"{species}: {result.metrics['n']}" for species, result in self.results.items())
        return f"<{type(self).__name__} on {self._subject()}, {self.counted} {{{counts}}}>"
