"""Figure of a set of field gradients: bond lengths, C_Q and η by element or site (Harper et al. 2025, Fig. 2b, c)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Float
from matplotlib.axes import Axes

from efg_jax.errors import InputError
from efg_jax.observables.arrays import flagged_values_of
from efg_jax.plots.canvas import PANEL, SERIES, Picture, nucleus_name, style
from efg_jax.structures.neighbour_lists import neighbour_pairs
from efg_jax.structures.targets import labels, target_of
from efg_jax.tensors.efg import coupling_factor
from efg_jax.tensors.nuclei import Isotope, default_isotope, isotope
from efg_jax.tensors.quantities import QUANTITIES

BINS = 25


class Group(NamedTuple):
    """Sites that belong together, over all structures.

    Attributes:
        symbol: element.
        bonds: distances to the atoms that they are bonded to, Å.
        v_zz: |V_zz| of the labelled ones, V/Å².
        eta: asymmetry of those that are not zero to rounding.
    """

    symbol: str
    bonds: Float[np.ndarray, " bonds"]
    v_zz: Float[np.ndarray, " labelled"]
    eta: Float[np.ndarray, " labelled"]


def dataset_groups(
    frames: Sequence[Atoms], by: str | None = None, to: str = "O", bond: float = 2.6
) -> dict[str, Group]:
    """Bond lengths and field gradients by element, or by element and site.

    Args:
        frames: structures with ``arrays["efg"]``.
        by: name of an array of words, such as "site", that divides the elements.
        to: element at the other end of a bond.
        bond: Å; longest distance that is called one.

    Returns:
        By name: "Ti", or with ``by`` "Li 8a", in ascending order.

    Raises:
        InputError: no structures, no labels, or an array that is missing.
    """
    target = target_of("efg", frames)
    found: dict[str, list[tuple]] = {}
    for atoms in frames:
        symbols = np.asarray(atoms.symbols)
        if by is not None and by not in atoms.arrays:
            raise InputError(f"has no array '{by}' to divide its sites by; leave it out, or name another")
        names = symbols if by is None else np.char.add(np.char.add(symbols, " "), atoms.arrays[by].astype(str))
        tensors = labels([atoms], target)
        for name in np.unique(names):
            centres = np.flatnonzero(names == name)
            pairs = neighbour_pairs(atoms, centres, bond)
            lengths = np.linalg.norm(pairs.displacements(atoms), axis=1)
            bonded = (symbols[pairs.neighbour] == to) & (lengths > 0.0)
            own = tensors[centres]
            own = own[np.isfinite(own).all(axis=(1, 2))]
            found.setdefault(str(name), []).append((str(symbols[centres[0]]), lengths[bonded], *_size_and_shape(own)))
    return {
        name: Group(parts[0][0], *(np.concatenate(column) for column in list(zip(*parts, strict=True))[1:]))
        for name, parts in sorted(found.items())
    }


def dataset_figure(
    frames: Sequence[Atoms],
    by: str | None = None,
    *,
    to: str = "O",
    bond: float = 2.6,
    isotopes: Mapping[str, Isotope | str] | None = None,
) -> Picture:
    """Violins of the bond lengths, histograms of |C_Q| (|V_zz| where the nucleus has no quadrupole moment) and of η.

    Args:
        frames, by, to, bond: as for `dataset_groups`.
        isotopes: nucleus by element, where it is not the one that NMR uses.

    Raises:
        InputError: as `dataset_groups`.
    """
    groups = {name: group for name, group in dataset_groups(frames, by, to, bond).items() if len(group.v_zz)}
    if not groups:
        raise InputError("no atom carries 'efg'; pass structures that have labels")
    colours = dict(zip(groups, (SERIES[number % len(SERIES)] for number in range(len(groups))), strict=True))
    elements = list(dict.fromkeys(group.symbol for group in groups.values()))
    named = {symbol: isotope(nucleus) for symbol, nucleus in (isotopes or {}).items()}
    chosen = {symbol: named.get(symbol) or default_isotope(symbol) for symbol in elements}
    with style():
        figure = Picture(figsize=((2 + len(elements)) * 1.15 * PANEL, 1.1 * PANEL), layout="constrained")
        violins, *strengths, shapes = figure.subplots(1, 2 + len(elements))
        _draw_bonds(violins, {n: g.bonds for n, g in groups.items() if g.symbol != to and len(g.bonds)}, colours, to)
        for ax, symbol in zip(strengths, elements, strict=True):
            own = {name: group.v_zz for name, group in groups.items() if group.symbol == symbol}
            _draw_strengths(ax, own, colours, symbol, chosen[symbol])
        for name, group in groups.items():
            if len(group.eta):
                _draw_outline(shapes, group.eta, np.linspace(0.0, 1.0, BINS), colours[name], name)
        shapes.set_xlabel("η")
        for ax in (*strengths, shapes):
            ax.yaxis.set_visible(False)
            ax.spines[["left", "right", "top"]].set_visible(False)
            ax.legend(loc="lower left", bbox_to_anchor=(-0.05, 1.0), ncols=2, borderpad=0.1, handlelength=1.0)
    return figure


def _draw_bonds(ax: Axes, bonds: Mapping[str, np.ndarray], colours: Mapping[str, str], to: str) -> None:
    """Violins with their medians."""
    if not bonds:
        return ax.set_axis_off()
    drawn = ax.violinplot(list(bonds.values()), showmedians=True, showextrema=False)
    for body, name in zip(drawn["bodies"], bonds, strict=True):
        body.set(facecolor=colours[name], alpha=0.45)
    drawn["cmedians"].set_color([colours[name] for name in bonds])
    ax.set_xticks(range(1, len(bonds) + 1), [f"{name}\n– {to}" for name in bonds])
    ax.set_ylabel("distance (Å)")
    ax.spines[["right", "top"]].set_visible(False)


def _draw_strengths(
    ax: Axes, own: Mapping[str, np.ndarray], colours: Mapping[str, str], symbol: str, nucleus: Isotope | None
) -> None:
    """|C_Q| in the unit that suits it, or |V_zz|."""
    largest = max(values.max() for values in own.values())
    factor, label = 1.0, f"$|V_{{zz}}|$ of {symbol} (V/Å²)"
    if nucleus is not None and nucleus.quadrupole_moment is not None:
        factor = 1e-6 * abs(coupling_factor(nucleus))
        unit = "MHz" if factor * largest >= 1.0 else "kHz"
        factor *= 1.0 if unit == "MHz" else 1e3
        label = f"$|C_Q|$ of {nucleus_name(nucleus)} ({unit})"
    for name, values in own.items():
        _draw_outline(ax, factor * values, np.linspace(0.0, factor * largest, BINS), colours[name], name)
    ax.set_xlabel(label)


def _draw_outline(ax: Axes, values: np.ndarray, edges: np.ndarray, colour: str, name: str) -> None:
    ax.hist(values, edges, density=True, color=colour, alpha=0.18)
    ax.hist(values, edges, density=True, color=colour, histtype="step", linewidth=1.2, label=f"{name} ({len(values)})")


def _size_and_shape(tensors: Float[np.ndarray, "n 3 3"]) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """|V_zz| and η of tensors; η is left out where it is undefined."""
    if not len(tensors):
        return np.empty(0), np.empty(0)
    (size, eta), (_, undefined) = flagged_values_of(
        [QUANTITIES["efg"]["abs_v_zz"], QUANTITIES["efg"]["eta"]], efg=tensors
    )
    return size, eta[~undefined]
