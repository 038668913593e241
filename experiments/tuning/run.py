"""Hyperparameters by gradient, Box–Behnken designs and Bayesian optimisation: same start and data, then the test set.

Every method runs in a process of its own, so that processor time and peak memory are its own. Finished methods are kept
in the output folder; interrupted runs resume with the same command.

    python experiments/tuning/run.py [--out results/tuning] [--species Si,O] [--budget 60] [--quick]
"""

import argparse
import json
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

import efg_jax as ej
from efg_jax import plots
from efg_jax.descriptors import principal_contraction
from efg_jax.gp.kernel_parameters import kernel_parameters
from efg_jax.storage import atomic_write
from efg_jax.tuning import Search, Space, Trial, tuning_figures

METHODS = {
    "gradient": {"method": "gradient"},
    "contraction": {"method": "gradient"},
    "box-behnken": {"method": "box-behnken"},
    "bayes": {"method": "bayes"},
}
LABELS = {
    "gradient": "gradient",
    "contraction": "gradient, channels contracted",
    "box-behnken": "Box–Behnken",
    "bayes": "Bayes (TPE)",
}
METRICS = ("c_q_tilde", "eta_tilde", "theta", "phi")
GRADIENT_COST = 2.25  # of a value; the budget of the gradient is that much smaller
CHANNELS = 10  # of 16, for the contraction


def main() -> None:
    arguments = parse_arguments()
    if arguments.method:  # the child
        run_method(arguments)
        return
    console = Console(width=None if sys.stdout.isatty() else 120)
    arguments.out.mkdir(parents=True, exist_ok=True)
    results = {}
    for species in arguments.species.split(","):
        results[species] = {}
        for name in ("default", *arguments.methods.split(",")):
            path = arguments.out / f"{species}-{name}.json"
            if not path.exists():
                console.print(f"{species}: {LABELS.get(name, name)} ...")
                subprocess.run(child_command(arguments, species, name), check=True)
            results[species][name] = json.loads(path.read_text())
        draw(results[species], species, arguments.out)
        console.print(table(results[species], species))
    with atomic_write(arguments.out / "summary.json") as temporary:
        Path(temporary).write_text(json.dumps(summary(results), indent=1) + "\n")
    (arguments.out / "tables.md").write_text("\n".join(markdown(results[s], s) for s in results))
    console.print(f"tables and figures are in {arguments.out}/")


def child_command(arguments: argparse.Namespace, species: str, name: str) -> list[str]:
    command = [sys.executable, __file__, "--out", str(arguments.out), "--species", species, "--method", name]
    command += ["--budget", str(arguments.budget), "--seed", str(arguments.seed)]
    command += ["--environments", str(arguments.environments)]
    return command + (["--quick"] if arguments.quick else [])


def run_method(arguments: argparse.Namespace) -> None:
    """One method for one species: search, fit on the whole training set, judge on the test set, write all of it."""
    frames = ej.datasets.load("silica-efg")[:247]  # the set grows; all numbers of the documentation are of these
    descriptor = ej.LambdaSOAP(species=("O", "Si"))
    if arguments.quick:
        frames = [atoms for atoms in frames if len(atoms) <= 9][:20]
        descriptor = ej.LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, species=("O", "Si"))
    train, test = ej.split(frames, test=0.2, seed=arguments.seed)
    name, symbol = arguments.method, arguments.species
    model = ej.TensorGPR(descriptor, species=symbol)
    result = {}
    if name != "default":
        if name == "contraction":
            channels = 3 if arguments.quick else CHANNELS
            model = replace(model, descriptor=principal_contraction(descriptor, train, channels))
        by_gradient = METHODS[name]["method"] == "gradient"
        found = ej.tune(
            model,
            train,
            budget=max(2, round(arguments.budget / GRADIENT_COST)) if by_gradient else arguments.budget,
            environments=arguments.environments or None,
            cache=arguments.out / "cache",
            seed=arguments.seed,
            callback=show,
            **METHODS[name],
        )
        model = found.model
        result["search"] = found.to_dict()
        found.save(arguments.out / f"{symbol}-{name}-hyperparameters.json")
    result["peak_gib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    entry = model.fit(train).evaluate(test).to_dict()[symbol]
    result["test"] = {
        "rmse_percent": entry["rmse_percent"],
        "mae_vij": entry["mae_vij"],
        **{metric: entry[metric]["mae"] for metric in METRICS},
        "one_minus_q_tilde": 1.0 - entry["q_tilde"]["mean"],
        "z_axis_deg": entry["z_axis_deg"]["mean"],
    }
    test_metrics = result["test"]
    test_metrics["objective"] = (
        test_metrics["c_q_tilde"] + test_metrics["eta_tilde"] + test_metrics["one_minus_q_tilde"]
    ) / 3.0
    with atomic_write(arguments.out / f"{symbol}-{name}.json") as temporary:
        Path(temporary).write_text(json.dumps(result, indent=1) + "\n")


def show(trial: Trial) -> None:
    """A line for each trial."""
    losses = f"loss {trial.loss:.5f}  best {trial.best:.5f}"
    print(f"  {trial.number + 1:4d} {trial.stage:12s} {losses}  {trial.cpu_s:.0f} s", flush=True)


def restored(result: dict, symbol: str) -> Search:
    """A search as far as the figures need it."""
    entry = result["search"]
    trials = tuple(Trial.from_dict(trial) for trial in entry["history"])
    model = ej.TensorGPR(ej.LambdaSOAP(species=("O", "Si")), species=symbol)
    known = kernel_parameters(model)
    space = Space({name: known[name].within(tuple(pair)) for name, pair in entry["bounds"].items()}, known)
    return Search(model, entry["method"], trials, space, entry["details"], "cross-validated loss")


def draw(results: dict[str, dict], symbol: str, out: Path) -> None:
    """Loss against cost for all methods; the path of the gradient; slices of the last surface."""
    searches = {LABELS[name]: restored(results[name], symbol) for name in METHODS if name in results}
    plots.save(tuning_figures.history_figure(searches, f"{symbol} in silica"), out / f"{symbol}-history.png")
    gradient = searches[LABELS["gradient"]]
    plots.save(tuning_figures.path_figure(gradient, f"{symbol}, by gradient"), out / f"{symbol}-path.png")
    designed = searches[LABELS["box-behnken"]]
    slices = tuning_figures.slices_figure(designed.surfaces[0], designed.space)
    plots.save(slices, out / f"{symbol}-slices.png")


def costs(results: dict[str, dict], name: str) -> dict[str, float | None]:
    """What a search cost, and when it first reached the best loss of the Box–Behnken search."""
    entry = results[name]["search"]
    goal = results["box-behnken"]["search"]["best_loss"]
    reached = [trial["cpu_s"] for trial in entry["history"] if trial["loss"] is not None and trial["loss"] <= goal]
    each = entry["cpu_s"] / entry["evaluations"]
    return {
        "evaluations": entry["evaluations"],
        "start_loss": entry["start_loss"],
        "best_loss": entry["best_loss"],
        "cpu_s": entry["cpu_s"],
        "compile_s": entry["details"]["compile_s"],
        "cpu_s_per_evaluation": each,
        "cpu_s_to_best_box_behnken": reached[0] if reached else None,
        "peak_gib": results[name]["peak_gib"],
    }


def summary(results: dict[str, dict]) -> dict:
    """Everything that the tables show, as JSON."""
    return {
        species: {
            name: {"test": own["test"], **(costs(by_name, name) if name in METHODS else {})}
            for name, own in by_name.items()
        }
        for species, by_name in results.items()
    }


def rows(results: dict[str, dict]) -> list[list[str]]:
    default = results["default"]["test"]
    lines = [["default", "", "", "", "", "", *_test_cells(default, default)]]
    for name in [name for name in METHODS if name in results]:
        cost = costs(results, name)
        reached = cost["cpu_s_to_best_box_behnken"]
        lines.append(
            [
                LABELS[name],
                f"{cost['best_loss']:.5f}",
                str(cost["evaluations"]),
                f"{cost['cpu_s']:.0f}",
                "never" if reached is None else f"{reached:.0f}",
                f"{cost['peak_gib']:.1f}",
                *_test_cells(results[name]["test"], default),
            ]
        )
    return lines


HEADINGS = (
    "", "CV loss", "evaluations", "CPU s", "CPU s to best of BB", "GiB",
    "test objective", "%RMSE", "C̃_Q", "η̃", "1 − q̃", "θ", "φ",
)  # fmt: skip


def _test_cells(test: dict, default: dict) -> list[str]:
    gain = 1.0 - test["objective"] / default["objective"]
    first = f"{test['objective']:.5f}" + (f" ({-gain:+.0%})".replace("-", "−") if test is not default else "")
    keys = ("rmse_percent", "c_q_tilde", "eta_tilde", "one_minus_q_tilde", "theta", "phi")
    return [first, *(f"{test[key]:.2f}" if key == "rmse_percent" else f"{test[key]:.4f}" for key in keys)]


def table(results: dict[str, dict], symbol: str) -> Table:
    start = results["gradient"]["search"]["start_loss"]
    shown = Table(*HEADINGS, title=f"{symbol}: cross-validated loss {start:.5f} at the start; errors on the test set")
    for row in rows(results):
        shown.add_row(*row)
    return shown


def markdown(results: dict[str, dict], symbol: str) -> str:
    start = results["gradient"]["search"]["start_loss"]
    lines = [f"{symbol} (cross-validated loss at the start: {start:.5f})", ""]
    lines += ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    lines += ["| " + " | ".join(row) + " |" for row in rows(results)]
    return "\n".join([*lines, ""])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/tuning"))
    parser.add_argument("--species", default="Si,O", help="elements, each tuned by itself")
    parser.add_argument(
        "--budget", type=int, default=60, help="evaluations; by gradient so many fewer as they cost more"
    )
    parser.add_argument("--environments", type=int, default=610, help="about how many are used; 0: all")
    parser.add_argument("--seed", type=int, default=0, help="of split, folds and sampler")
    parser.add_argument("--quick", action="store_true", help="a small descriptor and few structures, to see it run")
    parser.add_argument(
        "--methods", default=",".join(METHODS), help="which of them; the design is what others are compared with"
    )
    parser.add_argument("--method", default="", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
