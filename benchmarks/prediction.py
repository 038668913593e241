"""Speed and memory of prediction: Li sites of large Li–Ti–O cells, 1000 reference environments, ζ = 2.

(a) all Li sites of twenty rattled 1512-atom cells, and featomic's features of such a cell; (b) cells of a thousand to
a hundred thousand atoms; (c) float32 against float64. Each run is a process of its own; compilation is in the times,
and said apart.

    python benchmarks/prediction.py [--cells 20] [--peer] [--largest 100000] [--figure docs/prediction-scaling.png]
    [--json FILE]
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms

SPECIES, CUTOFF = ("Li", "O", "Ti"), 5.0
SIZES = {1008: (2, 3, 4), 3024: (4, 3, 6), 10080: (6, 5, 8), 30240: (8, 9, 10), 100800: (12, 10, 20)}
CHARGES = {"Li": 1.0, "O": -2.0, "Ti": 4.0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=20, help="of 1512 atoms")
    parser.add_argument("--references", type=int, default=1000)
    parser.add_argument("--nmax", type=int, default=8)
    parser.add_argument("--lmax", type=int, default=6)
    parser.add_argument("--largest", type=int, default=100800, help="atoms of the largest cell; 0: none")
    parser.add_argument("--peer", action="store_true", help="also featomic's features of the same sites")
    parser.add_argument("--figure", type=Path, help="time and memory against atoms")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        print(json.dumps(probe(arguments.model, json.loads(arguments.probe))))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        run({"task": "train", "references": arguments.references, "nmax": arguments.nmax, "lmax": arguments.lmax}, path)
        report(arguments, path)


def report(arguments: argparse.Namespace, path: Path) -> None:
    """Run everything, and print it as tables."""
    from rich.console import Console
    from rich.table import Table

    console, results = Console(), {}
    table = Table(
        "what", "sites", "wall (s)", "CPU (s)", "of that compiling (s)", "CPU ms a site, warm", "peak memory (GiB)",
        title=f"Li sites of {arguments.cells} cells of 1512 atoms, {arguments.references} references, ζ = 2",
    )  # fmt: skip
    for dtype in ("float64", "float32"):
        one = results[dtype] = run({"task": "cells", "count": arguments.cells, "dtype": dtype}, path)
        table.add_row(f"efg_jax, {dtype}", *row(one))
    if arguments.peer:
        one = results["featomic"] = run(
            {"task": "peer", "count": 1, "nmax": arguments.nmax, "lmax": arguments.lmax}, path
        )
        table.add_row("featomic, features alone", *row(one))
    console.print(table)
    console.print(
        f"float32 against float64: rms difference over rms tensor {run({'task': 'precision'}, path)['error']:.1e}"
    )
    scaling = [run({"task": "size", "atoms": n}, path) for n in SIZES if n <= arguments.largest]
    if scaling:
        show_scaling(console, scaling, arguments.figure)
    if arguments.json:
        arguments.json.write_text(json.dumps(results | {"scaling": scaling}, indent=1))


def row(one: dict) -> tuple[str, ...]:
    return (
        str(one["sites"]), f"{one['wall']:.1f}", f"{one['cpu']:.1f}", f"{one['compile']:.1f}", f"{one['cpu_ms']:.2f}",
        f"{one['memory']:.2f}",
    )  # fmt: skip


def run(task: dict, model: Path) -> dict:
    """A task in a fresh process."""
    command = [sys.executable, __file__, "--probe", json.dumps(task), "--model", str(model)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def probe(model: str, task: dict) -> dict:
    """What a fresh process does, with its peak memory."""
    tasks = {"train": train, "cells": cells, "size": size, "precision": precision, "peer": peer}
    result = tasks[task.pop("task")](model, **task)
    return result | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def rattled(repeats: tuple[int, int, int], seed: int) -> Atoms:
    """A supercell of the first structure of the LTO set, its atoms displaced by 0.05 Å."""
    import efg_jax as ej

    atoms = ej.datasets.load("lto-efg")[0]
    atoms = Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=True).repeat(repeats)
    atoms.rattle(0.05, seed=seed)
    return atoms


def train(model: str, references: int, nmax: int, lmax: int) -> dict:
    """A dense model of point-charge gradients within the cutoff, at about this many Li sites of 42-atom cells."""
    import efg_jax as ej

    frames, sites = [], 0
    while sites < references:
        atoms = rattled((1, 1, 1), 1000 + len(frames))
        lithium = np.flatnonzero(np.asarray(atoms.symbols) == "Li")[: references - sites]
        atoms.arrays["efg"] = np.full((len(atoms), 3, 3), np.nan)
        atoms.arrays["efg"][lithium] = point_charge_gradients(atoms, lithium)
        frames.append(atoms)
        sites += len(lithium)
    soap = ej.LambdaSOAP(cutoff=CUTOFF, nmax=nmax, lmax=lmax, species=SPECIES)
    ej.TensorGPR(soap, species="Li", regularisation=1e-4).fit(frames).save(model)
    return {"sites": sites}


def point_charge_gradients(atoms: Atoms, centres: np.ndarray) -> np.ndarray:
    """Σ_j q_j w(r) (3 r rᵀ − r² 1)/r⁵ over the neighbours, with a smooth cutoff w."""
    from efg_jax.structures.neighbour_lists import neighbour_pairs

    pairs = neighbour_pairs(atoms, centres, CUTOFF)
    vectors = pairs.displacements(atoms)
    length = np.linalg.norm(vectors, axis=1)
    charge = np.array([CHARGES[symbol] for symbol in atoms.symbols])[pairs.neighbour]
    strength = charge * np.cos(np.pi * length / (2 * CUTOFF)) ** 2 / length**5
    dyads = 3 * vectors[:, :, None] * vectors[:, None, :] - length[:, None, None] ** 2 * np.eye(3)
    gradients = np.zeros((len(centres), 3, 3))
    np.add.at(gradients, pairs.row, strength[:, None, None] * dyads)
    return gradients


def timed(model: str, frames: list, dtype: str) -> dict:
    """Seconds of the first prediction of all frames, and how much longer it takes than the second (compilation)."""
    import efg_jax as ej

    fitted = ej.load(model)

    def predicted() -> tuple[int, float, float]:
        start, cpu = time.perf_counter(), time.process_time()
        sites = sum(len(found.centres) for found in fitted.predict_stream(iter(frames), dtype=dtype))
        return sites, time.perf_counter() - start, time.process_time() - cpu

    (sites, wall, cpu), (_, _, warm) = predicted(), predicted()
    return {
        "sites": sites, "atoms": sum(map(len, frames)), "wall": wall, "cpu": cpu, "compile": cpu - warm,
        "cpu_ms": 1e3 * warm / sites,
    }  # fmt: skip


def cells(model: str, count: int, dtype: str) -> dict:
    """(a)."""
    return timed(model, [rattled((3, 3, 4), seed) for seed in range(count)], dtype)


def size(model: str, atoms: int) -> dict:
    """(b)."""
    return timed(model, [rattled(SIZES[atoms], 0)], "float64")


def precision(model: str) -> dict:
    """(c)."""
    import efg_jax as ej

    fitted, atoms = ej.load(model), rattled((2, 2, 2), 3)
    single, double = (fitted.predict(atoms, dtype=dtype) for dtype in ("float32", "float64"))
    return {"error": float(np.sqrt(np.nanmean((single - double) ** 2) / np.nanmean(double**2)))}


def peer(model: str, count: int, nmax: int, lmax: int) -> dict:
    """featomic's λ = 0 and λ = 2 features of the same sites, as `benchmarks/descriptor.py` makes them."""
    from descriptor import featomic

    frames = [rattled((3, 3, 4), seed) for seed in range(count)]
    compute = featomic(nmax, lmax)
    start, before = time.perf_counter(), time.process_time()
    compute(frames)
    wall, cpu = time.perf_counter() - start, time.process_time() - before
    sites = sum(int((np.asarray(atoms.symbols) == "Li").sum()) for atoms in frames)
    return {
        "sites": sites,
        "wall": wall,
        "cpu": cpu,
        "compile": 0.0,
        "cpu_ms": 1e3 * cpu / sites,
    }


def show_scaling(console, scaling: list[dict], figure: Path | None) -> None:
    """Table, slope and figure of (b)."""
    from rich.table import Table

    table = Table(
        "atoms", "Li sites", "wall (s)", "CPU (s)", "of that compiling (s)", "CPU ms a site, warm", "peak memory (GiB)"
    )
    for one in scaling:
        table.add_row(str(one["atoms"]), *row(one))
    console.print(table)
    atoms = np.array([one["atoms"] for one in scaling])
    seconds = np.array([one["cpu_ms"] * one["sites"] / 1e3 for one in scaling])
    large = atoms > 2000  # below, what does not depend on the cell shows
    slope = np.polyfit(np.log(atoms[large]), np.log(seconds[large]), 1)[0] if large.sum() > 1 else np.nan
    console.print(f"CPU time without compilation goes as atoms^{slope:.2f} from 3000 atoms on")
    if figure is not None:
        draw(atoms, seconds, np.array([one["memory"] for one in scaling]), slope, figure)


def draw(atoms: np.ndarray, seconds: np.ndarray, memory: np.ndarray, slope: float, path: Path) -> None:
    """Time and memory against atoms, both axes logarithmic."""
    from efg_jax import plots

    with plots.style():
        figure = plots.Picture(figsize=(6.4, 3.0), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.loglog(atoms, seconds, "o", color=plots.TENSOR, label="measured")
        left.loglog(atoms, seconds[-1] * atoms / atoms[-1], "--", color=plots.GREY, label="in proportion to the atoms")
        title = f"from 3000 atoms on as atoms$^{{{slope:.2f}}}$"
        left.set(xlabel="atoms in the cell", ylabel="CPU time without compilation (s)", title=title)
        left.legend()
        right.semilogx(atoms, memory, "o-", color=plots.TENSOR)
        right.set(xlabel="atoms in the cell", ylabel="peak memory (GiB)", ylim=(0, 1.2 * memory.max()))
    plots.save(figure, path)


if __name__ == "__main__":
    main()
