"""What a model is worth on data that it has not seen: results per species as tables, JSON, arrays and figures."""

from efg_jax.report.base import BaseReport
from efg_jax.report.evaluation import SpeciesResult
from efg_jax.report.report import Report
from efg_jax.report.tables import QUANTITIES, SHIELDING_QUANTITIES, Quantity, comparison_table
from efg_jax.report.target_evaluation import TargetResult
from efg_jax.report.target_report import TargetReport
from efg_jax.text import render

__all__ = [
    "QUANTITIES",
    "SHIELDING_QUANTITIES",
    "BaseReport",
    "Quantity",
    "Report",
    "SpeciesResult",
    "TargetReport",
    "TargetResult",
    "comparison_table",
    "render",
]
