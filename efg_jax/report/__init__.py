"""Reports on predictions: errors by species as tables, JSON, arrays and figures."""

from efg_jax.report.base_report import BaseReport
from efg_jax.report.efg_evaluation import SpeciesResult
from efg_jax.report.efg_report import Report
from efg_jax.report.score_tables import comparison_table
from efg_jax.report.scored_quantities import EFG_SCORES, SHIELDING_SCORES
from efg_jax.report.target_evaluation import TargetResult
from efg_jax.report.target_report import TargetReport
from efg_jax.text import render

__all__ = [
    "EFG_SCORES",
    "SHIELDING_SCORES",
    "BaseReport",
    "Report",
    "SpeciesResult",
    "TargetReport",
    "TargetResult",
    "comparison_table",
    "render",
]
