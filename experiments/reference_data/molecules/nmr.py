"""Shielding and field gradients of one molecule with PySCF and pyscf-properties (under the Python that has them).

Kohn–Sham equations with PBE have no coupled response to a magnetic field, which leaves no current in the functional:
one step of perturbation theory in gauge-including atomic orbitals is exact (pyscf-properties does it). Coulomb
energies are density-fitted, in the field as without it.
"""

import time
import warnings
from types import SimpleNamespace

import numpy as np
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.units import Hartree

from experiments.reference_data.compute import Unconverged
from experiments.reference_data.molecules.level import AUXILIARY, BASIS, CONVERGENCE, GRID, XC, provenance_of_molecules

V_PER_ANGSTROM2_PER_ATOMIC_UNIT = 97.173624424  # Hartree/(e bohr²)
CYCLES = 80
BLOCK = 3e8  # bytes of three-centre integrals in the field that are held at a time
ALIGNMENT = 56  # points: PySCF 2.1 and later refuse blocks of the grid of other sizes, which pyscf-properties 0.1 takes


def compute_molecule(atoms: Atoms) -> Atoms:
    """Energy, forces, shielding and field gradients of one structure at the level of the set.

    Args:
        atoms: not periodic; its info is kept.

    Returns:
        The structure with energy (eV) and forces (eV/Å), ``arrays["ms"]`` (n, 9) in ppm, row the direction of the
        induced field and column that of the applied one, ``arrays["efg"]`` (n, 9) in V/Å², and how they were made in
        its info.

    Raises:
        Unconverged: the self-consistency did not converge.
    """
    import pyscf

    start = time.process_time()
    field = kohn_sham(atoms)
    if not field.converged:
        raise Unconverged(f"not converged in {CYCLES} iterations")
    result = Atoms(numbers=atoms.numbers, positions=atoms.positions)
    result.arrays["ms"] = shielding(field).reshape(-1, 9)
    result.arrays["efg"] = field_gradients(field).reshape(-1, 9)
    forces = -field.nuc_grad_method().kernel() * Hartree / pyscf.lib.param.BOHR
    result.info.update(
        {**atoms.info, **provenance_of_molecules(code=f"PySCF {pyscf.__version__}")},
        iterations=int(field.cycles),
        cpu_seconds=round(time.process_time() - start, 1),
        gap_eV=round(_gap(field), 3),
    )
    result.calc = SinglePointCalculator(result, energy=field.e_tot * Hartree, forces=forces)
    return result


def kohn_sham(atoms: Atoms, basis: str = BASIS):
    """PySCF's Kohn–Sham calculation of a structure, self-consistent."""
    from pyscf import dft, gto

    functions = {symbol: gto.basis.load(basis, symbol) for symbol in sorted(set(atoms.symbols))}
    geometry = list(zip(atoms.symbols, atoms.positions.tolist(), strict=True))
    molecule = gto.M(atom=geometry, basis=functions, unit="Angstrom", verbose=0)
    field = dft.RKS(molecule, xc=XC).density_fit(AUXILIARY)
    field.grids.level, field.grids.alignment = GRID, ALIGNMENT
    field.conv_tol, field.max_cycle = CONVERGENCE, CYCLES
    field.kernel()
    return field


def shielding(field) -> np.ndarray:
    """GIAO shielding (atoms, 3, 3) in ppm; first index induced field, second applied field.

    pyscf-properties has the applied field first: its rows are "B_x", "B_y", "B_z".
    """
    rks = _properties().rks

    class Shielding(rks.NMR):
        def get_fock(self, dm0=None, gauge_orig=None):
            return _fock_in_field(self._scf)

    return np.asarray(Shielding(field).kernel()).transpose(0, 2, 1)


def field_gradients(field) -> np.ndarray:
    """V_ij = +∂²V/∂x_i∂x_j at every nucleus, (atoms, 3, 3) in V/Å², symmetric and traceless."""
    return np.asarray(_properties().efg.EFG(field)) * V_PER_ANGSTROM2_PER_ATOMIC_UNIT


def _properties() -> SimpleNamespace:
    """Modules of pyscf-properties, which warn at import that they are under testing: what they give is tested here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Module .* is under testing")
        from pyscf.prop.efg import rhf as efg
        from pyscf.prop.nmr import rks
    return SimpleNamespace(efg=efg, rks=rks)


def _fock_in_field(field) -> np.ndarray:
    """Derivative of the Kohn–Sham matrix by the field in GIAOs, imaginary part, (3, orbitals, orbitals)."""
    from pyscf import lib

    molecule = field.mol
    density = lib.tag_array(field.make_rdm1(), mo_coeff=field.mo_coeff, mo_occ=field.mo_occ)
    return -(
        0.5 * molecule.intor("int1e_giao_irjxp", 3)
        + molecule.intor_asymmetric("int1e_ignuc", 3)
        + molecule.intor("int1e_igkin", 3)
        + _properties().rks.get_vxc_giao(field._numint, molecule, field.grids, field.xc, density)
        + _coulomb_in_field(field, density)
    )


def _coulomb_in_field(field, density: np.ndarray) -> np.ndarray:
    """Coulomb part of it, (g μν|P) d_P, with the fitted density d of the calculation without field.

    The phases of μ and ν make the pair's derivative; the fitting functions carry none, so that this is independent of
    the gauge origin.
    """
    from pyscf import gto
    from pyscf.df import incore

    molecule, fitting = field.mol, field.with_df.auxmol
    orbitals = molecule.nao
    three_centre = incore.aux_e2(molecule, fitting, "int3c2e", aosym="s1").reshape(orbitals**2, -1)
    fitted = np.linalg.solve(fitting.intor("int2c2e"), np.asarray(density).ravel() @ three_centre)
    together = gto.conc_env(molecule._atm, molecule._bas, molecule._env, fitting._atm, fitting._bas, fitting._env)
    first, ends = molecule.nbas, fitting.ao_loc
    result = np.zeros((3, orbitals, orbitals))
    start = 0
    while start < fitting.nbas:
        end = max(start + 1, int(np.searchsorted(ends, ends[start] + BLOCK / (24 * orbitals**2), "right")) - 1)
        shells = (0, first, 0, first, first + start, first + end)
        integrals = gto.moleintor.getints(
            molecule._add_suffix("int3c2e_ig1"), *together, shls_slice=shells, comp=3, aosym="s1"
        )
        result += integrals @ fitted[ends[start] : ends[end]]
        start = end
    return result


def _gap(field) -> float:
    """Lowest empty level less highest occupied one, eV."""
    return float((field.mo_energy[field.mo_occ == 0].min() - field.mo_energy[field.mo_occ > 0].max()) * Hartree)
