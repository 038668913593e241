"""Networks against λ-SOAP on the same tensors: decompositions, orders, invariant control, learning curves, report.

Every stage is a folder below the results; one that is finished is not done again, and a run that was stopped goes on
with the same command, in the middle of a training too.

    python -m experiments.network [--data silica-efg] [--target efg] [--species O] [--out results/network] [--quick]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import efg_jax as ej
from efg_jax import plots
from efg_jax.network import Architecture
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.storage.plain_values import to_plain
from efg_jax.tuning import Hyperparameters, read_hyperparameters, write_hyperparameters
from experiments.network import figures, judge, report
from experiments.network.subject import KINDS, Subject, species_of
from experiments.network.variants import (
    BASE,
    CONTROL,
    CURVE,
    DEEP,
    SEARCH_BOUNDS,
    SEARCH_TRAINING,
    TRAINING,
    VARIANTS,
    quick,
    with_found,
)
from experiments.stages import Stages, teller

SIZES = (25, 50, 100, 200)
REPEATS = 4
"""Draws of each size."""
SEPARATOR = ";"
EVALUATIONS, TRIALS = 25, 12
"""Budgets of the two searches."""
LOSSES = {"efg": "observables", "ms": "rmse"}
"""What the hyperparameters of λ-SOAP are tuned for."""


def main() -> None:
    arguments = parse_arguments()
    say = teller()
    variants = {name: VARIANTS[name] for name in arguments.variants.split(SEPARATOR)}
    subject = Subject(arguments.data, arguments.species, arguments.target)
    study(arguments.out, subject, variants, arguments.seed, arguments.repeats, arguments.quick, say)
    say(f"the report is {arguments.out / 'report.md'}")


def study(
    out: Path,
    subject: Subject,
    variants: Mapping[str, Architecture],
    seed: int,
    repeats: int,
    small: bool,
    say: Callable[[str], None],
) -> None:
    """All stages, in order."""
    frames, species, target = subject.load(), subject.species, subject.target
    elements = species_of(frames)
    training, architectures, control, base = TRAINING, dict(variants), CONTROL, BASE
    descriptor, sizes = ej.LambdaSOAP(), SIZES
    if small:
        frames = [atoms for atoms in frames if len(atoms) <= 9][:20]
        training = replace(TRAINING, epochs=2, steps=2, batch_edges=800, validation=0.2)
        architectures = {name: quick(architecture) for name, architecture in variants.items()}
        control, base = quick(CONTROL), quick(BASE)
        descriptor, sizes = ej.LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, species=elements), (12,)
    train, test = ej.split(frames, test=0.2, seed=seed)
    sizes = tuple(size for size in sizes if size < len(train)) or (len(train),)  # all that there are have their table
    stages = Stages(out, say)
    data = {
        "data": fingerprint(frames, [target]),
        "species": species,
        "target": target,
        "seed": seed,
        "version": ej.__version__,
    }

    def tuned(folder: Path) -> None:
        model = ej.TensorGPR(descriptor, species, target)
        if small:
            write_hyperparameters(folder / "hyperparameters.json", Hyperparameters.of(model))
            return
        found = ej.tune(
            model, train, method="gradient", budget=EVALUATIONS, loss=LOSSES[target], cache=folder / "cache"
        )
        found.save(folder / "hyperparameters.json")

    hyperparameters = (
        stages.run("tuned", data | {"budget": EVALUATIONS, "quick": small}, tuned) / "hyperparameters.json"
    )
    kernel = replace(
        read_hyperparameters(hyperparameters).apply(ej.TensorGPR(species=species, target=target)), regularisation="auto"
    )
    folders = {
        "λ-SOAP": stages.run(
            "kernel",
            data | {"tuned": stages.of(hyperparameters.parent)},
            lambda folder: judge.fit_kernel(kernel, train, test, species, folder),
        )
    }
    if not small:
        found = stages.run(
            "searched",
            data
            | {
                "architecture": to_plain(base),
                "training": to_plain(SEARCH_TRAINING),
                "bounds": SEARCH_BOUNDS,
                "trials": TRIALS,
            },
            lambda folder: judge.search_training(
                ej.EquivariantNetwork(base, species, target, SEARCH_TRAINING), train, SEARCH_BOUNDS, TRIALS, folder, say
            ),
        )
        found = read_hyperparameters(found / "hyperparameters.json").model()
        training, (base, control, *others) = with_found(found, training, base, control, *architectures.values())
        architectures = dict(zip(architectures, others, strict=True))
    networks = {
        name: ej.EquivariantNetwork(architecture, species, target, training)
        for name, architecture in architectures.items()
    }
    for name, model in networks.items():
        folders[name] = stages.run(
            folder_of(name),
            data | {"architecture": to_plain(model.architecture), "training": to_plain(training)},
            lambda folder, m=model: judge.train_network(m, train, test, species, folder),
        )
    controls = {
        name: stages.run(
            f"control-{name}",
            data | {"architecture": to_plain(control), "training": to_plain(training)},
            lambda folder, n=name: judge.train_network(
                ej.EquivariantNetwork(control, species, n, training),
                judge.with_invariants(train),
                judge.with_invariants(test),
                species,
                folder,
            ),
        )
        for name in judge.INVARIANTS
        if target == "efg"
    }
    compared = {name: folders[name] for name in ("λ-SOAP", *networks)}
    derived = controls and stages.run(
        "derived",
        {name: stages.of(folder) for name, folder in compared.items()},
        lambda folder: judge.write(
            folder,
            {
                name: judge.derived_invariants(ej.load(next(of.glob("*.npz"))), test, species)
                for name, of in compared.items()
            },
        ),
    )
    several = {"λ-SOAP": kernel} | {name: networks[name] for name in CURVE if name in networks}
    once = {name: networks[name] for name in (DEEP,) if name in networks}
    curve = stages.run(
        "curve",
        data
        | {
            "tuned": stages.of(hyperparameters.parent),
            "networks": {name: to_plain(networks[name].architecture) for name in (*several, *once) if name in networks},
            "training": to_plain(training),
            "sizes": list(sizes),
            "repeats": repeats,
        },
        lambda folder: learning_curves([(several, repeats), (once, 1)], frames, sizes, seed, species, folder, say),
    )
    results = {name: judge.read(folder) for name, folder in folders.items()}
    draw(results, subject, out)
    report.write(
        out,
        subject,
        (len(train), len(test)),
        results,
        {name: judge.read(folder) for name, folder in controls.items()},
        judge.read(derived) if derived else {},
        curve,
        (training, base, not small),
    )


def learning_curves(
    drawn: Sequence[tuple[Mapping, int]], frames, sizes, seed: int, species: str, folder: Path, say
) -> None:
    """Learning curves of models with their numbers of draws, on the same structures; finished fits are kept."""

    def told(fit) -> None:
        say(f"  {fit.model}, {fit.structures} structures, draw {fit.repeat}")

    curves = [
        ej.learning_curve(
            models, frames, sizes, repeats=repeats, seed=seed, cache=folder.parent / "fits", callback=told
        )
        for models, repeats in drawn
        if models
    ]
    described = {name: model for curve in curves for name, model in curve.settings["models"].items()}
    found = replace(
        curves[0],
        rows=tuple(row for curve in curves for row in curve.rows),
        settings=curves[0].settings | {"models": described},
    )
    found.to_csv(folder / "curve.csv")
    found.to_json(folder / "curve.json")
    plots.save(found.plot(species), folder / "curve.png")


def draw(results: Mapping[str, dict], subject: Subject, out: Path) -> None:
    """Errors of all models; parity of λ-SOAP and the networks with learning curves."""
    plots.save(figures.errors_figure(results, subject.title), out / "errors.png")
    shown = {name: result for name, result in results.items() if name in ("λ-SOAP", *CURVE)}
    names = [name for name in next(iter(shown.values()))["quantities"] if not name.startswith("λ")]
    plots.save(figures.parity_figure(shown, names, subject.title), out / "parity.png")


def folder_of(name: str) -> str:
    """A variant's name as that of a folder."""
    return "network-" + name.replace(" ", "-").replace(",", "").replace("=", "").replace("ℓ", "l").replace("--", "-")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results/network"), help="folder of results")
    parser.add_argument(
        "--data", default="silica-efg", help="data set that ships, or a file with labels (default: silica-efg)"
    )
    parser.add_argument(
        "--target", choices=tuple(KINDS), default="efg", help="field gradients or shieldings (default: efg)"
    )
    parser.add_argument("--species", default="O", help="element whose tensors are learned (default: O)")
    parser.add_argument(
        "--variants",
        default=SEPARATOR.join(VARIANTS),
        help=f"networks to train, with '{SEPARATOR}' between them; all: {SEPARATOR.join(VARIANTS)}",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the split into training and test structures")
    parser.add_argument(
        "--repeats", type=int, default=REPEATS, help=f"draws of each size in the learning curves (default: {REPEATS})"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small networks, two epochs, few structures, nothing tuned: to see it run"
    )
    arguments = parser.parse_args()
    if arguments.repeats < 1:
        parser.error(f"--repeats {arguments.repeats} leaves no learning curve; give 1 or more")
    if unknown := [name for name in arguments.variants.split(SEPARATOR) if name not in VARIANTS]:
        parser.error(f"there is no variant {unknown[0]!r}; choose among {SEPARATOR.join(VARIANTS)}")
    return arguments


if __name__ == "__main__":
    main()
