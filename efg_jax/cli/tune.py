"""`efg-jax tune`."""

from collections.abc import Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from efg_jax.cli import model_options, options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import check_outputs, print_results
from efg_jax.cli.parsing import Repeated, count_or, one, parse_bounds, parse_names, parse_weights, several
from efg_jax.cli.progress import Progress, listed
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.models import Model
    from efg_jax.tuning import Search, Trial

SEARCH = Group("Search", sort_key=2)
METHODS = (
    "Exact gradient of all hyperparameters at once; Box–Behnken designs with response surfaces, as in the paper; or "
    "Bayesian optimisation (optuna). By default gradient; for networks bayes, the only one that they have."
)
METHOD = Fields(
    "efg_jax.tuning.search:tune",
    {
        "method": {"type": Literal["gradient", "box-behnken", "bayes"], "help": METHODS},
        "budget": {"metavar": "N", "help": "Number of evaluations of the loss; for networks, of trainings."},
        "bounds": {"type": Annotated[Repeated, several(parse_bounds, metavar="NAME=LOW:HIGH")]},
        "parameters": {"type": Annotated[tuple[Any, ...], several(parse_names, metavar="NAME")]},
        "seed": {},
    },
    SEARCH,
)
JUDGED = Fields(
    "efg_jax.gp.kernel_tuning:CrossValidation",
    {
        "folds": {
            "type": Annotated[Any, one(count_or("structures", "--folds"), metavar="N|structures")],
            "help": "Number of cross-validation folds, by structure; or each structure by itself.",
        },
        "environments": {
            "type": Annotated[Any, one(count_or("all", "--environments"), metavar="N|all")],
            "help": "About how many environments of each element are used, drawn as whole structures.",
        },
        "weights": {"type": Annotated[Repeated, several(parse_weights, "--weight", metavar="ELEMENT=W")]},
        "workers": {},
    },
    SEARCH,
)
GRADIENT = Fields(
    "efg_jax.tuning.gradient:Gradient", {"optimiser": {"help": "Optimiser of the gradient method."}}, SEARCH
)


@options.FLAT
@dataclass(frozen=True)
class Choices:
    """What is searched.

    Attributes:
        loss: What to minimise: observables (MAEs of C̃_Q, η̃ and 1 − q̃), tilt, mae-vij, rmse, lml (likelihood); a sum
            such as observables+0.1*lml; for scalar models observables or one of c_q_tilde, eta_tilde, theta, phi, v_nn.
            Without it observables, or rmse where the target is no EFG. Networks are trained by irreps (without it) or
            observables.
        no_prune: Do not end trainings whose validation loss is above the median of those before at the same epoch.
    """

    loss: Annotated[str | None, Parameter(metavar="NAME", group=SEARCH)] = None
    model: model_options.ModelKind = "tensor"
    hyperparameters: model_options.HyperparameterFile = None
    contract: model_options.Contract = None
    no_prune: Annotated[bool, Parameter(group=model_options.NETWORKS)] = False

    @property
    def kind(self) -> str:
        """The kind of model in the registry."""
        return model_options.kind_of(self.model)

    def refuse(self, given: Given) -> None:
        """Refuse options that would be ignored."""
        of_kernels = {group.option(name): name for group in (JUDGED, GRADIENT) for name in group.names}
        own = {option: (name in given, model_options.KERNELS) for option, name in of_kernels.items()}
        own |= {
            "--contract": (self.contract is not None, model_options.KERNELS),
            "--no-prune": (self.no_prune, ("network",)),
        }
        model_options.refuse_options_of_others([self.kind], given, own)
        model_options.refuse_in_file(self.hyperparameters, given)
        if self.kind not in model_options.KERNELS and self.loss not in (None, "irreps", "observables"):
            raise InputError(f"--loss {self.loss} is for kernel models; networks are trained by irreps or observables")


@options.FLAT
@dataclass(frozen=True)
class Outputs:
    """What is written.

    Attributes:
        out: JSON of the best hyperparameters, for train --hyperparameters, and the history.
        csv: Write the history as a table.
        plots: Write figures into this folder; made if it is missing.
        cache: Folder of evaluations that several searches share. Without it one beside --out, for --resume.
        resume: Resume an interrupted search, or give it a larger budget.
    """

    out: Annotated[Path, Parameter(metavar="FILE", group=options.OUTPUT)]
    csv: options.File = None
    plots: options.Folder = None
    cache: options.Folder = None
    resume: options.Switch = False


@takes(
    METHOD,
    JUDGED,
    GRADIENT,
    model_options.PER,
    model_options.SOAP,
    model_options.KERNEL,
    model_options.SIZES,
    model_options.STEPS,
)
def tune(
    *data: options.Data,
    labels: options.Labels = options.LABELS,
    choices: Choices = Choices(),
    outputs: Outputs,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Find hyperparameters by cross-validation on the structures given; for networks, by their loss on a part of them.

    Whole structures are held out in folds; the predictions for them, in closed form, are compared with their labels in
    the quantities that an experiment measures. Keep structures for testing apart: tuning has seen all of these. Every
    evaluation is on disk when it is done. Interrupted searches resume with --resume.

    The options of models say where the search starts; what is not tuned stays so. For networks, each evaluation is a
    full training run.

    ```
    efg-jax tune silica-efg --index :247 --species O --out best.json
    efg-jax train silica-efg --index :247 --species O --hyperparameters best.json --out o17.npz
    efg-jax tune silica-efg --index :247 --species O --model network --budget 20 --out best.json
    ```
    """
    choices.refuse(given)
    check_outputs({"--out": outputs.out, "--csv": outputs.csv}, outputs.plots, inputs=[*data, choices.hyperparameters])
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        model, search = _start(choices, labels, given)
        progress.stage(f"reading {listed(data)}")
        frames, _ = labels.read(data, model.targets, model.per, model.extensive)
        model = model_options.contracted(model, frames, choices.contract)
        search["cache"] = outputs.cache or outputs.out.with_suffix(".cache")
        search["resume"] = outputs.resume or outputs.cache is not None
        found = _searched(progress, model, frames, search)
        progress.stage("writing")
        _write(found, outputs)
        progress.wrote(outputs.out, outputs.csv, outputs.plots)
    print_results(found)


def _start(choices: Choices, labels: options.Labels, given: Given) -> "tuple[Model, dict[str, Any]]":
    """The model that the search starts from, and the arguments of the search."""
    search = given.of(METHOD) | given.of(JUDGED) | given.of(GRADIENT)
    if choices.no_prune:
        search["prune"] = False
    if choices.kind in model_options.KERNELS:
        search["loss"] = choices.loss
    else:
        given = Given(given | {"kind": choices.loss or "irreps"})
    model = model_options.untrained(choices.kind, given, labels.target, labels.species, given.get("seed", 0))
    labels.check_array(model.targets)
    return model_options.with_hyperparameters(model, choices.hyperparameters), search


def _searched(progress: Progress, model: "Model", frames: "list[Atoms]", search: dict[str, Any]) -> "Search":
    """The search, with a bar."""
    from efg_jax.tuning import tune as searched

    budget = search.get("budget", signature(searched).parameters["budget"].default)
    with progress.bar("tuning", budget) as bar:

        def watch(trial: int, row: Mapping[str, Any]) -> None:
            bar.update(f"trial {trial}, epoch {row['epoch'] + 1}: {row['validation_loss']:.5f}")

        return searched(model, frames, callback=lambda trial: bar.advance(_result(trial)), watch=watch, **search)


def _result(trial: "Trial") -> str:
    """A trial in one line."""
    state = "" if trial.state == "complete" else f" ({trial.state})"
    return f"{trial.stage}: {trial.loss:.5f}{state}  best {trial.best:.5f}"


def _write(found: "Search", outputs: Outputs) -> None:
    found.save(outputs.out)
    if outputs.csv is not None:
        found.to_csv(outputs.csv)
    if outputs.plots is not None:
        from efg_jax import plots

        outputs.plots.mkdir(parents=True, exist_ok=True)
        for name, figure in zip(("history", "hyperparameters", "surface"), found.plot(), strict=False):
            plots.save(figure, outputs.plots / f"tuning-{name}.png")
