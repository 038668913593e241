"""Atoms away from their ideal sites: relaxed with a calculator, or displaced at random as heat does."""

import numpy as np
from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE
from ase.units import _amu, _hbar, _k
from scipy.integrate import quad

from efg_jax.errors import InputError

DEBYE_TEMPERATURE = 700.0
"""K; a guess for a stiff oxide, not measured for any compound."""


def debye_displacement(mass: float, temperature: float, debye_temperature: float = DEBYE_TEMPERATURE) -> float:
    """Root mean square displacement of an atom in a Debye solid along one direction, Å, with zero-point motion.

    ⟨u²⟩ = 3ħ²/(m k Θ) · [1/4 + (T/Θ)² ∫₀^{Θ/T} x/(eˣ − 1) dx] (Willis and Pryor, Thermal Vibrations in Crystallography,
    1975).

    Args:
        mass: in atomic mass units.
        temperature: K; 0 leaves the zero-point motion.
        debye_temperature: Θ, K.

    Raises:
        InputError: the temperature is negative, or the Debye temperature not positive.
    """
    if not (temperature >= 0 and debye_temperature > 0):
        raise InputError(
            f"a temperature of {temperature:g} K and a Debye temperature of {debye_temperature:g} K make no sense"
        )
    occupied = 0.0
    if temperature > 0:
        reduced = debye_temperature / temperature
        occupied = quad(lambda x: x / np.expm1(x) if x > 0 else 1.0, 0.0, min(reduced, 50.0))[0] / reduced**2
    scale = 3.0 * _hbar**2 / (mass * _amu * _k * debye_temperature)
    return float(np.sqrt(scale * (0.25 + occupied)) * 1e10)


def thermally_displaced(
    atoms: Atoms, temperature: float, seed: int, debye_temperature: float = DEBYE_TEMPERATURE
) -> Atoms:
    """Displace every atom independently, with a normal distribution of the width `debye_displacement`.

    In a real crystal atoms move together, and distances between neighbours fluctuate less.
    """
    masses, kind = np.unique(atoms.get_masses(), return_inverse=True)
    sigma = np.array([debye_displacement(float(mass), temperature, debye_temperature) for mass in masses])[kind]
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(size=(len(atoms), 3)) * sigma[:, None]
    return moved


def relaxed(atoms: Atoms, calculator: Calculator, force: float = 0.05, steps: int = 500, cell: bool = False) -> Atoms:
    """Relax a crystal to the nearest minimum of a calculator's energy.

    Args:
        atoms: initial structure.
        calculator: ASE calculator: an interatomic potential, a first-principles code.
        force: largest remaining force, eV/Å.
        steps: largest number of steps.
        cell: relax the cell as well.

    Raises:
        InputError: forces are still larger after these steps; an unfinished structure is never returned.
    """
    moving = atoms.copy()
    moving.calc = calculator
    optimiser = FIRE(FrechetCellFilter(moving) if cell else moving, logfile=None)
    if not optimiser.run(fmax=force, steps=steps):
        left = float((moving.get_forces() ** 2).sum(axis=1).max() ** 0.5)
        raise InputError(
            f"not relaxed in {steps} steps: a force of {left:.3g} eV/Å is left; allow more steps, or a larger force"
        )
    result = moving.copy()
    result.calc = None
    return result
