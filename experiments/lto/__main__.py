"""The Li4Ti5O12 study: data, models of three nuclei, twenty disordered 1512-atom cells, regions of ν_Q, report.

Every stage is a folder below the results; one that is finished is not done again, and a run that was stopped goes on
with the same command.

    python -m experiments.lto [--out results/lto] [--quick]
"""

import argparse
from dataclasses import asdict, replace
from pathlib import Path

import efg_jax as ej
from experiments.lto import cells, dataset, learn, report, sites
from experiments.stages import Stages, teller

SIZES = (5, 10, 20, 38)


def main() -> None:
    arguments = parse_arguments()
    say = teller()
    study(arguments.out, arguments.quick, arguments.seed, say)
    say(f"the report is {arguments.out / 'report.md'}")


def study(out: Path, quick: bool, seed: int, say, nuclei: dict[str, str] = dataset.NUCLEI) -> None:
    """All stages, in order; of the nuclei, lithium must be one."""
    frames = dataset.with_sites(ej.datasets.load("lto-efg"))
    train, test = ej.split(frames, test=0.2, seed=seed)
    descriptor = ej.LambdaSOAP(cutoff=4.0, nmax=2, lmax=1) if quick else ej.LambdaSOAP()
    sampling = replace(cells.Sampling(), cells=2, repeat=(1, 3, 3), sweeps=60) if quick else cells.Sampling()
    stages = Stages(out, say)
    data = {
        "frames": [[a.info["parent"], int(a.info["index"])] for a in frames],
        "seed": seed,
        "version": ej.__version__,
    }

    stages.run("data", data, lambda folder: dataset.draw(frames, folder / "dataset.png"))
    budget, repeats = (3, 1) if quick else (25, 3)
    sizes = tuple(size for size in SIZES if size <= len(train))
    sizes = (len(train) // 2, len(train)) if quick or len(sizes) < 2 else sizes
    fitted = {}
    for species, isotope in nuclei.items():
        tuned = stages.run(
            f"tune-{species}",
            {**data, "budget": budget, "quick": quick},
            lambda folder, s=species: learn.tune(train, s, budget, descriptor, folder),
        )
        found, depends = tuned / "hyperparameters.json", {**data, "tuned": stages.of(tuned)}
        fitted[species] = stages.run(
            f"fit-{species}",
            depends,
            lambda folder, s=species, i=isotope, h=found: learn.fit(train, test, s, i, h, folder),
        )
        stages.run(
            f"curve-{species}",
            {**depends, "sizes": sizes, "repeats": repeats},
            lambda folder, s=species, h=found: learn.curve(frames, s, h, sizes, repeats, folder),
        )
    made = stages.run("cells", asdict(sampling), lambda folder: cells.make_cells(sampling, folder))
    final, bins, sweeps = (1e-1, 40, 12) if quick else (1e-4, 200, 600)
    stages.run(
        "states",
        {**asdict(sampling), "final": final},
        lambda folder: cells.count_states(sampling, final, bins, sweeps, folder),
    )
    large = cells.read_cells(made)
    predicted = stages.run(
        "predict",
        {"model": stages.of(fitted["Li"]), "cells": stages.of(made)},
        lambda folder: sites.predict(fitted["Li"] / "tensor.npz", test, large, folder),
    )
    stages.run("regions", {"predicted": stages.of(predicted)}, lambda folder: sites.divide(predicted, large, folder))
    report.write(out, frames, (len(train), len(test)), nuclei)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path("results/lto"), help="folder of results (default: results/lto)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split into training and test structures")
    parser.add_argument("--quick", action="store_true", help="small descriptor, few steps, two cells: to see it run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
