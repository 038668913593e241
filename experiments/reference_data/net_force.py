"""Self-consistent enough that the forces on the atoms cancel, as they do at self-consistency."""

import numpy as np
from ase.units import Bohr, Hartree
from gpaw.convergence_criteria import Criterion
from gpaw.forces import calculate_forces


class NetForce(Criterion):
    """Largest component of the force on the whole cell, looked at when all else has converged.

    Args:
        tolerance: eV/Å.
    """

    name = "net force"
    tablename = "netf"
    calc_last = True

    def __init__(self, tolerance: float):
        self.tolerance = tolerance
        self.description = f"Largest component of the [net force]: {tolerance:g} eV/Ang"

    def __call__(self, context) -> tuple[bool, str]:
        """Whether it has converged, and the logarithm of the net force for the protocol."""
        forces = calculate_forces(context.wfs, context.dens, context.ham) * (Hartree / Bohr)
        net = np.abs(forces.sum(axis=0)).max()
        return bool(net < self.tolerance), f"{np.log10(net):+5.2f}"
