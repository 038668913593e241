"""What results have in common: a table on a terminal and in a notebook, JSON, CSV."""

import html
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from rich.console import RenderableType

from efg_jax.storage.atomic_write import atomic_write, write_rows
from efg_jax.text import render


class Result(ABC):
    """A result that prints as a table and is written as JSON."""

    width: ClassVar[int] = 110
    """Columns of text in which its table is printed."""

    @abstractmethod
    def table(self) -> RenderableType:
        """The result for a terminal: print it with rich."""

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """The result as values that JSON has; None where a value does not exist."""

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` as JSON, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
        with atomic_write(path) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")

    def __str__(self) -> str:
        return render(self.table(), self.width)

    def _repr_html_(self) -> str:
        return f'<pre style="line-height: 1.2">{html.escape(str(self))}</pre>'


class ResultWithRows(Result):
    """A result that is also written as CSV."""

    @abstractmethod
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """One row for each site or atom, by names of columns; None is an empty cell."""

    def to_csv(self, path: str | Path) -> None:
        """Write `rows` as CSV under a line of names, whole or not at all.

        Raises:
            InputError: the file cannot be written.
        """
        rows = self.rows()
        write_rows(path, list(dict.fromkeys(name for row in rows for name in row)), rows)
