"""Tables of scores: of one model, or of several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from rich import box
from rich.table import Table

from efg_jax.report.base_report import BaseReport
from efg_jax.report.scored_quantities import EFG_SCORES, SHIELDING_SCORES
from efg_jax.structures.targets import Target
from efg_jax.tensors.nuclei import moments_used
from efg_jax.text import Label, correlation, digits

GRANTED = (
    "Scalar learning is given the sign of V_zz in C_Q, ν_Q and n·V·n, which C̃_Q lacks; its η is not clipped to [0, 1]."
)
AXIS_LEARNED = "Its z axis is learned too, as the dyad z zᵀ in the crystal frame."


# Where a model has no such value, what stands beside another's: a tensor's ν_Q is as direct as any.
STAND_INS = {
    "nu_q_direct_khz": "nu_q_khz",
    "v_nn_direct": "v_nn",
    "theta_reassigned": "theta",
    "phi_reassigned": "phi",
}


def species_table(report: BaseReport, species: str) -> Table:
    """MAE, r and %RMSE of every quantity of one species."""
    entry = report[species].metrics
    table = _score_table(_heading(report, species), _caption([report], species))
    for key, label in EFG_SCORES.items():
        if entry[key] is not None:
            _add_scores(table, label, entry[key])
    table.add_section()
    if entry["rmse_percent"] is not None:
        table.add_row("V, all components", "", "", digits(entry["rmse_percent"]), "")
        table.add_row("V_ij, upper six summed", digits(entry["mae_vij"]), "V/Å²", "", "")
    at_least = entry["z_axis_deg"]["mean"] is None
    bound = entry["z_axis_lower_bound_deg"]["mean"]
    table.add_row(
        "angle between z axes", f"≥ {digits(bound)}" if at_least else digits(entry["z_axis_deg"]["mean"]), "°", "", ""
    )
    table.add_row("field direction in principal frame", digits(entry["direction_deg"]["mean"]), "°", "", "")
    for key, name in (("q_tilde", "1 − q̃"), ("q_tilde_reassigned", "1 − q̃, axes reassigned")):
        if entry[key]["mean"] is not None:
            table.add_row(name, digits(1.0 - entry[key]["mean"]), "", "", "")
    return table


def target_table(heading: str, target: Target, entry: Mapping[str, Any]) -> Table:
    """MAE, %RMSE and r of the components, all together and by λ, and of the parameters of a shielding."""
    unit, caption = target.unit, " ".join(_left_out(entry)) if "isotropic" in entry else ""
    table = _score_table(heading, caption or None)
    whole = target.name if target.kind == "scalar" else f"{target.name}, all components"
    _add_scores(table, Label(whole, "", unit), entry)
    if target.kind == "matrix":
        for order, scores in entry["by_order"].items():
            _add_scores(table, Label(f"λ = {order}", "", unit), scores)
    if "z_axis_deg" in entry:
        table.add_section()
        for key, label in SHIELDING_SCORES.items():
            _add_scores(table, label, entry[key])
        table.add_section()
        table.add_row("angle between z axes", digits(entry["z_axis_deg"]["mean"]), "°", "", "")
        table.add_row("1 − q̃", digits(1.0 - entry["q_tilde"]["mean"]), "", "", "")
    return table


def comparison_table(reports: Mapping[str, BaseReport], species: str) -> Table:
    """Mean absolute errors of several models side by side for one species; for two of them with the ratio of the first
    to the second.

    A value that a model does not have stands beside the nearest one that it has, in brackets: ν_Q of a tensor model
        beside the ν_Q of a scalar model that learned it directly, angles without reassignment beside those with.

    Args:
        reports: report by the name of its model, e.g. ``{"scalar": ..., "tensor": ...}``, on the same reference.
        species: element.
    """
    entries = [report[species].metrics for report in reports.values()]
    title = _heading(next(iter(reports.values())), species, with_kind=False)
    table = _table(title, _caption(list(reports.values()), species))
    for name in reports:
        table.add_column(f"MAE {name}", justify="right", no_wrap=True)
        table.add_column("r", justify="right", style="dim", no_wrap=True)
    if len(entries) == 2:
        table.add_column("ratio", justify="right", style="bold", no_wrap=True)
    for key, label in EFG_SCORES.items():
        if any(entry[key] is not None for entry in entries):
            _compare(table, label, [_score(entry, key) for entry in entries])
    table.add_section()
    z_axes = [
        _mean(e["z_axis_deg"]) if e["z_axis_deg"]["mean"] is not None else _mean(e["z_axis_lower_bound_deg"], "≥ ")
        for e in entries
    ]
    _compare(table, Label("angle between z axes", "", "°"), z_axes)
    _compare(
        table,
        Label("field direction in principal frame", "", "°"),
        [_mean(entry["direction_deg"]) for entry in entries],
    )
    for key, label in (
        ("mae_vij", Label("V_ij, upper six summed", "", "V/Å²")),
        ("rmse_percent", Label("%RMSE of V", "", "%")),
    ):
        _compare(table, label, [Cell(entry[key]) for entry in entries])
    return table


class Cell(NamedTuple):
    """One model's error in a comparison; the prefix "≥ " marks a lower bound, brackets a stand-in."""

    value: float | None
    r: float | None = None
    prefix: str = ""
    stand_in: bool = False

    def __str__(self) -> str:
        text = self.prefix + digits(self.value)
        return f"({text})" if self.stand_in else text


def _score(entry: dict[str, Any], key: str) -> Cell:
    stand_in = entry[key] is None
    score = entry[STAND_INS.get(key, key)] if stand_in else entry[key]
    return Cell(None) if score is None else Cell(score["mae"], score["r"], stand_in=stand_in)


def _mean(entry: dict[str, Any], prefix: str = "") -> Cell:
    return Cell(entry["mean"], prefix=prefix)


def _compare(table: Table, label: Label, cells: list[Cell]) -> None:
    """One row: what is compared, each model's error and r, and the ratio of two."""
    row = [f"{label.text} [{label.unit}]" if label.unit else label.text]
    for cell in cells:
        row += [str(cell), correlation(cell.r) if cell.r is not None else ""]
    if len(cells) == 2:
        first, second = cells
        known = first.value is not None and bool(second.value)
        # Only a bound above the line bounds the ratio from below.
        row.append(f"{first.prefix}{_ratio(first.value / second.value)}" if known and not second.prefix else "")
    table.add_row(*(cell.replace("[", r"\[") for cell in row))


def _ratio(value: float) -> str:
    return f"{value:.0f}×" if value >= 10 else f"{value:.1f}×" if value >= 1 else f"{value:.2f}×"


def _table(title: str, caption: str | None = None) -> Table:
    table = Table(
        title=title,
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
    )
    table.add_column("")
    return table


def _score_table(title: str, caption: str | None = None) -> Table:
    table = _table(title, caption)
    for column in ("MAE", "unit", "%RMSE", "r"):
        table.add_column(column, justify="left" if column == "unit" else "right", no_wrap=True)
    return table


def _add_scores(table: Table, label: Label, scores: dict[str, Any]) -> None:
    table.add_row(
        label.text,
        digits(scores["mae"]),
        label.unit,
        digits(scores["rmse_percent"]),
        correlation(scores["r"]),
    )


def _caption(reports: Sequence[BaseReport], species: str) -> str | None:
    """What a reader has to know of the scalar models among these, of the moment behind C_Q, and of what is left out."""
    entries = [report[species].metrics for report in reports if report.kind == "scalar"]
    learned = any(entry["z_axis_deg"]["mean"] is not None for entry in entries)
    said = [GRANTED, *[AXIS_LEARNED] * learned] if entries else []
    if moments := moments_used(report[species].isotope for report in reports):
        said.append(f"{moments}.")
    return " ".join([*said, *_left_out(reports[0][species].metrics)]) or None


def _left_out(entry: Mapping[str, Any]) -> list[str]:
    """How many tensors of the reference have no shape, or only one axis."""
    if not (entry["isotropic"] or entry["axial"]):
        return []
    return [
        f"Of the reference {entry['isotropic']} are isotropic and {entry['axial']} axial to rounding; they are left "
        "out where shape or angles have no meaning."
    ]


def _heading(report: BaseReport, species: str, with_kind: bool = True) -> str:
    result = report[species]
    name = result.isotope.symbol_text if result.isotope is not None else species
    parts = [report.title, name, f"{result.metrics['n']} tensors", f"{report.kind} model" if with_kind else ""]
    return " · ".join(part for part in parts if part)
