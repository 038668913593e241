"""Tensor against scalar learning of the EFG in silica, on ¹⁷O and Si (Harper et al. 2025, Figs. 3 and 4).

Trains, on the same structures and with the same descriptor, one model of the whole tensor and one model for each of
the scalars C̃_Q, η̃, θ, φ (and ν_Q itself); judges both on structures that neither has seen; writes tables, figures
and a JSON report.

    python experiments/silica/run.py [--out results] [--seed 0]
"""

import argparse
import json
import logging
import time
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import efg_jax as ej
from efg_jax import plots
from efg_jax.report.parity_figures import compare_figure, frequency_figure
from efg_jax.storage import atomic_write

SPECIES = ("O", "Si")


def main() -> None:
    arguments = parse_arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=110)  # tables whole in a log file
    logging.getLogger("efg_jax").addHandler(
        RichHandler(console=console, show_path=False, show_level=False, show_time=False)
    )
    logging.getLogger("efg_jax").setLevel(logging.INFO)
    started = time.perf_counter()
    ej.compile_quickly()
    frames = ej.datasets.load("silica-efg")[:247]  # the set grows; all numbers of the documentation are of these
    train, test = ej.split(frames, test=0.2, seed=arguments.seed)
    console.print(
        f"silica-efg: {len(frames)} structures, {len(train)} to train on, {len(test)} held out (seed {arguments.seed})"
    )
    reports = learn(train, test, console)
    summary = write(reports, arguments.out)
    for species in SPECIES:
        console.print(ej.comparison_table(reports, species))
        console.print(f"  {summary[species]['headline']}\n")
    console.print(f"{time.perf_counter() - started:.0f} s; figures and report.json are in {arguments.out}/")


def learn(train: list, test: list, console: Console) -> dict[str, ej.report.Report]:
    """Train and evaluate both kinds of model for all species, showing progress."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    models = {
        "scalar": ej.ScalarGPR(ej.LambdaSOAP(), species=SPECIES, target="efg"),
        "tensor": ej.TensorGPR(ej.LambdaSOAP(), species=SPECIES, target="efg"),
    }
    reports = {}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=2 * len(models))
        for kind, model in models.items():
            progress.update(task, description=f"training the {kind} model")
            fitted = model.fit(train)
            progress.update(task, description=f"evaluating the {kind} model", advance=1)
            reports[kind] = fitted.evaluate(test, title="silica, structures held out")
            progress.advance(task)
    return reports


def write(reports: dict[str, ej.report.Report], out: Path) -> dict:
    """Write figures and report; returns what is in the report, by species."""
    out.mkdir(parents=True, exist_ok=True)
    scalar, tensor = reports["scalar"], reports["tensor"]
    summary = {}
    for species in SPECIES:
        plots.save(compare_figure(scalar, tensor, species), out / f"parity-{species}.png")
        plots.save(frequency_figure(scalar, tensor, species), out / f"frequency-{species}.png")
        entries = {kind: report.to_dict()[species] for kind, report in reports.items()}
        summary[species] = {**entries, "headline": headline(entries)}
    with atomic_write(out / "report.json") as temporary:
        Path(temporary).write_text(json.dumps(summary, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return summary


def headline(entries: dict) -> str:
    """How far the tensor model's orientation beats the scalar models', in one sentence."""
    scalar, tensor = (entries[kind]["z_axis_deg"]["mean"] for kind in ("scalar", "tensor"))
    return (
        f"mean angle between predicted and true z axes: {scalar:.2f}° scalar, {tensor:.2f}° tensor, "
        f"{scalar / tensor:.1f} times smaller"
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder for figures and report (default: results)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split into training and test structures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
