"""Sensitivities as arrows on the structure, beside the most important bonds and angles."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes

from efg_jax.plots.canvas import BLACK, GREY, SCALAR, TENSOR, Picture, style
from efg_jax.plots.scene import FRONT, View, draw_atoms, draw_bonds, draw_legend, finish, view_from
from efg_jax.sensitivity.sensitivity_result import Sensitivity
from efg_jax.structures.neighbour_lists import bonded_pairs

LONGEST = 2.4  # Å on paper; the longest arrow
SHORTEST = 0.06  # of the longest; arrows below are left out
BARS = 10
BOND = 1.25


def sensitivity_figure(
    found: Sensitivity,
    *,
    radius: float | int = 4.0,
    view: Sequence[float | int] | Float[np.ndarray, "3"] | None = None,
    title: str = "",
) -> Picture:
    """Left: the atom and its neighbours, each with the arrow along which the quantity grows most; right: the largest
    bonds and angles.

    An arrow is ∂f/∂r of that atom (each periodic image by itself), long in proportion; the one of the atom itself is
    minus the sum of all others.

    Args:
        found: from `efg_jax.sensitivity.gradient`.
        radius: Å about the atom that are drawn.
        view: direction from which one looks; None: the one along which the arrows are foreshortened least.
        title: heading; without one the quantity and its value.
    """
    unit, factor = found.unit
    cluster, slopes = found.cluster, found.cluster_gradient / factor
    near = np.flatnonzero(np.linalg.norm(cluster.positions, axis=1) <= radius)
    points, arrows = cluster.positions[near], slopes[near]
    eye = _best_view(points, arrows) if view is None else view_from(view)
    with style():
        wide = bool(found.internal)
        figure = Picture(figsize=(7.0 if wide else 3.8, 3.9), layout="constrained")
        left, *rest = figure.subplots(1, 2, width_ratios=(1.25, 1.0)) if wide else [figure.subplots()]
        symbols = [cluster.symbols[i] for i in near]
        pairs = bonded_pairs(symbols, points, BOND)
        draw_bonds(left, eye, points, pairs)
        draw_atoms(left, eye, symbols, points)
        _draw_arrows(left, eye, points, arrows, unit)
        _name_atoms(left, eye, [cluster.names[i] for i in near], points, pairs)
        draw_legend(left, symbols)
        finish(left)
        if wide:
            _draw_bars(rest[0], found)
        figure.suptitle(title or f"${found.quantity.quantity.mathtext}$ {found.heading.split(' ', 1)[1]}", fontsize=10)
    return figure


def _best_view(points: np.ndarray, arrows: np.ndarray) -> View:
    """Along the direction in which arrows (and, a little, atoms) extend least."""
    spread = arrows.T @ arrows / max(float(np.sum(arrows**2)), 1e-300)
    spread = spread + 0.1 * points.T @ points / max(float(np.sum(points**2)), 1e-300)
    _, axes = np.linalg.eigh(spread)
    right, up, eye = axes[:, 2], axes[:, 1], axes[:, 0]
    return View(np.stack([right, up, eye if np.cross(right, up) @ eye > 0 else -eye]))


def _draw_arrows(ax: Axes, view: View, points: np.ndarray, arrows: np.ndarray, unit: str) -> None:
    largest = float(np.linalg.norm(arrows, axis=1).max(initial=0.0))
    if largest == 0.0:
        return
    scale = LONGEST / largest
    tails, heads = view.flat(points), view.flat(points + scale * arrows)
    for k in (*range(1, len(points)), 0):  # that of the atom itself lies over all others
        if np.linalg.norm(arrows[k]) >= SHORTEST * largest:
            _arrow(ax, tails[k], heads[k], SCALAR if k == 0 else TENSOR)
    ax.update_datalim(np.concatenate([tails, heads]))
    step = _round(largest / 2)
    corner = np.array([heads.min(axis=0)[0], min(tails.min(axis=0)[1], heads.min(axis=0)[1]) - 0.9])
    _arrow(ax, corner, corner + np.array([scale * step, 0.0]), BLACK)
    per = f"{step:g} {unit}/Å" if unit else f"{step:g}/Å"
    ax.text(corner[0] + scale * step + 0.15, corner[1], per, va="center", fontsize=8)
    ax.update_datalim(np.stack([corner, corner + np.array([scale * step + 2.0, 0.0])]))


def _arrow(ax: Axes, tail: np.ndarray, head: np.ndarray, colour: str) -> None:
    shape = {
        "arrowstyle": "-|>,head_length=0.3,head_width=0.14",
        "color": colour,
        "linewidth": 1.6,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    ax.annotate("", xy=head, xytext=tail, arrowprops=shape, zorder=FRONT)


def _name_atoms(ax: Axes, view: View, names: list[str], points: np.ndarray, pairs: list[tuple[int, int]]) -> None:
    """The atom and what is bonded to it, below the arrows."""
    named = {0} | {j for pair in pairs if 0 in pair for j in pair}
    flat = view.flat(points)
    for k in sorted(named):
        ax.annotate(
            names[k], flat[k], xytext=(5, -9), textcoords="offset points", fontsize=7.5, zorder=FRONT - 1,
            bbox={"boxstyle": "round,pad=0.12", "facecolor": "white", "edgecolor": "none", "alpha": 0.75},
        )  # fmt: skip


def _draw_bars(ax: Axes, found: Sensitivity) -> None:
    unit, factor = found.unit
    largest = found.internal[:BARS]
    values = np.array([one.along for one in largest]) / factor
    colours = [TENSOR if one.kind == "bond" else GREY for one in largest]
    ax.barh(np.arange(len(largest)), values, color=colours, height=0.62)
    ax.axvline(0.0, color=BLACK, linewidth=0.6)
    ax.set_yticks(np.arange(len(largest)), [one.name for one in largest])
    ax.invert_yaxis()
    symbol = f"${found.quantity.quantity.mathtext}$"
    ax.set_xlabel(f"derivative of {symbol} along bond or arc ({unit + '/Å' if unit else '1/Å'})")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for colour, label in ((TENSOR, "bond"), (GREY, "angle")):
        ax.bar(0.0, 0.0, color=colour, label=label)
    ax.legend(loc="lower left", bbox_to_anchor=(-0.02, 1.0), borderaxespad=0.0, ncols=2, handlelength=1.0)


def _round(value: float) -> float:
    """The next smaller of 1, 2, 5 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(step for step in (1, 2, 5) if step * power <= value * (1 + 1e-12)))
