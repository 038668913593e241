"""Learning curves of the EFG in silica: the comparison of Harper et al. 2025, Fig. 5, on ¹⁷O and Si.

Trains, on growing sets of structures, one model of the whole tensor and one model for each of the scalars C̃_Q, η̃,
θ, φ (and ν_Q itself); judges all on the same structures, which none has seen; writes rows, means, slopes and figures.
A run that was stopped goes on where it was.

    python experiments/learning_curves/run.py [--out results/learning_curves] [--seed 0] [--quick]
"""

import argparse
import logging
import time
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler

import efg_jax as ej
from efg_jax import plots
from efg_jax.learning_curves import Fit, LearningCurve
from efg_jax.learning_curves.curve_metrics import label_of
from efg_jax.learning_curves.curve_result import slope_text
from efg_jax.storage import atomic_write
from efg_jax.text import with_error

SPECIES = ("O", "Si")
SIZES = (10, 20, 40, 80, 160)
QUICK_SIZES = (2, 4)  # both fill the same padded shapes


def main() -> None:
    arguments = parse_arguments()
    console = Console()
    if not console.is_terminal:
        console = Console(width=130)  # tables whole in a log file
    handler = RichHandler(console=console, show_path=False, show_level=False, show_time=False)
    handler.addFilter(
        lambda record: record.levelno >= logging.WARNING or record.name.startswith("efg_jax.learning_curves")
    )
    logging.getLogger("efg_jax").addHandler(handler)
    logging.getLogger("efg_jax").setLevel(logging.INFO)
    started = time.perf_counter()
    curve = measure(arguments, console)
    write(curve, arguments.out)
    console.print(curve.table())
    console.print(headline(curve))
    console.print(f"{time.perf_counter() - started:.0f} s; rows, means, slopes and figures are in {arguments.out}/")


def measure(arguments: argparse.Namespace, console: Console) -> LearningCurve:
    """Fit everything that is not there yet, a line a fit."""
    frames = ej.datasets.load("silica-efg")[:247]  # the set grows; all numbers of the documentation are of these
    descriptor, sizes, repeats = ej.LambdaSOAP(), arguments.sizes or SIZES, arguments.repeats
    if arguments.quick:
        frames = [atoms for atoms in frames if len(atoms) == 6][:18]
        descriptor, sizes, repeats = ej.LambdaSOAP(cutoff=4.0, nmax=2, lmax=2), QUICK_SIZES, 2
    models = {
        "tensor": ej.TensorGPR(descriptor, SPECIES, regularisation=arguments.regularisation),
        "scalar": ej.ScalarGPR(descriptor, SPECIES, regularisation=arguments.regularisation),
    }
    last = time.perf_counter()

    def finished(fit: Fit) -> None:
        nonlocal last
        took, last = time.perf_counter() - last, time.perf_counter()
        if not fit.reused:
            what = f"{fit.model}, {fit.structures} structures, repeat {fit.repeat}"
            console.print(f"{fit.number}/{fit.total} {what}: {took:.1f} s", highlight=False)

    return ej.learning_curve(
        models, frames, sizes, repeats, seed=arguments.seed, cache=arguments.out / "cache", callback=finished
    )


def write(curve: LearningCurve, out: Path) -> None:
    """Rows, everything as JSON, one figure a species, and the table of the README."""
    out.mkdir(parents=True, exist_ok=True)
    curve.to_csv(out / "curve.csv")
    curve.to_json(out / "curve.json")
    for species in SPECIES:
        plots.save(curve.plot(species), out / f"curve-{species}.png")
    with atomic_write(out / "tables.md") as temporary:
        text = "\n\n".join(f"{species}:\n\n{markdown(curve, species)}" for species in SPECIES)
        Path(temporary).write_text(text + "\n", encoding="utf-8")


def markdown(curve: LearningCurve, species: str) -> str:
    """The table of one species as Markdown."""
    points = {(p.metric, p.model, p.structures): p for p in curve.summary() if p.species == species}
    slopes = {(s.metric, s.model): s for s in curve.slopes() if s.species == species}
    lines = [["", "model", *map(str, curve.sizes), "slope"], ["---"] * (len(curve.sizes) + 3)]
    for metric in curve.metrics(species):
        name, _, unit = label_of(metric)
        for model in curve.models:
            if (metric, model, curve.sizes[0]) in points:
                of_model = [points[metric, model, size] for size in curve.sizes]
                cells = [with_error(point.mean, point.standard_error) for point in of_model]
                label = f"{name} ({unit})" if unit else name
                lines.append([label, model, *cells, slope_text(slopes.get((metric, model)))])
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def headline(curve: LearningCurve) -> str:
    """How fast both kinds of model learn what they have in common, in one sentence a species."""
    slopes = {(s.species, s.model, s.metric): s for s in curve.slopes()}
    lines = []
    for species in SPECIES:
        parts = []
        for metric in ("c_q_tilde.mae", "eta_tilde.mae", "theta.mae", "phi.mae"):
            both = (slope_text(slopes[species, kind, metric]) for kind in ("tensor", "scalar"))
            parts.append(f"{label_of(metric).text} {' against '.join(both)}")
        lines.append(f"{species}: slopes of tensor against scalar learning: {'; '.join(parts)}")
    return "\n".join(lines)


def regularisation(text: str) -> float | str:
    """ "auto", or a number."""
    return text if text == "auto" else float(text)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("results/learning_curves"),
        help="folder for everything, finished fits included (default: results/learning_curves)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split and of the training sets")
    parser.add_argument("--sizes", type=int, nargs="+", help=f"numbers of training structures (default: {SIZES})")
    parser.add_argument("--repeats", type=int, default=4, help="random orders of the training structures (default: 4)")
    parser.add_argument(
        "--regularisation", type=regularisation, default="auto", help="auto, or a number (default: auto)"
    )
    parser.add_argument("--quick", action="store_true", help="a small descriptor and few structures, to see it run")
    return parser.parse_args()


if __name__ == "__main__":
    main()
