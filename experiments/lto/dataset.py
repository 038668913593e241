"""What is in the reference data: bond lengths, C_Q and η by site (the paper's Fig. 2 b and c)."""

from pathlib import Path

import numpy as np
from ase import Atoms

from efg_jax import plots
from efg_jax.datasets.dataset_figure import dataset_figure, dataset_groups
from efg_jax.tensors import HZ_PER_MILLIBARN_V_PER_ANGSTROM2, isotope

NUCLEI = {"Li": "7Li", "Ti": "47Ti", "O": "17O"}
SITES = np.tile(["8a"] * 2 + ["16d"] * 4 + ["32e"] * 8, 3)
"""Of the atoms of a 42-atom cell, in the order in which it is built: three primitive cells."""

BOND = 2.6  # Å: longer than every Li–O and Ti–O bond of the rattled cells, shorter than the next shell


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


def draw(frames: list[Atoms], path: Path) -> None:
    """Violins of the bond lengths, histograms of C_Q and η."""
    plots.save(dataset_figure(frames, "site", bond=BOND, isotopes=NUCLEI), path)


def table(frames: list[Atoms]) -> str:
    """Markdown: number of tensors, median and range of |C_Q|, mean η, by group."""
    lines = ["| site | tensors | median C_Q | 5–95 % | mean η |", "|---|---|---|---|---|"]
    for name, group in dataset_groups(frames, "site", bond=BOND).items():
        moment = isotope(NUCLEI[group.symbol]).require_quadrupole()
        unit, scale = ("kHz", 1e3) if group.symbol == "Li" else ("MHz", 1e6)
        c_q = HZ_PER_MILLIBARN_V_PER_ANGSTROM2 * abs(moment) * group.v_zz / scale
        low, middle, high = np.percentile(c_q, [5, 50, 95])
        mean = group.eta.mean()
        lines.append(f"| {name} | {len(group.eta)} | {middle:.3g} {unit} | {low:.3g} to {high:.3g} | {mean:.2f} |")
    return "\n".join(lines)
