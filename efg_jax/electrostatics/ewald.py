"""Electrostatics of point charges in a periodic cell. The matrix gives the energy of any arrangement of charges."""

from itertools import product
from math import ceil, pi, sqrt

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int
from scipy.special import erfc

from efg_jax.structures.neighbour_lists import neighbour_pairs

COULOMB = 14.399645469  # e²/(4π ε₀), eV Å (CODATA 2022)

_REACH = 6.0  # both sums end where their terms fall below erfc(6) ≈ 2e-17
_WAVES = 2048  # per step


def ewald_matrix(atoms: Atoms, sites: Int[np.ndarray, " sites"]) -> Float[np.ndarray, "sites sites"]:
    """Potential at each site of unit charges on each site and their images, in a neutralising background (Ewald 1921).

    Charges q on the sites have the energy ½ qᵀ ψ q · `COULOMB`, with the interaction of a charge with its own images.
    Any cell will do, small or oblique.

    Args:
        atoms: periodic in three directions.
        sites: indices of atoms.

    Returns:
        ψ in 1/Å, symmetric; exact to about 1e-13.
    """
    matrix = np.zeros((len(sites), len(sites)))
    row, column, value = _near(atoms, sites, sites)
    np.add.at(matrix, (row, column), value)
    for wave, weight in _waves(atoms):
        phase = atoms.positions[sites] @ wave.T
        cosine, sine = np.cos(phase), np.sin(phase)
        matrix += (cosine * weight) @ cosine.T + (sine * weight) @ sine.T
    matrix[np.diag_indices(len(sites))] -= 2.0 * _alpha(atoms) / sqrt(pi)
    return matrix - pi / (atoms.cell.volume * _alpha(atoms) ** 2)


def ewald_potential(
    atoms: Atoms, sites: Int[np.ndarray, " sites"], charges: Float[np.ndarray, " atoms"]
) -> Float[np.ndarray, " sites"]:
    """Potential at the sites of charges on all atoms, Σ_j ψ_ij q_j, without the matrix.

    Args:
        atoms: periodic in three directions.
        sites: indices of atoms.
        charges: charges of all atoms, e.

    Returns:
        Potential in e/Å; `COULOMB` times it is in eV/e.
    """
    sources = np.flatnonzero(charges)
    row, column, value = _near(atoms, sites, sources)
    potential = np.bincount(row, value * charges[sources][column], minlength=len(sites))
    for wave, weight in _waves(atoms):
        phase = atoms.positions[sources] @ wave.T
        cosine, sine = charges[sources] @ np.cos(phase), charges[sources] @ np.sin(phase)
        phase = atoms.positions[sites] @ wave.T
        potential += np.cos(phase) @ (weight * cosine) + np.sin(phase) @ (weight * sine)
    potential -= 2.0 * _alpha(atoms) / sqrt(pi) * charges[sites]
    return potential - pi / (atoms.cell.volume * _alpha(atoms) ** 2) * charges.sum()


def _alpha(atoms: Atoms) -> float:
    """Inverse width of the screening charges, 1/Å."""
    return _REACH / _range(atoms)


def _range(atoms: Atoms) -> float:
    """Range of the sum in real space, Å: balances the numbers of pairs, ∝ range³, and of waves, ∝ volume/range³."""
    return 3.0 * atoms.cell.volume ** (1 / 6)


def _near(atoms: Atoms, sites: np.ndarray, sources: np.ndarray):
    """Pairs of the sum in real space: (index among sites, index among sources, erfc(α r)/r)."""
    place = np.full(len(atoms), -1)
    place[sources] = np.arange(len(sources))
    pairs = neighbour_pairs(atoms, sites, _range(atoms))
    wanted = place[pairs.neighbour] >= 0
    distance = np.linalg.norm(pairs.displacements(atoms)[wanted], axis=1)
    return pairs.row[wanted], place[pairs.neighbour[wanted]], erfc(_alpha(atoms) * distance) / distance


def _waves(atoms: Atoms):
    """Wave vectors of one half space with their weights 2 · 4π/V · exp(−k²/4α²)/k², in steps."""
    reciprocal = 2.0 * pi * np.linalg.inv(atoms.cell.array).T
    longest = 2.0 * _alpha(atoms) * _REACH
    count = [ceil(longest * length / (2.0 * pi)) for length in atoms.cell.lengths()]
    ranges = [range(-n, n + 1) for n in count[1:]]
    plane = np.array(list(product(*ranges)), dtype=float)
    for first in range(count[0] + 1):
        index = np.column_stack([np.full(len(plane), float(first)), plane])
        if first == 0:  # one of k and −k; k = 0 belongs to the background
            index = index[(index[:, 1] > 0) | ((index[:, 1] == 0) & (index[:, 2] > 0))]
        wave = index @ reciprocal
        square = (wave**2).sum(axis=1)
        wave, square = wave[square < longest**2], square[square < longest**2]
        weight = 8.0 * pi / atoms.cell.volume * np.exp(-square / (4.0 * _alpha(atoms) ** 2)) / square
        for start in range(0, len(wave), _WAVES):
            yield wave[start : start + _WAVES], weight[start : start + _WAVES]
