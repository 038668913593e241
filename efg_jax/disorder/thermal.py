"""Thermal displacements of atoms where no calculator is at hand that could relax or move them."""

import numpy as np
from ase import Atoms
from ase.units import _amu, _hbar, _k
from scipy.integrate import quad

from efg_jax.errors import InputError

DEBYE_TEMPERATURE = 700.0
"""K; a guess for a stiff oxide, to start from: not a measured property of any compound."""


def debye_displacement(mass: float, temperature: float, debye_temperature: float = DEBYE_TEMPERATURE) -> float:
    """Root mean square displacement along one direction of an atom in a Debye solid, Å, zero-point motion included.

    ⟨u²⟩ = 3ħ²/(m k Θ) · [1/4 + (T/Θ)² ∫₀^{Θ/T} x/(eˣ − 1) dx] (Willis and Pryor, Thermal Vibrations in Crystallography, 1975).

    Args:
        mass: in atomic mass units.
        temperature: K; 0: the zero-point motion.
        debye_temperature: Θ, K.

    Raises:
        InputError: a negative temperature, or a Debye temperature that is not positive.
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
    """The crystal with every atom displaced by itself, normally, by what its mass gives at a temperature (`debye_displacement`).

    Atoms of a real crystal move together; distances between neighbours fluctuate less than here.
    """
    masses, kind = np.unique(atoms.get_masses(), return_inverse=True)
    sigma = np.array([debye_displacement(float(mass), temperature, debye_temperature) for mass in masses])[kind]
    moved = atoms.copy()
    moved.positions += np.random.default_rng(seed).normal(size=(len(atoms), 3)) * sigma[:, None]
    return moved
