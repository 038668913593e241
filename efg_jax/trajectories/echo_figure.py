"""Figure of spin-alignment echoes."""

import numpy as np

from efg_jax.plots.canvas import PANEL, SERIES, Picture, nucleus_name, style
from efg_jax.trajectories.echo_result import AlignmentEcho, in_time


def echo_figure(echo: AlignmentEcho) -> Picture:
    """F₂/F₂(0) against t_m on a logarithmic axis, with standard errors; dashed: the plateaus.

    Args:
        echo: from `efg_jax.trajectories.alignment_echo` or `jump_echo`.
    """
    with style():
        figure = Picture(figsize=(PANEL + 3.0, PANEL + 0.6), layout="constrained")
        ax = figure.subplots()
        times = echo.mixing[1:]
        for i, t_p in enumerate(echo.preparation):
            colour, start = SERIES[i % len(SERIES)], echo.values[i, 0]
            curve, error = echo.values[i, 1:] / start, echo.errors[i, 1:] / abs(start)
            ax.fill_between(times, curve - error, curve + error, color=colour, alpha=0.2, linewidth=0)
            ax.plot(times, curve, color=colour, linewidth=1.2, label=f"$t_p$ = {in_time(t_p)}")
            ax.axhline(echo.plateau[i] / start, color=colour, linewidth=0.8, linestyle="--")
        ax.set_xscale("log")
        ax.set(
            xlabel="mixing time $t_m$ (s)",
            ylabel=r"$F_2(t_p, t_m)\,/\,F_2(t_p, 0)$",
            ylim=(min(0.0, float(np.min(echo.values / echo.values[:, :1]))) - 0.03, 1.05),
            title=nucleus_name(echo.isotope),
        )
        ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        ax.spines[["top", "right"]].set_visible(False)
    return figure
