"""Drawing a structure: orthographic projection; spheres, bonds and cell edges from back to front."""

from collections.abc import Sequence
from itertools import combinations, product
from typing import NamedTuple

import numpy as np
from ase.data import atomic_numbers, covalent_radii
from ase.data.colors import jmol_colors
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.patches import Circle

from efg_jax.errors import InputError
from efg_jax.plots.canvas import BLACK, GREY

SPHERE = 0.38  # radius of a drawn atom over its covalent radius
FRONT = 1000.0  # zorder in front of the whole structure
DEPTH = 10.0  # zorder per Å


class View(NamedTuple):
    """Point of view.

    Attributes:
        axes: rows are the directions to the right, upwards, and towards the eye.
    """

    axes: Float[np.ndarray, "3 3"]

    def flat(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, "n 2"]:
        """Positions on paper, Å."""
        return points @ self.axes[:2].T

    def depth(self, points: Float[np.ndarray, "n 3"]) -> Float[np.ndarray, " n"]:
        """Distance towards the eye, Å."""
        return points @ self.axes[2]


def view_from(direction: Sequence[float | int] | Float[np.ndarray, "3"]) -> View:
    """View from a direction, with z upwards (y if one looks along z).

    Raises:
        InputError: the direction is zero.
    """
    eye = np.asarray(direction, dtype=float)
    if eye.shape != (3,) or not np.linalg.norm(eye) > 0.0:
        raise InputError(f"view must be three numbers, not all zero, such as (1, 0.4, 0.3), got {direction}")
    eye = eye / np.linalg.norm(eye)
    up = np.array([0.0, 0.0, 1.0]) if abs(eye[2]) < 0.99 else np.array([0.0, 1.0, 0.0])
    up = up - (up @ eye) * eye
    up /= np.linalg.norm(up)
    return View(np.stack([np.cross(up, eye), up, eye]))


def draw_atoms(
    ax: Axes,
    view: View,
    symbols: Sequence[str],
    points: Float[np.ndarray, "n 3"],
    scale: float = SPHERE,
    alpha: float = 1.0,
) -> None:
    """Draw atoms as discs, near ones over far ones; far ones are paler."""
    if len(points) == 0:
        return
    flat, depth = view.flat(points), view.depth(points)
    span = max(float(np.ptp(depth)), 1e-9)
    for symbol, centre, height in zip(symbols, flat, depth, strict=True):
        haze = 0.55 * (depth.max() - height) / span
        colour = (1.0 - haze) * jmol_colors[atomic_numbers[symbol]] + haze
        radius = scale * covalent_radii[atomic_numbers[symbol]]
        edge = (1.0 - haze) * np.array([0.25, 0.25, 0.25]) + haze
        ax.add_patch(
            Circle(centre, radius, facecolor=colour, edgecolor=edge, linewidth=0.6, alpha=alpha, zorder=DEPTH * height)
        )
    reach = scale * max(covalent_radii[atomic_numbers[symbol]] for symbol in symbols)
    ax.update_datalim(np.concatenate([flat - reach, flat + reach]))


def draw_bonds(ax: Axes, view: View, points: Float[np.ndarray, "n 3"], pairs: Sequence[tuple[int, int]]) -> None:
    """Draw bonds as sticks behind the nearer of their atoms."""
    flat, depth = view.flat(points), view.depth(points)
    for i, j in pairs:
        line = flat[[i, j]]
        ax.plot(
            *line.T,
            color=GREY,
            linewidth=2.2,
            solid_capstyle="round",
            zorder=DEPTH * float(min(depth[i], depth[j])) - 0.5,
        )


def draw_cell(ax: Axes, view: View, cell: Float[np.ndarray, "3 3"]) -> None:
    """Draw the twelve edges of a cell."""
    corners = np.array(list(product((0.0, 1.0), repeat=3)))
    flat = view.flat(corners @ cell)
    lowest = float(view.depth(corners @ cell).min())
    for i, j in combinations(range(8), 2):
        if np.abs(corners[i] - corners[j]).sum() == 1.0:
            ax.plot(*flat[[i, j]].T, color=BLACK, linewidth=0.5, linestyle=(0, (4, 3)), zorder=DEPTH * lowest - 1.0)


def draw_legend(ax: Axes, symbols: Sequence[str]) -> None:
    """Draw a legend of elements below the picture."""
    handles = [
        ax.plot([], [], "o", color=jmol_colors[atomic_numbers[s]], markeredgecolor=BLACK, markeredgewidth=0.5, label=s)[
            0
        ]
        for s in dict.fromkeys(symbols)
    ]
    ax.add_artist(
        ax.legend(
            handles=handles,
            loc="upper left",
            bbox_to_anchor=(0.0, 0.0),
            ncols=len(handles),
            handletextpad=0.1,
            columnspacing=0.9,
        )
    )


def finish(ax: Axes) -> None:
    """Set equal scales and remove the frame."""
    ax.set_aspect("equal")
    ax.autoscale_view()
    ax.margins(0.04)
    ax.set_axis_off()
