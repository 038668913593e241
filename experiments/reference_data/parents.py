"""Crystals that the reference structures are made from."""

from itertools import combinations
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.build import make_supercell
from ase.spacegroup import crystal

RELAXED = Path(__file__).with_name("relaxed")
LTO_LATTICE, LTO_OXYGEN = 8.36, 0.2625  # Å, and the oxygen's free coordinate in Fd-3m (origin at the inversion centre)


def primitive(atoms: Atoms) -> Atoms:
    """The primitive cell of a crystal."""
    import spglib

    cell, positions, numbers = spglib.find_primitive(
        (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers), symprec=1e-3
    )
    return Atoms(numbers=numbers, cell=cell, scaled_positions=positions, pbc=True)


def silica_parents() -> dict[str, tuple[int, Atoms]]:
    """SiO2 polymorphs with their experimental cells, and how many structures each gives in a round."""
    si_o = ["Si", "O"]
    return {
        "quartz": (
            3,
            crystal(
                si_o,
                [(0.4697, 0, 2 / 3), (0.4135, 0.2669, 0.7858)],
                spacegroup=154,
                cellpar=[4.9134, 4.9134, 5.4052, 90, 90, 120],
            ),
        ),
        "cristobalite_a": (
            3,
            crystal(
                si_o,
                [(0.3003, 0.3003, 0.0), (0.2392, 0.1044, 0.1787)],
                spacegroup=92,
                cellpar=[4.9717, 4.9717, 6.9223, 90, 90, 90],
            ),
        ),
        "cristobalite_b": (
            3,
            primitive(
                crystal(
                    si_o,
                    [(0, 0, 0), (0.09, 0.25, 0.125)],
                    spacegroup=122,
                    cellpar=[5.042, 5.042, 7.131, 90, 90, 90],
                )
            ),
        ),
        "stishovite": (
            2,
            crystal(
                si_o,
                [(0, 0, 0), (0.3061, 0.3061, 0)],
                spacegroup=136,
                cellpar=[4.1773, 4.1773, 2.6655, 90, 90, 90],
            ),
        ),
        "quartz_b": (
            1,
            crystal(
                si_o,
                [(0.5, 0, 0), (0.4157, 0.2078, 1 / 6)],
                spacegroup=180,
                cellpar=[4.9965, 4.9965, 5.457, 90, 90, 120],
            ),
        ),
        "tridymite_hp": (
            1,
            crystal(
                ["Si", "O", "O"],
                [(1 / 3, 2 / 3, 0.0620), (1 / 3, 2 / 3, 0.25), (0.5, 0, 0)],
                spacegroup=194,
                cellpar=[5.052, 5.052, 8.27, 90, 90, 120],
            ),
        ),
        "coesite": (
            1,
            primitive(
                crystal(
                    ["Si", "Si", "O", "O", "O", "O", "O"],
                    [
                        (0.1403, 0.1083, 0.0723),
                        (0.5068, 0.1580, 0.5405),
                        (0, 0, 0),
                        (0.5, 0.1163, 0.75),
                        (0.2661, 0.1234, 0.9401),
                        (0.3114, 0.1038, 0.3280),
                        (0.0175, 0.2117, 0.4784),
                    ],
                    spacegroup=15,
                    cellpar=[7.1356, 12.3692, 7.1736, 90, 120.34, 90],
                )
            ),
        ),
    }


def spinel_42() -> Atoms:
    """LiTi2O4 in the 42-atom rhombohedral cell (three primitive cells), where Li4Ti5O12 has whole numbers of atoms."""
    cubic = [LTO_LATTICE] * 3 + [90] * 3
    basis = [(0.125, 0.125, 0.125), (0.5, 0.5, 0.5), (LTO_OXYGEN,) * 3]
    spinel = primitive(crystal(["Li", "Ti", "O"], basis, spacegroup=227, setting=2, cellpar=cubic))
    return make_supercell(spinel, np.array([[1, -1, 0], [0, 1, -1], [1, 1, 1]]))


def lto_configurations() -> list[list[tuple[int, int]]]:
    """Pairs of 16d sites for Li in the 42-atom cell, by symmetry: six classes of the 66 pairs, smallest first.

    The classes are orbits of the space group of the spinel's supercell.
    """
    import spglib

    cell = spinel_42()
    symmetry = spglib.get_symmetry((cell.cell.array, cell.get_scaled_positions(), cell.numbers), symprec=1e-3)
    images = [
        _image(cell, rotation, shift)
        for rotation, shift in zip(symmetry["rotations"], symmetry["translations"], strict=True)
    ]
    octahedral = np.flatnonzero(np.asarray(cell.symbols) == "Ti")
    classes: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for pair in combinations(octahedral.tolist(), 2):
        orbit = {tuple(sorted(image[list(pair)].tolist())) for image in images}
        classes.setdefault(min(orbit), []).append(pair)
    return sorted(classes.values(), key=len)


def lto_ideal() -> list[Atoms]:
    """The six configurations of Li4Ti5O12 with every atom on its ideal place, named by number and multiplicity."""
    spinel, crystals = spinel_42(), []
    for number, pairs in enumerate(lto_configurations()):
        atoms = spinel.copy()
        atoms.symbols[list(pairs[0])] = "Li"
        atoms.info = {"kind": "lto", "parent": f"relaxed{number}_x{len(pairs)}"}
        crystals.append(atoms)
    return crystals


def lto_parents() -> dict[str, tuple[int, Atoms]]:
    """The same, relaxed at the ideal cell (`relaxation.py`); each gives one structure in a round."""
    return {atoms.info["parent"]: (1, atoms) for atoms in ase.io.read(RELAXED / "lto.extxyz", ":")}


def _image(atoms: Atoms, rotation: np.ndarray, shift: np.ndarray) -> np.ndarray:
    """Atom that each atom is moved onto by a symmetry operation in scaled coordinates."""
    scaled = atoms.get_scaled_positions()
    moved = scaled @ rotation.T + shift
    difference = moved[:, None] - scaled[None]
    distance = np.linalg.norm((difference - np.round(difference)) @ atoms.cell.array, axis=-1)
    return distance.argmin(axis=1)
