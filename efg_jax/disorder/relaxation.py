"""Relaxation of cells by whatever calculator the user has."""

from ase import Atoms
from ase.calculators.calculator import Calculator
from ase.filters import FrechetCellFilter
from ase.optimize import FIRE

from efg_jax.errors import InputError


def relaxed(atoms: Atoms, calculator: Calculator, force: float = 0.05, steps: int = 500, cell: bool = False) -> Atoms:
    """The crystal at the nearest minimum of a calculator's energy.

    Args:
        atoms: where to start.
        calculator: of ASE's interface: an interatomic potential, a first-principles code.
        force: largest force that may be left, eV/Å.
        steps: at most.
        cell: relax the cell too.

    Raises:
        InputError: forces are still larger after as many steps: an unfinished structure is never handed on.
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
