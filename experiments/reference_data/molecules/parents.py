"""Molecules and hydrogen-bonded clusters that the rattled ones are made from.

Bond lengths and angles are those that rotational spectra and electron diffraction give, rounded (Harmony et al., J.
Phys. Chem. Ref. Data 8, 619 (1979); disiloxane: Almenningen et al., Acta Chem. Scand. 17, 2455 (1963)); Si(OH)4,
which has not been measured as a gas, has those of silica's silanols. Clusters are put together from monomers at
O···O, N···O and F···O distances near the measured ones: all are rattled afterwards.
"""

import io
from dataclasses import dataclass

import numpy as np
from ase import Atoms
from ase.io.zmatrix import parse_zmatrix


@dataclass(frozen=True)
class Molecule:
    """What rattled structures are made from.

    Attributes:
        atoms: the structure, not periodic.
        share: number of structures that it gives in a round.
        sizes: numbers of atoms of the molecules that it consists of, in order; they sum to its number of atoms.
    """

    atoms: Atoms
    share: int
    sizes: tuple[int, ...]


# Z-matrices: element, then bonded atom and distance (Å), atom and angle (degrees), atom and dihedral (degrees).
MONOMERS = {
    "water": "O; H 1 0.9572; H 1 0.9572 2 104.52",
    "ammonia": "N; H 1 1.012; H 1 1.012 2 106.7; H 1 1.012 2 106.7 3 113.78",
    "hydrogen_fluoride": "F; H 1 0.917",
    "fluoromethane": "C; F 1 1.383; H 1 1.087 2 108.7; H 1 1.087 2 108.7 3 120; H 1 1.087 2 108.7 3 -120",
    "silyl_fluoride": "Si; F 1 1.593; H 1 1.477 2 108.3; H 1 1.477 2 108.3 3 120; H 1 1.477 2 108.3 3 -120",
    "silicon_tetrafluoride": (
        "Si; F 1 1.554; F 1 1.554 2 109.471; F 1 1.554 2 109.471 3 120; F 1 1.554 2 109.471 3 -120"
    ),
    "methylamine": (
        "N; C 1 1.471; H 1 1.010 2 110.3; H 1 1.010 2 110.3 3 118.1; "
        "H 2 1.099 1 110.8 3 -59.05; H 2 1.099 1 110.8 3 60.95; H 2 1.099 1 110.8 3 180.95"
    ),
    "formamide": (
        "C; O 1 1.219; N 1 1.352 2 124.7; H 1 1.098 3 112.7 2 180; H 3 1.002 1 118.5 2 0; H 3 1.002 1 120.0 2 180"
    ),
    "silicic_acid": (
        "Si; O 1 1.63; O 1 1.63 2 109.471; O 1 1.63 2 109.471 3 120; O 1 1.63 2 109.471 3 -120; "
        "H 2 0.96 1 116 3 40; H 3 0.96 1 116 2 -40; H 4 0.96 1 116 5 40; H 5 0.96 1 116 4 -40"
    ),
    "disiloxane": (
        "O; Si 1 1.634; Si 1 1.634 2 144.1; "
        "H 2 1.486 1 109.5 3 180; H 2 1.486 1 109.5 3 60; H 2 1.486 1 109.5 3 -60; "
        "H 3 1.486 1 109.5 2 180; H 3 1.486 1 109.5 2 60; H 3 1.486 1 109.5 2 -60"
    ),
}

SHARES = {
    "water": 5,
    "water_dimer": 4,
    "water_trimer": 4,
    "water_tetramer": 2,
    "silicic_acid": 4,
    "disiloxane": 4,
    "ammonia": 3,
    "methylamine": 2,
    "formamide": 3,
    "hydrogen_fluoride": 1,
    "fluoromethane": 2,
    "silyl_fluoride": 2,
    "silicon_tetrafluoride": 2,
    "ammonia_water": 2,
    "hydrogen_fluoride_water": 2,
}
"""Structures of each in a round of 42; costly ones have fewer than their variety would ask for."""

# Donor, acceptor, distance of the heavy atoms (Å), angle of the acceptor's lone pair to the bond (degrees).
HYDROGEN_BONDS = {
    "water_dimer": ("water", "water", 2.95, 57.0),
    "ammonia_water": ("water", "ammonia", 2.98, 0.0),
    "hydrogen_fluoride_water": ("hydrogen_fluoride", "water", 2.66, 46.0),
}
RINGS = {"water_trimer": (2.85, (1, 1, -1)), "water_tetramer": (2.79, (1, -1, 1, -1))}  # O···O (Å), free hydrogens


def molecules() -> dict[str, Molecule]:
    """Everything that rattled structures are made from, by name."""
    built = {name: (monomer(name), (len(monomer(name)),)) for name in MONOMERS}
    for name, (donor, acceptor, distance, tilt) in HYDROGEN_BONDS.items():
        parts = monomer(donor), monomer(acceptor)
        built[name] = hydrogen_bonded(*parts, distance, tilt), tuple(map(len, parts))
    for name, (distance, free) in RINGS.items():
        built[name] = water_ring(distance, free), (3,) * len(free)
    return {name: Molecule(built[name][0], share, built[name][1]) for name, share in SHARES.items()}


def monomer(name: str) -> Atoms:
    """A molecule from its Z-matrix."""
    return parse_zmatrix(io.StringIO(MONOMERS[name].replace("; ", "\n")))


def hydrogen_bonded(donor: Atoms, acceptor: Atoms, distance: float, tilt: float) -> Atoms:
    """Two molecules, the second atom of the donor on the line from its first to the first of the acceptor.

    Args:
        donor: heavy atom first, then the hydrogen that it shares.
        acceptor: heavy atom first, then its hydrogens.
        distance: of the first atoms, Å.
        tilt: angle between the acceptor's lone pair (away from its hydrogens) and the line, degrees.
    """
    giving, taking = donor.copy(), acceptor.copy()
    giving.positions -= giving.positions[0]
    giving.rotate(giving.positions[1], "x")
    giving.rotate(90, "x")  # its other hydrogen, if any, in the plane of the tilt, away from the acceptor's
    taking.positions -= taking.positions[0]
    taking.rotate(-taking.positions[1:].mean(axis=0), "-x")
    # The plane of a tilted water is perpendicular to the plane in which it is tilted.
    normal = np.cross(taking.positions[1], taking.positions[2])
    if np.linalg.norm(np.cross(normal, (1, 0, 0))) > 1e-6 * np.linalg.norm(normal):
        taking.rotate(normal - normal[0] * np.eye(3)[0], "z")
    taking.rotate(tilt, "y")
    taking.positions += (distance, 0, 0)
    return giving + taking


def water_ring(distance: float, free: tuple[int, ...]) -> Atoms:
    """Waters in a ring, each with one hydrogen towards the next oxygen and the other above (1) or below (−1) the plane.

    Args:
        distance: between neighbouring oxygens, Å.
        free: on which side the other hydrogen of each is.
    """
    bond, angle = 0.9572, np.radians(104.52)
    turns = 2 * np.pi * np.arange(len(free)) / len(free)
    outward = np.stack([np.cos(turns), np.sin(turns), np.zeros(len(free))], axis=1)
    oxygens = outward * distance / (2 * np.sin(np.pi / len(free)))
    ring = Atoms()
    for oxygen, following, out, side in zip(oxygens, np.roll(oxygens, -1, axis=0), outward, free, strict=True):
        towards = (following - oxygen) / distance
        away = out + side * np.array([0, 0, 1.0])
        away -= (away @ towards) * towards
        away /= np.linalg.norm(away)
        other = np.cos(angle) * towards + np.sin(angle) * away
        ring += Atoms("OH2", positions=[oxygen, oxygen + bond * towards, oxygen + bond * other])
    return ring
