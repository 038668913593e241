"""What a search has done: one trial an evaluation, with the best so far."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from efg_jax.storage.atomic_write import write_rows
from efg_jax.tuning.objective import Evaluation


class BudgetSpent(Exception):
    """Ends a search from within an optimiser that does not know of budgets."""


@dataclass(frozen=True)
class Trial:
    """One evaluation of the loss within a search.

    Attributes:
        number: from 0; the start.
        stage: what it was for, such as "start", "step 3", "design 1", "minimum 1".
        values: all hyperparameters by name.
        loss: of the cross-validation; infinite where the kernel matrix was not positive definite.
        best: lowest loss up to here.
        cpu_s: processor seconds of the search up to here, compilation apart.
        wall_s: seconds on the clock up to here, compilation apart.
        gradient: whether the gradient was computed as well.
    """

    number: int
    stage: str
    values: Mapping[str, np.ndarray]
    loss: float
    best: float
    cpu_s: float
    wall_s: float
    gradient: bool

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; an infinite loss is None."""
        finite = {
            name: value if np.isfinite(value) else None for name, value in (("loss", self.loss), ("best", self.best))
        }
        values = {name: np.asarray(value).tolist() for name, value in self.values.items()}
        return {
            "number": self.number,
            "stage": self.stage,
            **finite,
            "cpu_s": round(self.cpu_s, 4),
            "wall_s": round(self.wall_s, 4),
            "gradient": self.gradient,
            "values": values,
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "Trial":
        """Inverse of `to_dict`."""
        finite = {name: np.inf if entry[name] is None else float(entry[name]) for name in ("loss", "best")}
        values = {name: np.asarray(value, dtype=np.float64) for name, value in entry["values"].items()}
        return cls(**{**entry, **finite, "values": values})


Callback = Callable[[Trial], None]


@dataclass
class Recorder:
    """Trials as they come, and the budget.

    Args:
        budget: number of evaluations.
        callback: called with each trial.
    """

    budget: int
    callback: Callback | None = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Evaluations that may still be made."""
        return self.budget - len(self.trials)

    @property
    def best(self) -> Trial:
        """The trial with the lowest loss, the first of equals."""
        return min(self.trials, key=lambda trial: trial.loss)

    def require(self) -> None:
        """Raise `BudgetSpent` if no evaluation is left."""
        if self.left < 1:
            raise BudgetSpent

    def add(self, evaluation: Evaluation, stage: str) -> Trial:
        """Record an evaluation."""
        last = self.trials[-1] if self.trials else None
        loss = evaluation.loss if np.isfinite(evaluation.loss) else np.inf
        trial = Trial(
            number=len(self.trials),
            stage=stage,
            values=evaluation.values,
            loss=loss,
            best=min(loss, last.best) if last else loss,
            cpu_s=evaluation.cpu_s + (last.cpu_s if last else 0.0),
            wall_s=evaluation.wall_s + (last.wall_s if last else 0.0),
            gradient=evaluation.gradient is not None,
        )
        self.trials.append(trial)
        if self.callback is not None:
            self.callback(trial)
        return trial


def write_csv(path: str | Path, trials: Sequence[Trial], species: Sequence[str], method: str) -> None:
    """The history as a tidy table: one row a trial, one column a scalar hyperparameter (matrices are left to the JSON)."""
    rows = [{"method": method, **_flat(trial, species)} for trial in trials]
    write_rows(path, list(rows[0]), rows)


def _flat(trial: Trial, species: Sequence[str]) -> dict[str, Any]:
    row = {key: value for key, value in trial.to_dict().items() if key != "values"}
    for name, value in scalars(trial.values, species).items():
        row[name] = value
    return row


def scalars(values: Mapping[str, np.ndarray | int | float], species: Sequence[str]) -> dict[str, float]:
    """Hyperparameters that are single numbers, the weight of each species among them."""
    flat = {}
    for name, value in values.items():
        if np.ndim(value) == 0:
            flat[name] = float(value)
        elif np.ndim(value) == 1:
            flat |= {f"{name}[{symbol}]": float(part) for symbol, part in zip(species, value, strict=True)}
    return flat
