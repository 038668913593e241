"""Tensors as ellipsoids on their atoms."""

from collections.abc import Sequence

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from efg_jax.errors import InputError
from efg_jax.plots.canvas import SCALAR, TENSOR, Picture, style
from efg_jax.plots.scene import DEPTH, SPHERE, View, draw_atoms, draw_bonds, draw_cell, draw_legend, finish, view_from
from efg_jax.structures.neighbour_lists import bonded_pairs
from efg_jax.structures.targets import find, missing, shaped

POSITIVE, NEGATIVE = to_rgb(TENSOR), to_rgb(SCALAR)
LARGEST = 0.85  # Å; longest semi-axis of a picture
THINNEST = 0.12  # shortest over longest semi-axis, so that an eigenvalue of zero stays visible
LATITUDES, LONGITUDES = 60, 90
# Range of n·V·n, over its largest value, in which the colours blend; a sharp border would show the faces.
BLEND = 0.2
BOND = 1.2
FACE = ((0, 0), (1, 0), (1, 1), (0, 1))


def ellipsoids(
    atoms: Atoms,
    tensor: str = "efg",
    species: str | Sequence[str] | None = None,
    *,
    scale: float | int | None = None,
    view: Sequence[float | int] | Float[np.ndarray, "3"] = (1.0, 0.45, 0.35),
    cell: bool = True,
    title: str = "",
) -> Picture:
    """Draw the tensor (symmetric part) of each atom as an ellipsoid with the principal values as semi-axes.

    Blue directions have a positive tensor (n·V·n > 0), orange ones a negative one. An EFG has both colours, and its
    longest axis is that of V_zz; a shielding is mostly blue.

    Args:
        atoms: structure with the tensors; atoms without one (NaN) are discs.
        tensor: name of the array: "efg" (V/Å²), "ms" (ppm), or any of 3×3 tensors.
        species: elements that get ellipsoids; None: all with a tensor.
        scale: Å per V/Å² or ppm; None: the longest semi-axis is `LARGEST`.
        view: direction towards the viewer.
        cell: whether to draw the edges of the cell.
        title: heading.

    Returns:
        The figure; `plots.save` writes it.

    Raises:
        InputError: there is no such array, or no tensor of the species; the view is zero.
    """
    found = find(atoms, tensor, "atom")
    if found is None:
        raise missing(tensor, atoms, 0)
    tensors = shaped(found[1], tensor, "atom", "matrix", atoms, 0)[1]
    chosen = np.isfinite(tensors).all(axis=(1, 2))
    if species is not None:
        wanted = (species,) if isinstance(species, str) else tuple(species)
        if unknown := [symbol for symbol in wanted if symbol not in atomic_numbers]:
            raise InputError(f"species must be symbols of elements such as 'O', got {unknown[0]!r}")
        chosen &= np.isin(atoms.numbers, [atomic_numbers[symbol] for symbol in wanted])
    if not chosen.any():
        raise InputError(f"no atom of the species has a tensor '{tensor}'; choose other species or structures")
    tensors = 0.5 * (tensors + tensors.swapaxes(1, 2))
    largest = float(np.abs(np.linalg.eigvalsh(tensors[chosen])).max())
    factor = (LARGEST / largest if largest > 0.0 else 1.0) if scale is None else float(scale)
    eye, symbols = view_from(view), [str(symbol) for symbol in atoms.symbols]
    with style():
        figure = Picture(figsize=(4.6, 4.6), layout="constrained")
        ax = figure.subplots()
        draw_bonds(ax, eye, atoms.positions, bonded_pairs(symbols, atoms.positions, BOND))
        plain = np.flatnonzero(~chosen)
        draw_atoms(ax, eye, [symbols[i] for i in plain], atoms.positions[plain], 0.7 * SPHERE)
        for i in np.flatnonzero(chosen).tolist():
            draw_ellipsoid(ax, eye, atoms.positions[i], factor * tensors[i])
        if cell and atoms.cell.rank == 3:
            draw_cell(ax, eye, atoms.cell.array)
        if len(plain):
            draw_legend(ax, [symbols[i] for i in plain])
        _key(ax, tensor, factor)
        finish(ax)
        if title:
            figure.suptitle(title, fontsize=11)
    return figure


def draw_ellipsoid(ax: Axes, view: View, centre: Float[np.ndarray, "3"], tensor: Float[np.ndarray, "3 3"]) -> None:
    """Draw the visible half of an ellipsoid, lit from the upper left, coloured by the sign of n·V·n.

    Args:
        centre: Å.
        tensor: symmetric tensor, scaled so that its eigenvalues are semi-axes in Å.
    """
    values, axes = np.linalg.eigh(tensor)
    # Poles on the axis of largest magnitude, so that rows of faces run along the border of the colours of an EFG.
    order = np.argsort(np.abs(values))
    values, axes = values[order], axes[:, order]
    lengths = np.maximum(np.abs(values), THINNEST * np.abs(values).max())
    polar, azimuth = np.meshgrid(
        np.linspace(0, np.pi, LATITUDES + 1), np.linspace(0, 2 * np.pi, LONGITUDES + 1), indexing="ij"
    )
    unit = np.stack([np.sin(polar) * np.cos(azimuth), np.sin(polar) * np.sin(azimuth), np.cos(polar)], axis=-1)
    surface = (unit * lengths) @ axes.T
    middle = _mean(unit)
    middle /= np.linalg.norm(middle, axis=-1, keepdims=True)
    normal = (middle / lengths) @ axes.T
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    towards = normal @ view.axes[2]
    seen = towards > -0.05
    # The sign is that of the tensor along the direction from the centre to the point of the surface.
    outwards = middle * lengths
    along = (
        np.sum(values * outwards**2, axis=-1) / np.sum(outwards**2, axis=-1) / max(float(np.abs(values).max()), 1e-300)
    )
    positive = np.clip(0.5 + along / BLEND, 0.0, 1.0)[..., None]
    light = view.axes.T @ np.array([-0.4, 0.6, 0.7])
    shade = 0.45 + 0.55 * np.clip(normal @ light / np.linalg.norm(light), 0.0, 1.0)
    colours = positive * np.array(POSITIVE) + (1.0 - positive) * np.array(NEGATIVE)
    gloss = np.clip(normal @ light / np.linalg.norm(light), 0.0, 1.0)[..., None] ** 24
    colours = np.clip(colours * shade[..., None] + 0.35 * gloss, 0.0, 1.0)
    corners = np.stack([surface[i : i + LATITUDES, j : j + LONGITUDES] for i, j in FACE], axis=2)
    flat = corners[seen] @ view.axes[:2].T + view.flat(centre[None])[0]
    depth = float(view.depth(centre[None])[0])
    faces = PolyCollection(
        flat, facecolors=colours[seen], edgecolors=colours[seen], linewidths=0.3, zorder=DEPTH * depth, rasterized=True
    )
    ax.add_collection(faces)
    ax.update_datalim(flat.reshape(-1, 2))


def _mean(unit: np.ndarray) -> np.ndarray:
    """Directions of the middles of the faces."""
    return sum(unit[i : i + LATITUDES, j : j + LONGITUDES] for i, j in FACE) / 4.0


def _key(ax: Axes, tensor: str, factor: float) -> None:
    """Legend of colours and scale."""
    unit = {"efg": "V/Å²", "ms": "ppm"}.get(tensor, "")
    letter = "σ" if tensor == "ms" else "V"
    handles = [
        ax.plot([], [], "o", color=colour, label=f"$n·${letter}$·n$ {sign} 0")[0]
        for colour, sign in ((POSITIVE, ">"), (NEGATIVE, "<"))
    ]
    step = 1.0 / factor
    ax.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(1.0, 0.0),
        ncols=2,
        handletextpad=0.1,
        columnspacing=0.9,
        title=f"semi-axes: 1 Å = {step:.3g} {unit}",
        title_fontsize=8,
    )
