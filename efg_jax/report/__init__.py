"""What a model is worth on data that it has not seen: results per species as tables, JSON, arrays and figures."""

from efg_jax.report.evaluation import SpeciesResult
from efg_jax.report.report import Report
from efg_jax.report.tables import QUANTITIES, Quantity, comparison_table, render

__all__ = ["QUANTITIES", "Quantity", "Report", "SpeciesResult", "comparison_table", "render"]
