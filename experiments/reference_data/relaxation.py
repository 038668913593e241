"""Crystals relaxed with GPAW, coarsely: they are strained and rattled afterwards."""

import os
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from ase.optimize import BFGS

from experiments.reference_data.compute import gpaw_calculator, initialise
from experiments.reference_data.materials import MATERIALS

CUTOFF = 400.0  # eV
SMEARING = 0.05  # eV: on ideal places PBE leaves hardly a gap, and levels change places from one iteration to the next
KPOINT = [(0.25, 0.25, 0.25)]
CONVERGENCE = {"density": 3e-4, "eigenstates": 1e-5}
FORCE = 0.2  # eV/Å, the largest that is left
STEPS = 40


def relax(crystals: list[Atoms], folder: Path, setups: str | os.PathLike[str]) -> None:
    """Relax the atoms of crystals in their cells, each into a file named by its parent; existing files are kept.

    Args:
        crystals: with ``info["kind"]`` and ``info["parent"]``.
        folder: of results; made if it is missing.
        setups: folder of the PAW datasets that GPAW does not ship.

    Raises:
        RuntimeError: forces are not small after many steps.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for ideal in crystals:
        name = ideal.info["parent"]
        result = folder / f"{name}.extxyz"
        if result.exists():
            continue
        atoms = ideal.copy()
        atoms.calc = gpaw_calculator(
            MATERIALS[ideal.info["kind"]],
            atoms,
            setups,
            folder / f"{name}.log",
            smearing=SMEARING,
            cutoff=CUTOFF,
            grid=KPOINT,
            convergence=CONVERGENCE,
        )
        initialise(atoms.calc, atoms)
        optimiser = BFGS(atoms, logfile=None, maxstep=0.1)
        for _ in optimiser.irun(fmax=FORCE, steps=STEPS):
            largest = np.linalg.norm(atoms.get_forces(), axis=1).max()
            print(
                f"{name} step {optimiser.nsteps}: {atoms.get_potential_energy():.3f} eV, "
                f"forces up to {largest:.2f} eV/Å",
                flush=True,
            )
        if not largest < FORCE:
            raise RuntimeError(f"{name}: forces of {largest:.2f} eV/Å are left after {STEPS} steps")
        relaxed = Atoms(
            numbers=ideal.numbers, cell=ideal.cell, positions=atoms.positions, pbc=True, info=dict(ideal.info)
        )
        aside = folder / f".{result.name}"
        ase.io.write(aside, relaxed, format="extxyz")
        aside.replace(result)
