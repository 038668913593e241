"""`efg-jax learning-curve`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import read_labelled
from efg_jax.cli.options import DATA, OUTPUT
from efg_jax.cli.outputs import cache_beside, check_outputs, print_report
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.learning import Fit, LearningCurve
    from efg_jax.models import ScalarGPR, TensorGPR

CURVE = "Curve"
FORMATS = (".png", ".pdf", ".svg")
WATCHED = ("c_q_tilde.mae", "theta.mae", "rmse_percent")  # shown while it runs, where the model gives them


def learning_curve(
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
            help="Of the split and of the training sets; the same seed, the same curve.",
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
        Literal["tensor", "scalar", "both"] | None,
        typer.Option(
            help="Learn whole tensors, each of C̃_Q, η̃, θ, φ, ν_Q by itself, or both side by side. Without it both for an EFG, else tensor.",
            rich_help_panel=CURVE,
        ),
    ] = None,
    hyperparameters: options.HyperparameterFile = None,
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

    A run that was stopped goes on where it was with [cyan]--resume[/].
    """
    _check_format(plot)
    if per == "structure" and model in ("scalar", "both"):
        raise InputError(f"--model {model} learns scalars of EFG tensors of atoms; use --model tensor")
    inputs = [*data, *([str(hyperparameters)] if hyperparameters is not None else [])]
    check_outputs({"--out": out, "--json": json, "--plot": plot}, inputs=inputs)
    cache, numbers, chosen = cache_beside(out, resume), _parse_sizes(sizes), options.parse_species(species)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.targets import target_of

        progress.stage(f"reading {', '.join(data)}")
        frames = read_labelled(data, target, array, per, index)
        is_efg = target_of(target, frames, per).is_efg
        models = _models(model or ("both" if is_efg else "tensor"), chosen, target, per, hyperparameters)
        curve = _measure(progress, models, frames, numbers, repeats, test, seed, cache, resume)
        progress.stage("writing")
        progress.wrote(*_write(curve, out, json, plot))
    print_report(curve)


def _measure(
    progress: Progress,
    models: "dict[str, TensorGPR | ScalarGPR]",
    frames: "list[Atoms]",
    sizes: list[int] | None,
    repeats: int,
    test: float,
    seed: int,
    cache: Path | None,
    resume: bool,
) -> "LearningCurve":
    """The curve, with a bar; who interrupts it is told how to go on."""
    from efg_jax.learning import learning_curve as measure

    # The stages of every single fit are too many to be told.
    with progress.bar("fitting", told="efg_jax.learning") as bar:

        def finished(fit: "Fit") -> None:
            bar.advance(_result(fit), fit.total, fit.reused)

        try:
            return measure(models, frames, sizes, repeats, test, seed, cache, finished, resume)
        except KeyboardInterrupt:
            if bar.done and cache is not None:
                progress.say(
                    f"stopped after {bar.done} of {bar.total} fits; the same command with --resume goes on from there"
                )
            raise


def _result(fit: "Fit") -> str:
    """A fit in one line, with its first species' errors."""
    from efg_jax.learning.quantities import quantity

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


def _models(
    kind: Literal["tensor", "scalar", "both"],
    species: tuple[str, ...] | None,
    target: str,
    per: Literal["atom", "structure"] | None,
    hyperparameters: Path | None,
) -> "dict[str, TensorGPR | ScalarGPR]":
    from efg_jax.descriptors import LambdaSOAP
    from efg_jax.models import ScalarGPR, TensorGPR

    models: dict[str, TensorGPR | ScalarGPR] = {}
    if kind != "scalar":
        models["tensor"] = TensorGPR(LambdaSOAP(), species, target, per=per)
    if kind != "tensor":
        models["scalar"] = ScalarGPR(LambdaSOAP(), species, target)
    if hyperparameters is not None:
        from efg_jax.tuning.hyperparameters import read_hyperparameters

        tuned = read_hyperparameters(hyperparameters)
        models = {name: tuned.apply(model) for name, model in models.items()}
    return models


def _write(curve: "LearningCurve", out: Path, json: Path | None, plot: Path | None) -> list[Path]:
    curve.to_csv(out)
    if json is not None:
        curve.to_json(json)
    if plot is not None:
        from efg_jax import plots

        plots.save(curve.plot(), plot)
    return [path for path in (out, json, plot) if path is not None]
