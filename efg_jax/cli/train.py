"""`efg-jax train`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from efg_jax.cli import descriptor_options as descriptors
from efg_jax.cli import network_options as networks
from efg_jax.cli import options
from efg_jax.cli.judging import evaluated, print_reports, write_reports
from efg_jax.cli.kernel_training import KernelLearner, KernelOptions, kernel_cache
from efg_jax.cli.model_kinds import (
    ARCHITECTURE,
    HYPERPARAMETERS,
    KERNELS,
    SHARED,
    TUNED,
    Context,
    refuse_options_of_others,
    refuse_twice,
)
from efg_jax.cli.network_training import NetworkLearner, NetworkOptions, write_histories
from efg_jax.cli.options import DATA, OUTPUT, REGRESSION
from efg_jax.cli.outputs import cache_beside, check_outputs
from efg_jax.cli.processes import join_processes
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

SPARSE = "Sparse models"

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.report import Report, TargetReport
    from efg_jax.structures.targets import Target


def train(
    context: Context,
    data: options.Data,
    *,
    target: options.TargetNames = None,
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
        int,
        typer.Option(
            metavar="N",
            help="Of the random split, and of what is random in training a network; the same seed, the same result.",
            rich_help_panel=DATA,
        ),
    ] = 0,
    cutoff: descriptors.Cutoff = 5.0,
    cutoff_width: descriptors.CutoffWidth = 0.5,
    sigma: descriptors.Sigma = 0.4,
    nmax: descriptors.NMax = 8,
    lmax: descriptors.LMax = None,
    scaling_rate: descriptors.ScalingRate = 1.0,
    scaling_radius: descriptors.ScalingRadius = 2.5,
    scaling_exponent: descriptors.ScalingExponent = 5.0,
    normalise: descriptors.Normalise = "invariant",
    contract: options.Contract = None,
    hyperparameters: options.HyperparameterFile = None,
    model: Annotated[
        Literal["tensor", "gpr", "network", "scalar"],
        typer.Option(
            help="Learn whole tensors with a kernel model (λ-SOAP Gaussian-process regression; gpr is the same) or with an equivariant network; "
            "or, for comparison, each of C̃_Q, η̃, θ, φ, ν_Q of an EFG by itself.",
            rich_help_panel=REGRESSION,
        ),
    ] = "tensor",
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
    from_model: networks.FromModel = None,
    freeze: networks.Freeze = False,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="Model file to write, by custom .npz.", rich_help_panel=OUTPUT, show_default=False
        ),
    ],
    log: networks.LogFile = None,
    json: options.JsonFile = None,
    plots: options.PlotFolder = None,
    isotope: options.Isotopes = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Go on with the training of a sparse model or of a network that was stopped.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    distributed: options.Distributed = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a model, and judge it on structures that it has not seen.

    The structures are split at random; the model is fitted to the larger part, and its errors on the rest are printed, a table per
    element. What works for most data is preset. A network may learn several targets at once (--target efg,ms), of which a structure need
    carry one only.

    [bold cyan]efg-jax train silica-efg --index :247 --species O --out o17.npz[/]

    [bold cyan]efg-jax train trajectory.extxyz --species Li --inducing 1000 --out li.npz[/]

    [bold cyan]efg-jax train silica-efg --model network --members 4 --out network.npz --log network.csv[/]

    [bold cyan]efg-jax train *.magres --target ms --species Si --out si29.npz --json report.json --plots figures[/]
    """
    if test == 0 and (json is not None or plots is not None):
        raise InputError(
            "--json and --plots report on held-out structures; give --test a part such as 0.2, or leave them out"
        )
    refuse_options_of_others(context, model, kernels=[name for name in KERNELS if name != "hyperparameters"])
    in_file = TUNED if model == "network" else HYPERPARAMETERS
    for file, names, what, mend in (
        (hyperparameters, in_file, "--hyperparameters", "leave it out, or change it in the file"),
        (from_model, (*SHARED, *ARCHITECTURE, "hyperparameters"), "--from", "leave it out, or train anew"),
    ):
        if file is not None:
            refuse_twice(context, file, names, what, mend)
    inputs = [*data, *(str(file) for file in (hyperparameters, from_model) if file is not None)]
    check_outputs({"--out": out, "--json": json, "--log": log}, plots, inputs=inputs)
    isotopes, chosen = options.parse_isotopes(isotope), options.parse_species(species)
    names, noise = options.parse_names(target), options.parse_regularisation(regularisation)
    sparse = {"inducing": inducing, "selection": selection, "primal": primal}
    cache = cache_beside(out, resume) if model == "network" else kernel_cache(out, model, sparse, resume, distributed)
    if distributed:
        quiet = join_processes(quiet)
    order = {} if lmax is None else {"lmax": lmax}
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        if model == "network":
            sizes = {"cutoff": cutoff, **order, "layers": layers, "channels": channels, "decomposition": decomposition}
            sizes |= {"product_order": product_order, "products": products}
            options_of_training = {"epochs": epochs, "steps": steps, "learning_rate": learning_rate, "seed": seed}
            options_of_training |= {"batch_edges": batch_edges, "validation": validation, "patience": patience}
            said = NetworkOptions(sizes, options_of_training, loss, members, from_model, freeze, hyperparameters)
            learner = NetworkLearner(said, names, chosen, array, progress)
        else:
            density = {"cutoff": cutoff, "cutoff_width": cutoff_width or None, "sigma": sigma, "nmax": nmax, **order}
            weight = {"rate": scaling_rate, "radius": scaling_radius, "exponent": scaling_exponent}
            density |= {f"scaling_{name}": value for name, value in weight.items()} | {"normalise": normalise}
            wanted = KernelOptions(model, density, zeta, noise, per, sparse, hyperparameters, contract)
            learner = KernelLearner(wanted, names, chosen, array, progress)
        progress.stage(f"reading {', '.join(data)}")
        frames, learned = learner.read(data, index)
        training, held_out = _divided(frames, learned, learner, test, seed)
        fitted = learner.fit(training, cache, resume)

        def finish() -> "dict[str, Report | TargetReport]":
            # The model first: it is what took long.
            fitted.save(out)
            if model == "network":
                write_histories(fitted, log, plots)
            reports = {}
            if held_out:
                progress.stage(f"testing on {len(held_out)} structures")
                reports = evaluated(fitted, held_out, learned, "held-out structures", isotopes)
            progress.stage("writing")
            written = [out, *write_reports(reports, json, plots)]
            written += [log] if log is not None and model == "network" else []
            progress.wrote(*written)
            return reports

        from efg_jax.parallel import first

        reports = first(finish)
    print_reports(reports or {})


def _divided(
    frames: "list[Atoms]",
    targets: "Mapping[str, Target]",
    learner: "KernelLearner | NetworkLearner",
    test: float,
    seed: int,
) -> "tuple[list[Atoms], list[Atoms]]":
    """What is trained on, and what the model is judged on, which must do for every target.

    Args:
        frames: with labels.
        targets: by name.
        learner: of the model.
        test: part that is held out.
        seed: of the split.
    """
    from efg_jax.structures.splits import split

    training, held_out = (frames, []) if test == 0 else split(frames, test, seed)
    for target in targets.values():
        _check_held_out(training, held_out, target, learner)
    return training, held_out


def _check_held_out(
    training: "list[Atoms]",
    held_out: "list[Atoms]",
    target: "Target",
    learner: "KernelLearner | NetworkLearner",
) -> None:
    """Make sure, before the fit, that the model can be judged on what is held out."""
    from efg_jax.gp.labelled import labelled_elements
    from efg_jax.structures.targets import place_of

    mend = "choose another --seed or --test, or add structures"
    elements = {*learner.elements, *(symbol for atoms in training for symbol in atoms.symbols)}
    for position, atoms in enumerate(held_out):
        for i, symbol in enumerate(atoms.symbols):
            if symbol not in elements:
                raise InputError(
                    f"is held out for testing, but {symbol} occurs in no structure that is trained on; {mend}",
                    **place_of(atoms, position),
                    atom=f"{i} ({symbol})",
                )

    species = learner.model.species
    learned = {*labelled_elements(target, training, species), *learner.predicted(target.name)}
    if held_out and learned and not labelled_elements(target, held_out, sorted(learned)):
        what = f"{', '.join(species)} labels" if species else "labels"
        raise InputError(f"none of the {len(held_out)} held-out structures carries {what} of '{target.name}'; {mend}")
