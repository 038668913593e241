"""What a search of hyperparameters needs from a kind of model: what may move, and the loss at a point.

`Model.tuning_problem` makes one; the methods of `efg_jax.tuning` talk to it and never ask which kind of model it has.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from pathlib import Path
from typing import Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np

from efg_jax.storage.journal import Journal

M = TypeVar("M")

Values = Mapping[str, Any]
"""Numbers or arrays by the name of the hyperparameter, those that a search leaves alone included."""

Interval = tuple[int | float, int | float]

EpochReport = Callable[[int, float], None]
"""Called with an epoch and its loss, in order; raises `Pruned` to end the evaluation."""

EpochWatch = Callable[[Mapping[str, Any]], None]
"""Called after each epoch with what is known of it."""


class Pruned(Exception):
    """Ends an evaluation whose loss by epoch is not promising."""


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter that may move.

    Attributes:
        bounds: interval in which it moves, both ends included; None: a matrix without bounds, for gradients only.
        logarithmic: whether factors count, not differences.
        whole: whether it is a whole number.
        square: whether it is the square of a whole number.
        limits: of what is possible.
        closed: whether the limits themselves are possible.
        importance: 1 for what a design takes first when it cannot afford all.
        labels: names of the components of an array; all share the bounds.
        symbol: for figures, with the unit; "": the name.
    """

    bounds: Interval | None
    logarithmic: bool = False
    whole: bool = False
    square: bool = False
    limits: Interval = (0, inf)
    closed: bool = False
    importance: int = 1
    labels: tuple[str, ...] = ()
    symbol: str = ""

    def holding(self, value: Any) -> "Parameter":
        """The same with bounds wide enough for a value."""
        if self.bounds is None:
            return self
        low, high = self.bounds
        return self.within((min(low, np.min(value).item()), max(high, np.max(value).item())))

    def within(self, bounds: Interval | None) -> "Parameter":
        """The same with other bounds."""
        return replace(self, bounds=bounds)


class Evaluation(NamedTuple):
    """One evaluation of the loss.

    Attributes:
        values: all hyperparameters by name, as they were used.
        loss: infinite where there is none.
        cpu_s: processor seconds that it took (compilation apart), also where it now came from disk.
        wall_s: seconds on the clock.
        pruned: whether it was ended early.
        losses: loss of each epoch, where there are epochs; the lowest is the loss.
        gradient: with respect to each of ``values``, if it was asked for.
    """

    values: Values
    loss: float
    cpu_s: float
    wall_s: float
    pruned: bool = False
    losses: tuple[float, ...] = ()
    gradient: Values | None = None


class TuningProblem(ABC, Generic[M]):
    """Hyperparameters of one model, and their loss on given data; evaluations are kept, and found again.

    Attributes:
        what: the kind of model in the plural, for messages.
        loss_name: what the loss is, for messages and figures.
        remedy: what to do if the loss is finite nowhere.
        methods: of searching that make sense; the first is the usual one.
        parameters: what may move, with the usual bounds, which hold the start.
        fixed: names of what cannot move in this model, and why.
        usual: names of what moves unless it is said otherwise.
        start: values of the model itself.
        workers: points that one call of `evaluate` works on at a time.
        epochs: how many an evaluation has at most; None: it has none.
    """

    what: ClassVar[str]
    loss_name: ClassVar[str]
    remedy: ClassVar[str]
    methods: ClassVar[tuple[str, ...]]

    parameters: Mapping[str, Parameter]
    fixed: Mapping[str, str]
    usual: tuple[str, ...]
    start: Values
    workers: int = 1
    epochs: int | None = None
    journal: Journal

    @abstractmethod
    def evaluate(
        self, points: Sequence[Values], report: EpochReport | None = None, watch: EpochWatch | None = None
    ) -> list[Evaluation]:
        """Loss at several points.

        Args:
            points: values of all hyperparameters.
            report: of a problem with epochs: called with the loss of each, also of those that are found on disk.
            watch: of a problem with epochs: called after each epoch that is computed now, before ``report``.
        """

    @abstractmethod
    def model_at(self, values: Values) -> M:
        """The model with these hyperparameters, not fitted."""

    @abstractmethod
    def identity(self, search: Mapping[str, Any]) -> dict[str, Any]:
        """All that an evaluation depends on besides the hyperparameters, JSON types.

        Args:
            search: settings of the search, for problems whose evaluations depend on those before.
        """

    def value(self, values: Values) -> Evaluation:
        """Loss at one point."""
        return self.evaluate([values])[0]

    def value_and_gradient(self, values: Values) -> Evaluation:
        """Loss and its exact gradient at one point, of problems that are searched by gradient."""
        raise NotImplementedError(f"{self.what} have no gradient in their hyperparameters")

    def narrowed(self, parameters: Mapping[str, Parameter]) -> dict[str, Parameter]:
        """Parameters that a search moves, without values that no model can have together."""
        return dict(parameters)

    def details(self, start: Values, best: Values) -> dict[str, Any]:
        """What to report besides the trials, JSON types.

        Args:
            start, best: of the search.
        """
        return {}

    def keep(self, folder: str | Path | None, search: Mapping[str, Any], resume: bool = True) -> None:
        """Keep evaluations in a folder, and find those that it has.

        Args:
            folder: that other problems may share; None: they are kept in memory.
            search: as for `identity`.
            resume: False: discard first what the folder holds of this problem.

        Raises:
            InputError: the folder cannot be used.
        """
        self.journal = Journal(folder, self.identity(search))
        self.journal.warn_of_others()
        if not resume:
            self.forget()

    def forget(self) -> None:
        """Discard all evaluations, on disk as well."""
        self.journal.clear()
