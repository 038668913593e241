"""Shielding from its definition, σ_ij = −∂B_i(induced)/∂B_j(applied): the current in a finite field, and the field that
it makes at a nucleus.

Needs PySCF for orbitals and a grid, and none of its magnetic integrals: run under its Python with the
name of a file of structures; prints the
shielding of every nucleus of each by this and by `experiments.reference_data.molecules`, as JSON.

One gauge origin, at the nucleus: equal to gauge-including orbitals in the limit of a complete basis only.
"""

import json
import sys

import ase.io
import numpy as np
import scipy.linalg

from experiments.reference_data.molecules.nmr import kohn_sham, shielding

ALPHA = 7.2973525643e-3  # fine-structure constant: μ0/4π is its square in atomic units
FIELD = 1e-3  # atomic units, of the applied field
POINTS = 4000  # that are held at a time


def by_definition(field, nucleus: int) -> np.ndarray:
    """(3, 3) in ppm: row the direction of the induced field, column that of the applied one."""
    fock, overlap = field.get_fock(), field.get_ovlp()
    occupied = int((field.mo_occ > 0).sum())
    angular = sum(
        np.einsum("gm,gnk,g->kmn", orbitals, np.cross(r[:, None], np.moveaxis(gradients, 0, -1)), w, optimize=True)
        for r, w, orbitals, gradients in on_grid(field, nucleus)
    )
    angular = (angular - angular.transpose(0, 2, 1)) / 2
    columns = []
    for j in range(3):
        # ½(p + A)² with A = ½ B×r, of an electron: ½ B·(r×p) = −(i/2) B·(r×∇) to first order
        _, orbitals = scipy.linalg.eigh(fock - 0.5j * FIELD * angular[j], overlap)
        density = 2 * orbitals[:, :occupied] @ orbitals[:, :occupied].conj().T
        columns.append(-induced(field, nucleus, density, FIELD * np.eye(3)[j]) / FIELD)
    return 1e6 * np.stack(columns, axis=1)


def induced(field, nucleus: int, density: np.ndarray, applied: np.ndarray) -> np.ndarray:
    """Field at a nucleus of the electrons' current, by Biot and Savart."""
    total = np.zeros(3)
    for r, w, orbitals, gradients in on_grid(field, nucleus):
        paramagnetic = np.einsum("mn,gn,kgm->gk", density.imag, orbitals, gradients, optimize=True)
        charge = np.einsum("mn,gn,gm->g", density.real, orbitals, orbitals, optimize=True)
        current = -(paramagnetic + 0.5 * np.cross(applied, r) * charge[:, None])
        total += w / np.linalg.norm(r, axis=1) ** 3 @ np.cross(current, -r)
    return ALPHA**2 * total


def on_grid(field, nucleus: int):
    """Places relative to a nucleus, weights, orbitals, and their gradients, part by part."""
    molecule, grid = field.mol, field.grids
    for start in range(0, len(grid.weights), POINTS):
        places, w = grid.coords[start : start + POINTS], grid.weights[start : start + POINTS]
        values = molecule.eval_gto("GTOval_sph_deriv1", places)
        yield places - molecule.atom_coord(nucleus), w, values[0], values[1:]


def main(path: str, basis: str) -> None:
    results = []
    for atoms in ase.io.read(path, ":"):
        field = kohn_sham(atoms, basis)
        slow = [by_definition(field, nucleus).tolist() for nucleus in range(len(atoms))]
        results.append({"definition": slow, "set": shielding(field).tolist()})
    print(json.dumps(results))


if __name__ == "__main__":
    main(*sys.argv[1:])
