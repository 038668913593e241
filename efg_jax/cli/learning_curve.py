"""`efg-jax learning-curve`."""

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar
from rich.text import Text

from efg_jax.cli import options
from efg_jax.cli.inputs import read_labelled
from efg_jax.cli.options import DATA, OUTPUT
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from efg_jax.learning import Fit, LearningCurve
    from efg_jax.models import ScalarGPR, TensorGPR

CURVE = "Curve"
FORMATS = (".png", ".pdf", ".svg")
WATCHED = ("c_q_tilde.mae", "theta.mae", "rmse_percent")  # shown while it runs, where the model gives them


def learning_curve(
    data: options.Data,
    *,
    target: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="What to learn: efg (V/Å²), ms (shielding, ppm), dipole, polarizability, dielectric, or any array of the files.",
            rich_help_panel=DATA,
        ),
    ] = "efg",
    species: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ELEMENT",
            help="Element whose atoms are learned; several: O,Si, or the option again. Without it all that have labels.",
            rich_help_panel=DATA,
        ),
    ] = None,
    array: options.ArrayName = None,
    per: Annotated[
        Literal["atom", "structure"] | None,
        typer.Option(
            help="One tensor an atom, or one a structure, as a sum over its atoms. Without it as the files have it.",
            rich_help_panel=DATA,
        ),
    ] = None,
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
    hyperparameters: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Hyperparameters that [cyan]efg-jax tune[/] wrote; without it the preset ones.",
            rich_help_panel=CURVE,
        ),
    ] = None,
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

    [bold cyan]efg-jax learning-curve silica-efg --species O --sizes 10,20,40,80 --repeats 4 --out curve.csv --plot curve.png[/]

    A run that was stopped goes on where it was with [cyan]--resume[/].
    """
    _check_format(plot)
    if per == "structure" and model in ("scalar", "both"):
        raise InputError(f"--model {model} learns scalars of EFG tensors of atoms; use --model tensor")
    inputs = [*data, *([str(hyperparameters)] if hyperparameters is not None else [])]
    check_outputs({"--out": out, "--json": json, "--plot": plot}, inputs=inputs)
    cache, numbers, chosen = _cache(out, resume), _parse_sizes(sizes), options.parse_species(species)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.learning import learning_curve as measure
        from efg_jax.targets import target_of

        progress.stage(f"reading {', '.join(data)}")
        frames = read_labelled(data, target, array, per)
        is_efg = target_of(target, frames, per).is_efg
        models = _models(model or ("both" if is_efg else "tensor"), chosen, target, per, hyperparameters)
        progress.wrote()
    with Fits(quiet) as fits:
        curve = measure(models, frames, numbers, repeats, test, seed, cache, fits.finished, resume)
    with Progress(quiet) as progress:
        progress.stage("writing")
        progress.wrote(*_write(curve, out, json, plot))
    _print(curve)


class Fits:
    """Context that shows on stderr how far the fits have come: a bar with the last values on a terminal, one line a fit elsewhere.

    Args:
        quiet: show nothing.
    """

    def __init__(self, quiet: bool = False):
        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        columns = (TextColumn("fitting"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        shown = self._console.is_terminal and not quiet
        self._bar = Bar(*columns, TextColumn("{task.description}"), console=self._console, disable=not shown)
        self._task = self._bar.add_task("", total=None)
        self._handler = _Remarks(self._console)
        self._last: tuple[int, int] = (0, 0)

    def __enter__(self) -> "Fits":
        logger = logging.getLogger("efg_jax")
        self._level = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self._handler)
        self._bar.start()
        return self

    def __exit__(self, kind, *_) -> None:
        self._bar.stop()
        logger = logging.getLogger("efg_jax")
        logger.removeHandler(self._handler)
        logger.setLevel(self._level)
        number, total = self._last
        if kind is KeyboardInterrupt and number:
            self._say(f"stopped after {number} of {total} fits; the same command with --resume goes on from there")

    def finished(self, fit: "Fit") -> None:
        """One more fit is there."""
        from efg_jax.learning.quantities import quantity

        self._last = fit.number, fit.total
        species = fit.rows[0].species
        of_first = {row.metric: row.value for row in fit.rows if row.species == species}
        watched = [metric for metric in WATCHED if metric in of_first][:2]
        values = ", ".join(f"{quantity(metric).name} {of_first[metric]:#.3g}" for metric in watched)
        text = f"{fit.model}, {fit.structures} structures, repeat {fit.repeat}: {species} {values}"
        if not self._bar.disable:
            self._bar.update(self._task, completed=fit.number, total=fit.total, description=text)
        elif not fit.reused:
            self._say(f"{fit.number}/{fit.total} {text}")

    def _say(self, text: str) -> None:
        self._console.print(Text(text))


class _Remarks(logging.Handler):
    """Warnings of the library, and what the learning curve itself has to say; the stages of every single fit are too many."""

    def __init__(self, console: Console):
        super().__init__(logging.INFO)
        self._console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self._console.print(Text(f"warning: {record.getMessage()}", style="yellow"))
        elif record.name.startswith("efg_jax.learning"):
            self._console.print(Text(record.getMessage()))


def _check_format(plot: Path | None) -> None:
    if plot is not None and plot.suffix.lower() not in FORMATS:
        raise InputError(f"--plot writes {', '.join(FORMATS)}; give a name that ends so", file=str(plot))


def _cache(out: Path, resume: bool) -> Path | None:
    """The folder of finished fits: curve.csv → curve.cache; none for a device such as /dev/stdout."""
    if out.exists() and not out.is_file():
        if resume:
            raise InputError("--resume looks for finished fits beside --out, which is no file here; give one")
        return None
    return out.with_name(f"{out.name}.cache") if out.suffix in ("", ".cache") else out.with_suffix(".cache")


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


def _print(curve: "LearningCurve") -> None:
    """The table on stdout; plain, and as wide as it needs, where that is no terminal."""
    if sys.stdout.isatty():
        Console(highlight=False).print(curve.table())
    else:
        print(curve)
