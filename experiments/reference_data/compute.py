"""Energy, forces and field gradients of one structure with GPAW (under the Python that has it)."""

import os
import time
import warnings
from pathlib import Path

from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator

from experiments.reference_data.materials import MATERIALS, Material
from experiments.reference_data.provenance import kpoints, provenance

NET_FORCE = 0.04  # eV/Å: `collect` refuses 0.05
ITERATIONS = 120  # after which a structure is given up
EMPTY = 14  # electrons for each empty band: bands that cross during self-consistency must be computed too


class Unconverged(Exception):
    """The self-consistency did not converge: the structure has no result."""


def compute(
    atoms: Atoms,
    setups: str | os.PathLike[str],
    log: str | os.PathLike[str] = os.devnull,
    densities: str | os.PathLike[str] | None = None,
) -> Atoms:
    """Run one structure at its material's level of theory.

    Args:
        atoms: with ``info["kind"]``.
        setups: folder of the PAW datasets that GPAW does not ship.
        log: file for GPAW's own protocol.
        densities: folder of densities to start from, one a parent; that of this structure is kept where its parent
            has none. None: free atoms.

    Returns:
        The structure with energy (eV), forces (eV/Å), ``arrays["efg"]`` (n, 9) in V/Å², and how they were made in its
        info.

    Raises:
        Unconverged: the density did not settle.
    """
    import gpaw

    from experiments.reference_data.gradients import HARTREE_PER_E_BOHR2_IN_V_PER_ANG2, electric_field_gradients
    from experiments.reference_data.net_force import NetForce
    from experiments.reference_data.starting_density import StartingDensity

    material = MATERIALS[atoms.info["kind"]]
    start = time.process_time()
    calculator = gpaw_calculator(
        material,
        atoms,
        setups,
        log,
        smearing=material.smearing,
        cutoff=material.cutoff,
        grid={"size": kpoints(atoms, material.kpoints), "gamma": False},
        convergence={
            "density": material.density,
            "eigenstates": material.eigenstates,
            "custom": NetForce(NET_FORCE),
        },
    )
    run = atoms.copy()
    run.calc = calculator
    initialise(calculator, run)
    start_from = None if densities is None else StartingDensity(Path(densities), run)
    if start_from is not None:
        start_from.watch(calculator.density)
    warnings.filterwarnings(
        "ignore", "Custom convergence criterion", UserWarning
    )  # of files, which are not written here
    try:
        energy, forces = run.get_potential_energy(), run.get_forces()
    except gpaw.KohnShamConvergenceError as error:
        raise Unconverged(f"not converged in {ITERATIONS} iterations") from error
    if start_from is not None:
        start_from.keep(calculator.density)
    efg = electric_field_gradients(calculator) * HARTREE_PER_E_BOHR2_IN_V_PER_ANG2
    result = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True)
    result.info.update(
        {**atoms.info, **provenance(atoms, code=f"GPAW {gpaw.__version__}")},
        iterations=int(calculator.get_number_of_iterations()),
        cpu_seconds=round(time.process_time() - start),
        gap_eV=round(_gap(calculator, _electrons(material, atoms) // 2), 3),
    )
    result.arrays["efg"] = efg.reshape(-1, 9)
    result.calc = SinglePointCalculator(result, energy=energy, forces=forces)
    return result


def gpaw_calculator(
    material: Material,
    atoms: Atoms,
    setups: str | os.PathLike[str],
    log: str | os.PathLike[str],
    *,
    smearing: float,
    cutoff: float,
    grid: dict | list,
    convergence: dict,
):
    """GPAW for a material, with this smearing and cutoff (eV) and other options; `initialise` it before use."""
    from gpaw import GPAW, PW, setup_paths

    from experiments.reference_data.mixing import MIXER
    from experiments.reference_data.speed import hasten_gpaw

    hasten_gpaw()
    if str(setups) not in setup_paths:
        setup_paths.insert(0, str(setups))  # in front of GPAW's own, which the variable GPAW_SETUP_PATH would replace
    missing = [
        f"{symbol}.{name}.PBE"
        for symbol, name in material.setups.items()
        if not Path(setups, f"{symbol}.{name}.PBE").exists()
    ]
    if missing:
        raise FileNotFoundError(f"{setups} lacks {', '.join(missing)}; make them with the command 'setups'")
    electrons = _electrons(material, atoms)
    return GPAW(
        mode=PW(cutoff),
        xc="PBE",
        setups=dict(material.setups),
        kpts=grid,
        txt=str(log),
        symmetry={"point_group": False},
        occupations={"name": "fermi-dirac", "width": smearing} if smearing else {"name": "fixed-uniform"},
        nbands=electrons // 2 + max(2, electrons // EMPTY),
        mixer=MIXER,
        maxiter=ITERATIONS,
        convergence={"bands": "occupied", **convergence},
    )


def initialise(calculator, atoms: Atoms) -> None:
    """Make a calculator's arrays, and let its mixer see the density whose charge it weighs."""
    with warnings.catch_warnings():
        # It is about files, which are not written here.
        warnings.filterwarnings("ignore", "Custom convergence criterion", UserWarning)
        calculator.initialize(atoms)
    calculator.density.mixer.basemixers[0].watch(calculator.density)


def _electrons(material: Material, atoms: Atoms) -> int:
    return sum(material.valence[symbol] for symbol in atoms.symbols)


def _gap(calculator, occupied: int) -> float:
    """Lowest empty less highest occupied orbital energy (eV) of all k-points; negative where they overlap."""
    energies = [calculator.get_eigenvalues(kpt=k) for k in range(len(calculator.get_ibz_k_points()))]
    return float(min(levels[occupied] for levels in energies) - max(levels[occupied - 1] for levels in energies))
