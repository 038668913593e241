"""What is in the reference data: bond lengths, C_Q and η by site (the paper's Fig. 2 b and c)."""

from collections import defaultdict
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from ase import Atoms
from matplotlib.figure import Figure

import efg_jax as ej
from efg_jax import plots
from efg_jax.neighbour_lists import neighbour_pairs
from efg_jax.tensors import coupling_constant, principal_axes

NUCLEI = {"Li": "7Li", "Ti": "47Ti", "O": "17O"}
SITES = np.tile(["8a"] * 2 + ["16d"] * 4 + ["32e"] * 8, 3)
"""Of the atoms of a 42-atom cell, in the order in which it is built: three primitive cells."""

BOND = 2.6  # Å: longer than every Li–O and Ti–O bond of the rattled cells, shorter than the next shell
GROUPS = {"Li 8a": ("Li", "8a"), "Li 16d": ("Li", "16d"), "Ti 16d": ("Ti", "16d"), "O 32e": ("O", "32e")}


def with_sites(frames: list[Atoms]) -> list[Atoms]:
    """The frames with ``arrays["site"]``.

    Raises:
        ValueError: a frame is no 42-atom cell in the order in which `experiments.reference_data` builds them.
    """
    for atoms in frames:
        if len(atoms) != len(SITES) or set(np.asarray(atoms.symbols)[SITES == "8a"]) != {"Li"}:
            raise ValueError(
                f"{atoms.info.get('parent')} {atoms.info.get('index')} is not a 42-atom cell as it was built"
            )
        atoms.set_array("site", SITES.copy())
    return frames


def bond_lengths(frames: list[Atoms]) -> dict[str, np.ndarray]:
    """Distances (Å) from Li on 8a, Li on 16d and Ti to the O within a bond's length."""
    found = defaultdict(list)
    for atoms in frames:
        symbols = np.asarray(atoms.symbols)
        for name, (symbol, site) in list(GROUPS.items())[:3]:
            centres = np.flatnonzero((symbols == symbol) & (atoms.arrays["site"] == site))
            pairs = neighbour_pairs(atoms, centres, BOND)
            lengths = np.linalg.norm(pairs.displacements(atoms), axis=1)
            found[f"{name} – O"].append(lengths[symbols[pairs.neighbour] == "O"])
    return {name: np.concatenate(parts) for name, parts in found.items()}


def couplings(frames: list[Atoms]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """|C_Q| (kHz) and η of each group of sites."""
    found = {}
    for name, (symbol, site) in GROUPS.items():
        tensors = np.concatenate(
            [a.arrays["efg"][(np.asarray(a.symbols) == symbol) & (a.arrays["site"] == site)] for a in frames]
        )
        with ej.float64():
            axes = principal_axes(jnp.asarray(tensors))
            c_q = np.asarray(coupling_constant(axes.values[:, 2], NUCLEI[symbol]))
            eta = np.asarray((axes.values[:, 0] - axes.values[:, 1]) / axes.values[:, 2])
        found[name] = (np.abs(c_q) / 1e3, eta)
    return found


def draw(frames: list[Atoms], path: Path) -> None:
    """Violins of the bond lengths, histograms of C_Q and η."""
    bonds, values = bond_lengths(frames), couplings(frames)
    colours = {name: f"C{number}" for number, name in enumerate(GROUPS)}
    style = {"histtype": "step", "linewidth": 1.4, "density": True}
    with plots.style():
        figure = Figure(figsize=(14, 2.9), layout="constrained")
        violins, *strengths, shapes = figure.subplots(1, 5)
        bodies = violins.violinplot(list(bonds.values()), showmedians=True)["bodies"]
        for body, colour in zip(bodies, colours.values(), strict=False):
            body.set_facecolor(colour)
        violins.set_xticks(range(1, len(bonds) + 1), [name.replace(" – ", "\n– ") for name in bonds])
        violins.set_ylabel("distance (Å)")
        for axis, (symbol, isotope) in zip(strengths, NUCLEI.items(), strict=True):
            scale, unit = (1.0, "kHz") if symbol == "Li" else (1e3, "MHz")
            own = {name: c_q / scale for name, (c_q, _) in values.items() if name.startswith(f"{symbol} ")}
            edges = np.linspace(0, max(c_q.max() for c_q in own.values()), 25)
            for name, c_q in own.items():
                axis.hist(c_q, edges, label=name, color=colours[name], **style)
            number = isotope.removesuffix(symbol)
            axis.set_xlabel(rf"$|C_Q|$ of $^{{{number}}}${symbol} ({unit})")
        for name, (_, eta) in values.items():
            shapes.hist(eta, np.linspace(0, 1, 21), label=name, color=colours[name], **style)
        shapes.set_xlabel(r"$\eta$")
        for axis in (*strengths, shapes):
            axis.set_yticks([])
            axis.set_ylabel("density")
            axis.legend(frameon=False, fontsize="small")
        plots.save(figure, path)


def table(frames: list[Atoms]) -> str:
    """Markdown: number of tensors, median and range of |C_Q|, mean η, by group."""
    lines = ["| site | tensors | median C_Q | 5–95 % | mean η |", "|---|---|---|---|---|"]
    for name, (c_q, eta) in couplings(frames).items():
        unit, scale = ("kHz", 1.0) if name.startswith("Li") else ("MHz", 1e3)
        low, middle, high = np.percentile(c_q / scale, [5, 50, 95])
        lines.append(f"| {name} | {len(eta)} | {middle:.3g} {unit} | {low:.3g} to {high:.3g} | {eta.mean():.2f} |")
    return "\n".join(lines)
