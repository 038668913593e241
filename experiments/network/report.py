"""One page with the tables and figures of the study."""

import json
from collections.abc import Mapping
from pathlib import Path

from efg_jax.learning_curves.curve_statistics import Row, summarise
from efg_jax.network import Architecture, Training
from efg_jax.storage import atomic_write
from efg_jax.text import digits, with_error
from experiments.network.judge import INVARIANTS
from experiments.network.subject import Subject

SHAPES = {
    "efg": "ζ (here V_zz), η, Ω and κ of the tensors",
    "ms": "iso, ζ, η, Ω and κ (of shieldings) of the tensors, the antisymmetric part left out of all but λ = 1",
}

_TUNED = (
    "These were found by a search with the network *irreps* (`searched/`), as λ-SOAP was tuned by gradient, both on "
    "the training structures alone."
)
_UNTUNED = "Neither these nor λ-SOAP were tuned."


def write(
    out: Path,
    subject: Subject,
    counts: tuple[int, int],
    results: Mapping[str, dict],
    controls: Mapping[str, dict],
    derived: Mapping[str, dict],
    curve: Path,
    options: tuple[Training, Architecture, bool],
) -> None:
    """Write ``report.md`` into the folder of results."""
    training, base, tuned = options
    sections = [
        f"# Networks and λ-SOAP: {subject.title}",
        f"{counts[0]} structures to train on (networks use {100 * training.validation:.0f} % of them for validation), "
        f"{counts[1]} held out. Networks of {base.layers} layers, {base.channels} channels, lmax {base.lmax} unless "
        f"their name says otherwise; at most {training.epochs} epochs, or {training.steps} steps where that is more. "
        f"All with a cutoff of {base.cutoff:.2f} Å, learning rate {training.learning_rate:.2g}, {training.batch_edges} "
        f"pairs a batch, weight decay {training.weight_decay:.1g}. {_TUNED if tuned else _UNTUNED}",
        "## %RMSE of the test set",
        errors_table(results),
        f"RMSE over the standard deviation of the reference. {SHAPES[subject.target]}; α, β, γ: passive ZYZ Euler "
        "angles of the nearest equivalent set.",
        "![Errors](errors.png)",
        "![Parity](parity.png)",
        verdict(results),
        "## Costs",
        costs_table(results),
        "Training on this machine, which may have had other work. Compilation makes the first epoch longer, and the "
        "first prediction too. Prediction is of the test set, neighbour lists included, per atom. For comparisons of "
        "speed see `benchmarks/network.py`.",
    ]
    if controls:
        sections += [
            "## Invariant control",
            controls_table(controls, derived),
            "The control has features of order 0 alone and learns the number itself; the others derive it from the "
            "tensor that they predict.",
        ]
    sections += [
        "## Learning curves",
        curve_table(curve / "curve.json", subject.species, counts[0], results),
        "%RMSE by the number of training structures, on the same held-out ones: means over the draws of each size, "
        "with the standard error in last digits where there are several.",
        f"![Learning curves]({curve.name}/curve.png)",
    ]
    with atomic_write(out / "report.md") as temporary:
        Path(temporary).write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def errors_table(results: Mapping[str, dict]) -> str:
    """%RMSE of every quantity, a row a model."""
    names = list(next(iter(results.values()))["quantities"])
    rows = [
        [model, *(digits(result["quantities"][name]["rmse_percent"]) for name in names)]
        for model, result in results.items()
    ]
    return table(["", *names], rows)


def costs_table(results: Mapping[str, dict]) -> str:
    """Parameters, training, prediction and compilation."""
    rows = [
        [
            model,
            f"{result['parameters']:,}" if "parameters" in result else "",
            f"{result['best_epoch'] + 1} of {result['epochs']}" if "epochs" in result else "",
            seconds(result["training_s"]),
            seconds(result.get("training_compile_s")),
            f"{result['predict_ms']:.2f}",
            seconds(result["compile_s"]),
        ]
        for model, result in results.items()
    ]
    return table(
        [
            "",
            "parameters",
            "best epoch",
            "training (s)",
            "first epoch longer by (s)",
            "prediction (ms an atom)",
            "its first call longer by (s)",
        ],
        rows,
    )


def curve_table(path: Path, species: str, whole: int, results: Mapping[str, dict]) -> str:
    """%RMSE of each part of the tensors by the number of training structures, the ``whole`` training set last."""
    rows = [Row(**row) for row in json.loads(path.read_text(encoding="utf-8"))["rows"]]
    points = {(p.model, p.metric, p.structures): p for p in summarise(rows) if p.species == species}
    sizes = sorted({size for _, _, size in points if size < whole})
    parts = [name for name in results["λ-SOAP"]["quantities"] if name.startswith("λ")]
    lines = []
    for model in dict.fromkeys(row.model for row in rows):
        for part in parts:
            metric = f"rmse_percent_by_order.{part[-1]}" if len(parts) > 1 else "rmse_percent"
            of_sizes = (points[model, metric, size] for size in sizes)
            last = results[model]["quantities"][part]["rmse_percent"]
            cells = (with_error(point.mean, point.standard_error) for point in of_sizes)
            lines.append([f"{model}, {part}", *cells, digits(last)])
    return table(["", *map(str, sizes), str(whole)], lines)


def controls_table(controls: Mapping[str, dict], derived: Mapping[str, dict]) -> str:
    """%RMSE of the invariants, learned by themselves or derived."""
    rows = [
        ["invariant control", *(digits(controls[name]["quantities"]["value"]["rmse_percent"]) for name in INVARIANTS)]
    ]
    rows += [[model, *(digits(own[name]["rmse_percent"]) for name in INVARIANTS)] for model, own in derived.items()]
    return table(["%RMSE", *INVARIANTS.values()], rows)


def verdict(results: Mapping[str, dict]) -> str:
    """Which is better in each part of the tensors, and by how much, a sentence each."""
    parts = [name for name in results["λ-SOAP"]["quantities"] if name.startswith("λ")]
    return " ".join(_verdict(results, part) for part in parts)


def _verdict(results: Mapping[str, dict], part: str) -> str:
    errors = {model: result["quantities"][part]["rmse_percent"] for model, result in results.items()}
    best = min((model for model in errors if model != "λ-SOAP"), key=errors.get)
    network, kernel = errors[best], errors["λ-SOAP"]
    named = f"the best network (*{best}*)"
    if network < kernel:
        return f"{part}: {named} has {network:.2f} % RMSE, λ-SOAP {kernel:.2f} %: {kernel / network:.2f} times more."
    return f"{part}: λ-SOAP has {kernel:.2f} % RMSE, {named} {network:.2f} %: {network / kernel:.2f} times more."


def seconds(value: float | None) -> str:
    """One digit after the point for less than ten."""
    return "" if value is None else f"{value:.1f}" if value < 10 else f"{value:.0f}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Markdown."""
    lines = ["| " + " | ".join(head).replace("|V_zz|", "\\|V_zz\\|") + " |", "|---" * len(head) + "|"]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])
