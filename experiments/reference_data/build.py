"""Rattled, strained and rotated structures, each fixed by its parent and index."""

import zlib

import numpy as np
from ase import Atoms
from ase.neighborlist import neighbor_list

from experiments.reference_data.materials import MATERIALS, Material
from experiments.reference_data.molecules.structures import KIND as MOLECULES
from experiments.reference_data.molecules.structures import build_molecules

STRAIN = 0.04  # largest
RATTLE = 0.02, 0.15  # Å: standard deviation of the displacements, drawn for each structure
ATTEMPTS = 500  # at displacements that leave no two atoms too close
KINDS = (*MATERIALS, MOLECULES)


def build(kind: str, count: int) -> list[Atoms]:
    """The first structures of a material, or of the molecules, taken from its parents in rounds.

    The list for a larger count begins with the one for a smaller.
    """
    if kind == MOLECULES:
        return build_molecules(count)
    material = MATERIALS[kind]
    parents = material.parents()
    frames, index = [], dict.fromkeys(parents, 0)
    while len(frames) < count:
        for name, (weight, parent) in parents.items():
            for _ in range(weight):
                atoms = rattled(material, name, parent, index[name])
                index[name] += 1
                if atoms is not None and len(frames) < count:
                    atoms.info["kind"] = kind
                    frames.append(atoms)
    return frames


def rattled(material: Material, name: str, parent: Atoms, index: int) -> Atoms | None:
    """One structure: strain up to 4 %, displacements of 0.02 to 0.15 Å, random rotation; None if atoms collide."""
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng([zlib.crc32(name.encode()), index])
    for _ in range(ATTEMPTS):
        atoms = parent.copy()
        xx, yy, zz, yz, xz, xy = rng.uniform(-STRAIN, STRAIN, 6)
        strain = np.array([[xx, xy / 2, xz / 2], [xy / 2, yy, yz / 2], [xz / 2, yz / 2, zz]])
        atoms.set_cell(atoms.cell.array @ (np.eye(3) + strain), scale_atoms=True)
        sigma = rng.uniform(*RATTLE)
        atoms.positions += rng.normal(0, sigma, atoms.positions.shape)
        if not too_close(atoms, material):
            break
    else:
        return None
    rotation = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    atoms.set_cell(atoms.cell.array @ rotation.T, scale_atoms=True)
    clean = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    clean.info.update(parent=name, index=index, sigma=round(sigma, 5))
    return clean


def too_close(atoms: Atoms, material: Material) -> bool:
    """Whether any two atoms are nearer than their elements may be."""
    i, j, distances = neighbor_list("ijd", atoms, max(material.closest.values()))
    symbols = np.asarray(atoms.symbols)
    return any(
        distance < material.closest[tuple(sorted((str(a), str(b))))]
        for a, b, distance in zip(symbols[i], symbols[j], distances, strict=True)
    )
