"""Pictures of the study: errors by quantity and model, and parity of the invariants and the Euler angles."""

from collections.abc import Mapping, Sequence

import numpy as np

from efg_jax.plots import BLACK, GREY, SERIES, Picture, style
from efg_jax.plots.canvas import PANEL
from efg_jax.text import digits


def errors_figure(results: Mapping[str, Mapping], title: str) -> Picture:
    """%RMSE of every quantity, one colour for each model (Ben Mahmoud et al. 2024, Fig. 2)."""
    names = list(next(iter(results.values()))["quantities"])
    with style():
        figure = Picture(figsize=(3.4 * PANEL, 1.3 * PANEL), layout="constrained")
        ax = figure.subplots()
        offsets = np.linspace(-0.3, 0.3, len(results)) if len(results) > 1 else [0.0]
        for number, (model, result) in enumerate(results.items()):
            values = [result["quantities"][name]["rmse_percent"] for name in names]
            marks = np.arange(len(names)) + offsets[number]
            colour, marker = SERIES[number % len(SERIES)], "osD^"[number // len(SERIES) % 4]
            ax.vlines(marks, 0.1, values, color=colour, linewidth=0.6)
            ax.plot(marks, values, marker, color=colour, markersize=4.0, label=model)
        ax.axhline(100.0, color=GREY, linewidth=0.8, linestyle="--")
        ax.set(yscale="log", ylabel="%RMSE of the test set", xticks=range(len(names)), xticklabels=names, title=title)
        lowest = min(entry["rmse_percent"] for result in results.values() for entry in result["quantities"].values())
        ax.set_ylim(lowest / 1.6, None)
        ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def parity_figure(results: Mapping[str, Mapping], names: Sequence[str], title: str) -> Picture:
    """Prediction against reference, a row for each model and a column for each quantity (the same paper's Fig. 3)."""
    with style():
        figure = Picture(figsize=(0.8 * PANEL * len(names), 0.85 * PANEL * len(results)), layout="constrained")
        panels = figure.subplots(len(results), len(names), squeeze=False)
        for row, (model, result) in zip(panels, results.items(), strict=True):
            for ax, name in zip(row, names, strict=True):
                truth, guess = map(np.ravel, result["values"][name])
                ends = [min(truth.min(), guess.min()), max(truth.max(), guess.max())]
                ax.plot(ends, ends, color=GREY, linewidth=0.8)
                ax.plot(truth, guess, ".", color=BLACK, markersize=1.5, alpha=0.5)
                percent = result["quantities"][name]["rmse_percent"]
                ax.text(0.05, 0.93, f"{digits(percent)} %", transform=ax.transAxes, va="top", fontsize=8)
                ax.spines[["top", "right"]].set_visible(False)
            row[0].set_ylabel(model)
        for ax, name in zip(panels[0], names, strict=True):
            ax.set_title(name)
        figure.supxlabel("reference", fontsize=9)
        figure.suptitle(title, fontsize=11)
    return figure
