"""Errors of predicted tensors: of arrays, of the observables behind them, and smooth versions to train on.

Everything here is a pure function of JAX arrays. The reference always comes first and the prediction second.
"""

from efg_jax.metrics.angles import euler_differences
from efg_jax.metrics.efg_metrics import (
    AxesErrors,
    Observables,
    Scale,
    axes_errors,
    c_q_tilde,
    direction_angle,
    eta_tilde,
    orientation_errors,
    q_tilde,
    scalar_observables,
    tensor_observables,
)
from efg_jax.metrics.losses import observable_loss, soft_abs, tilt, tilt_loss
from efg_jax.metrics.scores import Scores, mae, mae_vij, pearson_r, rmse, rmse_percent, rmse_percent_by_order, scores
from efg_jax.metrics.smooth import smooth_c_q_tilde, smooth_eta_tilde, smooth_q_tilde

__all__ = [
    "AxesErrors",
    "Observables",
    "Scale",
    "Scores",
    "axes_errors",
    "c_q_tilde",
    "direction_angle",
    "eta_tilde",
    "euler_differences",
    "mae",
    "mae_vij",
    "observable_loss",
    "orientation_errors",
    "pearson_r",
    "q_tilde",
    "rmse",
    "rmse_percent",
    "rmse_percent_by_order",
    "scalar_observables",
    "scores",
    "smooth_c_q_tilde",
    "smooth_eta_tilde",
    "smooth_q_tilde",
    "soft_abs",
    "tensor_observables",
    "tilt",
    "tilt_loss",
]
