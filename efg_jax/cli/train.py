"""`efg-jax train`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import contracted, read_labelled
from efg_jax.cli.options import DATA, DESCRIPTOR, OUTPUT, REGRESSION
from efg_jax.cli.outputs import cache_beside, check_outputs, print_report, write_report
from efg_jax.cli.processes import join_processes
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

SPARSE = "Sparse models"
Context = typer.Context.__base__  # the class that commands really receive

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.descriptors import LambdaSOAP
    from efg_jax.models import ScalarGPR, TensorGPR
    from efg_jax.report import Report
    from efg_jax.targets import Target


def train(
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
            help="Part of the structures that is held out to judge the model; 0 trains on everything, without a report.",
            rich_help_panel=DATA,
        ),
    ] = 0.2,
    seed: Annotated[
        int, typer.Option(metavar="N", help="Of the random split; the same seed, the same split.", rich_help_panel=DATA)
    ] = 0,
    cutoff: Annotated[float, typer.Option(metavar="Å", help="How far an atom sees.", rich_help_panel=DESCRIPTOR)] = 5.0,
    cutoff_width: Annotated[
        float,
        typer.Option(
            metavar="Å",
            help="Over which neighbours fade out before the cutoff; 0 is a hard step.",
            rich_help_panel=DESCRIPTOR,
        ),
    ] = 0.5,
    sigma: Annotated[
        float,
        typer.Option(metavar="Å", help="Width of the Gaussian that stands for an atom.", rich_help_panel=DESCRIPTOR),
    ] = 0.4,
    nmax: Annotated[int, typer.Option(metavar="N", help="Number of radial functions.", rich_help_panel=DESCRIPTOR)] = 8,
    lmax: Annotated[
        int, typer.Option(metavar="N", help="Highest angular momentum of the density.", rich_help_panel=DESCRIPTOR)
    ] = 6,
    scaling_rate: Annotated[
        float,
        typer.Option(
            metavar="C",
            help="c of the weight c / (c + (r/r0)^m) of a neighbour at distance r.",
            rich_help_panel=DESCRIPTOR,
        ),
    ] = 1.0,
    scaling_radius: Annotated[
        float, typer.Option(metavar="Å", help="r0 of that weight.", rich_help_panel=DESCRIPTOR)
    ] = 2.5,
    scaling_exponent: Annotated[
        float, typer.Option(metavar="M", help="m of that weight; 0 switches it off.", rich_help_panel=DESCRIPTOR)
    ] = 5.0,
    normalise: Annotated[
        Literal["invariant", "environment", "none"],
        typer.Option(
            help="Divide features by the norm of the λ = 0 ones, each λ by its own norm (TENSOAP), or not at all.",
            rich_help_panel=DESCRIPTOR,
        ),
    ] = "invariant",
    contract: options.Contract = None,
    hyperparameters: options.HyperparameterFile = None,
    model: options.ModelKind = "tensor",
    zeta: Annotated[
        float, typer.Option(metavar="NUMBER", help="Power of the kernel, 1 or more.", rich_help_panel=REGRESSION)
    ] = 2.0,
    regularisation: Annotated[
        str,
        typer.Option(
            metavar="auto|NUMBER",
            help="Noise variance over the kernel's mean diagonal; auto finds it by predicting each training structure from the others.",
            rich_help_panel=REGRESSION,
        ),
    ] = "auto",
    inducing: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Make a sparse model of N environments of each element, for training sets of many thousands. Without it the model is dense.",
            rich_help_panel=SPARSE,
        ),
    ] = None,
    selection: Annotated[
        Literal["fps", "cur"],
        typer.Option(
            help="How they are chosen: farthest-point sampling, or a greedy decomposition of the kernel.",
            rich_help_panel=SPARSE,
        ),
    ] = "fps",
    primal: Annotated[
        bool,
        typer.Option(
            "--primal",
            help="Ridge regression on the features themselves, with --zeta 1: the dense model at a cost linear in the training set.",
            rich_help_panel=SPARSE,
        ),
    ] = False,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Model file to write, by custom .npz.", rich_help_panel=OUTPUT, show_default=False
        ),
    ],
    json: options.JsonFile = None,
    plots: options.PlotFolder = None,
    isotope: options.Isotopes = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the training of a sparse model that was stopped.", rich_help_panel=OUTPUT
        ),
    ] = False,
    distributed: options.Distributed = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a model, and judge it on structures that it has not seen.

    The structures are split at random; the model is fitted to the larger part, and its errors on the rest are printed, a table per
    element. What works for most data is preset.

    [bold cyan]efg-jax train silica-efg --index :247 --species O --out o17.npz[/]

    [bold cyan]efg-jax train trajectory.extxyz --species Li --inducing 1000 --out li.npz[/]

    [bold cyan]efg-jax train *.magres --target ms --species Si --out si29.npz --json report.json --plots figures[/]
    """
    if test == 0 and (json is not None or plots is not None):
        raise InputError(
            "--json and --plots report on held-out structures; give --test a part such as 0.2, or leave them out"
        )
    if hyperparameters is not None:
        _refuse_both(context, hyperparameters)
    inputs = [*data] if hyperparameters is None else [*data, str(hyperparameters)]
    check_outputs({"--out": out, "--json": json}, plots, inputs=inputs)
    isotopes = options.parse_isotopes(isotope)
    chosen, noise = options.parse_species(species), options.parse_regularisation(regularisation)
    sparse = {"inducing": inducing, "selection": selection, "primal": primal}
    cache = _cache(out, model, sparse, resume, distributed)
    if distributed:
        quiet = join_processes(quiet)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.descriptors import LambdaSOAP
        from efg_jax.parallel import first
        from efg_jax.splits import split
        from efg_jax.targets import target_of

        descriptor = LambdaSOAP(
            cutoff=cutoff,
            nmax=nmax,
            lmax=lmax,
            sigma=sigma,
            cutoff_width=cutoff_width if cutoff_width != 0 else None,
            scaling_rate=scaling_rate,
            scaling_radius=scaling_radius,
            scaling_exponent=scaling_exponent,
            normalise=normalise,
        )
        untrained = _model(model, descriptor, chosen, target, zeta, noise, per, sparse)
        if hyperparameters is not None:
            from efg_jax.tuning import read_hyperparameters

            untrained = read_hyperparameters(hyperparameters).apply(untrained)
        progress.stage(f"reading {', '.join(data)}")
        frames = read_labelled(data, target, array, per, index)
        training, held_out = (frames, []) if test == 0 else split(frames, test, seed)
        _check_held_out(training, held_out, target_of(target, frames, per), chosen)
        fitted = _fit(contracted(untrained, training, contract), training, cache, resume, progress)

        def finish() -> "Report | None":
            report = None
            if held_out:
                progress.stage(f"testing on {len(held_out)} structures")
                report = fitted.evaluate(held_out, title=f"{len(held_out)} held-out structures", isotopes=isotopes)
            progress.stage("writing")
            fitted.save(out)
            written = [out] if report is None else [out, *write_report(report, json, plots)]
            progress.wrote(*written)
            return report

        report = first(finish)
    if report is not None:
        print_report(report)


def _cache(out: Path, kind: str, sparse: dict, resume: bool, distributed: bool) -> Path | None:
    """Where a sparse model keeps what it has summed; other models have nothing to keep, and no work to share."""
    if sparse["inducing"] is not None or sparse["primal"]:
        if kind == "scalar":
            raise InputError("a scalar model is dense; leave --inducing and --primal out, or use --model tensor")
        return cache_beside(out, resume)
    for option, given in (("--resume", resume), ("--distributed", distributed)):
        if given:
            raise InputError(f"{option} is for sparse models, which are trained piece by piece; give --inducing N")
    return None


def _fit(
    model: "TensorGPR | ScalarGPR", training: "list[Atoms]", cache: Path | None, resume: bool, progress: Progress
) -> "TensorGPR | ScalarGPR":
    """Fitted; with a bar where it is done piece by piece. Who interrupts that is told how to go on."""
    if cache is None:
        progress.stage(f"training on {len(training)} structures")
        return model.fit(training)
    with progress.bar(f"training on {len(training)} structures") as bar:

        def summed(done: int, chunks: int, name: str) -> None:
            bar.advance(name, chunks, done=done)

        try:
            return model.fit(training, checkpoint=cache, resume=resume, progress=summed)
        except KeyboardInterrupt:
            if bar.done:
                progress.say(
                    f"stopped after {bar.done} of {bar.total} parts; the same command with --resume goes on from there"
                )
            raise


def _model(
    kind: Literal["tensor", "scalar"],
    descriptor: "LambdaSOAP",
    species: tuple[str, ...] | None,
    target: str,
    zeta: float,
    regularisation: float | Literal["auto"],
    per: Literal["atom", "structure"] | None,
    sparse: dict,
) -> "TensorGPR | ScalarGPR":
    from efg_jax.models import ScalarGPR, TensorGPR

    if kind == "tensor":
        return TensorGPR(descriptor, species, target, zeta, regularisation, per, **sparse)
    if per == "structure":
        raise InputError("--model scalar learns EFG tensors of atoms; leave --per structure out, or use --model tensor")
    return ScalarGPR(descriptor, species, target, zeta, regularisation)


def _refuse_both(context: Context, file: Path) -> None:
    """A hyperparameter given twice would be in one place without effect."""
    theirs = ("cutoff", "cutoff_width", "sigma", "nmax", "lmax", "scaling_rate", "scaling_radius", "scaling_exponent")
    for name in (*theirs, "normalise", "zeta", "regularisation"):
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            raise InputError(
                f"--{name.replace('_', '-')} is also in --hyperparameters; leave it out, or change it in the file",
                file=str(file),
            )


def _check_held_out(
    training: "list[Atoms]", held_out: "list[Atoms]", target: "Target", species: tuple[str, ...] | None
) -> None:
    """Make sure, before the fit, that the model can be judged on what is held out."""
    from efg_jax.targets import labels, place_of

    mend = "choose another --seed or --test, or add structures"
    known = {symbol for atoms in training for symbol in atoms.symbols}
    for position, atoms in enumerate(held_out):
        for i, symbol in enumerate(atoms.symbols):
            if symbol not in known:
                raise InputError(
                    f"is held out for testing, but {symbol} occurs in no structure that is trained on; {mend}",
                    **place_of(atoms, position),
                    atom=f"{i} ({symbol})",
                )

    def labelled(frames: "list[Atoms]") -> bool:
        return bool(np.isfinite(labels(frames, target, species)).any())

    if held_out and labelled(training) and not labelled(held_out):
        what = f"{', '.join(species)} labels" if species else "labels"
        raise InputError(f"none of the {len(held_out)} held-out structures carries {what} of '{target.name}'; {mend}")
