"""Figure of a training: losses and errors by epoch."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from efg_jax.errors import InputError
from efg_jax.network.training_history import History
from efg_jax.plots.canvas import BLACK, GREY, PANEL, SERIES, Picture, style


def training_figure(histories: Sequence[History], title: str = "") -> Picture:
    """Losses, and %RMSE of each part of each target on the validation set, by epoch.

    One line for each network; a dot marks the epoch whose weights were kept.

    Args:
        histories: of the networks, ``fitted.histories``.
        title: heading.

    Raises:
        InputError: no epochs.
    """
    if not histories or not all(history.rows for history in histories):
        raise InputError("there are no epochs to draw; pass the histories of a fitted network")
    parts = [name for name in histories[0].rows[0] if name.rpartition("_")[2].isdecimal()]
    with style():
        figure = Picture(figsize=(3.2 * PANEL, 1.1 * PANEL), layout="constrained")
        losses, errors = figure.subplots(1, 2)
        _draw(losses, histories, {"training_loss": ("training", GREY), "validation_loss": ("validation", BLACK)})
        losses.set(ylabel="loss", yscale="log")
        names = {part: "{0} λ = {2}".format(*part.rpartition("_")) for part in parts}
        _draw(errors, histories, {part: (names[part], SERIES[i % len(SERIES)]) for i, part in enumerate(parts)})
        errors.set(ylabel="%RMSE of the validation set", yscale="log")
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def _draw(ax: Axes, histories: Sequence[History], columns: dict[str, tuple[str, str]]) -> None:
    """One line for each column and history."""
    for column, (label, colour) in columns.items():
        for member, history in enumerate(histories):
            values = np.array([row[column] for row in history.rows])
            epochs = np.arange(len(values))
            ax.plot(epochs, values, color=colour, linewidth=0.9, label=None if member else label)
            ax.plot(history.best, values[history.best], "o", color=colour, markersize=3.0)
    ax.set(xlabel="epoch")
    ax.legend()
    ax.spines[["top", "right"]].set_visible(False)
