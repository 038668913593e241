"""History of a training: one row for each epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efg_jax.network.batches import Batch
from efg_jax.storage.atomic_write import write_rows

EpochRow = dict[str, int | float]
"""Losses and errors of one epoch, see `History.rows`."""


@dataclass(frozen=True)
class History:
    """Losses and errors by epoch.

    Attributes:
        rows: for each epoch ``epoch``, ``learning_rate``, ``training_loss``, ``validation_loss``, and for each target
            and λ the %RMSE of the validation set, as ``efg_2``.
    """

    rows: tuple[EpochRow, ...] = ()

    def with_row(self, row: EpochRow) -> "History":
        """The history with another row."""
        return History((*self.rows, row))

    @property
    def best(self) -> int:
        """Number of the epoch with the lowest validation loss."""
        return int(np.argmin([row["validation_loss"] for row in self.rows]))

    @property
    def since_best(self) -> int:
        """Number of epochs since the best one."""
        return len(self.rows) - 1 - self.best if self.rows else 0

    def describe(self) -> str:
        """The last row as text."""
        row = self.rows[-1]
        errors = [
            f"{target} λ={order} {value:.1f} %"
            for (target, _, order), value in ((name.rpartition("_"), row[name]) for name in row if name not in _PLAIN)
        ]
        return (
            f"validation {', '.join(errors)} (loss {row['validation_loss']:.3g}, training {row['training_loss']:.3g})"
        )

    def to_csv(self, path: str | Path) -> None:
        """Write all rows, whole or not at all."""
        write_rows(path, list(self.rows[0]) if self.rows else _PLAIN, self.rows)

    def arrays(self) -> dict[str, np.ndarray]:
        """One array for each column, by name; `from_arrays` is the inverse."""
        return {f"history/{name}": np.array([row[name] for row in self.rows]) for name in (self.rows or ({},))[0]}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> "History":
        """Inverse of `arrays`; other arrays are ignored."""
        columns = {
            name.removeprefix("history/"): values for name, values in arrays.items() if name.startswith("history/")
        }
        return cls(
            tuple(
                dict(zip(columns, row, strict=True))
                for row in zip(*map(np.ndarray.tolist, columns.values()), strict=True)
            )
        )


def write_histories(path: str | Path, histories: Sequence[History]) -> None:
    """Write the histories of all networks to one CSV file, whole or not at all; ``network`` counts from 1."""
    rows = [{"network": number, **row} for number, history in enumerate(histories, 1) for row in history.rows]
    write_rows(path, list(rows[0]) if rows else ("network", *_PLAIN), rows)


_PLAIN = ("epoch", "learning_rate", "training_loss", "validation_loss")


def percent_errors(judged: Sequence[tuple[Mapping, Batch]]) -> EpochRow:
    """%RMSE of each target and λ over the labelled atoms of all elements, in standard units (`metrics.rmse_percent`).

    Args:
        judged: predictions (by target and irrep, NumPy arrays) and their batches.
    """
    errors = {}
    for name in judged[0][0]:
        labelled = np.concatenate([batch.labelled[name] for _, batch in judged]) > 0.0
        for irrep in judged[0][0][name]:
            reference = np.concatenate([batch.labels[name][irrep] for _, batch in judged])[labelled]
            predicted = np.concatenate([found[name][irrep] for found, _ in judged])[labelled]
            spread = np.sqrt(np.mean((reference - reference.mean(axis=0)) ** 2)) if labelled.any() else 0.0
            error = np.sqrt(np.mean((predicted - reference) ** 2)) if labelled.any() else np.nan
            errors[f"{name}_{irrep[0]}"] = float(100.0 * error / spread) if spread > 0.0 else float("nan")
    return errors
