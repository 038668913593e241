"""What a search has done: one trial an evaluation, with the best so far."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from efg_jax.models.tuning_problem import Evaluation, Values


@dataclass(frozen=True)
class Trial:
    """One evaluation of the loss within a search; for a network, one training.

    Attributes:
        number: from 0; the start.
        stage: what it was for, such as "start", "step 3", "design 1", "minimum 1", "trial 7".
        values: all hyperparameters by name.
        state: "complete", "pruned", or "failed": the loss is not finite.
        loss: of structures that were held out; the lowest of all epochs, if there are any; infinite if it failed.
        best: lowest loss up to here.
        cpu_s: processor seconds of the search up to here, compilation of kernel models apart. A training that was
            interrupted counts since it resumed.
        wall_s: seconds on the clock, likewise.
        gradient: whether the gradient was computed as well.
        losses: loss of each epoch, if there are any.
    """

    number: int
    stage: str
    values: Values
    state: Literal["complete", "pruned", "failed"]
    loss: float
    best: float
    cpu_s: float
    wall_s: float
    gradient: bool = False
    losses: tuple[float, ...] = ()

    @property
    def epochs(self) -> int:
        """Number of epochs; 0 where there are none."""
        return len(self.losses)

    def to_dict(self) -> dict[str, Any]:
        """As JSON types; an infinite loss is None."""
        return {
            "number": self.number,
            "stage": self.stage,
            "state": self.state,
            "loss": self.loss if np.isfinite(self.loss) else None,
            "best": self.best if np.isfinite(self.best) else None,
            "epochs": self.epochs,
            "cpu_s": round(self.cpu_s, 4),
            "wall_s": round(self.wall_s, 4),
            "gradient": self.gradient,
            "values": {name: np.asarray(value).tolist() for name, value in self.values.items()},
            "losses": list(self.losses),
        }

    @classmethod
    def from_dict(cls, entry: Mapping[str, Any]) -> "Trial":
        """Inverse of `to_dict`."""
        given = {name: value for name, value in entry.items() if name != "epochs"}
        finite = {name: np.inf if entry[name] is None else float(entry[name]) for name in ("loss", "best")}
        values = {name: np.asarray(value) for name, value in entry["values"].items()}
        return cls(**{**given, **finite, "values": values, "losses": tuple(entry["losses"])})


Callback = Callable[[Trial], None]


@dataclass
class Recorder:
    """Trials as they come, and the budget.

    Args:
        budget: number of evaluations.
        callback: called with each trial.
        watch: called after each epoch with the number of the trial and what is known of the epoch.
    """

    budget: int
    callback: Callback | None = None
    watch: Callable[[int, Mapping[str, Any]], None] | None = None
    trials: list[Trial] = field(default_factory=list)

    @property
    def left(self) -> int:
        """Evaluations that may still be made."""
        return self.budget - len(self.trials)

    @property
    def best(self) -> Trial:
        """The trial with the lowest loss, the first of equals."""
        return min(self.trials, key=lambda trial: trial.loss)

    def watched(self, epoch: Mapping[str, Any]) -> None:
        """Tell an epoch of the trial that is being evaluated."""
        if self.watch is not None:
            self.watch(len(self.trials), epoch)

    def add(self, evaluation: Evaluation, stage: str) -> Trial:
        """Record an evaluation; the first is the start, whatever its stage."""
        last, finite = self.trials[-1] if self.trials else None, bool(np.isfinite(evaluation.loss))
        loss = evaluation.loss if finite else np.inf
        trial = Trial(
            number=len(self.trials),
            stage=stage if last else "start",
            values=evaluation.values,
            state="failed" if not finite else "pruned" if evaluation.pruned else "complete",
            loss=loss,
            best=min(loss, last.best) if last else loss,
            cpu_s=evaluation.cpu_s + (last.cpu_s if last else 0.0),
            wall_s=evaluation.wall_s + (last.wall_s if last else 0.0),
            gradient=evaluation.gradient is not None,
            losses=evaluation.losses,
        )
        self.trials.append(trial)
        if self.callback is not None:
            self.callback(trial)
        return trial
