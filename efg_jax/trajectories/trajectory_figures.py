"""Figures of a trajectory: running averages, distributions, autocorrelations, and the wrong order of averaging."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from efg_jax.errors import InputError
from efg_jax.plots.canvas import BLACK, GREY, PANEL, SCALAR, SERIES, TENSOR, Picture, nucleus_name, style
from efg_jax.tensors.quantities import QUANTITIES
from efg_jax.trajectories.distributions import has_density
from efg_jax.trajectories.relaxation import Relaxation
from efg_jax.trajectories.trajectory_average import TrajectoryAverage

MOST_LABELS = 6
MARGIN = 0.1  # beyond the outermost points, of what they span
MARK = {"s": 12, "linewidths": 0, "alpha": 0.8, "zorder": 3}


def trajectory_figure(average: TrajectoryAverage, species: str | None = None, title: str = "") -> Picture:
    """Four panels: running average of one atom, right order against wrong, distribution of single frames,
    autocorrelation of the tensor.

    Args:
        average: from `efg_jax.trajectories.average`.
        species: element; None: the first one.
        title: heading.

    Raises:
        InputError: the element was not averaged.
    """
    symbol = species or next(iter(average.isotopes))
    _key(average, symbol)
    with style():
        figure = Picture(figsize=(2 * PANEL + 1.4, 2 * PANEL + 0.9), layout="constrained")
        axes = figure.subplots(2, 2)
        draw_running(axes[0, 0], average, symbol)
        draw_orders(axes[0, 1], average, symbol)
        draw_distribution(axes[1, 0], average, symbol)
        draw_autocorrelation(axes[1, 1], average, symbol)
        figure.suptitle(title or f"{_nucleus(average, symbol)} · {average.frames} frames", fontsize=11)
    return figure


def running_figure(average: TrajectoryAverage, atom: int | None = None) -> Picture:
    """Running average of one atom with its standard error, and the mean over frames beside it; without an atom the
    first one.
    """
    return _single(lambda ax: draw_running(ax, average, None, atom))


def distribution_figure(
    average: TrajectoryAverage,
    quantity: str | None = None,
    *,
    species: str | None = None,
    reference: float | int | None = None,
) -> Picture:
    """Kernel density of single frames, by label where there are labels; quantities as of
    `TrajectoryAverage.distribution`.
    """
    return _single(
        lambda ax: draw_distribution(ax, average, species or next(iter(average.isotopes)), quantity, reference)
    )


def autocorrelation_figure(average: TrajectoryAverage, species: str | None = None) -> Picture:
    """Normalised autocorrelation of the tensor's fluctuation, of ν_Q's too where a direction was given."""
    return _single(lambda ax: draw_autocorrelation(ax, average, species or next(iter(average.isotopes))))


def draw_running(ax: Axes, average: TrajectoryAverage, species: str | None, atom: int | None = None) -> None:
    """C_Q(⟨V⟩) after more and more frames with its standard error, and ⟨C_Q⟩."""
    frames, series = average.running()
    symbols = average.sums.symbols
    if atom is not None and atom not in average.tracked:
        raise InputError(f"atom {atom} was not averaged; choose one of {', '.join(map(str, average.tracked[:10]))}")
    rows = average.tracked == atom if atom is not None else symbols == (species or symbols[0])
    k = int(np.flatnonzero(rows)[0])
    name, unit, divisor = _main(average, str(symbols[k]))
    time, of_time = _time(average, frames)
    right, error, wrong = (part[:, k] / divisor for part in (series.right, series.error, series.wrong))
    mean = "V" if average.target == "efg" else "σ"
    known = np.isfinite(error)
    ax.fill_between(time[known], (right - error)[known], (right + error)[known], color=TENSOR, alpha=0.22, linewidth=0)
    ax.plot(time, right, color=TENSOR, linewidth=1.3, label=f"{name}(⟨{mean}⟩) ± standard error")
    ax.plot(time, wrong, color=SCALAR, linewidth=1.0, linestyle="--", label=f"⟨{name}⟩, the wrong order")
    ax.set(xlabel=of_time, ylabel=f"{name} of atom {average.tracked[k]} ({unit})")
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.0)
    ax.spines[["top", "right"]].set_visible(False)


def draw_orders(ax: Axes, average: TrajectoryAverage, species: str) -> None:
    """The mean over frames against the number of the mean tensor, one point a site."""
    name, unit, divisor = _main(average, species)
    key = _key(average, species)
    sites = [site for site in average.sites if site.symbol == species]
    right = np.array([abs(site.quantities[key].value) for site in sites]) / divisor
    wrong = np.array([site.quantities[_over_frames(key)].value for site in sites]) / divisor
    errors = np.array([[site.quantities[name].error for site in sites] for name in (key, _over_frames(key))]) / divisor
    bars = np.nan_to_num(errors)
    ends = _ends(np.stack([right, wrong]), bars)
    ax.plot(ends, ends, color=BLACK, linewidth=0.6)
    ax.errorbar(right, wrong, bars[1], bars[0], fmt="none", ecolor=GREY, elinewidth=0.7)
    labels = average.labels if any(site.label for site in sites) else [None]
    for label, colour in zip(labels[:MOST_LABELS], SERIES, strict=False):
        own = np.array([site.label == label for site in sites])
        ax.scatter(right[own], wrong[own], color=colour, label=label, **MARK)
    if labels[0] is not None:
        ax.legend(loc="upper left")
    mean = "V" if average.target == "efg" else "σ"
    sign = "|" if average.target == "efg" else ""
    ax.set(
        xlim=ends,
        ylim=ends,
        xlabel=f"{sign}{name}(⟨{mean}⟩){sign} ({unit})",
        ylabel=f"⟨{sign}{name}{sign}⟩ over frames ({unit})",
    )
    ax.set_box_aspect(1)
    ax.spines[["top", "right"]].set_visible(False)


def draw_distribution(
    ax: Axes,
    average: TrajectoryAverage,
    species: str,
    quantity: str | None = None,
    reference: float | int | None = None,
) -> None:
    """Density of what single frames show, and where the averages lie."""
    key = quantity or _key(average, species)
    average.sampled(key, species=species, reference=reference)  # refuses what has no distribution
    name, unit, divisor = _axis(key)
    labels: Sequence[str | None] = average.labels[:MOST_LABELS] if any(site.label for site in average.sites) else [None]
    for label, colour in zip(labels, SERIES, strict=False):
        if label is not None and (label, species) not in average.sums.samples:
            continue  # a label of other elements
        if not has_density(average.sampled(key, species=species, label=label, reference=reference)):
            continue
        found = average.distribution(key, species=species, label=label, reference=reference)
        ax.fill_between(found.grid / divisor, found.density * divisor, color=colour, alpha=0.3, linewidth=0)
        ax.plot(found.grid / divisor, found.density * divisor, color=colour, linewidth=1.2, label=label)
    ticks = [
        site.quantities[key].value / divisor
        for site in average.sites
        if key in site.quantities and site.symbol == species
    ]
    if ticks:
        ax.plot(
            ticks, np.zeros(len(ticks)), "|", color=BLACK, markersize=9, clip_on=False, zorder=4, label="mean tensors"
        )
    ax.set_ylim(bottom=0.0)
    ax.set(
        xlabel=f"{name} of single frames{f' ({unit})' if unit else ''}",
        ylabel=f"density{f' (1/{unit})' if unit else ''}",
    )
    if names := ax.get_legend_handles_labels()[1]:
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            borderaxespad=0.0,
            ncols=min(len(names), 4),
            columnspacing=1.0,
        )
    ax.spines[["top", "right"]].set_visible(False)


def draw_autocorrelation(ax: Axes, average: TrajectoryAverage, species: str) -> None:
    """Normalised autocorrelation of the fluctuations on a logarithmic axis of lags, with its standard error, and where
    the integral of T₁ ends; text where there is none.
    """
    ax.spines[["top", "right"]].set_visible(False)
    if not average.sums.complete:
        text = "no autocorrelation:\nframes were left out"
        ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes, color=GREY)
        ax.set_axis_off()
        return
    name = "δV:δV" if average.target == "efg" else "δσ:δσ"
    curves = [(average.autocorrelation(species=species), TENSOR, name)]
    if average.sums.options.direction is not None and average.target == "efg":
        curves.append((average.autocorrelation("nu_q", species=species), SCALAR, r"$δν_Q\,δν_Q$"))
    for found, colour, label in curves:
        if found.values[0] > 0.0 and len(found.lags) > 1:
            lags = _time(average, found.lags, of_lags=True)[0][1:]
            values, errors = (part[1:] / found.values[0] for part in (found.values, found.errors))
            ax.fill_between(lags, values - errors, values + errors, color=colour, alpha=0.22, linewidth=0)
            ax.plot(lags, values, color=colour, linewidth=1.3, label=label)
    relaxation = average.relaxations().get(species)
    if isinstance(relaxation, Relaxation) and relaxation.until > 0.0:
        ax.axvline(relaxation.until * 1e12, color=GREY, linewidth=0.8, linestyle=":", label=r"end of $\int$ of $T_1$")
    ax.axhline(0.0, color=BLACK, linewidth=0.6)
    ax.set_xscale("log")
    ax.set_ylim(-0.35, 1.05)
    ax.set(
        xlabel=_time(average, np.zeros(1), of_lags=True)[1].replace("time", "lag"), ylabel="autocorrelation, normalised"
    )
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.0, ncols=3, columnspacing=1.0)


def _single(draw) -> Picture:
    with style():
        figure = Picture(figsize=(PANEL + 1.3, PANEL + 0.6), layout="constrained")
        draw(figure.subplots())
    return figure


def _time(average: TrajectoryAverage, values: np.ndarray, of_lags: bool = False) -> tuple[np.ndarray, str]:
    """Frames, or picoseconds where the time step is known; lags come in fs then."""
    if average.timestep is None:
        return values, "lag (frames)" if of_lags else "frames"
    return values * (1.0 if of_lags else average.timestep) * 1e-3, "time (ps)"


def _ends(values: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Both axes from a little below the smallest of these magnitudes, but not below zero, to a little above the
    largest.
    """
    low, high = float((values - errors).min()), float((values + errors).max())
    margin = max(MARGIN * (high - low), 1e-3 * high, 1e-12)
    return np.array([max(low - margin, 0.0), high + margin])


def _key(average: TrajectoryAverage, species: str) -> str:
    if species not in average.isotopes:
        raise InputError(f"{species} was not averaged; choose one of {', '.join(average.isotopes)}")
    if average.target == "ms":
        return "span"
    return "v_zz" if average.isotopes[species] is None else "c_q"


def _main(average: TrajectoryAverage, species: str) -> tuple[str, str, float]:
    return _axis(_key(average, species))


def _axis(key: str) -> tuple[str, str, float]:
    """Symbol, unit on paper, divisor."""
    known = QUANTITIES["shift"] | QUANTITIES["shielding"] | QUANTITIES["efg"]
    return f"${known[key].mathtext}$", known[key].display_unit, known[key].display_factor


def _over_frames(key: str) -> str:
    """⟨|C_Q|⟩ where there is one: the signs of single frames say little where η is near 1."""
    return f"mean_{key}" if key == "span" else f"mean_abs_{key}"


def _nucleus(average: TrajectoryAverage, symbol: str) -> str:
    nucleus = average.isotopes[symbol]
    return symbol if nucleus is None else nucleus_name(nucleus)
