"""`efg-jax learning-curve`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from efg_jax.cli import network_options as networks
from efg_jax.cli import options
from efg_jax.cli.inputs import read_labelled
from efg_jax.cli.model_kinds import (
    KERNELS,
    NETWORKS,
    SHARED,
    TUNED,
    Context,
    refuse_options_of_others,
    refuse_twice,
)
from efg_jax.cli.network_training import NetworkOptions
from efg_jax.cli.options import DATA, OUTPUT
from efg_jax.cli.outputs import cache_beside, check_outputs, print_report
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.learning_curves import Fit, LearningCurve
    from efg_jax.models import Model
    from efg_jax.structures.targets import Per

CURVE = "Curve"
FORMATS = (".png", ".pdf", ".svg")
KINDS = {
    "tensor": ("tensor",),
    "gpr": ("tensor",),
    "scalar": ("scalar",),
    "both": ("tensor", "scalar"),
    "network": ("network",),
}
"""What `--model` understands, and the models that it means, which are called so in the curve."""
WATCHED = ("c_q_tilde.mae", "theta.mae", "rmse_percent")  # shown while it runs, where the model gives them


def learning_curve(
    context: Context,
    data: options.Data,
    *,
    target: options.TargetName = "efg",
    species: options.SpeciesNames = None,
    array: options.ArrayName = None,
    index: options.FrameIndex = ":",
    per: options.PerWhat = None,
    test: Annotated[
        float,
        typer.Option(
            metavar="PART",
            help="Part of the structures that is held out; all models are judged on it.",
            rich_help_panel=DATA,
        ),
    ] = 0.2,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Of the split, of the training sets, and of what is random in training a network; the same seed, the same curve.",
            rich_help_panel=DATA,
        ),
    ] = 0,
    sizes: Annotated[
        str | None,
        typer.Option(
            metavar="N,N,...",
            help="Numbers of structures to train on: 10,20,40. Without it 10, 20, 40, ... and the whole training part.",
            rich_help_panel=CURVE,
        ),
    ] = None,
    repeats: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Number of random orders of the training structures; the error bars come from them.",
            rich_help_panel=CURVE,
        ),
    ] = 4,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="|".join(KINDS),
            help="Learn whole tensors with a kernel model (tensor; gpr is the same) or with an equivariant network, or each of C̃_Q, η̃, θ, φ, ν_Q of an EFG by "
            "itself (scalar). Several side by side: tensor,network, or the option again; both is tensor,scalar. Without it both for an EFG, else tensor.",
            autocompletion=lambda: list(KINDS),
            rich_help_panel=CURVE,
        ),
    ] = None,
    hyperparameters: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="What [cyan]efg-jax tune[/] wrote, for kernel models or for the network; the option again gives both theirs.",
            rich_help_panel=CURVE,
        ),
    ] = None,
    cutoff: networks.LayerCutoff = 5.0,
    lmax: networks.FeatureOrder = 2,
    layers: networks.Layers = 2,
    channels: networks.Channels = 32,
    decomposition: networks.Decomposition = "irreps",
    product_order: networks.ProductOrder = 2,
    products: networks.Products = 64,
    epochs: networks.Epochs = 300,
    steps: networks.Steps = 0,
    learning_rate: networks.LearningRate = 0.005,
    batch_edges: networks.BatchEdges = 2048,
    validation: networks.Validation = 0.1,
    patience: networks.Patience = 60,
    members: networks.Members = 1,
    loss: networks.LossKind = "irreps",
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Table to write (CSV, a row a value); finished fits are kept beside it, in a folder with the ending .cache.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ],
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write values, means, slopes and settings as JSON.", rich_help_panel=OUTPUT),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write the figure: .png, .pdf or .svg.", rich_help_panel=OUTPUT),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Use the fits that an earlier run with the same data, model, test and seed finished, whatever its sizes and repeats.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how the errors fall with the number of training structures.

    Part of the structures is held out. Models are trained on growing parts of the rest, in several random orders, and judged on what was
    held out. The means, their standard errors, and the slopes in a log-log plot are printed, a table per element.

    [bold cyan]efg-jax learning-curve silica-efg --index :247 --species O --sizes 10,20,40,80 --repeats 4 --out curve.csv --plot curve.png[/]

    [bold cyan]efg-jax learning-curve silica-efg --index :247 --species O --model tensor,network --epochs 200 --out curve.csv[/]

    A run that was stopped goes on where it was with [cyan]--resume[/], and a network in the middle of its training.
    """
    _check_format(plot)
    kinds = _parse_kinds(model)
    of_kernels = [name for name in KERNELS if name != "hyperparameters"]
    refuse_options_of_others(context, *(kinds or ("tensor",)), networks=(*SHARED, *NETWORKS), kernels=of_kernels)
    if per == "structure" and (of_atoms := [kind for kind in kinds if kind != "tensor"]):
        raise InputError(f"--model {of_atoms[0]} learns what belongs to atoms; use --model tensor")
    inputs = [*data, *map(str, hyperparameters or ())]
    check_outputs({"--out": out, "--json": json, "--plot": plot}, inputs=inputs)
    cache, numbers, chosen = cache_beside(out, resume), _parse_sizes(sizes), options.parse_species(species)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.structures.targets import target_of

        models: dict[str, Model] = {}
        if "network" in kinds:
            sizes_of_layers = {"cutoff": cutoff, "lmax": lmax, "layers": layers, "channels": channels}
            heads = {"decomposition": decomposition, "product_order": product_order, "products": products}
            options_of_training = {"epochs": epochs, "steps": steps, "learning_rate": learning_rate, "seed": seed}
            options_of_training |= {"batch_edges": batch_edges, "validation": validation, "patience": patience}
            said = NetworkOptions(sizes_of_layers | heads, options_of_training, loss, members, None, False)
            models["network"] = said.untrained((target,), chosen)
        progress.stage(f"reading {', '.join(data)}")
        frames = read_labelled(data, target, array, per, index)
        is_efg = target_of(target, frames, per).is_efg
        kinds = kinds or KINDS["both" if is_efg else "tensor"]
        models |= _kernel_models(kinds, chosen, target, per)
        models = _tuned(context, {kind: models[kind] for kind in kinds}, hyperparameters or ())
        curve = _measure(progress, models, frames, numbers, repeats, test, seed, cache, resume)
        progress.stage("writing")
        progress.wrote(*_write(curve, out, json, plot))
    print_report(curve)


def _measure(
    progress: Progress,
    models: "dict[str, Model]",
    frames: "list[Atoms]",
    sizes: list[int] | None,
    repeats: int,
    test: float,
    seed: int,
    cache: Path | None,
    resume: bool,
) -> "LearningCurve":
    """The curve, with a bar; who interrupts it is told how to go on."""
    from efg_jax.learning_curves import learning_curve as measure

    # The stages of every single fit are too many to be told.
    with progress.bar("fitting", told="efg_jax.learning_curves") as bar:
        begun = False

        def finished(fit: "Fit") -> None:
            bar.advance(_result(fit), fit.total, fit.reused)

        def further(what: str) -> None:
            nonlocal begun
            begun = True
            bar.update(what)

        try:
            return measure(models, frames, sizes, repeats, test, seed, cache, finished, resume, further)
        except KeyboardInterrupt:
            if (bar.done or begun) and cache is not None:
                where = f"after {bar.done} of {bar.total} fits" if bar.done else "in the first fit"
                progress.say(f"stopped {where}; the same command with --resume goes on from there")
            raise


def _result(fit: "Fit") -> str:
    """A fit in one line, with its first species' errors."""
    from efg_jax.learning_curves.curve_metrics import quantity

    species = fit.rows[0].species
    of_first = {row.metric: row.value for row in fit.rows if row.species == species}
    watched = [metric for metric in WATCHED if metric in of_first][:2]
    values = ", ".join(f"{quantity(metric).name} {of_first[metric]:#.3g}" for metric in watched)
    return f"{fit.model}, {fit.structures} structures, repeat {fit.repeat}: {species} {values}"


def _check_format(plot: Path | None) -> None:
    if plot is not None and plot.suffix.lower() not in FORMATS:
        raise InputError(f"--plot writes {', '.join(FORMATS)}; give a name that ends so", file=str(plot))


def _parse_sizes(text: str | None) -> list[int] | None:
    """Whole numbers with commas."""
    if text is None:
        return None
    try:
        return [int(number) for number in text.split(",")]
    except ValueError:
        raise InputError(f"--sizes {text} are no whole numbers with commas; write --sizes 10,20,40") from None


def _parse_kinds(values: list[str] | None) -> tuple[str, ...]:
    """Kinds of models, each once; none where the data decide."""
    names = options.parse_names(values) or ()
    if unknown := [name for name in names if name not in KINDS]:
        raise InputError(f"--model {unknown[0]} is unknown; choose among {', '.join(KINDS)}, several with commas")
    return tuple(dict.fromkeys(kind for name in names for kind in KINDS[name]))


def _kernel_models(
    kinds: tuple[str, ...], species: tuple[str, ...] | None, target: str, per: "Per | None"
) -> "dict[str, Model]":
    from efg_jax.descriptors import LambdaSOAP
    from efg_jax.gp import ScalarGPR, TensorGPR

    models: dict[str, Model] = {}
    if "tensor" in kinds:
        models["tensor"] = TensorGPR(LambdaSOAP(), species, target, per=per)
    if "scalar" in kinds:
        models["scalar"] = ScalarGPR(LambdaSOAP(), species, target)
    return models


def _tuned(context: Context, models: "dict[str, Model]", files: Sequence[Path]) -> "dict[str, Model]":
    """The models with the hyperparameters of the files, each for the models of its kind.

    Raises:
        InputError: a bad file, one for models that are not in the curve or have another file, or options that are in it too.
    """
    if not files:
        return models
    from efg_jax.tuning.hyperparameters import read_hyperparameters

    missing = set(models)
    for file in files:
        found = read_hyperparameters(file)
        kind = "a network" if found.kind == "network" else "kernel models"
        own = {name for name in missing if (name == "network") == (found.kind == "network")}
        if not own:
            raise InputError(
                f"has hyperparameters of {kind}, and none in the curve waits for them; leave it out, or see to --model",
                file=str(file),
            )
        if found.kind == "network":
            refuse_twice(context, file, TUNED, "--hyperparameters", "leave it out, or change it in the file")
        models = models | {name: found.apply(models[name]) for name in own}
        missing -= own
    return models


def _write(curve: "LearningCurve", out: Path, json: Path | None, plot: Path | None) -> list[Path]:
    curve.to_csv(out)
    if json is not None:
        curve.to_json(json)
    if plot is not None:
        from efg_jax import plots

        plots.save(curve.plot(), plot)
    return [path for path in (out, json, plot) if path is not None]
