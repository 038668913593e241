"""Training with the 10,496 Li environments of Harper et al. 2025, and error by the number of inducing environments.

(a) a sparse model of 1000 inducing environments, ζ = 2, n_max 8, l_max 6, from rattled Li–Ti–O cells with smooth
equivariant labels (gradients of point charges within the cutoff); (b) silica's ¹⁷O: sparse models of growing size and
primal ridge regression against the dense model, on held-out structures. Each run is a process of its own; compilation
is in the wall time.

    python benchmarks/training.py [--environments 10496] [--inducing 1000] [--figure docs/sparse.png] [--json FILE]
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
from prediction import CUTOFF, SPECIES, point_charge_gradients, rattled

SIZES = (25, 50, 100, 200, 400, 800)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environments", type=int, default=10_496)
    parser.add_argument("--inducing", type=int, default=1000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="inducing environments of (b)")
    parser.add_argument("--figure", type=Path, help="error against inducing environments")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--skip", choices=("speed", "error"), nargs="*", default=[])
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.probe:
        task = json.loads(arguments.probe)
        result = {"speed": speed, "error": error}[task.pop("task")](**task)
        print(json.dumps(result | {"memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
        return
    results = {}
    if "speed" not in arguments.skip:
        results["speed"] = run(
            {"task": "speed", "environments": arguments.environments, "inducing": arguments.inducing}
        )
        show_speed(results["speed"])
    if "error" not in arguments.skip:
        models = [
            {"zeta": 1.0, "primal": True},
            *({"inducing": size, "selection": s} for s in ("fps", "cur") for size in arguments.sizes),
            {},
        ]
        results["error"] = [run({"task": "error", "options": options}) for options in models]
        show_error(results["error"], arguments.figure)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


def run(task: dict) -> dict:
    """A task in a fresh process."""
    command = [sys.executable, __file__, "--probe", json.dumps(task)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


def speed(environments: int, inducing: int) -> dict:
    """(a)."""
    import efg_jax as ej

    frames, sites = [], 0
    while sites < environments:
        atoms = rattled((1, 1, 1), 1000 + len(frames))
        lithium = np.flatnonzero(np.asarray(atoms.symbols) == "Li")[: environments - sites]
        atoms.arrays["efg"] = np.full((len(atoms), 3, 3), np.nan)
        atoms.arrays["efg"][lithium] = point_charge_gradients(atoms, lithium)
        frames.append(atoms)
        sites += len(lithium)
    soap = ej.LambdaSOAP(cutoff=CUTOFF, nmax=8, lmax=6, species=SPECIES)
    moments = []
    with tempfile.TemporaryDirectory() as folder:
        start, cpu = time.perf_counter(), time.process_time()
        fitted = ej.TensorGPR(soap, species="Li", inducing=inducing).fit(
            frames, checkpoint=folder, progress=lambda *_: moments.append(time.perf_counter() - start)
        )
        wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    regression = fitted.regressions["Li",][2, 1]
    return {
        "environments": sites, "inducing": fitted.bases["Li"].size, "wall": wall, "cpu": cpu,
        "choosing": moments[0], "summing": moments[-1] - moments[0], "solving": wall - moments[-1],
        "chunks": len(moments), "regularisation": regression.regularisation, "held_out_rms": regression.held_out_rms,
    }  # fmt: skip


def error(options: dict) -> dict:
    """(b)."""
    import efg_jax as ej

    train, test = ej.split(ej.datasets.load("silica-efg")[:247], test=0.2, seed=0)
    start = time.perf_counter()
    fitted = ej.TensorGPR(species="O", **options).fit(train)
    seconds = time.perf_counter() - start
    report = fitted.evaluate(test).to_dict()["O"]
    return {"options": options, "seconds": seconds, "rmse_percent": report["rmse_percent"]}


def show_speed(one: dict) -> None:
    """Table of (a)."""
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "stage",
        "wall (s)",
        title=f"{one['environments']} Li environments, {one['inducing']} inducing, ζ = 2, ρ by five folds",
    )
    for name, text in (
        ("choosing", "describing, choosing, first chunk"),
        ("summing", f"the other {one['chunks'] - 1} chunks, each on disk"),
        ("solving", "ρ and weights"),
        ("wall", "all"),
    ):
        table.add_row(text, f"{one[name]:.0f}")
    console = Console()
    console.print(table)
    console.print(
        f"CPU {one['cpu']:.0f} s, peak memory {one['memory']:.1f} GiB, "
        f"held-out error {100 * one['held_out_rms']:.2f} % of the labels"
    )


def show_error(results: list[dict], figure: Path | None) -> None:
    """Table and figure of (b)."""
    from rich.console import Console
    from rich.table import Table

    table = Table("model", "%RMSE", "fit (s)", "peak memory (GiB)", title="¹⁷O of silica, held-out structures")
    for one in results:
        table.add_row(
            name(one["options"]), f"{one['rmse_percent']:.2f}", f"{one['seconds']:.0f}", f"{one['memory']:.1f}"
        )
    Console().print(table)
    if figure is not None:
        draw(results, figure)


def name(options: dict) -> str:
    """What a model is called."""
    if options.get("primal"):
        return "primal, ζ = 1"
    return f"{options['inducing']} inducing ({options['selection']})" if options else "dense"


def draw(results: list[dict], path: Path) -> None:
    """Error against the number of inducing environments."""
    from efg_jax import plots

    with plots.style():
        figure = plots.Picture(figsize=(4.6, 3.2), layout="constrained")
        _draw_errors(figure.subplots(), results)
    plots.save(figure, path)


def _draw_errors(axes, results: list[dict]) -> None:
    from efg_jax import plots

    chosen = (
        ("fps", "o-", plots.TENSOR, "sparse, farthest-point sampling"),
        ("cur", "s--", plots.SCALAR, "sparse, greedy CUR"),
    )
    for selection, marker, colour, label in chosen:
        some = [one for one in results if one["options"].get("selection") == selection]
        sizes, errors = [one["options"]["inducing"] for one in some], [one["rmse_percent"] for one in some]
        axes.loglog(sizes, errors, marker, color=colour, label=label)
    for one, style in ((results[-1], ":"), (results[0], "-.")):
        axes.axhline(one["rmse_percent"], color=plots.GREY, linestyle=style, label=name(one["options"]))
    sizes = sorted({one["options"]["inducing"] for one in results if "inducing" in one["options"]})
    axes.set_xticks(sizes, map(str, sizes), minor=False)
    axes.minorticks_off()
    axes.yaxis.set_major_formatter("{x:g}")
    axes.set_yticks([3, 4, 5, 6, 8, 10])
    axes.set_ylim(
        0.95 * min(one["rmse_percent"] for one in results), 1.05 * max(one["rmse_percent"] for one in results)
    )
    axes.set(xlabel="inducing environments", ylabel="%RMSE of held-out structures", title="¹⁷O in silica")
    axes.legend()


if __name__ == "__main__":
    main()
