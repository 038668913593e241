"""The independent code: input for Elk (all-electron, full-potential LAPW) and the field gradients that it writes.

Elk is `elk-lapw` on Debian; it knows neither PAW datasets nor pseudo-densities. It counts the charge of electrons as
positive (its species files give silicon a nuclear charge of −14), so that its potentials and their gradients have the
opposite sign of ours.
"""

import os
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.units import Bohr, Hartree

from experiments.reference_data.provenance import kpoints

SPECIES = "/usr/share/elk-lapw/species/"
EFG_FILE = "EFG.OUT"


def write_input(
    atoms: Atoms, folder: str | os.PathLike[str], cutoff: float = 6.5, grid: tuple[int, int, int] | None = None
) -> Path:
    """Write ``elk.in`` for the field gradients of one structure with PBE.

    Args:
        atoms: periodic in three directions.
        folder: made if it is missing; Elk is to be run in it.
        cutoff: of the augmented plane waves times the smallest muffin-tin radius (``rgkmax``).
        grid: of k-points, shifted off Γ; None: even, of spacing 0.8 Å⁻¹, as silica's is with GPAW.

    Returns:
        The file.
    """
    grid = kpoints(atoms, grid)
    shift = [0.0 if points == 1 else 0.5 for points in grid]
    lines = ["tasks", "  0", "  115", "", "xctype", "  20", "", "rgkmax", f"  {cutoff}", "", "gmaxvr", "  18.0", ""]
    lines += [
        "lmaxi",
        "  2",
        "",
    ]  # of the density in the inner part of the muffin tins; the default, 1, has no gradient at the nucleus
    lines += ["ngridk", "  " + " ".join(map(str, grid)), "", "vkloff", "  " + " ".join(map(str, shift)), ""]
    lines += ["sppath", f"  '{SPECIES}'", "", "avec"]
    lines += ["  " + " ".join(f"{x:.12f}" for x in vector) for vector in atoms.cell.array / Bohr]
    places = atoms.get_scaled_positions(wrap=True)
    lines += ["", "atoms", f"  {len(_species(atoms))}"]
    for symbol, members in _species(atoms).items():
        lines += [f"  '{symbol}.in'", f"  {len(members)}"]
        lines += ["  " + " ".join(f"{x:.12f}" for x in places[atom]) + "  0 0 0" for atom in members]
    path = Path(folder) / "elk.in"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def read_gradients(atoms: Atoms, folder: str | os.PathLike[str]) -> np.ndarray:
    """Tensors (atoms, 3, 3) in V/Å², with our sign, in the order of the atoms that `write_input` was given.

    Raises:
        ValueError: the file has not one tensor for every atom.
    """
    path = Path(folder) / EFG_FILE
    lines = path.read_text(encoding="ascii").splitlines()
    heads = [number for number, line in enumerate(lines) if line.strip() == "EFG tensor :"]
    if len(heads) != len(atoms):
        raise ValueError(f"{path} holds {len(heads)} tensors, where the structure has {len(atoms)} atoms")
    order = [atom for members in _species(atoms).values() for atom in members]
    tensors = np.empty((len(atoms), 3, 3))
    tensors[order] = [[line.split() for line in lines[head + 1 : head + 4]] for head in heads]
    return -Hartree / Bohr**2 * tensors


def comparison(atoms: Atoms, folder: str | os.PathLike[str]) -> str:
    """Markdown: relative differences and norms of Elk's tensors and those of the structure, by element."""
    theirs, ours = read_gradients(atoms, folder), np.asarray(atoms.arrays["efg"], dtype=float).reshape(-1, 3, 3)
    lines = ["| | tensors | rms difference | Elk's over ours |", "|---|---|---|---|"]
    for symbol, members in _species(atoms).items():
        reference, other = ours[members], theirs[members]
        size = np.vdot(reference, reference)
        off = np.sqrt(np.vdot(other - reference, other - reference) / size)
        lines.append(f"| {symbol} | {len(members)} | {100 * off:.1f} % | {np.vdot(other, reference) / size:.3f} |")
    return "\n".join(lines)


def _species(atoms: Atoms) -> dict[str, list[int]]:
    """Atoms of every element, elements in the order in which they come."""
    found: dict[str, list[int]] = {}
    for atom, symbol in enumerate(atoms.symbols):
        found.setdefault(symbol, []).append(atom)
    return found
