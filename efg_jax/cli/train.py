"""`efg-jax train`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from cyclopts import Parameter

from efg_jax.cli import model_options, options
from efg_jax.cli.option_fields import Given, takes
from efg_jax.cli.outputs import cache_beside, check_outputs, print_results, write_reports
from efg_jax.cli.processes import join_processes
from efg_jax.cli.progress import Progress, listed
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.models import FittedModel, Model
    from efg_jax.structures.targets import Target


@options.FLAT
@dataclass(frozen=True)
class Division:
    """What is held out.

    Attributes:
        test: Part of the structures that is held out to evaluate the model; 0 trains on all of them, without a report.
        seed: Seed of the random split, and of all that is random in training a network; the same seed, the same result.
    """

    test: Annotated[float, Parameter(metavar="PART", group=options.DATA)] = 0.2
    seed: Annotated[int, Parameter(metavar="N", group=options.DATA)] = 0


@options.FLAT
@dataclass(frozen=True)
class Start:
    """Where training starts from, beside the options.

    Attributes:
        from_model: Fine-tune a network that was trained before, with these data; --target may be a new one.
        freeze: With --from, train the last map of each target only, and no layer.
    """

    hyperparameters: model_options.HyperparameterFile = None
    contract: model_options.Contract = None
    from_model: Annotated[Path | None, Parameter("--from", metavar="MODEL", group=model_options.NETWORKS)] = None
    freeze: Annotated[bool, Parameter(group=model_options.NETWORKS)] = False


@options.FLAT
@dataclass(frozen=True)
class Outputs:
    """What is written.

    Attributes:
        out: Model file to write, by custom .npz.
        log: Write losses and errors of a network by epoch as CSV.
        resume: Resume an interrupted training of a sparse model or a network.
    """

    out: Annotated[Path, Parameter(metavar="FILE", group=options.OUTPUT)]
    log: options.File = None
    reports: options.ReportFiles = options.REPORTS
    resume: options.Switch = False
    distributed: options.Distributed = False
    quiet: options.Quiet = False


@takes(*model_options.EVERY)
def train(
    *data: options.Data,
    labels: options.Labels = options.LABELS,
    division: Division = Division(),
    model: model_options.ModelKind = "tensor",
    start: Start = Start(),
    outputs: Outputs,
    given: Given,
) -> None:
    """Train a model, and evaluate it on structures that were held out.

    The structures are split at random; the model is fitted to the larger part, and its errors on the rest are printed,
    a table per element. The defaults suit most data. A network may learn several targets at once (--target efg,ms); a
    structure need carry only one of them.

    ```
    efg-jax train silica-efg --index :247 --species O --out o17.npz
    efg-jax train trajectory.extxyz --species Li --inducing 1000 --out li.npz
    efg-jax train silica-efg --model network --members 4 --out network.npz --log network.csv
    efg-jax train *.magres --target ms --species Si --out si29.npz --json report.json --plots figures
    ```
    """
    files, kind = outputs.reports, model_options.kind_of(model)
    if division.test == 0 and (files.json is not None or files.plots is not None):
        raise InputError(
            "--json and --plots need held-out structures; give --test a part such as 0.2, or leave them out"
        )
    _refuse(kind, start, outputs.log, given)
    check_outputs(
        {"--out": outputs.out, "--json": files.json, "--log": outputs.log},
        files.plots,
        inputs=[*data, start.hyperparameters, start.from_model],
    )
    with Progress(outputs.quiet or outputs.distributed) as progress:
        progress.stage("loading JAX")
        learner = _learner(kind, start, labels, given, division.seed)
        cache = _cache(learner.model, outputs)
    quiet = join_processes(outputs.quiet) if outputs.distributed else outputs.quiet
    with Progress(quiet) as progress:
        progress.stage(f"reading {listed(data)}")
        frames, targets = labels.read(data, learner.targets, learner.model.per, learner.model.extensive)
        training, held_out = _divided(frames, targets, learner, division)
        fitted = _fitted(
            learner,
            model_options.contracted(learner.model, training, start.contract),
            training,
            cache,
            outputs,
            progress,
        )
        from efg_jax.parallel import first

        reports = first(lambda: _finish(fitted, held_out, outputs, progress))
    print_results(*(reports or {}).values())


class Learner(NamedTuple):
    """What learns: a model to fit, or a fitted one to fine-tune.

    Attributes:
        model: options.
        targets: names of what is learned.
        base: the fitted model that is fine-tuned; None: the model is fitted.
        changes: arguments of its ``finetune``.
    """

    model: "Model"
    targets: tuple[str, ...]
    base: "FittedModel | None" = None
    changes: Mapping[str, Any] = {}

    def knows(self, symbol: str) -> bool:
        """Whether the base has seen an element."""
        try:
            return self.base is not None and bool(self.base.model.knowing([symbol]))
        except InputError:
            return False

    def predicts(self, target: str) -> list[str]:
        """Elements for which the base predicts a target."""
        return self.base.species_of(target) if self.base is not None and target in self.base.targets else []

    def fit(self, model: "Model", structures: "list[Atoms]", **kept: Any) -> "FittedModel":
        """Fitted, or fine-tuned."""
        if self.base is None:
            return model.fit(structures, **kept)
        return self.base.finetune(structures, **self.changes, **kept)


def _refuse(kind: str, start: Start, log: Path | None, given: Given) -> None:
    """Refuse options that would be ignored."""
    others = {
        "--contract": (start.contract is not None, model_options.KERNELS),
        "--from": (start.from_model is not None, ("network",)),
        "--freeze": (start.freeze, ("network",)),
        "--log": (log is not None, ("network",)),
    }
    model_options.refuse_options_of_others([kind], given, others)
    model_options.refuse_in_file(start.hyperparameters, given)
    if start.from_model is not None:
        in_model = model_options.options_in(given, (*model_options.SIZES.names, *model_options.COMMITTEE.names))
        in_model += [] if start.hyperparameters is None else ["--hyperparameters"]
        model_options.refuse_twice(start.from_model, in_model, "--from", "leave it out, or train anew")
    elif start.freeze:
        raise InputError("--freeze leaves the layers of a trained model as they are; name it with --from")


def _learner(kind: str, start: Start, labels: options.Labels, given: Given, seed: int) -> Learner:
    if start.from_model is None:
        model = model_options.untrained(kind, given, labels.target, labels.species, seed)
        learner = Learner(model_options.with_hyperparameters(model, start.hyperparameters), model.targets)
    else:
        learner = _tuner(start, labels, given, seed)
    labels.check_array(learner.targets)
    return learner


def _tuner(start: Start, labels: options.Labels, given: Given, seed: int) -> Learner:
    """A fitted network that is fine-tuned."""
    from efg_jax import load
    from efg_jax.network import Training

    base = load(start.from_model)
    if not hasattr(base, "finetune"):
        raise InputError(
            f"holds a {base.model.kind} model, and only networks are fine-tuned; leave --from out",
            file=str(start.from_model),
        )
    names = labels.target or tuple(base.targets)
    training = Given(given | {"seed": seed}).build(Training)
    changes = {"target": names, "species": labels.species, "frozen": start.freeze, "training": training}
    return Learner(base.model, names, base, changes)


def _cache(model: "Model", outputs: Outputs) -> Path | None:
    """Where the state of an unfinished fit is kept; of a model that keeps none, nowhere."""
    needs = (
        ("--resume", outputs.resume, model.is_resumable),
        ("--distributed", outputs.distributed, model.is_distributable),
    )
    for option, wanted, possible in needs:
        if wanted and not possible:
            raise InputError(
                f"{option} is for models that are trained step by step; give --inducing N for a sparse model, or "
                "(--resume "
                "only) --model network"
            )
    return cache_beside(outputs.out, outputs.resume) if model.is_resumable else None


def _divided(
    frames: "list[Atoms]", targets: "Mapping[str, Target]", learner: Learner, division: Division
) -> "tuple[list[Atoms], list[Atoms]]":
    """What is trained on, and what is held out.

    The latter must do for every target, and it is checked before the fit.
    """
    from efg_jax.structures.site_selection import labelled_elements
    from efg_jax.structures.splits import split

    if division.test == 0:
        return frames, []
    training, held_out = split(frames, division.test, division.seed)
    _check_elements(training, held_out, learner)
    species = learner.changes.get("species") or learner.model.species
    for name, target in targets.items():
        learned = {*labelled_elements(target, training, species), *learner.predicts(name)}
        if learned and not labelled_elements(target, held_out, sorted(learned)):
            what = f"{', '.join(species)} labels" if species else "labels"
            raise InputError(
                f"none of the {len(held_out)} held-out structures carries {what} of '{name}'; choose another --seed or "
                "--test, or add structures"
            )
    return training, held_out


def _check_elements(training: "list[Atoms]", held_out: "list[Atoms]", learner: Learner) -> None:
    """Refuse a held-out element that the model will not know."""
    from efg_jax.structures.targets import place_of

    elements = {symbol for atoms in training for symbol in atoms.symbols}
    for position, atoms in enumerate(held_out):
        for i, symbol in enumerate(atoms.symbols):
            if symbol not in elements and not learner.knows(symbol):
                raise InputError(
                    f"is held out for testing, but {symbol} occurs in no structure that is trained on; choose another "
                    "--seed "
                    "or --test, or add structures",
                    **place_of(atoms, position),
                    atom=f"{i} ({symbol})",
                )


def _fitted(
    learner: Learner, model: "Model", training: "list[Atoms]", cache: Path | None, outputs: Outputs, progress: Progress
) -> "FittedModel":
    """Fitted; with a bar where it is done step by step. Who interrupts that is told how to resume."""
    text = f"training on {len(training)} structures"
    if not model.is_resumable:
        progress.stage(text)
        return learner.fit(model, training)
    with progress.bar(text) as bar:

        def told(done: int, steps: int, what: str) -> None:
            bar.advance(what, steps, done=done)

        try:
            return learner.fit(model, training, checkpoint=cache, resume=outputs.resume, progress=told)
        except KeyboardInterrupt:
            if bar.done and cache is not None:
                progress.say(
                    f"stopped after {bar.done} of {bar.total} steps; "
                    "the same command with --resume continues from there"
                )
            raise


def _finish(fitted: "FittedModel", held_out: "list[Atoms]", outputs: Outputs, progress: Progress) -> dict[str, Any]:
    """Write all that is wanted, and return the reports by target."""
    fitted.save(outputs.out)  # first: it is what took long
    files, reports = outputs.reports, {}
    histories = getattr(fitted, "histories", ())
    if histories:
        _write_histories(histories, outputs.log, files.plots)
    if held_out:
        progress.stage(f"testing on {len(held_out)} structures")
        title = "{structures} held-out structures"
        reports = fitted.evaluate_targets(held_out, title=title, isotopes=files.isotopes)
    progress.stage("writing")
    progress.wrote(outputs.out, *write_reports(reports, files.json, files.plots), outputs.log)
    return reports


def _write_histories(histories: Sequence[Any], log: Path | None, plots: Path | None) -> None:
    """Losses and errors by epoch as CSV, and as a picture in the folder of the plots, made if it is missing."""
    if log is not None:
        from efg_jax.network.training_history import write_histories

        write_histories(log, histories)
    if plots is not None:
        from efg_jax.network.training_figure import training_figure
        from efg_jax.plots import save

        plots.mkdir(parents=True, exist_ok=True)
        save(training_figure(histories), plots / "training.png")
