"""Random structures and rotations for hypothesis: any periodicity, oblique and tiny cells, atoms outside the cell."""

import numpy as np
from ase import Atoms
from ase.geometry import cellpar_to_cell
from hypothesis import strategies as st
from oracles.brute_force import pair_distances
from scipy.spatial.transform import Rotation

SPECIES = ("H", "O", "Si")
CLOSEST = 0.9  # Å, between any two atoms, images included


@st.composite
def cells(draw, smallest: float = 1.5, largest: float = 6.0):
    """Cell matrices with angles from 30° to 150°, either handedness, in any orientation."""
    lengths = [draw(st.floats(smallest, largest)) for _ in range(3)]
    alpha, beta = draw(st.floats(30, 150)), draw(st.floats(30, 150))
    lowest, highest = abs(alpha - beta), min(alpha + beta, 360 - alpha - beta)
    # A quarter of the allowed interval away from the flat cells at its ends, and never below 30°.
    gamma = draw(st.floats(max(30.0, lowest + (highest - lowest) / 4), max(31.0, highest - (highest - lowest) / 4)))
    cell = cellpar_to_cell([*lengths, alpha, beta, gamma])
    if draw(st.booleans()):
        cell = cell[[1, 0, 2]]
    return cell @ draw(rotations()).T


@st.composite
def structures(draw, max_atoms: int = 4, species=SPECIES, pbc=None, volume: float = 7.0):
    """Atoms at least `CLOSEST` apart, in cells of at least ``volume`` Å³ an atom.

    Up to one and a half cells outside.
    """
    count = draw(st.integers(1, max_atoms))
    cell = draw(cells())
    periodic = np.array(draw(st.tuples(*[st.booleans()] * 3)) if pbc is None else pbc)
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cell = cell * max(1.0, (count * volume / abs(np.linalg.det(cell))) ** (1 / 3))
    symbols = [draw(st.sampled_from(species)) for _ in range(count)]
    return place(generator, symbols, cell, periodic)


def place(generator: np.random.Generator, symbols, cell: np.ndarray, periodic: np.ndarray) -> Atoms:
    """Random positions; the cell grows until they fit."""
    while True:
        for _ in range(30):
            positions = generator.uniform(-1.5, 1.5, (len(symbols), 3)) @ cell
            atoms = Atoms(symbols, positions=positions, cell=cell, pbc=periodic)
            if len(pairs := pair_distances(atoms, 2 * CLOSEST)) == 0 or pairs.min() > CLOSEST:
                return atoms
        cell = cell * 1.15


@st.composite
def rotations(draw):
    """Proper rotations, uniform over the group."""
    return Rotation.random(rng=np.random.default_rng(draw(st.integers(0, 2**32 - 1)))).as_matrix()


@st.composite
def unimodular(draw):
    """Integer matrices of determinant ±1: another choice of cell vectors of the same lattice."""
    matrix = np.eye(3, dtype=int)
    for _ in range(draw(st.integers(1, 3))):
        i, j = draw(st.sampled_from([(0, 1), (1, 0), (0, 2), (2, 0), (1, 2), (2, 1)]))
        matrix[i] += draw(st.sampled_from([-1, 1])) * matrix[j]
    if draw(st.booleans()):
        matrix = matrix[[2, 1, 0]]
    return matrix


def turned(atoms: Atoms, rotation: np.ndarray) -> Atoms:
    """The structure turned (or inverted) about the origin, cell and all."""
    return Atoms(
        atoms.symbols, positions=atoms.positions @ rotation.T, cell=atoms.cell.array @ rotation.T, pbc=atoms.pbc
    )
