"""Rattled and rotated molecules, each fixed by its parent and index."""

import zlib

import numpy as np
from ase import Atoms

from experiments.reference_data.molecules.parents import Molecule, molecules

KIND = "molecules"
RATTLE = 0.01, 0.10  # Å: standard deviation of the displacements, drawn for each structure
SHIFT = 2.0  # standard deviation of the shift of a whole molecule in a cluster, in those of its atoms
TILT = 2.5  # rad/Å: standard deviation of its turn about each axis, by that of its atoms
CLOSEST = 0.75  # of its distance at rest that any pair of atoms may come to
ATTEMPTS = 500


def build_molecules(count: int) -> list[Atoms]:
    """The first structures of the set, taken from the molecules in rounds; a longer list begins with a shorter one."""
    parents = molecules()
    frames, index = [], dict.fromkeys(parents, 0)
    while len(frames) < count:
        for name, molecule in parents.items():
            for _ in range(molecule.share):
                frames.append(rattled_molecule(name, molecule, index[name]))
                index[name] += 1
    return frames[:count]


def rattled_molecule(name: str, molecule: Molecule, index: int) -> Atoms:
    """One structure: normal displacements, in clusters also of whole molecules, and a random rigid rotation.

    Raises:
        RuntimeError: no draw leaves all atoms apart.
    """
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng([zlib.crc32(f"{KIND}/{name}".encode()), index])
    rest = molecule.atoms.get_all_distances()
    for _ in range(ATTEMPTS):
        atoms = molecule.atoms.copy()
        sigma = rng.uniform(*RATTLE)
        if len(molecule.sizes) > 1:
            _move_apart(atoms.positions, molecule.sizes, sigma, rng)
        atoms.positions += rng.normal(0, sigma, atoms.positions.shape)
        distances = atoms.get_all_distances()
        if (distances >= CLOSEST * rest).all():
            break
    else:
        raise RuntimeError(f"{name} {index}: atoms collide in each of {ATTEMPTS} draws")
    rotation = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    positions = (atoms.positions - atoms.positions.mean(axis=0)) @ rotation.T
    clean = Atoms(numbers=atoms.numbers, positions=positions)
    clean.info.update(kind=KIND, parent=name, index=index, sigma=round(sigma, 5))
    return clean


def _move_apart(positions: np.ndarray, sizes: tuple[int, ...], sigma: float, rng: np.random.Generator) -> None:
    """Shift and turn each molecule of a cluster as a rigid body, in place."""
    from scipy.spatial.transform import Rotation

    ends = np.cumsum(sizes)
    for start, end in zip(ends - sizes, ends, strict=True):
        centre = positions[start:end].mean(axis=0)
        turn = Rotation.from_rotvec(rng.normal(0, TILT * sigma, 3)).as_matrix()
        positions[start:end] = (positions[start:end] - centre) @ turn.T + centre + rng.normal(0, SHIFT * sigma, 3)
