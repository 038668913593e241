"""Parity plots with the value distributions above them, as in Harper et al. 2025, Figs. 3 and 4; the reference is
always grey.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, MultipleLocator

from efg_jax import metrics
from efg_jax.plots.canvas import (
    BLACK,
    COLOURS,
    DIRECT,
    GREY,
    PANEL,
    RED,
    SCALAR,
    TENSOR,
    Figures,
    Picture,
    nucleus_name,
    save,
    style,
)
from efg_jax.precision import x64
from efg_jax.report.efg_report import Report
from efg_jax.report.scored_quantities import EFG_SCORES, SHIELDING_SCORES
from efg_jax.report.summaries import number
from efg_jax.report.target_report import TargetReport
from efg_jax.text import digits

Arrays = np.ndarray | jax.Array

EXPERIMENT_KHZ = 10.0  # what spin-alignment echo resolves (Harper et al. 2025, section 3)
DIRECT_KEYS = {"nu_q_khz": "nu_q_direct_khz", "v_nn": "v_nn_direct"}


class Panel(NamedTuple):
    """One parity plot.

    Args:
        reference: values of the reference.
        predicted: values of the model.
        label: what they are, mathtext allowed.
        unit: unit, empty for numbers; "rad" gives ticks in parts of π and an error in degrees too.
        colour: of the prediction.
        band: half-width of the stripe about the diagonal, in the unit.
        note: further line of the inscription.
        heading: line above the inscription.
    """

    reference: Arrays
    predicted: Arrays
    label: str
    unit: str = ""
    colour: str = TENSOR
    band: float | None = None
    note: str = ""
    heading: str = ""


def parity(
    reference: Arrays,
    predicted: Arrays,
    *,
    label: str,
    unit: str = "",
    ax: Axes | None = None,
    colour: str = TENSOR,
    band: float | None = None,
    note: str = "",
) -> Axes:
    """Parity plot with the distributions of both sides above it, and MAE and r above these.

    Args:
        reference: values (n,) of the reference, on the horizontal axis.
        predicted: values (n,) of the model.
        label: what they are, mathtext allowed.
        unit: their unit; "rad" gives ticks in parts of π.
        ax: axes to draw into; a figure of their own without.
        colour: of the prediction.
        band: half-width of a red stripe about the diagonal, e.g. what an experiment resolves.
        note: further line of the inscription.

    Returns:
        The axes of the parity plot; ``.figure`` is the figure, ``.child_axes[0]`` holds the distributions.
    """
    panel = Panel(np.asarray(reference), np.asarray(predicted), label, unit, colour, band, note)
    with style():
        if ax is None:
            ax = _figure(1, 1).subplots()
        _draw(ax, panel)
    return ax


def parity_panel(
    panels: Mapping[str, tuple[Arrays, Arrays]], colour: str = TENSOR, title: str = "", unit: str = "", columns: int = 0
) -> Figure:
    """A row of parity plots, or several.

    Args:
        panels: reference and predicted values by quantity: a name of the report (``"c_q_tilde"``, ``"theta"``,
            ``"sigma_iso"``, ...), which brings its symbol and unit, or any other text, which becomes the label. Of
            arrays with several axes every component is a point.
        colour: of the predictions.
        title: heading of the figure.
        unit: of the quantities that the report does not know.
        columns: plots in a row; 0 for one row.
    """
    known = EFG_SCORES | SHIELDING_SCORES
    columns = columns or len(panels)
    rows = -(-len(panels) // columns)
    with style():
        figure = _figure(rows, columns)
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, (key, pair) in zip(axes, panels.items(), strict=False):
            symbol, of_key = known[key][1:] if key in known else (key, unit)
            _draw(ax, Panel(*(np.ravel(side) for side in pair), symbol, of_key, colour))
        for ax in axes[len(panels) :]:
            ax.remove()
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def figures_of(figures: Mapping[str, Figure], kind: str, directory: str | Path | None = None) -> Figures:
    """Figures by species, for a notebook; also saved as ``<species>-<kind>.png`` where a folder is given."""
    if directory is not None:
        for species, figure in figures.items():
            name = re.sub(r"[^\w.-]", "_", f"{species}-{kind}")  # a target may have any name
            save(figure, Path(directory) / f"{name}.png")
    return Figures(figures.values())


def metrics_figure(report: Report, species: str) -> Figure:
    """All of one species: C̃_Q, η̃ and ν_Q (n·V·n for spin 1/2), θ and φ, and the distribution of the orientation
    errors.
    """
    keys = ("c_q_tilde", "eta_tilde", _field_quantity(report, species), "theta", "phi")
    panels = [_panel(report, species, key) for key in keys]
    with style():
        figure = _figure(2, 3)
        axes = figure.subplots(2, 3)
        for ax, panel in zip(axes.flat, panels, strict=False):
            _draw(ax, panel)
        _draw_angles(axes[1, 2], report, species)
        figure.suptitle(_title(report, species), fontsize=11)
    return figure


def target_figure(report: TargetReport, species: str) -> Figure:
    """Every irreducible part of a target, all components, and σ_iso, Δ, η of a shielding."""
    result, target = report[species], report.target
    order_of = ", λ = {}" if target.kind == "matrix" else ""
    panels = {target.name + order_of.format(order): pair for order, pair in result.components.items()}
    panels |= {key: result.series[key] for key in ("sigma_iso", "anisotropy", "eta") if key in result.series}
    return parity_panel(panels, title=report.heading(species), unit=target.unit, columns=min(3, len(panels)))


def compare_figure(scalar_report: Report, tensor_report: Report, species: str) -> Figure:
    """C̃_Q, η̃, θ, φ learned as scalars (above) and from the tensor (below): Harper et al. 2025, Fig. 3 b and c."""
    reports = {"scalar learning": scalar_report, "tensorial learning": tensor_report}
    keys = ("c_q_tilde", "eta_tilde", "theta", "phi")
    rows = [[_panel(report, species, key) for key in keys] for report in reports.values()]
    return _grid(rows, list(reports), _title(tensor_report, species, with_kind=False))


def frequency_figure(scalar_report: Report, tensor_report: Report, species: str) -> Figure:
    """ν_Q learned directly, from the learned scalars, and from the learned tensor, as in Harper et al. 2025, Fig. 4.

    For a nucleus of spin 1/2, n·V·n in V/Å² takes its place. The red stripe is ±10 kHz, what the paper gives for the
    experiment. A scalar report without a model of n·V·n leaves out the first panel."""
    key = _field_quantity(tensor_report, species)
    cases = [
        (scalar_report, DIRECT_KEYS[key], DIRECT, "scalar learning, direct"),
        (scalar_report, key, SCALAR, r"from $\tilde{C}_Q$, $\tilde{\eta}$, $\theta$, $\varphi$"),
        (tensor_report, key, TENSOR, "from the tensor"),
    ]
    cases = [case for case in cases if case[1] in case[0][species].series]
    row = [
        _panel(report, species, name)._replace(colour=colour, heading=f"({letter}) {heading}")
        for letter, (report, name, colour, heading) in zip("abc", cases, strict=False)
    ]
    # One range for all three, so that the eye compares scatter and not scales.
    limits = _limits([values for panel in row for values in (panel.reference, panel.predicted)])
    stripe = f" · red stripe: ±{row[0].band:g} {row[0].unit}" if row[0].band is not None else ""
    title = _title(tensor_report, species, with_kind=False) + stripe
    return _grid([row], title=title, limits=[limits] * len(row))


def _figure(rows: int, columns: int) -> Picture:
    return Picture(figsize=(PANEL * columns + 0.2, (PANEL + 0.75) * rows + 0.3), layout="constrained")


def _grid(
    rows: Sequence[Sequence[Panel]],
    headings: Sequence[str] = (),
    title: str = "",
    limits: Sequence[tuple[float, float]] | None = None,
) -> Figure:
    """Rows of parity plots, each with its heading at the left; one range a column."""
    columns = list(zip(*rows, strict=True))
    if limits is None:
        limits = [
            _limits([v for p in column for v in (p.reference, p.predicted)], column[0].unit) for column in columns
        ]
    with style():
        figure = _figure(len(rows), len(columns))
        grid = figure.subplots(len(rows), len(columns), squeeze=False)
        for axes, row in zip(grid, rows, strict=True):
            for ax, panel, column_limits in zip(axes, row, limits, strict=True):
                _draw(ax, panel, column_limits)
        for ax in grid[:-1].flat:
            ax.set_xlabel("")
        for ax, row, heading in zip(grid[:, 0], rows, headings, strict=False):
            place = {"xycoords": ax.yaxis.label, "textcoords": "offset points", "va": "center", "ha": "right"}
            text = {"color": row[0].colour, "fontsize": 11, "fontweight": "bold", "rotation": 90}
            ax.annotate(heading, xy=(0, 0.5), xytext=(-6, 0), **place, **text)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def _draw(ax: Axes, panel: Panel, limits: tuple[float, float] | None = None) -> None:
    """One parity plot with its distributions."""
    reference, predicted = np.asarray(panel.reference), np.asarray(panel.predicted)
    if limits is None:
        limits = _limits([reference, predicted], panel.unit)
    low, high = limits
    if panel.band is not None:
        edge = np.array([low, high])
        ax.fill_between(edge, edge - panel.band, edge + panel.band, color=RED, alpha=0.6, linewidth=0, zorder=1)
    else:
        ax.plot([low, high], [low, high], color=BLACK, linewidth=0.6, zorder=2)
    size, alpha = _density(len(reference))
    ax.scatter(reference, predicted, s=size, alpha=alpha, color=panel.colour, linewidths=0, rasterized=True, zorder=3)
    ax.set(xlim=limits, ylim=limits)
    ax.set_box_aspect(1)
    unit = f" ({panel.unit})" if panel.unit else ""
    ax.set_xlabel(f"reference {panel.label}{unit}")
    ax.set_ylabel(f"predicted {panel.label}{unit}")
    for axis in (ax.xaxis, ax.yaxis):
        _ticks(axis, panel.unit, limits)
    _draw_distributions(ax, panel, limits)


def _draw_distributions(ax: Axes, panel: Panel, limits: tuple[float, float]) -> None:
    """Histograms of the reference (grey, filled) and the prediction (coloured) above a parity plot, on its horizontal
    axis.
    """
    top = ax.inset_axes((0.0, 1.03, 1.0, 0.24), sharex=ax)
    edges = np.linspace(*limits, 1 + int(np.clip(2.0 * len(panel.reference) ** (1 / 2), 15, 50)))
    top.hist(panel.reference, edges, color=GREY, alpha=0.55, linewidth=0)
    top.hist(panel.predicted, edges, color=panel.colour, histtype="step", linewidth=1.1)
    top.tick_params(labelbottom=False, bottom=False, left=False, labelleft=False)
    top.spines[["left", "right", "top"]].set_visible(False)
    top.set_title(_inscription(panel), fontsize=8, loc="left", pad=4, linespacing=1.35)


def _draw_angles(ax: Axes, report: Report, species: str) -> None:
    """Cumulative distributions of the orientation errors, in degrees on a logarithmic axis."""
    result = report[species]
    colour, axes = COLOURS[report.kind], result.axes
    known = "z_axis_deg" in result.angles
    z_axis, name = ("z_axis_deg", "z axis") if known else ("z_axis_lower_bound_deg", "z axis, at best")
    curves = [("field in the principal frame", result.angles["direction_deg"], GREY, "--")]
    curves.append((name, result.angles[z_axis], BLACK, "-"))
    if axes is not None:
        curves.append(("all axes", _misfit(axes.q_tilde), colour, "-"))
        curves.append(("all axes, reassigned", _misfit(axes.q_tilde_reassigned), colour, ":"))
    for name, angles, colour, line in curves:
        ordered, share = np.sort(angles), np.arange(1, len(angles) + 1) / len(angles)
        ax.step(np.maximum(ordered, 0.01), share, line, color=colour, where="post", label=name, linewidth=1.3)
    ax.set_xscale("log")
    ax.set(xlim=(0.1, 180), ylim=(0, 1), xlabel="orientation error (°)", ylabel="share of the tensors below")
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    ax.set_box_aspect(1)
    ax.legend(loc="lower left", bbox_to_anchor=(0.0, 1.02), handlelength=1.8, borderpad=0.1, labelspacing=0.25)


def _misfit(q_tilde: np.ndarray) -> np.ndarray:
    """Angle of the turn between two frames, 2 arccos q̃, in degrees."""
    return np.degrees(2.0 * np.arccos(np.minimum(q_tilde, 1.0)))


def _panel(report: Report, species: str, key: str) -> Panel:
    """A series of the report as a parity plot."""
    series = report[species].series
    if key not in series:
        raise KeyError(f"the report on {species} has no {key}; it has {', '.join(series)}")
    reference, predicted = series[key]
    label = EFG_SCORES[key]
    band = EXPERIMENT_KHZ if label.unit == "kHz" else None
    reassigned = report[species].metrics.get(f"{key}_reassigned")
    note = f"axes reassigned: MAE {digits(reassigned['mae'])} rad" if reassigned is not None else ""
    return Panel(reference, predicted, label.mathtext, label.unit, COLOURS[report.kind], band, note)


def _inscription(panel: Panel) -> str:
    """Heading, MAE and r, note."""
    with x64():
        scores = metrics.scores(jnp.asarray(panel.reference), jnp.asarray(panel.predicted))
    error, r = number(scores.mae), number(scores.r)
    unit = f" {panel.unit}" if panel.unit else ""
    degrees = f" ({np.degrees(error):.2g}°)" if panel.unit == "rad" else ""
    correlated = f"   $r$ {r:.3f}".replace("-", "−") if r is not None else ""
    lines = [panel.heading, f"MAE {digits(error)}{unit}{degrees}{correlated}", panel.note]
    return "\n".join(line for line in lines if line)


def _limits(values: Sequence[Arrays], unit: str = "") -> tuple[float, float]:
    """The same limits for both axes, with a margin; for angles at least [0, π/2]."""
    low, high = min(float(np.min(v)) for v in values), max(float(np.max(v)) for v in values)
    if unit == "rad":
        low, high = min(low, 0.0), max(high, np.pi / 2)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.5
    return low - margin, high + margin


def _ticks(axis, unit: str, limits: tuple[float, float]) -> None:
    """Few ticks at round numbers; angles at quarters of π."""
    if unit == "rad":
        axis.set_major_locator(MultipleLocator(np.pi / 4 if limits[1] - limits[0] < 1.3 * np.pi else np.pi / 2))
        axis.set_major_formatter(FuncFormatter(lambda value, _: _pi_fraction(value)))
    else:
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))


def _pi_fraction(value: float) -> str:
    """0, π/4, π/2, 3π/4, π, ... of a multiple of π/4."""
    quarters = round(4 * value / np.pi)
    if quarters == 0:
        return "0"
    divisor = int(np.gcd(quarters, 4))
    numerator, denominator = abs(quarters) // divisor, 4 // divisor
    text = f"{'−' if quarters < 0 else ''}{numerator if numerator > 1 else ''}π"
    return text if denominator == 1 else f"{text}/{denominator}"


def _density(n: int) -> tuple[float, float]:
    """Marker size and opacity, so that thousands of points show where they are dense."""
    return float(np.clip(2500.0 / n, 3.0, 14.0)), float(np.clip(90.0 / np.sqrt(n) * 0.1 + 0.15, 0.2, 0.8))


def _field_quantity(report: Report, species: str) -> str:
    """ν_Q where the nucleus has one, the tensor along the field where not."""
    return "nu_q_khz" if report[species].metrics["nu_q_khz"] is not None else "v_nn"


def _nucleus(report: Report, species: str) -> str:
    isotope = report[species].isotope
    return nucleus_name(isotope) if isotope is not None else species


def _title(report: Report, species: str, with_kind: bool = True) -> str:
    kind = f"{report.kind} model" if with_kind else ""
    parts = [report.title, _nucleus(report, species), f"{report[species].metrics['n']} tensors", kind]
    return " · ".join(part for part in parts if part)
