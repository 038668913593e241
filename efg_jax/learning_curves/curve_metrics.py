"""Which of the many metrics a table or a figure shows, and how they are written."""

from collections.abc import Collection

from efg_jax.report.scored_quantities import EFG_SCORES, SHIELDING_SCORES
from efg_jax.text import Label

OF_EFG = (
    "c_q_tilde.mae",
    "eta_tilde.mae",
    "theta.mae",
    "phi.mae",
    "nu_q_khz.mae",
    "nu_q_direct_khz.mae",
    "v_nn.mae",
    "v_nn_direct.mae",
    "z_axis_deg.mean",
    "one_minus_q_tilde.mean",
    "mae_vij",
    "rmse_percent",
)
OF_TARGETS = (
    "mae",
    "rmse_percent",
    *(f"rmse_percent_by_order.{order}" for order in range(3)),
    *(f"{key}.mae" for key in SHIELDING_SCORES),
    "z_axis_deg.mean",
    "one_minus_q_tilde.mean",
)
DIRECT = {"nu_q_khz.mae": "nu_q_direct_khz.mae", "v_nn.mae": "v_nn_direct.mae"}
"""What scalar learning may also learn directly, by what it is compared with."""

_OTHERS = {
    "z_axis_deg": Label("angle between z axes", "angle between z axes", "°"),
    "one_minus_q_tilde": Label("1 − q̃", r"$1 - \tilde{q}$"),
    "mae_vij": Label("V_ij, upper six summed", r"$V_{ij}$", "V/Å²"),
    "rmse_percent": Label("%RMSE", "%RMSE", "%"),
}
_KNOWN = EFG_SCORES | SHIELDING_SCORES | _OTHERS


def shown(metrics: Collection[str]) -> list[str]:
    """The metrics that a table shows, of those that there are."""
    wanted = [metric for metric in (OF_EFG if "c_q_tilde.mae" in metrics else OF_TARGETS) if metric in metrics]
    if "nu_q_khz.mae" in wanted:  # n·V·n is the same up to a constant
        wanted = [metric for metric in wanted if not metric.startswith("v_nn")]
    orders = [metric for metric in wanted if metric.startswith("rmse_percent_by_order")]
    chosen = [metric for metric in wanted if metric not in orders or len(orders) > 1]
    return chosen or sorted(metrics)


def label_of(metric: str, unit: str = "") -> Label:
    """How a metric is written; ``unit`` is that of the target."""
    if metric.startswith("rmse_percent_by_order."):
        order = metric.rpartition(".")[2]
        return Label(f"%RMSE, λ = {order}", rf"%RMSE, $\lambda = {order}$", "%")
    if metric == "mae":
        return Label("MAE, all components", "MAE, all components", unit)
    key, _, statistic = metric.partition(".")
    known = _KNOWN.get(key, Label(key, key))
    return known._replace(mathtext=f"MAE of {known.mathtext}") if statistic == "mae" or key == "mae_vij" else known
