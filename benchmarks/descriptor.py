"""Descriptor against featomic: speed, memory and agreement for λ = 0 and λ = 2, in one run.

Both have the same hyperparameters and the same atoms.

Li environments of Li–Ti–O: cells of 42 atoms, one a call and 40 a call, and a supercell of 1512 atoms. Each
measurement is a process of its own on one or two cores. Neighbour lists are included for both programs, the
compilation of efg_jax is told apart; of a few calls the one with the least CPU time counts.

    python benchmarks/descriptor.py [--nmax 8] [--lmax 6] [--threads 1 2]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
from ase.data import atomic_numbers
from rich.console import Console
from rich.table import Table

CUTOFF, SIGMA = 5.0, 0.4
SPECIES = ("Li", "O", "Ti")
IRREPS = ((0, 1), (2, 1))
CALLS = {"42 atoms, 1 a call": 20, "42 atoms, 40 a call": 5, "1512 atoms": 5, "1512 atoms, in one piece": 5}
# Centres that are computed at a time, as in a prediction: features of a piece are used and forgotten. Each call gets
# arrays above 32 MB anew from the operating system (glibc), which costs as much as filling them: the case "in one
PIECE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nmax", type=int, default=8)
    parser.add_argument("--lmax", type=int, default=6)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # a program and a case, in a process of its own
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure, arguments.nmax, arguments.lmax)))
        return
    console = Console()
    for threads in [count for count in arguments.threads if count <= len(os.sched_getaffinity(0))]:
        console.print(comparison(threads, arguments.nmax, arguments.lmax))
    deviation = largest_deviation(arguments.nmax, arguments.lmax)
    console.print(f"largest deviation of normalised kernels between the programs: {deviation:.1e} (must be below 1e-8)")
    if deviation >= 1e-8:
        raise SystemExit(1)


def comparison(threads: int, nmax: int, lmax: int) -> Table:
    columns = ("case", "program", "CPU ms per centre", "ratio", "wall ms per centre", "compile (s)", "peak (MiB)")
    table = Table(*columns, title=f"λ = 0 and λ = 2 features of Li, nmax {nmax}, lmax {lmax}, threads: {threads}")
    for case in CALLS:
        reference = None
        for program in ("featomic", "efg_jax"):
            found = in_a_process(program, case, threads, nmax, lmax)
            reference = reference or found["cpu"]
            table.add_row(
                case,
                program,
                f"{found['cpu']:.3f}",
                f"{found['cpu'] / reference:.3f}",
                f"{found['wall']:.3f}",
                f"{found['compile']:.1f}" if "compile" in found else "",
                f"{found['peak']:.0f}",
            )
    return table


def in_a_process(program: str, case: str, threads: int, nmax: int, lmax: int) -> dict[str, float]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    command = [sys.executable, __file__, "--measure", program, case, "--nmax", str(nmax), "--lmax", str(lmax)]
    done = subprocess.run(
        command,
        env={**os.environ, "JAX_PLATFORMS": "cpu", **dict.fromkeys(names, str(threads))},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),  # what XLA takes the number of its threads from
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(program: str, case: str, nmax: int, lmax: int) -> dict[str, float]:
    """CPU and wall time of a call (ms per centre), extra time of the first call (s), peak memory (MiB)."""
    import efg_jax as ej

    cell = ej.datasets.load("lto-efg")[0]
    frames = [cell.repeat((3, 3, 4))] if case.startswith("1512") else [cell] * (40 if "40" in case else 1)
    compute = featomic(nmax, lmax) if program == "featomic" else efg_jax(nmax, lmax, pieces="one piece" not in case)
    centres = sum(list(atoms.symbols).count("Li") for atoms in frames)
    times = [seconds(compute, frames) for _ in range(1 + CALLS[case])]
    cpu, wall = min(times[1:])
    result = {"cpu": 1e3 * cpu / centres, "wall": 1e3 * wall / centres}
    if program == "efg_jax":
        result["compile"] = times[0][1] - wall
    return {**result, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def seconds(compute, frames: list) -> tuple[float, float]:
    """CPU time of this process and all its threads, and wall time."""
    wall, cpu = time.perf_counter(), time.process_time()
    compute(frames)
    return time.process_time() - cpu, time.perf_counter() - wall


def efg_jax(nmax: int, lmax: int, normalise: str = "invariant", pieces: bool = True):
    """Function of structures: features of Li by irrep (of the last piece), and the number of real centres."""
    import jax

    import efg_jax as ej

    descriptor = ej.LambdaSOAP(
        cutoff=CUTOFF,
        nmax=nmax,
        lmax=lmax,
        sigma=SIGMA,
        cutoff_width=None,
        scaling_exponent=0.0,
        species=SPECIES,
        normalise=normalise,
    )
    compiled = jax.jit(lambda descriptor, neighbours: descriptor(neighbours, IRREPS))

    def compute(frames: list) -> tuple[dict, int]:
        centres = [np.flatnonzero(np.asarray(atoms.symbols) == "Li") for atoms in frames]
        with ej.x64():
            neighbours = ej.environments(frames, CUTOFF, SPECIES, centres).neighbours()
            size = PIECE if pieces else neighbours.size
            rows = [slice(start, start + size) for start in range(0, neighbours.size, size)]
            for row in rows:
                piece = jax.tree.map(lambda array, row=row: array[row], neighbours)
                features = jax.block_until_ready(compiled(descriptor, piece))
            return features, sum(map(len, centres))

    return compute


def featomic(nmax: int, lmax: int, spline_accuracy: float | None = 1e-8):
    """Function of structures: features of Li as metatensor's TensorMap; the splines are those of featomic's default."""
    import featomic
    from featomic.clebsch_gordan import EquivariantPowerSpectrum
    from metatensor import Labels

    expansion = featomic.SphericalExpansion(
        cutoff={"radius": CUTOFF, "smoothing": {"type": "Step"}},
        density={"type": "Gaussian", "width": SIGMA},
        basis={
            "type": "TensorProduct",
            "max_angular": lmax,
            "radial": {"type": "Gto", "max_radial": nmax - 1},
            "spline_accuracy": spline_accuracy,
        },
    )
    spectrum = EquivariantPowerSpectrum(expansion, neighbor_types=[atomic_numbers[symbol] for symbol in SPECIES])
    keys = Labels(
        ["o3_lambda", "o3_sigma", "center_type"], np.array([[*irrep, atomic_numbers["Li"]] for irrep in IRREPS])
    )
    return lambda frames: spectrum.compute(frames, selected_keys=keys, neighbors_to_properties=True)


def largest_deviation(nmax: int, lmax: int) -> float:
    """Of the kernels of eight environments, each normalised by its own norm."""
    import efg_jax as ej

    cell = ej.datasets.load("lto-efg")[:1]
    ours, count = efg_jax(nmax, lmax, "environment")(cell)
    theirs = featomic(nmax, lmax, None)(cell)
    deviations = []
    for order, parity in IRREPS:
        block = theirs.block({"o3_lambda": order, "o3_sigma": parity})
        # featomic leaves out (l', l) without the √2 that makes kernels those of the full sum.
        other = np.asarray(block.values) * np.where(
            block.properties["l_1"] == block.properties["l_2"], 1.0, np.sqrt(2.0)
        )
        gram = np.einsum("iuf,ivf->iuv", other, other)
        other = other / np.sqrt(np.linalg.norm(gram, axis=(1, 2)))[:, None, None]
        kernels = [np.einsum("iuf,jvf->iujv", p, p) for p in (np.asarray(ours[order, parity])[:count], other)]
        deviations.append(np.abs(kernels[0] - kernels[1]).max())
    return max(deviations)


if __name__ == "__main__":
    main()
