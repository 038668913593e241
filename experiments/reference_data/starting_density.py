"""The converged density of one rattled crystal as the start for others of the same parent.

What bonding does to the density of free atoms is much the same in all of them: the smooth part is carried over in
fractional coordinates, the atomic density matrices turned with the crystal. A start of this kind is three times
nearer to the result than free atoms are, and already has the right bands occupied. The result does not depend on it.
"""

import os
from pathlib import Path

import numpy as np
from ase import Atoms
from gpaw.rotation import rotation
from gpaw.utilities import pack, unpack2
from scipy.linalg import polar
from scipy.signal import resample


class StartingDensity:
    """Start of one calculation, and what is kept of it for those that follow.

    Args:
        folder: of what is kept, a file a parent; made if it is missing.
        atoms: with ``info["kind"]`` and ``info["parent"]``.
    """

    def __init__(self, folder: Path, atoms: Atoms):
        self.path = folder / f"{atoms.info['kind']}-{atoms.info['parent']}.npz"
        self.cell = atoms.cell.array

    def watch(self, density) -> None:
        """Replace the initial density of free atoms by that of the parent, if there is one."""
        from_free_atoms = density.initialize_from_atomic_densities

        def initialise(basis_functions) -> None:
            from_free_atoms(basis_functions)
            self.free_atoms = density.nt_sG[0].copy()
            if self.path.exists():
                self._apply(density)

        density.initialize_from_atomic_densities = initialise

    def _apply(self, density) -> None:
        with np.load(self.path) as kept:
            turn, _ = polar(np.linalg.solve(kept["cell"], self.cell))  # rows are vectors: new = old @ turn
            deformation = kept["deformation"]
            for axis, points in enumerate(density.gd.N_c):
                deformation = resample(deformation, points, axis=axis)
            density.nt_sG[0] += deformation * abs(np.linalg.det(kept["cell"]) / np.linalg.det(self.cell))
            for atom in density.D_asp:
                density.D_asp[atom][0] = _turned(kept[f"matrix{atom}"], density.setups[atom].l_j, turn.T)
        density.mixer.reset()
        density.calculate_normalized_charges_and_mix()

    def keep(self, density) -> None:
        """Write what is needed, whole or not at all, unless there is one."""
        if self.path.exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        aside = self.path.with_name(f".{os.getpid()}-{self.path.name}")
        matrices = {f"matrix{atom}": density.D_asp[atom][0] for atom in density.D_asp}
        np.savez(aside, cell=self.cell, deformation=density.nt_sG[0] - self.free_atoms, **matrices)
        aside.replace(self.path)


def _turned(packed: np.ndarray, angular_momenta: list[int], turn: np.ndarray) -> np.ndarray:
    """A packed density matrix between partial waves of these l, in axes turned by v → turn @ v."""
    matrix = unpack2(packed)
    waves, first = np.zeros_like(matrix), 0
    for l in angular_momenta:
        waves[first : first + 2 * l + 1, first : first + 2 * l + 1] = rotation(l, turn)
        first += 2 * l + 1
    return pack(waves @ matrix @ waves.T)
