"""Pictures of searches: what was gained against what it cost, how the hyperparameters moved, and slices of response surfaces."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from efg_jax import plots
from efg_jax.tuning.box_behnken import Surface
from efg_jax.tuning.history import scalars
from efg_jax.tuning.search import Search
from efg_jax.tuning.space import LOGARITHMIC

COLOURS = {"gradient": plots.TENSOR, "box-behnken": plots.SCALAR, "bayes": plots.DIRECT}
LABELS = {"gradient": "gradient", "box-behnken": "Box–Behnken", "bayes": "Bayes (TPE)"}

SYMBOLS = {
    "cutoff": "$r_c$ (Å)",
    "sigma": "$\\sigma$ (Å)",
    "cutoff_width": "cutoff width (Å)",
    "scaling_rate": "scaling $c$",
    "scaling_radius": "scaling $r_0$ (Å)",
    "scaling_exponent": "scaling $m$",
    "centre_weight": "centre weight",
    "zeta": "$\\zeta$",
    "regularisation": "$\\rho$",
}

_LEAST_RANGE = 10.0  # losses that span more than this factor are drawn on a logarithmic axis


def search_figures(search: Search) -> plots.Figures:
    """Everything that one search has to show."""
    figures = [history_figure({LABELS[search.method]: search}), parameters_figure(search)]
    if search.surfaces:
        figures.append(slices_figure(search.surfaces[-1]))
    return plots.Figures(figures)


def history_figure(searches: Mapping[str, Search], title: str = "") -> Figure:
    """Loss against evaluations and against processor time: every evaluation a dot, the best so far a line.

    Args:
        searches: by the name that the legend shows.
        title: heading.
    """
    with plots.style():
        figure = plots.Picture(figsize=(2.6 * plots.PANEL + 0.4, plots.PANEL + 0.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        losses, starts, lines = [], [], {}
        for name, search in searches.items():
            colour = COLOURS[search.method]
            line = lines[search.method] = ":" if search.method in lines else "-"  # two searches of one method
            loss = np.array([trial.loss for trial in search.trials])
            best = np.array([trial.best for trial in search.trials])
            losses.append(loss[np.isfinite(loss)])
            starts.append(search.start.loss)
            number = np.arange(1, len(loss) + 1)
            seconds = np.array([trial.cpu_s for trial in search.trials])
            for ax, x in ((left, number), (right, seconds)):
                ax.scatter(x, loss, s=7, color=colour, alpha=0.35, linewidths=0)
                ax.step(x, best, where="post", color=colour, linestyle=line, linewidth=1.5, label=name)
        loss_axis(left, np.concatenate(losses), max(starts))
        left.set(xlabel="evaluations", ylabel="cross-validated loss")
        right.set(xlabel="processor time (s)")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        right.legend(loc="upper right")
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def parameters_figure(search: Search, title: str = "") -> Figure:
    """How each hyperparameter moved: every evaluation a dot, the best so far a line, the bounds as dashes where they are near."""
    species = search.model.descriptor.species
    tracks = [scalars(trial.values, species) for trial in search.trials]
    moved = [name for name in tracks[0] if name.split("[")[0] in search.space.bounds]
    leaders = np.maximum.accumulate(
        [trial.number if trial.loss == trial.best else 0 for trial in search.trials]
    )  # the trial that is the best so far
    number = np.arange(1, len(tracks) + 1)
    columns = min(4, len(moved))
    rows = -(-len(moved) // columns)
    with plots.style():
        figure = plots.Picture(figsize=(1.75 * columns + 0.3, 1.45 * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
        for ax, name in zip(axes, moved, strict=False):
            value = np.array([track[name] for track in tracks])
            colour = COLOURS[search.method]
            ax.scatter(number, value, s=6, color=colour, alpha=0.4, linewidths=0)
            ax.step(number, value[leaders], where="post", color=colour, linewidth=1.4)
            if name.split("[")[0] in LOGARITHMIC and value.max() > _LEAST_RANGE * value.min():
                ax.set_yscale("log")
            low, high = ax.get_ylim()
            for edge in search.space.bounds[name.split("[")[0]]:
                if low <= edge <= high:
                    ax.axhline(edge, color=plots.GREY, linewidth=0.8, linestyle="--")
            ax.set_title(_symbol(name), fontsize=9)
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        for ax in axes[len(moved) :]:
            ax.remove()
        for ax in axes[max(0, len(moved) - columns) : len(moved)]:
            ax.tick_params(labelbottom=True)
        figure.supxlabel("evaluation", fontsize=9)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def slices_figure(surface: Surface, bounds: Mapping[str, tuple[float, float]] | None = None) -> Figure:
    """Slices of a response surface through its minimum, one a coordinate, with the runs of the design as dots (off the slice, most of them).

    Args:
        surface: of one box.
        bounds: intervals of the hyperparameters, to label the axes with their values; None: places in the box, −1 to 1.
    """
    count = len(surface.coordinates)
    columns = min(4, count)
    rows = -(-count // columns)
    x = np.linspace(-1.0, 1.0, 101)
    with plots.style():
        figure = plots.Picture(figsize=(1.9 * columns + 0.4, 1.7 * rows + 0.6), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for number, (ax, name) in enumerate(zip(axes, surface.coordinates, strict=False)):
            points = np.tile(surface.minimum, (len(x), 1))
            points[:, number] = x
            to_value = _axis_of(surface, number, name, bounds)
            finite = np.isfinite(surface.losses)
            ax.scatter(
                to_value(surface.points[finite, number]), surface.losses[finite], s=7, color=plots.GREY, linewidths=0
            )
            ax.plot(to_value(x), surface(points), color=COLOURS["box-behnken"], linewidth=1.4)
            ax.plot(to_value(surface.minimum[number]), surface.evaluated, "*", color=plots.RED, markersize=8)
            if bounds is not None and name.split("[")[0] in LOGARITHMIC:
                ax.set_xscale("log")
                ax.xaxis.set_minor_formatter(NullFormatter())
            else:
                ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_xlabel(_symbol(name))
        for ax in axes[count:]:
            ax.remove()
        for ax in axes[:count:columns]:
            ax.set_ylabel("loss")
        figure.suptitle(
            f"surface's minimum {surface.predicted:.4g}, evaluated {surface.evaluated:.4g} (star) · lack of fit {surface.lack_of_fit:.2g} · "
            f"R² {surface.r_squared:.3f}",
            fontsize=8.5,
        )
    return figure


def _axis_of(surface: Surface, number: int, name: str, bounds: Mapping[str, tuple[float, float]] | None):
    """From places in the box to the values of a hyperparameter."""
    if bounds is None:
        return lambda place: place
    low, high = bounds[name.split("[")[0]]
    logarithmic = name.split("[")[0] in LOGARITHMIC

    def value(place):
        cube = surface.centre[number] + np.asarray(place) * surface.half_width[number]
        return low * (high / low) ** cube if logarithmic else low + (high - low) * cube

    return value


def loss_axis(ax: Axes, losses: np.ndarray, start: float) -> None:
    """Bad trials must not squeeze the good ones: what is far above the start's loss is cut off, and a wide range is logarithmic."""
    low, high = float(losses.min()), max(float(np.quantile(losses, 0.9)), start)
    if low > 0 and high / low > _LEAST_RANGE:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.set_ylim(low / 1.1, high * 1.3)
        return
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.1
    ax.set_ylim(low - margin, high + 2 * margin)


def _symbol(name: str) -> str:
    if name in SYMBOLS:
        return SYMBOLS[name]
    return f"weight of {name.split('[')[1][:-1]}" if name.startswith("species_weights[") else name
