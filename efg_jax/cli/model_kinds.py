"""Which options belong to which kind of model: one that is given for another kind would be without effect, and is refused."""

from collections.abc import Sequence
from pathlib import Path

import typer

from efg_jax.errors import InputError

Context = typer.Context.__base__  # the class that commands really receive

DESCRIPTOR = ("cutoff", "cutoff_width", "sigma", "nmax", "lmax", "scaling_rate", "scaling_radius", "scaling_exponent")
HYPERPARAMETERS = (*DESCRIPTOR, "normalise", "zeta", "regularisation")
SHARED = ("cutoff", "lmax")  # by kernel models and networks
KERNELS = (
    *(name for name in HYPERPARAMETERS if name not in SHARED),
    *("per", "contract", "hyperparameters", "inducing", "selection", "primal", "distributed"),
)
ARCHITECTURE = ("layers", "channels", "decomposition", "product_order", "products", "members")
NETWORKS = (
    *ARCHITECTURE,
    *(
        "epochs",
        "steps",
        "learning_rate",
        "batch_edges",
        "validation",
        "patience",
        "loss",
        "from_model",
        "freeze",
        "log",
    ),
)
# What a file of hyperparameters says of a network: sizes and steps.
TUNED = (*SHARED, *(name for name in ARCHITECTURE if name != "members"), "learning_rate", "batch_edges")


def refuse_options_of_others(
    context: Context, *kinds: str, networks: Sequence[str] = NETWORKS, kernels: Sequence[str] = KERNELS
) -> None:
    """Refuse options of kernel models where there are only networks, and the other way round.

    Args:
        context: of the command.
        kinds: of the models.
        networks: the options of networks alone.
        kernels: the options of kernel models alone.

    Raises:
        InputError: one was given.
    """
    if "network" not in kinds:
        names, whose, mend = networks, "networks", "--model network"
    elif set(kinds) == {"network"}:
        names, whose, mend = kernels, "kernel models", "--model tensor"
    else:
        return
    for flag in _given(context, names):
        raise InputError(f"{flag} is an option of {whose}; leave it out, or use {mend}")


def refuse_twice(context: Context, file: Path, names: Sequence[str], what: str, mend: str = "leave it out") -> None:
    """Refuse options whose values are in a file: what is given twice would be in one place without effect.

    Args:
        context: of the command.
        file: that has them.
        names: of the parameters.
        what: the file is.
        mend: what to do.

    Raises:
        InputError: one was given.
    """
    for flag in _given(context, names):
        raise InputError(f"{flag} is also in {what}; {mend}", file=str(file))


def _given(context: Context, names: Sequence[str]) -> list[str]:
    """Flags of those of the parameters that are on the command line."""
    flags = {parameter.name: parameter.opts[0] for parameter in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in names}
    return [flags[name] for name, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
