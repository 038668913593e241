"""The report on a model of any target: shieldings, dipoles, polarisabilities, and what else structures carry."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from rich.table import Table

from efg_jax.report.base_report import BaseReport
from efg_jax.report.score_tables import target_table
from efg_jax.report.selection import Arrays
from efg_jax.report.target_evaluation import TargetResult, evaluate_target, pairs
from efg_jax.structures.targets import Target

PER_STRUCTURE = "structure"
"""The key under which a target per structure stands, where a target per atom has the species."""


class TargetReport(BaseReport[TargetResult]):
    """Result of evaluating a model of any target, by species, or under the one key "structure". Built by
    `TargetReport.from_arrays`.

    It is used as a `Report` is. Errors are given for all Cartesian components together and for each irreducible part λ
    in the orthonormal basis of `efg_jax.tensors.irreps` (λ = 0 of a matrix is Tr/√3); of a shielding also for what NMR
    reads off
    it: σ_iso, Δ, η (Haeberlen), Ω, κ (Maryland) and the principal axes of the symmetric part. MAE, RMSE and r are over
        components, as a parity plot shows them; %RMSE is `metrics.rmse_percent`, which does not depend on the frame.
        Host side, in float64."""

    def __init__(self, results: Mapping[str, TargetResult], target: Target, title: str = ""):
        super().__init__(results, kind=target.name, title=title)
        self.target = target

    @classmethod
    def from_arrays(
        cls, target: Target, reference: Mapping[str, Arrays], predicted: Mapping[str, Arrays], title: str = ""
    ) -> "TargetReport":
        """Report on predicted Cartesian values.

        Args:
            target: what the values are; its irreps are judged one by one.
            reference: values (n, *target.shape) by species, or under "structure"; matrices also as (n, 9). Rows with
                NaN carry no label and are left out.
            predicted: the same for the model.
            title: heading of tables and figures.

        Raises:
            InputError: shapes that do not fit, nothing to evaluate, or predictions that are not finite.
        """
        results = {
            species: evaluate_target(target, truth, guess)
            for species, truth, guess in pairs(target, reference, predicted)
        }
        return cls(results, target, title)

    @property
    def counted(self) -> str:
        """What n counts."""
        return f"{self.target.per}s"

    def heading(self, species: str) -> str:
        """Title, species, target and number of values, for tables and figures."""
        n = self[species].metrics["n"]
        named = [species] if self.target.per == "atom" else []
        parts = [self.title, *named, self.target.name, f"{n} {self.counted if n != 1 else self.target.per}"]
        return " · ".join(part for part in parts if part)

    def arrays(self, species: str) -> tuple[np.ndarray, np.ndarray]:
        """Cartesian values (n, *shape) of the reference and of the prediction, in the target's unit."""
        return super().arrays(species)

    def _table(self, species: str) -> Table:
        return target_table(self.heading(species), self.target, self[species].metrics)

    def _figure(self, species: str) -> Any:
        """Parity plots of every irreducible part, all components, and of σ_iso, Δ and η of a shielding."""
        from efg_jax.report.parity_figures import target_figure

        return target_figure(self, species)

    def _subject(self) -> str:
        return self.target.name
