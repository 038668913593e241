"""`efg-jax learning-curve`."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Group, Parameter

from efg_jax.cli import model_options, options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import cache_beside, check_outputs, print_results
from efg_jax.cli.parsing import one, parse_names, parse_sizes, several
from efg_jax.cli.progress import Progress, listed
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.learning_curves import Fit, LearningCurve
    from efg_jax.models import Model

CURVE = Group("Curve", sort_key=2)
PLAN = Fields(
    "efg_jax.learning_curves.learning_curve:learning_curve",
    {
        "sizes": {"type": Annotated[Any, one(parse_sizes, metavar="N,N,...")]},
        "repeats": {},
        "test": {"metavar": "PART", "group": options.DATA},
        "seed": {"group": options.DATA},
    },
    CURVE,
)
BOTH = ("tensor", "scalar")
WATCHED = ("c_q_tilde.mae", "theta.mae", "rmse_percent")  # shown while it runs, where the model gives them


def parse_kinds(values: Sequence[str]) -> tuple[str, ...]:
    """Kinds of models, each once: ["both,network"] → ("tensor", "scalar", "network")."""
    found: list[str] = []
    for name in parse_names(values):
        if name != "both" and model_options.kind_of(name) not in model_options.KINDS:
            known = ", ".join((*model_options.KINDS, "gpr", "both"))
            raise InputError(f"--model {name} is unknown; choose among {known}, several with commas")
        found += BOTH if name == "both" else [model_options.kind_of(name)]
    return tuple(dict.fromkeys(found))


@options.FLAT
@dataclass(frozen=True)
class Choices:
    """Which models.

    Attributes:
        model: Kinds of models: tensor (or gpr, the same), scalar, network; several side by side: tensor,network, or the
            option again; both is tensor,scalar. Without it both for an EFG, else tensor.
        hyperparameters: What `efg-jax tune` wrote, for kernel models or for the network; the option again gives both
            theirs.
    """

    model: Annotated[tuple[str, ...], several(parse_kinds, metavar="KIND", group=CURVE)] = ()
    hyperparameters: Annotated[list[Path] | None, Parameter(metavar="FILE", group=CURVE)] = None

    def refuse(self, given: Given) -> None:
        """Refuse options that would be ignored."""
        kinds = self.model or BOTH
        model_options.refuse_options_of_others(kinds, given)
        if given.get("per") == "structure" and (of_atoms := [kind for kind in self.model if kind != "tensor"]):
            raise InputError(f"--model {of_atoms[0]} learns what belongs to atoms; use --model tensor")


@options.FLAT
@dataclass(frozen=True)
class Outputs:
    """What is written.

    Attributes:
        out: Table to write (CSV, a row a value); finished fits are kept beside it, in a folder with the ending .cache.
        json: Write values, means, slopes and settings as JSON.
        plot: Write the figure: .png, .pdf or .svg.
        resume: Use the fits that an earlier run with the same data, model, test and seed finished, whatever its sizes
            and repeats.
    """

    out: Annotated[Path, Parameter(metavar="FILE", group=options.OUTPUT)]
    json: options.File = None
    plot: options.File = None
    resume: options.Switch = False


@takes(PLAN, *model_options.EVERY)
def learning_curve(
    *data: options.Data,
    labels: options.Labels = options.LABELS,
    choices: Choices = Choices(),
    outputs: Outputs,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Measure how the errors fall with the number of training structures.

    Part of the structures is held out. Models are trained on growing parts of the rest, in several random orders, and
    tested on what was held out. The means, their standard errors, and the slopes in a log-log plot are printed, a table
    per element.

    ```
    efg-jax learning-curve silica-efg --index :247 --species O --sizes 10,20,40,80 --out curve.csv --plot curve.png
    efg-jax learning-curve silica-efg --index :247 --species O --model tensor,network --epochs 200 --out curve.csv
    ```

    Interrupted runs resume with --resume, networks in the middle of their training.
    """
    choices.refuse(given)
    written = {"--out": outputs.out, "--json": outputs.json, "--plot": outputs.plot}
    check_outputs(written, inputs=[*data, *(choices.hyperparameters or ())])
    cache = cache_beside(outputs.out, outputs.resume)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        # Before anything is read; where the data decide on the kinds, both are ready.
        models = _models(choices, labels, given)
        progress.stage(f"reading {listed(data)}")
        frames, targets = labels.read(data, (labels.one_target(),), given.get("per"), given.get("extensive"))
        if not choices.model and not targets[labels.one_target()].is_efg:
            del models["scalar"]
        curve = _measure(progress, models, frames, given.of(PLAN) | {"cache": cache, "resume": outputs.resume})
        progress.stage("writing")
        _write(curve, outputs)
        progress.wrote(*written.values())
    print_results(curve)


def _models(choices: Choices, labels: options.Labels, given: Given) -> "dict[str, Model]":
    """The models by kind, with the hyperparameters of the files, each for the models of its kind.

    Raises:
        InputError: a bad file, one for models that are not in the curve or have another file, or options that are in it
            too.
    """
    seed, target = given.get("seed", 0), (labels.one_target(),)
    models = {
        kind: model_options.untrained(kind, given, target, labels.species, seed) for kind in choices.model or BOTH
    }
    missing = set(models)
    for file in choices.hyperparameters or ():
        from efg_jax.tuning import read_hyperparameters

        found = read_hyperparameters(file)
        own = {kind: tuned for kind in missing if (tuned := model_options.applied(found, models[kind])) is not None}
        if not own:
            raise InputError(
                f"has hyperparameters of a {found.model().family}, and no model in the curve takes them; leave it "
                "out, or check "
                "--model",
                file=str(file),
            )
        model_options.refuse_in_file(file, model_options.of_kinds(given, own))
        models |= own
        missing -= set(own)
    return models


def _measure(
    progress: Progress, models: "dict[str, Model]", frames: "list[Atoms]", plan: dict[str, Any]
) -> "LearningCurve":
    """The curve, with a bar; who interrupts it is told how to resume."""
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
            return measure(models, frames, callback=finished, progress=further, **plan)
        except KeyboardInterrupt:
            if (bar.done or begun) and plan["cache"] is not None:
                where = f"after {bar.done} of {bar.total} fits" if bar.done else "in the first fit"
                progress.say(f"stopped {where}; the same command with --resume continues from there")
            raise


def _result(fit: "Fit") -> str:
    """A fit in one line, with its first species' errors."""
    from efg_jax.learning_curves.curve_metrics import label_of

    species = fit.rows[0].species
    of_first = {row.metric: row.value for row in fit.rows if row.species == species}
    watched = [metric for metric in WATCHED if metric in of_first][:2]
    values = ", ".join(f"{label_of(metric).text} {of_first[metric]:#.3g}" for metric in watched)
    return f"{fit.model}, {fit.structures} structures, repeat {fit.repeat}: {species} {values}"


def _write(curve: "LearningCurve", outputs: Outputs) -> None:
    curve.to_csv(outputs.out)
    if outputs.json is not None:
        curve.to_json(outputs.json)
    if outputs.plot is not None:
        from efg_jax import plots

        plots.save(curve.plot(), outputs.plot)
