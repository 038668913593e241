"""Which of the many metrics a table or a figure shows, and how they are written."""

from collections.abc import Collection

from efg_jax.report.tables import QUANTITIES, SHIELDING_QUANTITIES, Quantity

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
    *(f"{key}.mae" for key in SHIELDING_QUANTITIES),
    "z_axis_deg.mean",
    "one_minus_q_tilde.mean",
)
DIRECT = {"nu_q_khz.mae": "nu_q_direct_khz.mae", "v_nn.mae": "v_nn_direct.mae"}
"""What scalar learning may also learn directly, by what it is compared with."""

_OTHERS = {
    "z_axis_deg": Quantity("angle between z axes", "angle between z axes", "°"),
    "one_minus_q_tilde": Quantity("1 − q̃", r"$1 - \tilde{q}$"),
    "mae_vij": Quantity("V_ij, upper six summed", r"$V_{ij}$", "V/Å²"),
    "rmse_percent": Quantity("%RMSE", "%RMSE", "%"),
}
_KNOWN = QUANTITIES | SHIELDING_QUANTITIES | _OTHERS


def shown(metrics: Collection[str]) -> list[str]:
    """The metrics that a table shows, of those that there are."""
    wanted = [metric for metric in (OF_EFG if "c_q_tilde.mae" in metrics else OF_TARGETS) if metric in metrics]
    if "nu_q_khz.mae" in wanted:  # n·V·n is the same up to a constant
        wanted = [metric for metric in wanted if not metric.startswith("v_nn")]
    orders = [metric for metric in wanted if metric.startswith("rmse_percent_by_order")]
    chosen = [metric for metric in wanted if metric not in orders or len(orders) > 1]
    return chosen or sorted(metrics)


def quantity(metric: str, unit: str = "") -> Quantity:
    """How a metric is written; ``unit`` is that of the target."""
    if metric.startswith("rmse_percent_by_order."):
        order = metric.rpartition(".")[2]
        return Quantity(f"%RMSE, λ = {order}", rf"%RMSE, $\lambda = {order}$", "%")
    if metric == "mae":
        return Quantity("MAE, all components", "MAE, all components", unit)
    key, _, statistic = metric.partition(".")
    known = _KNOWN.get(key, Quantity(key, key))
    return known._replace(symbol=f"MAE of {known.symbol}") if statistic == "mae" or key == "mae_vij" else known
