"""`efg-jax tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import contracted, read_labelled
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from efg_jax.models import ScalarGPR, TensorGPR
    from efg_jax.tuning import Search

SEARCH = "Search"


def tune(
    data: options.Data,
    *,
    target: options.TargetName = "efg",
    species: options.SpeciesNames = None,
    array: options.ArrayName = None,
    index: options.FrameIndex = ":",
    per: options.PerWhat = None,
    method: Annotated[
        Literal["gradient", "box-behnken", "bayes"],
        typer.Option(
            help="Exact gradient of all hyperparameters at once; designs with response surfaces, as in the paper; or optuna.",
            rich_help_panel=SEARCH,
        ),
    ] = "gradient",
    loss: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to minimise: observables (MAEs of C̃_Q, η̃ and 1 − q̃), tilt, mae-vij, rmse, lml (likelihood); a sum such as "
            "observables+0.1*lml; for scalar models observables or one of c_q_tilde, eta_tilde, theta, phi, v_nn. Without it observables, "
            "or rmse where the target is no EFG.",
            rich_help_panel=SEARCH,
            show_default=False,
        ),
    ] = "",
    folds: Annotated[
        str,
        typer.Option(
            metavar="N|structures",
            help="Number of cross-validation folds, by structure; or each structure by itself.",
            rich_help_panel=SEARCH,
        ),
    ] = "5",
    budget: Annotated[
        int, typer.Option(metavar="N", help="Number of evaluations of the loss.", rich_help_panel=SEARCH)
    ] = 40,
    seed: Annotated[int, typer.Option(metavar="N", help="Of folds, subset and sampler.", rich_help_panel=SEARCH)] = 0,
    environments: Annotated[
        str,
        typer.Option(
            metavar="N|all",
            help="About how many environments of each element the loss is taken on, drawn as whole structures.",
            rich_help_panel=SEARCH,
        ),
    ] = "500",
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Hyperparameters to tune: cutoff,sigma,... Without it those with --bounds, or all (Box–Behnken: as many as the budget allows).",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    bounds: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=LOW:HIGH", help="Interval of a hyperparameter; may be repeated.", rich_help_panel=SEARCH
        ),
    ] = None,
    weight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ELEMENT=W", help="Weight of an element in the loss; 1 without it.", rich_help_panel=SEARCH
        ),
    ] = None,
    optimiser: Annotated[
        Literal["lbfgs", "adam"], typer.Option(help="That follows the gradient.", rich_help_panel=SEARCH)
    ] = "lbfgs",
    workers: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Evaluations at a time, for the methods without gradient; without it one a core.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    model: options.ModelKind = "tensor",
    hyperparameters: options.HyperparameterFile = None,
    contract: options.Contract = None,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="JSON of the best hyperparameters, for train --hyperparameters, and the history.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ],
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write the history as a table.", rich_help_panel=OUTPUT)
    ] = None,
    plots: options.PlotFolder = None,
    cache: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder of evaluations that several searches share. Without it one beside --out, for --resume.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with a search that was stopped, or give it a larger budget.", rich_help_panel=OUTPUT
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Find hyperparameters by cross-validation on the structures given.

    Whole structures are held out in folds; the predictions for them, in closed form, are judged by the quantities that the experiment sees. Keep
    structures for testing apart: tuning has seen all of these. Every evaluation is on disk when it is done, so that a search that was
    stopped at any moment goes on with --resume.

    [bold cyan]efg-jax tune silica-efg --index :247 --species O --out best.json[/]

    [bold cyan]efg-jax train silica-efg --index :247 --species O --hyperparameters best.json --out o17.npz[/]
    """
    inputs = [*data] if hyperparameters is None else [*data, str(hyperparameters)]
    check_outputs({"--out": out, "--csv": csv}, plots, inputs=inputs)
    limit = options.parse_count(environments, "--environments", "all")
    k = options.parse_count(folds, "--folds", "structures")
    chosen = options.parse_species(species)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.targets import target_of
        from efg_jax.tuning import search
        from efg_jax.tuning.space import parse_bounds

        limits, weights = parse_bounds(bounds or []), options.parse_weights(weight)
        names = options.parse_names(parameters)
        progress.stage(f"reading {', '.join(data)}")
        frames = read_labelled(data, target, array, per, index)
        start = _start(model, target, chosen, per, hyperparameters, contract, frames)
        if not loss:
            loss = "observables" if target_of(target, frames, per).is_efg else "rmse"
        folder = cache or out.with_suffix(".cache")
        with progress.bar(f"tuning by {method}", budget) as bar:
            found = search(
                start,
                frames,
                loss,
                method=method,
                budget=budget,
                folds=k,
                environments=limit,
                bounds=limits or None,
                parameters=names,
                weights=weights,
                seed=seed,
                cache=folder,
                fresh=not resume and cache is None,
                workers=workers,
                optimiser=optimiser,
                callback=lambda trial: bar.advance(f"{trial.stage}: {trial.loss:.5f}  best {trial.best:.5f}"),
            )
        progress.stage("writing")
        written = _write(found, out, csv, plots)
        progress.wrote(*written)
    typer.echo(summary(found))


def _start(
    kind: Literal["tensor", "scalar"],
    target: str,
    species,
    per,
    hyperparameters: Path | None,
    contract: int | None,
    frames,
) -> "TensorGPR | ScalarGPR":
    from efg_jax.descriptors import LambdaSOAP
    from efg_jax.models import ScalarGPR, TensorGPR
    from efg_jax.tuning import read_hyperparameters

    if kind == "scalar" and per == "structure":
        raise InputError("--model scalar learns EFG tensors of atoms; leave --per structure out, or use --model tensor")
    start = (
        ScalarGPR(LambdaSOAP(), species, target)
        if kind == "scalar"
        else TensorGPR(LambdaSOAP(), species, target, per=per)
    )
    if hyperparameters is not None:
        start = read_hyperparameters(hyperparameters).apply(start)
    return contracted(start, frames, contract)


def _write(found: "Search", out: Path, csv: Path | None, folder: Path | None) -> list[Path]:
    found.save(out)
    written = [out]
    if csv is not None:
        found.to_csv(csv)
        written.append(csv)
    if folder is not None:
        from efg_jax import plots

        folder.mkdir(parents=True, exist_ok=True)
        for name, figure in zip(("history", "hyperparameters", "surface"), found.plot(), strict=False):
            plots.save(figure, folder / f"tuning-{name}.png")
        written.append(folder)
    return written


def summary(found: "Search") -> str:
    """What was gained, and where the hyperparameters went, as lines of text."""
    from efg_jax.tuning.history import scalars

    species = found.model.descriptor.species
    before, after = scalars(found.start.values, species), scalars(found.best.values, species)
    gain = 1.0 - found.best.loss / found.start.loss if found.start.loss > 0 else float("nan")
    lines = [
        f"loss {found.start.loss:.5f} → {found.best.loss:.5f} ({gain:.1%} lower) in {len(found.trials)} evaluations, "
        f"{found.trials[-1].cpu_s:.0f} s of processor time"
    ]
    if more := found.details.get("more_environments"):
        lines.append(
            f"on {sum(more['environments'])} instead of {sum(found.details['environments'])} environments "
            f"{more['start_loss']:.5f} → {more['best_loss']:.5f}"
        )
    for name in before:
        if name.split("[")[0] in found.space.bounds:
            lines.append(f"  {name:20s} {before[name]:10.4g} → {after[name]:.4g}")
    return "\n".join(lines)
