"""Scores as plain numbers; undefined ones are None, because JSON has no NaN."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from efg_jax import metrics
from efg_jax.precision import x64

Series = tuple[np.ndarray, np.ndarray]  # reference, predicted


@jax.jit
def _scores(reference, predicted):
    return {
        "mae": metrics.mae(reference, predicted),
        "r": metrics.pearson_r(reference.ravel(), predicted.ravel()),
        "rmse": metrics.rmse(reference, predicted),
        "rmse_percent": metrics.rmse_percent(reference, predicted),
    }


def number(value: Any) -> float | None:
    """A Python float, or None for what is not finite."""
    value = float(value)
    return value if math.isfinite(value) else None


def with_meaning(defined: np.ndarray) -> np.ndarray:
    """Rows whose reference has a shape, or an orientation, to compare with; all rows where none has."""
    return defined if defined.any() else np.ones_like(defined)


def scores_entry(series: Series | None) -> dict[str, float | None] | None:
    """MAE, r, RMSE and %RMSE of one quantity; None for a quantity that does not exist.

    Args:
        series: reference and prediction, (n,) or (n, components). MAE, RMSE and r treat all components alike, so that
            MAE and r depend on the frame; %RMSE does not (`metrics.rmse_percent`).
    """
    if series is None:
        return None
    with x64():
        return {field: number(value) for field, value in _scores(*map(jnp.asarray, series)).items()}


def mean_and_median(values: np.ndarray | None) -> dict[str, float | None]:
    """Both over all sites; None without values."""
    if values is None:
        return {"mean": None, "median": None}
    return {"mean": number(np.mean(values)), "median": number(np.median(values))}
