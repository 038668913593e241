"""Pictures of searches over networks: what was gained against what it cost, and the loss against each hyperparameter."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from efg_jax import plots
from efg_jax.tuning.figures import COLOURS, loss_axis
from efg_jax.tuning.network_space import HYPERPARAMETERS
from efg_jax.tuning.networks import NetworkSearch, NetworkTrial

COLOUR = COLOURS["bayes"]
_DECADES = 100.0  # intervals of a smaller factor would show one power of ten, or none
SYMBOLS = {"cutoff": "cutoff (Å)", "lmax": "$l_{max}$"}


def search_figures(search: NetworkSearch) -> plots.Figures:
    """Everything that a search over networks has to show."""
    return plots.Figures([history_figure(search), parameters_figure(search)])


def history_figure(search: NetworkSearch, title: str = "") -> Figure:
    """Loss against trials and against processor time: every trial a dot, the best so far a line; pruned ones are hollow, failed ones crosses on top."""
    trials = search.trials
    number = np.arange(1, len(trials) + 1)
    seconds = np.array([trial.cpu_s for trial in trials])
    best = np.array([trial.best for trial in trials])
    with plots.style():
        figure = plots.Picture(figsize=(2.6 * plots.PANEL + 0.4, plots.PANEL + 0.6), layout="constrained")
        left, right = figure.subplots(1, 2, sharey=True)
        for ax, x in ((left, number), (right, seconds)):
            _draw(ax, x, trials)
            ax.step(x, best, where="post", color=COLOUR, linewidth=1.5)
        _scale(left, trials)
        left.set(xlabel="trials", ylabel="validation loss")
        right.set(xlabel="processor time (s)")
        left.xaxis.set_major_locator(MaxNLocator(integer=True))
        figure.legend(handles=_legend(trials), loc="outside upper center", ncols=4)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def parameters_figure(search: NetworkSearch, title: str = "") -> Figure:
    """Loss against each hyperparameter that moved, the best trial as a star; the axes are as wide as the bounds."""
    trials, bounds = search.trials, search.space.bounds
    columns = min(4, len(bounds))
    rows = -(-len(bounds) // columns)
    with plots.style():
        figure = plots.Picture(figsize=(1.75 * columns + 0.4, 1.6 * rows + 0.4), layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
        for ax, (name, (low, high)) in zip(axes, bounds.items(), strict=False):
            _draw(ax, np.array([trial.values[name] for trial in trials]), trials)
            ax.plot(search.best.values[name], search.best.loss, "*", color=plots.RED, markersize=8)
            if HYPERPARAMETERS[name].logarithmic:
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
                ax.xaxis.set_major_locator(MaxNLocator(4, integer=HYPERPARAMETERS[name].whole))
            ax.set_title(SYMBOLS.get(name, name.replace("_", " ")), fontsize=9)
        _scale(axes[0], trials)
        for ax in axes[len(bounds) :]:
            ax.remove()
        figure.supylabel("validation loss", fontsize=9)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def _draw(ax: Axes, x: np.ndarray, trials: Sequence[NetworkTrial]) -> None:
    """A mark each trial: filled, hollow, or a cross on the upper edge."""
    loss, state = np.array([trial.loss for trial in trials]), np.array([trial.state for trial in trials])
    for name, face in (("complete", COLOUR), ("pruned", "none")):
        chosen = state == name
        ax.scatter(x[chosen], loss[chosen], s=14, facecolors=face, edgecolors=COLOUR, linewidths=0.8)
    if (failed := state == "failed").any():  # no marks at all have no extent, and leave the axes no room
        top, edge = np.ones(failed.sum()), ax.get_xaxis_transform()
        ax.plot(x[failed], top, "x", color=plots.GREY, markersize=4, transform=edge, clip_on=False)


def _scale(ax: Axes, trials: Sequence[NetworkTrial]) -> None:
    losses = np.array([trial.loss for trial in trials if np.isfinite(trial.loss)])
    start = trials[0].loss
    loss_axis(ax, losses, start if np.isfinite(start) else float(losses.max()))


def _legend(trials: Sequence[NetworkTrial]) -> list[Line2D]:
    """Marks of the states that there are, and the line."""
    marks = {
        "complete": {"marker": "o", "markerfacecolor": COLOUR, "markeredgecolor": COLOUR},
        "pruned": {"marker": "o", "markerfacecolor": "none", "markeredgecolor": COLOUR},
        "failed": {"marker": "x", "markeredgecolor": plots.GREY},
    }
    present = {trial.state for trial in trials}
    handles = [
        Line2D([], [], linestyle="none", markersize=4, label=state, **mark)
        for state, mark in marks.items()
        if state in present
    ]
    return [*handles, Line2D([], [], color=COLOUR, linewidth=1.5, label="best")]
