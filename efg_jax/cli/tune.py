"""`efg-jax tune`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from efg_jax.cli import network_options as networks
from efg_jax.cli import options
from efg_jax.cli.inputs import contracted
from efg_jax.cli.kernel_training import KernelLearner, KernelOptions
from efg_jax.cli.model_kinds import TUNED, Context, refuse_options_of_others, refuse_twice
from efg_jax.cli.network_training import NetworkLearner, NetworkOptions
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from efg_jax.tuning import NetworkTrial, Search, Trial

SEARCH = "Search"
KERNELS = ("per", "folds", "environments", "weight", "optimiser", "workers", "contract")
NETWORKS = (*TUNED, "epochs", "validation", "patience", "no_prune")


def tune(
    context: Context,
    data: options.Data,
    *,
    target: options.TargetNames = None,
    species: options.SpeciesNames = None,
    array: options.ArrayName = None,
    index: options.FrameIndex = ":",
    per: options.PerWhat = None,
    method: Annotated[
        Literal["gradient", "box-behnken", "bayes"] | None,
        typer.Option(
            help="Exact gradient of all hyperparameters at once; designs with response surfaces, as in the paper; or optuna. Without it gradient, and "
            "bayes of a network, which knows no other.",
            rich_help_panel=SEARCH,
        ),
    ] = None,
    loss: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to minimise: observables (MAEs of C̃_Q, η̃ and 1 − q̃), tilt, mae-vij, rmse, lml (likelihood); a sum such as "
            "observables+0.1*lml; for scalar models observables or one of c_q_tilde, eta_tilde, theta, phi, v_nn. Without it observables, "
            "or rmse where the target is no EFG. What networks are trained by: irreps (without it) or observables.",
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
        int,
        typer.Option(
            metavar="N", help="Number of evaluations of the loss; of a network, of trainings.", rich_help_panel=SEARCH
        ),
    ] = 40,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Of folds, subset and sampler; of validation set and weights of a network.",
            rich_help_panel=SEARCH,
        ),
    ] = 0,
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
            help="Hyperparameters to tune: cutoff,sigma,... Without it those with --bounds, or all (Box–Behnken: as many as the budget allows). "
            "Of a network: learning_rate, channels, layers, lmax, cutoff, batch_edges, weight_decay; and if named, bessels, radial_width, product_order, "
            "products.",
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
    no_prune: Annotated[
        bool,
        typer.Option(
            "--no-prune",
            help="Do not end trainings whose validation loss is above the median of those before at the same epoch.",
            rich_help_panel=networks.NETWORKS,
        ),
    ] = False,
    cutoff: networks.LayerCutoff = 5.0,
    lmax: networks.FeatureOrder = 2,
    layers: networks.Layers = 2,
    channels: networks.Channels = 32,
    decomposition: networks.Decomposition = "irreps",
    product_order: networks.ProductOrder = 2,
    products: networks.Products = 64,
    epochs: networks.Epochs = 300,
    learning_rate: networks.LearningRate = 0.005,
    batch_edges: networks.BatchEdges = 2048,
    validation: networks.Validation = 0.1,
    patience: networks.Patience = 60,
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
    """Find hyperparameters by cross-validation on the structures given; of a network, by its loss on a part of them.

    Whole structures are held out in folds; the predictions for them, in closed form, are judged by the quantities that the experiment sees. Keep
    structures for testing apart: tuning has seen all of these. Every evaluation is on disk when it is done, so that a search that was
    stopped at any moment goes on with --resume.

    Of a network every evaluation is a training. The options of networks say where the search starts, and what does not move stays so.

    [bold cyan]efg-jax tune silica-efg --index :247 --species O --out best.json[/]

    [bold cyan]efg-jax train silica-efg --index :247 --species O --hyperparameters best.json --out o17.npz[/]

    [bold cyan]efg-jax tune silica-efg --index :247 --species O --model network --budget 20 --out best.json[/]
    """
    network = model == "network"
    refuse_options_of_others(context, model, networks=NETWORKS, kernels=KERNELS)
    if network and hyperparameters is not None:
        refuse_twice(context, hyperparameters, TUNED, "--hyperparameters", "leave it out, or change it in the file")
    if network and loss not in ("", "irreps", "observables"):
        raise InputError(f"--loss {loss} is for kernel models; networks are trained by irreps or observables")
    method = method or ("bayes" if network else "gradient")
    inputs = [*data] if hyperparameters is None else [*data, str(hyperparameters)]
    check_outputs({"--out": out, "--csv": csv}, plots, inputs=inputs)
    limit = options.parse_count(environments, "--environments", "all")
    k = options.parse_count(folds, "--folds", "structures")
    chosen = options.parse_species(species)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.tuning import search
        from efg_jax.tuning.space import parse_bounds

        limits, weights = parse_bounds(bounds or []), options.parse_weights(weight)
        names, targets = options.parse_names(parameters), options.parse_names(target)
        if network:
            sizes = {"cutoff": cutoff, "lmax": lmax, "layers": layers, "channels": channels}
            sizes |= {"decomposition": decomposition, "product_order": product_order, "products": products}
            steps = {"epochs": epochs, "learning_rate": learning_rate, "batch_edges": batch_edges, "seed": seed}
            steps |= {"validation": validation, "patience": patience}
            said = NetworkOptions(sizes, steps, loss or "irreps", 1, None, False, hyperparameters)
            learner = NetworkLearner(said, targets, chosen, array, progress)
        else:
            wanted = KernelOptions(model, {}, 2.0, "auto", per, {}, hyperparameters, contract)
            learner = KernelLearner(wanted, targets, chosen, array, progress)
        progress.stage(f"reading {', '.join(data)}")
        frames, learned = learner.read(data, index)
        if network:
            start, own = learner.model, {"prune": not no_prune}
        else:
            start = contracted(learner.model, frames, contract)
            loss = loss or ("observables" if next(iter(learned.values())).is_efg else "rmse")
            own = {"loss": loss, "folds": k, "environments": limit, "weights": weights}
            own |= {"workers": workers, "optimiser": optimiser}
        folder = cache or out.with_suffix(".cache")
        with progress.bar(f"tuning by {method}", budget) as bar:
            if network:
                own["watch"] = lambda trial, row: bar.update(
                    f"trial {trial}, epoch {row['epoch'] + 1}: {row['validation_loss']:.5f}"
                )
            found = search(
                start,
                frames,
                method=method,
                budget=budget,
                bounds=limits or None,
                parameters=names,
                seed=seed,
                cache=folder,
                fresh=not resume and cache is None,
                callback=lambda trial: bar.advance(_result(trial)),
                **own,
            )
        progress.stage("writing")
        written = _write(found, out, csv, plots)
        progress.wrote(*written)
    typer.echo(summary(found))


def _result(trial: "Trial | NetworkTrial") -> str:
    """A trial in one line."""
    state = getattr(trial, "state", "complete")
    return f"{trial.stage}: {trial.loss:.5f}{'' if state == 'complete' else f' ({state})'}  best {trial.best:.5f}"


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
    from efg_jax.tuning import NetworkSearch
    from efg_jax.tuning.history import scalars

    species = () if isinstance(found, NetworkSearch) else found.model.descriptor.species
    before, after = scalars(found.start.values, species), scalars(found.best.values, species)
    gain = 1.0 - found.best.loss / found.start.loss if found.start.loss > 0 else float("nan")
    lines = [
        f"loss {found.start.loss:.5f} → {found.best.loss:.5f} ({gain:.1%} lower) in {len(found.trials)} evaluations, "
        f"{found.trials[-1].cpu_s:.0f} s of processor time"
    ]
    if isinstance(found, NetworkSearch):
        lines.append("{pruned} of them pruned, {failed} failed, {epochs} epochs in all".format(**found.details))
    if more := found.details.get("more_environments"):
        lines.append(
            f"on {sum(more['environments'])} instead of {sum(found.details['environments'])} environments "
            f"{more['start_loss']:.5f} → {more['best_loss']:.5f}"
        )
    for name in before:
        if name.split("[")[0] in found.space.bounds:
            lines.append(f"  {name:20s} {before[name]:10.4g} → {after[name]:.4g}")
    return "\n".join(lines)
