"""Figures of searches: gain against cost, where the hyperparameters went, slices of response surfaces."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from efg_jax import plots
from efg_jax.models.tuning_problem import Parameter
from efg_jax.tuning.box_behnken import Surface
from efg_jax.tuning.search import Search
from efg_jax.tuning.space import Space, components
from efg_jax.tuning.trials import Trial

COLOURS = {"gradient": plots.TENSOR, "box-behnken": plots.SCALAR, "bayes": plots.DIRECT}

_LEAST_RANGE = 10.0  # losses that span more than this factor are drawn on a logarithmic axis
_DECADES = 100.0  # intervals of a smaller factor would show one power of ten, or none


def search_figures(search: Search) -> plots.Figures:
    """Everything that one search has to show: the history, the hyperparameters, and the last response surface.

    A sampler jumps about, and its trials are drawn as losses against hyperparameters; the other methods as paths.
    """
    hyperparameters = losses_figure if search.method == "bayes" else path_figure
    figures = [history_figure({"best": search}), hyperparameters(search)]
    if search.surfaces:
        figures.append(slices_figure(search.surfaces[-1], search.space))
    return plots.Figures(figures)


def history_figure(searches: Mapping[str, Search], title: str = "") -> Figure:
    """Loss against trials and against processor time: every trial a mark, the best so far a line.

    Pruned trials are hollow; failed ones are crosses on the upper edge.

    Args:
        searches: by the name that the legend shows.
        title: heading.
    """
    with plots.style():
        figure = plots.Picture(figsize=(2.6 * plots.PANEL + 0.4, plots.PANEL + 0.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        lines, drawn = [], []
        for name, search in searches.items():
            colour = COLOURS[search.method]
            line = ":" if search.method in drawn else "-"  # two searches of one method
            drawn.append(search.method)
            best = np.array([trial.best for trial in search.trials])
            for ax, x in ((left, _numbers(search)), (right, np.array([trial.cpu_s for trial in search.trials]))):
                _marks(ax, x, search.trials, colour)
                ax.step(x, best, where="post", color=colour, linestyle=line, linewidth=1.5)
            lines.append(Line2D([], [], color=colour, linestyle=line, linewidth=1.5, label=name))
        _scale(left, searches.values())
        left.set(xlabel="trials", ylabel=next(iter(searches.values())).loss_name)
        right.set(xlabel="processor time (s)")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        handles = [*_states([trial for search in searches.values() for trial in search.trials]), *lines]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def path_figure(search: Search, title: str = "") -> Figure:
    """How each hyperparameter moved: every trial a dot, the best so far a line, the bounds as dashes where near."""
    tracks = [search.space.scalars(trial.values) for trial in search.trials]
    leaders = np.maximum.accumulate([trial.number if trial.loss == trial.best else 0 for trial in search.trials])
    number, colour = _numbers(search), COLOURS[search.method]
    with _panels(_axes_of(search.space), 1.45, title, sharex=True) as (figure, panels):
        for ax, (name, parameter) in panels:
            value = np.array([track[name] for track in tracks])
            ax.scatter(number, value, s=6, color=colour, alpha=0.4, linewidths=0)
            ax.step(number, value[leaders], where="post", color=colour, linewidth=1.4)
            if parameter.logarithmic and value.max() > _LEAST_RANGE * value.min():
                ax.set_yscale("log")
            low, high = ax.get_ylim()
            for edge in parameter.bounds:
                if low <= edge <= high:
                    ax.axhline(edge, color=plots.GREY, linewidth=0.8, linestyle="--")
            ax.set_title(_symbol(name, parameter), fontsize=9)
            ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
            ax.tick_params(labelbottom=True)
        figure.supxlabel("trial", fontsize=9)
    return figure


def losses_figure(search: Search, title: str = "") -> Figure:
    """Loss against each hyperparameter that moved, the best trial as a star; the axes are as wide as the bounds."""
    tracks = [search.space.scalars(trial.values) for trial in search.trials]
    with _panels(_axes_of(search.space), 1.6, title, sharey=True) as (figure, panels):
        for ax, (name, parameter) in panels:
            _marks(ax, np.array([track[name] for track in tracks]), search.trials, COLOURS[search.method])
            ax.plot(tracks[search.best.number][name], search.best.loss, "*", color=plots.RED, markersize=8)
            low, high = parameter.bounds
            if parameter.logarithmic:
                ax.set_xscale("log")
                ax.xaxis.set_minor_formatter(NullFormatter())
                if high < _DECADES * low:
                    ax.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
                    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
                margin = (high / low) ** 0.06
                ax.set_xlim(low / margin, high * margin)
            else:
                margin = 0.06 * (high - low) or 0.5
                ax.set_xlim(low - margin, high + margin)
                ax.xaxis.set_major_locator(MaxNLocator(4, integer=parameter.whole))
            ax.set_title(_symbol(name, parameter), fontsize=9)
        _scale(figure.axes[0], [search])
        figure.supylabel(search.loss_name, fontsize=9)
    return figure


def slices_figure(surface: Surface, space: Space) -> Figure:
    """Slices of a response surface through its minimum, with the runs of the design as dots (most are off the slice).

    Args:
        surface: of one box.
        space: of the search, by which places in the box are values.
    """
    x = np.linspace(-1.0, 1.0, 101)
    axes = {name: parameter for name, parameter in _axes_of(space).items() if name in surface.coordinates}
    with _panels(axes, 1.7, "", sharey=True) as (figure, panels):
        for number, (ax, (name, parameter)) in enumerate(panels):
            points = np.tile(surface.minimum, (len(x), 1))
            points[:, number] = x

            def value(place, number=number, parameter=parameter):
                cube = surface.centre[number] + np.asarray(place) * surface.half_width[number]
                low, high = parameter.bounds
                return low * (high / low) ** cube if parameter.logarithmic else low + (high - low) * cube

            finite = np.isfinite(surface.losses)
            runs = value(surface.points[finite, number])
            ax.scatter(runs, surface.losses[finite], s=7, color=plots.GREY, linewidths=0)
            ax.plot(value(x), surface(points), color=COLOURS["box-behnken"], linewidth=1.4)
            ax.plot(value(surface.minimum[number]), surface.evaluated, "*", color=plots.RED, markersize=8)
            if parameter.logarithmic:
                ax.set_xscale("log")
                ax.xaxis.set_minor_formatter(NullFormatter())
            else:
                ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_xlabel(_symbol(name, parameter))
        figure.supylabel("loss", fontsize=9)
        figure.suptitle(
            f"surface's minimum {surface.predicted:.4g}, evaluated {surface.evaluated:.4g} (star) · "
            f"lack of fit {surface.lack_of_fit:.2g} · R² {surface.r_squared:.3f}",
            fontsize=8.5,
        )
    return figure


def loss_axis(ax: Axes, losses: np.ndarray, start: float) -> None:
    """Cut off losses far above the start's, which would squeeze the others; a wide range is logarithmic."""
    low, high = float(losses.min()), max(float(np.quantile(losses, 0.9)), start)
    if low > 0 and high / low > _LEAST_RANGE:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        ax.set_ylim(low / 1.1, high * 1.3)
        return
    margin = 0.08 * (high - low) or 0.05 * abs(high) or 0.1
    ax.set_ylim(low - margin, high + 2 * margin)


@contextmanager
def _panels(axes: Mapping[str, Parameter], height: float, title: str, **shared: bool) -> Iterator[tuple]:
    """A figure with a panel for each hyperparameter, four a row."""
    columns = min(4, len(axes))
    rows = -(-len(axes) // columns)
    with plots.style():
        figure = plots.Picture(figsize=(1.75 * columns + 0.4, height * rows + 0.5), layout="constrained")
        panels = figure.subplots(rows, columns, squeeze=False, **shared).ravel()
        for ax in panels[len(axes) :]:
            ax.remove()
        yield figure, list(zip(panels, axes.items(), strict=False))
        if title:
            figure.suptitle(title, fontsize=11)


def _axes_of(space: Space) -> dict[str, Parameter]:
    """What moved, every component of an array by itself."""
    return {axis: space.parameters[name] for name in space.bounds for axis in components(name, space.parameters[name])}


def _symbol(name: str, parameter: Parameter) -> str:
    symbol = parameter.symbol or name.split("[")[0].replace("_", " ")
    return f"{symbol} of {name.split('[')[1][:-1]}" if "[" in name else symbol


def _numbers(search: Search) -> np.ndarray:
    return np.arange(1, len(search.trials) + 1)


def _marks(ax: Axes, x: np.ndarray, trials: Sequence[Trial], colour: str) -> None:
    """A mark each trial: filled, hollow, or a cross on the upper edge."""
    loss, state = np.array([trial.loss for trial in trials]), np.array([trial.state for trial in trials])
    for name, face in (("complete", colour), ("pruned", "none")):
        chosen = state == name
        ax.scatter(x[chosen], loss[chosen], s=9, facecolors=face, edgecolors=colour, linewidths=0.7, alpha=0.6)
    if (failed := state == "failed").any():  # no marks at all have no extent, and leave the axes no room
        top, edge = np.ones(failed.sum()), ax.get_xaxis_transform()
        ax.plot(x[failed], top, "x", color=plots.GREY, markersize=4, transform=edge, clip_on=False)


def _states(trials: Sequence[Trial]) -> list[Line2D]:
    """Marks of the states that there are, for a legend."""
    marks = {
        "complete": {"marker": "o", "markerfacecolor": plots.GREY, "markeredgecolor": plots.GREY},
        "pruned": {"marker": "o", "markerfacecolor": "none", "markeredgecolor": plots.GREY},
        "failed": {"marker": "x", "markeredgecolor": plots.GREY},
    }
    present = {trial.state for trial in trials}
    return [
        Line2D([], [], linestyle="none", markersize=4, label=state, **mark)
        for state, mark in marks.items()
        if state in present
    ]


def _scale(ax: Axes, searches: Iterable[Search]) -> None:
    found = [[trial.loss for trial in search.trials] for search in searches]
    losses = np.array([loss for own in found for loss in own if np.isfinite(loss)])
    starts = [own[0] for own in found if np.isfinite(own[0])]
    loss_axis(ax, losses, max(starts, default=float(losses.max())))
