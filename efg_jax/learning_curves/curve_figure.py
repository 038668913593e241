"""The figure of a learning curve."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import SubFigure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from efg_jax.learning_curves.curve_metrics import DIRECT, label_of
from efg_jax.learning_curves.curve_result import LearningCurve, slope_text
from efg_jax.learning_curves.curve_statistics import Point, Row, Slope
from efg_jax.plots import BLACK, COLOURS, GREY, SERIES, Picture, style
from efg_jax.plots import DIRECT as DIRECT_COLOUR

FURTHER = (*SERIES[3:], DIRECT_COLOUR, BLACK, GREY)  # of models that are neither tensor nor scalar
MARKERS = {"tensor": "o", "scalar": "s"}
COLUMNS = 5
PANEL = (2.75, 2.7)  # inches
HEADING = 0.35
NEAREST_LABELS = 1.3  # ratio of two sizes that are both written


def curve_figure(curve: LearningCurve, species: list[str]) -> Picture:
    """One block of panels a species, one panel a metric, one curve a model.

    Args:
        curve: what to draw.
        species: of these elements.
    """
    blocks = {symbol: [m for m in curve.metrics(symbol) if m not in DIRECT.values()] for symbol in species}
    columns = max(_columns(len(metrics)) for metrics in blocks.values())
    heights = [PANEL[1] * -(-len(metrics) // columns) + HEADING for metrics in blocks.values()]
    with style():
        figure = Picture(figsize=(PANEL[0] * columns, sum(heights)), layout="constrained")
        parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)[:, 0]
        for part, (symbol, metrics) in zip(parts, blocks.items(), strict=True):
            part.suptitle(curve.heading(symbol), fontsize=11)
            _draw_species(part, curve, symbol, metrics, columns)
    return figure


def _columns(panels: int) -> int:
    """Five in a row at most, rows as equal as they can be."""
    rows = -(-panels // COLUMNS)
    return -(-panels // rows)


def _draw_species(part: SubFigure, curve: LearningCurve, species: str, metrics: list[str], columns: int) -> None:
    axes = part.subplots(-(-len(metrics) // columns), columns, squeeze=False).ravel()
    further = iter(FURTHER * len(curve.models))
    colours = {model: COLOURS.get(model) or next(further) for model in curve.models}
    summary = {}
    for point in curve.summary():
        summary.setdefault((point.model, point.species, point.metric), []).append(point)
    slopes = {(s.model, s.species, s.metric): s for s in curve.slopes()}
    rows = {}
    for row in curve.rows:
        rows.setdefault((row.model, row.species, row.metric), []).append(row)
    for ax, metric in zip(axes, metrics, strict=False):
        for model in curve.models:
            for of_metric, colour, name in (
                (metric, colours[model], model),
                (DIRECT.get(metric), DIRECT_COLOUR, f"{model}, direct"),
            ):
                key = (model, species, of_metric)
                if key in summary:
                    _draw_curve(ax, summary[key], rows[key], slopes.get(key), colour, MARKERS.get(model, "D"), name)
        _finish(ax, curve, metric)
    for ax in axes[len(metrics) :]:
        ax.remove()


def _draw_curve(
    ax: Axes, points: list[Point], rows: list[Row], slope: Slope | None, colour: str, marker: str, name: str
) -> None:
    """Single fits (faint), means with standard errors, and the power law."""
    x, y = np.array([p.structures for p in points]), np.array([p.mean for p in points])
    error = np.array([p.standard_error or 0.0 for p in points])
    ax.scatter([r.structures for r in rows], [r.value for r in rows], s=7, color=colour, alpha=0.35, linewidths=0)
    bars = np.stack([np.minimum(error, 0.99 * y), error])  # a bar that reaches zero has no end on a logarithmic axis
    text = slope_text(slope)
    label = f"{name}, slope {text}" if text else name
    ax.errorbar(x, y, bars, fmt="none", ecolor=colour, capsize=2.0, elinewidth=1.0, capthick=0.8, zorder=3)
    ax.plot(x, y, marker, color=colour, markersize=4.5, markeredgewidth=0, label=label, zorder=4)
    line, dashes = (y, ":") if slope is None else (slope.prefactor * x**slope.slope, "-")
    ax.plot(x, line, dashes, color=colour, linewidth=1.0, zorder=2)


def _finish(ax: Axes, curve: LearningCurve, metric: str) -> None:
    """Logarithmic axes with plain numbers, labels, and the legend above."""
    _, symbol, unit = label_of(metric, curve.settings["unit"])
    sizes = curve.sizes
    ax.set_xscale("log")
    ax.set_xlim(sizes[0] / 1.2, sizes[-1] * 1.2)
    ax.xaxis.set_major_locator(FixedLocator(_labelled(sizes)))
    ax.xaxis.set_minor_locator(FixedLocator(sizes))
    if all(line.get_ydata().min() > 0 for line in ax.get_lines() if len(line.get_ydata())):
        ax.set_yscale("log")
        low, high = ax.get_ylim()
        ratio = high / low
        steps = (1.0,) if ratio > 300 else (1.0, 2.0, 5.0) if ratio > 4 else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
        ax.yaxis.set_major_locator(LogLocator(subs=steps))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(FuncFormatter(lambda *_: ""))
    ax.set_xlabel("training structures")
    ax.set_ylabel(f"{symbol} ({unit})" if unit and unit not in symbol else symbol)
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(
        loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.0, handletextpad=0.3, labelspacing=0.25,
        fontsize=7.5, handlelength=1.4,
    )  # fmt: skip


def _labelled(sizes: list[int]) -> list[int]:
    """The sizes that are written on the axis: from the largest down, none too near to the next."""
    kept: list[int] = []
    for size in reversed(sizes):
        if not kept or kept[-1] / size > NEAREST_LABELS:
            kept.append(size)
    return kept[::-1]
