"""Speed of the λ = 2 descriptor against featomic: the same hyperparameters, the same atoms, in one run.

Li environments of 42-atom Li–Ti–O cells (the LTO set) and of a 1512-atom supercell; CPU seconds per centre, of one process and all its threads;
the compilation of efg_jax apart.

    python benchmarks/descriptor.py [--nmax 8] [--lmax 6]
"""

import argparse
import resource
import time

import jax
import numpy as np
from ase.data import atomic_numbers
from rich.console import Console
from rich.table import Table

import efg_jax as ej
from efg_jax.descriptors import INVARIANT

CUTOFF, SIGMA = 5.0, 0.4
SPECIES = ("Li", "O", "Ti")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nmax", type=int, default=8)
    parser.add_argument("--lmax", type=int, default=6)
    arguments = parser.parse_args()
    cell = ej.datasets.load("lto-efg")[0]
    console = Console()
    table = Table(
        "program",
        "atoms",
        "centres",
        "compile (s)",
        "CPU ms per centre",
        "ratio to featomic",
        title="λ = 0 and λ = 2 features of Li",
    )
    for frames in ([cell] * 40, [cell.repeat((3, 3, 4))]):
        centres = [np.flatnonzero(np.asarray(atoms.symbols) == "Li") for atoms in frames]
        count, atoms = sum(map(len, centres)), len(frames[0])
        reference = featomic_seconds(frames, arguments.nmax, arguments.lmax) / count
        ours, compilation = efg_jax_seconds(frames, centres, arguments.nmax, arguments.lmax)
        table.add_row("featomic", str(atoms), str(count), "", f"{1e3 * reference:.2f}", "1")
        table.add_row(
            "efg_jax",
            str(atoms),
            str(count),
            f"{compilation:.1f}",
            f"{1e3 * ours / count:.2f}",
            f"{ours / count / reference:.2f}",
        )
    console.print(table)
    console.print(
        f"peak memory of this process, both programs: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
    )


def efg_jax_seconds(frames: list, centres: list, nmax: int, lmax: int) -> tuple[float, float]:
    """CPU seconds of neighbour lists and features, and wall seconds of the first call beyond the second."""
    descriptor = ej.LambdaSOAP(
        cutoff=CUTOFF, nmax=nmax, lmax=lmax, sigma=SIGMA, cutoff_width=None, scaling_exponent=0.0, species=SPECIES
    )
    compiled = jax.jit(lambda batch: descriptor(batch, (INVARIANT, (2, 1))))
    with ej.float64():
        started = time.perf_counter()
        jax.block_until_ready(compiled(ej.environments(frames, CUTOFF, SPECIES, centres)))
        first = time.perf_counter() - started
        started, cpu = time.perf_counter(), time.process_time()
        jax.block_until_ready(compiled(ej.environments(frames, CUTOFF, SPECIES, centres)))
        return time.process_time() - cpu, first - (time.perf_counter() - started)


def featomic_seconds(frames: list, nmax: int, lmax: int) -> float:
    """CPU seconds of featomic for the same features."""
    import featomic
    from featomic.clebsch_gordan import EquivariantPowerSpectrum
    from metatensor import Labels

    expansion = featomic.SphericalExpansion(
        cutoff={"radius": CUTOFF, "smoothing": {"type": "Step"}},
        density={"type": "Gaussian", "width": SIGMA},
        basis={"type": "TensorProduct", "max_angular": lmax, "radial": {"type": "Gto", "max_radial": nmax - 1}},
    )
    centre = atomic_numbers["Li"]
    spectrum = EquivariantPowerSpectrum(expansion, neighbor_types=[atomic_numbers[symbol] for symbol in SPECIES])
    keys = Labels(["o3_lambda", "o3_sigma", "center_type"], np.array([[0, 1, centre], [2, 1, centre]]))
    spectrum.compute(frames[:1], selected_keys=keys, neighbors_to_properties=True)  # splines and coefficients
    cpu = time.process_time()
    spectrum.compute(frames, selected_keys=keys, neighbors_to_properties=True)
    return time.process_time() - cpu


if __name__ == "__main__":
    main()
