"""Electrostatics against Madelung constants, another code, and several cells of one crystal."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from matscipy.calculators.ewald import Ewald
from numpy.testing import assert_allclose

from efg_jax.disorder.spinel import CHARGES, build_lto
from efg_jax.electrostatics import COULOMB, ewald_matrix, ewald_potential


def charges_of(atoms):
    return np.array([CHARGES[symbol] for symbol in atoms.symbols])


def test_coulomb_constant_is_that_of_codata_2022():
    """e²/(4π ε₀) in eV Å, of ε₀ = 8.8541878188·10⁻¹² F/m; the value of CODATA 2018 is 7·10⁻¹⁰ off."""
    assert_allclose(COULOMB, 1.602176634e-19 / (4 * np.pi * 8.8541878188e-12) * 1e10, rtol=1e-10)


@pytest.mark.parametrize(
    ("structure", "madelung"),
    [("rocksalt", 1.747564594633182), ("cesiumchloride", 1.762674773070988), ("zincblende", 1.638055053388790)],
)
def test_madelung_constants(structure, madelung):
    """Borwein, Borwein and Taylor, J. Math. Phys. 26, 2999 (1985); zincblende: OEIS A182566."""
    crystal = bulk("NaCl", structure, a=5.0, cubic=structure != "zincblende")
    charges = np.where(np.asarray(crystal.symbols) == "Na", 1.0, -1.0)
    every = np.arange(len(crystal))
    nearest = np.sort(crystal.get_all_distances(mic=True)[0])[1]
    energy = 0.5 * charges @ ewald_matrix(crystal, every) @ charges
    pairs = len(crystal) / 2
    assert_allclose(-energy / pairs * nearest, madelung, rtol=1e-12)
    potential = ewald_potential(crystal, every, charges)
    assert_allclose(-potential * charges * nearest, madelung, rtol=1e-12)


def test_matscipy_gives_the_same_energy(monkeypatch):
    monkeypatch.setattr(np, "int", int, raising=False)  # which its Ewald sum still asks NumPy 2 for
    crystal = build_lto((1, 1, 3), seed=1)
    crystal.rattle(0.1, seed=2)
    charges = charges_of(crystal)
    ours = 0.5 * COULOMB * charges @ ewald_potential(crystal, np.arange(len(crystal)), charges)
    crystal.set_array("charge", charges)
    crystal.calc = Ewald()
    crystal.calc.set(accuracy=1e-10, cutoff=8.0, verbose=False)
    assert_allclose(crystal.get_potential_energy(), ours, rtol=1e-7)


def test_a_charge_is_screened_by_the_background():
    """Self-energy of a simple cubic lattice of charges in a neutralising background: −2.837297 e²/(2 L)."""
    lone = Atoms("H", cell=3.0 * np.eye(3), pbc=True)
    assert_allclose(ewald_matrix(lone, np.array([0]))[0, 0] * 3.0, -2.837297479, rtol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_cells_of_one_crystal_agree(seed):
    """Oblique, small and flat cells, atoms outside of them, and supercells."""
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 1.5 + 3.0 * np.eye(3)
    atoms = Atoms("Li2Ti", positions=rng.normal(size=(3, 3)) * 3.0, cell=cell, pbc=True)
    charges = np.array([1.0, 1.0, -2.0])
    potential = ewald_potential(atoms, np.arange(3), charges)
    doubled = atoms.repeat((2, 1, 1))
    assert_allclose(
        ewald_potential(doubled, np.arange(6), np.tile(charges, 2)), np.tile(potential, 2), atol=1e-11, rtol=0
    )
    skewed = atoms.copy()
    skewed.set_cell(np.array([[1, 2, 0], [0, 1, 0], [-1, 0, 1]]) @ cell)
    assert_allclose(ewald_potential(skewed, np.arange(3), charges), potential, atol=1e-11, rtol=0)
    matrix = ewald_matrix(atoms, np.arange(3))
    assert_allclose(matrix, matrix.T, atol=1e-13, rtol=0)
    assert_allclose(matrix @ charges, potential, atol=1e-12, rtol=0)
