"""A method of searching: it decides where the loss is evaluated next."""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from efg_jax.models.tuning_problem import TuningProblem
from efg_jax.tuning.space import Space
from efg_jax.tuning.trials import Recorder


class Method(ABC):
    """One way to search; its options are the fields of the dataclass.

    Attributes:
        name: by which it is chosen.
        moves_matrices: whether it can move hyperparameters without bounds.
    """

    name: ClassVar[str]
    moves_matrices: ClassVar[bool] = False

    def affordable(self, problem: TuningProblem, space: Space, budget: int) -> Space:
        """The part of a space that a budget allows, where the user leaves the choice open."""
        return space

    @abstractmethod
    def run(self, problem: TuningProblem, space: Space, recorder: Recorder, seed: int) -> dict[str, Any]:
        """Evaluate from the problem's start on until the budget is spent or nothing is gained any more.

        Evaluations that are found on disk must lead to the same next ones: this is how a search resumes.

        Returns:
            Details for the report, JSON types.
        """
