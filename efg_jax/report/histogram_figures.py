"""Histograms: of a model's errors, and of frequencies with the regions that a spectrometer tells apart."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from efg_jax.errors import InputError
from efg_jax.plots.canvas import BLACK, COLOURS, GREY, PANEL, RED, SERIES, TENSOR, Picture, style
from efg_jax.report.efg_report import Report
from efg_jax.report.parity_figures import EXPERIMENT_KHZ
from efg_jax.report.scored_quantities import EFG_SCORES
from efg_jax.spectra.regions import Regions
from efg_jax.text import digits

ERRORS = ("c_q_tilde", "eta_tilde", "nu_q_khz", "theta", "phi")
SHOWN = 99.0  # percentile of |error| to which the axis reaches; what lies outside is counted in the outermost bins
BINS = 41


def error_figure(
    reports: Report | Mapping[str, Report], species: str, keys: Sequence[str] | None = None, title: str = ""
) -> Figure:
    """Histograms of predicted − reference, one panel a quantity, one outline a model, with mean and standard deviation.

    Args:
        reports: one, or several by name, on the same structures.
        species: element.
        keys: quantities by their names in the JSON; None: C̃_Q, η̃, ν_Q, θ, φ, as far as all reports have them.
        title: heading.

    Raises:
        InputError: no report, an element or a quantity that a report does not have.
    """
    named = {"": reports} if isinstance(reports, Report) else dict(reports)
    if not named:
        raise InputError("there are no reports to draw; pass at least one")
    series = {name: _series(report, species) for name, report in named.items()}
    chosen = [key for key in ERRORS if all(key in own for own in series.values())] if keys is None else list(keys)
    if not chosen:
        raise InputError(f"there is no quantity of {species} to draw; name keys that all reports have")
    for name, own in series.items():
        if missing := [key for key in chosen if key not in own]:
            raise InputError(f"the report {name!r} on {species} has no {missing[0]}; it has {', '.join(own)}")
    colours = [COLOURS.get(report.kind, TENSOR) for report in named.values()]
    if len(set(colours)) < len(colours):
        colours = [SERIES[number % len(SERIES)] for number in range(len(named))]
    with style():
        figure = Picture(figsize=(0.9 * PANEL * len(chosen) + 0.2, PANEL + 0.3), layout="constrained")
        for ax, key in zip(figure.subplots(1, len(chosen), squeeze=False)[0], chosen, strict=True):
            errors = {name: np.asarray(own[key][1]) - np.asarray(own[key][0]) for name, own in series.items()}
            _draw_errors(ax, errors, colours, key)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def regions_figure(
    regions: Regions, *, label: str = r"$|\nu_Q|$", unit: str = "kHz", least: int | None = None, what: str = "sites"
) -> Figure:
    """A histogram with its regions in colours, numbered at their peaks; grey is what belongs to none (Harper et al.
    2025, Fig. 6).

    Args:
        regions: from `efg_jax.spectra.regions.find_regions`.
        label: of the values.
        unit: of the values.
        least: counts that a bin of a region has at least, drawn as a line.
        what: is counted.
    """
    with style():
        figure = Picture(figsize=(2.2 * PANEL, 1.15 * PANEL), layout="constrained")
        ax = figure.subplots()
        draw_regions(ax, regions, least)
        ax.set(xlabel=f"{label} ({unit})", ylabel=what)
    return figure


def draw_regions(ax: Axes, regions: Regions, least: int | None = None) -> None:
    """The histogram of `regions_figure` in axes that are there already."""
    colours = [GREY] * len(regions.counts)
    for number, (start, stop) in enumerate(regions.bins):
        colours[start:stop] = [SERIES[number % len(SERIES)]] * (stop - start)
    ax.bar(regions.centres, regions.counts, np.diff(regions.edges), color=colours)
    for number, peak in enumerate(regions.peaks):
        ax.annotate(
            str(number + 1),
            (regions.centres[peak], regions.counts[peak]),
            xytext=(0, 2),
            textcoords="offset points",
            ha="center",
            va="bottom",
        )
    if least is not None:
        ax.axhline(least, color=BLACK, linewidth=0.6, linestyle=":")
    ax.margins(x=0.01, y=0.12)
    ax.spines[["right", "top"]].set_visible(False)


def _series(report: Report, species: str) -> Mapping[str, tuple]:
    if species not in report.species:
        raise InputError(f"the report has nothing on {species}; it has {', '.join(report.species)}")
    return report[species].series


def _draw_errors(ax: Axes, errors: Mapping[str, np.ndarray], colours: Sequence[str], key: str) -> None:
    label = EFG_SCORES[key]
    reach = max(float(np.percentile(np.abs(values), SHOWN)) for values in errors.values()) or 1.0
    edges = np.linspace(-reach, reach, BINS + 1)
    if label.unit == "kHz":
        ax.axvspan(-EXPERIMENT_KHZ, EXPERIMENT_KHZ, color=RED, alpha=0.12, linewidth=0)
    for (name, values), colour in zip(errors.items(), colours, strict=True):
        ax.hist(np.clip(values, -reach, reach), edges, color=colour, alpha=0.18)
        text = f"{name}{': ' if name else ''}{_signed(values.mean())} ± {digits(float(values.std()))}"
        ax.hist(np.clip(values, -reach, reach), edges, color=colour, histtype="step", linewidth=1.1, label=text)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.0), borderpad=0.1, handlelength=1.0, labelspacing=0.25)
    ax.axvline(0.0, color=BLACK, linewidth=0.6)
    unit = f" ({label.unit})" if label.unit else ""
    ax.set_xlabel(f"error of {label.mathtext}{unit}")
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.set_xlim(-reach, reach)
    ax.yaxis.set_visible(False)
    ax.spines[["left", "right", "top"]].set_visible(False)


def _signed(value: float) -> str:
    return f"{'−' if value < 0 else ''}{digits(abs(float(value)))}"
