"""Options of models, from the classes that they belong to, and the model that they describe.

A kind of model takes the options of its own classes; one that is given for another kind would be ignored, and is
refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from cyclopts import Group, Parameter

from efg_jax.cli.option_fields import Fields, Given, literal
from efg_jax.cli.options import DATA
from efg_jax.cli.parsing import number_or, one
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.models import Model

    AnyModel = TypeVar("AnyModel", bound=Model)


def parse_width(text: str) -> float | None:
    """Width of the cutoff in Å; None, the hard step, for "none" and 0."""
    return number_or("none", "--cutoff-width")(text) or None


DESCRIPTOR, REGRESSION, SPARSE_MODELS, NETWORKS = (
    Group(name, sort_key=place)
    for place, name in enumerate(("Descriptor (λ-SOAP)", "Regression", "Sparse models", "Networks"), start=10)
)
ANGSTROM, FRACTION = {"metavar": "Å"}, {"metavar": "PART"}
SOAP = Fields(
    "efg_jax.descriptors.lambda_soap:LambdaSOAP",
    {
        "cutoff": ANGSTROM,
        "cutoff_width": {"type": Annotated[float | None, one(parse_width, metavar="Å|none")]},
        "sigma": ANGSTROM,
        "nmax": {},
        "lmax": {},
        "scaling_rate": {"metavar": "C"},
        "scaling_radius": ANGSTROM,
        "scaling_exponent": {"metavar": "M"},
        "normalise": {},
    },
    DESCRIPTOR,
    "kernel models",
)
KERNEL = Fields(
    "efg_jax.gp.kernel_model:KernelModel",
    {
        "zeta": {},
        "regularisation": {
            "type": Annotated[
                float | Literal["auto"],
                one(number_or("auto", "--regularisation", "auto"), metavar="auto|NUMBER", show_choices=False),
            ]
        },
    },
    REGRESSION,
)
PER = Fields("efg_jax.gp.tensor_gpr:TensorGPR", {"per": {}, "extensive": {"negative": "--intensive"}}, DATA)
SPARSE = Fields("efg_jax.gp.tensor_gpr:TensorGPR", {"inducing": {}, "selection": {}, "primal": {}}, SPARSE_MODELS)
SIZES = Fields(
    "efg_jax.network.architecture:Architecture",
    {
        "cutoff": ANGSTROM,
        "lmax": {},
        "layers": {},
        "channels": {},
        "decomposition": {},
        "product_order": {},
        "products": {"metavar": "N²"},
    },
    NETWORKS,
    "networks",
)
STEPS = Fields(
    "efg_jax.network.trainer:Training",
    {"epochs": {}, "steps": {}, "learning_rate": {}, "batch_edges": {}, "validation": FRACTION, "patience": {}},
    NETWORKS,
)
LOSS = Fields("efg_jax.network.training_loss:Loss", {"kind": {"name": "--loss"}}, NETWORKS)
COMMITTEE = Fields("efg_jax.network.equivariant_network:EquivariantNetwork", {"members": {}}, NETWORKS)

_OPTIONS: dict[str, tuple[Fields, ...]] = {
    "tensor": (PER, SOAP, KERNEL, SPARSE),
    "scalar": (SOAP, KERNEL),
    "network": (SIZES, STEPS, LOSS, COMMITTEE),
}
KINDS = tuple(literal("efg_jax.models.registry", "KINDS"))
OF_KIND = {kind: _OPTIONS.get(kind, ()) for kind in KINDS}
"""Options by kind of model; the kinds are those of the registry, and one that is not listed has no options."""
EVERY = tuple(dict.fromkeys(group for groups in OF_KIND.values() for group in groups))
"""The options of all models, each group once."""
KERNELS = tuple(kind for kind in KINDS if SOAP in OF_KIND[kind])
SEVERAL_TARGETS = ("network",)
TUNED = (*SOAP.names, *KERNEL.names, *SIZES.names, "learning_rate", "batch_edges")
"""Options that a file of hyperparameters stands for."""

ModelKind = Annotated[
    Literal["tensor", "gpr", "network", "scalar"],
    Parameter(
        group=REGRESSION,
        help="Learn whole tensors with a kernel model (tensor: λ-SOAP Gaussian-process regression; gpr is another "
        "name) or with an equivariant network; or, to compare, each of C̃_Q, η̃, θ, φ, ν_Q by itself (scalar).",
    ),
]
HyperparameterFile = Annotated[
    Path | None,
    Parameter(
        metavar="FILE",
        group=DESCRIPTOR,
        help="Descriptor, ζ and regularisation from what `efg-jax tune` wrote; for networks, sizes and steps.",
    ),
]
Contract = Annotated[
    int | None,
    Parameter(
        metavar="N",
        group=DESCRIPTOR,
        help="Contract the (species, n) channels of the density to their N principal components; features shrink with "
        "its square. `tune` learns more than that, by gradient.",
    ),
]


def kind_of(name: str) -> str:
    """The kind of a model in the registry: "gpr" is another name of "tensor"."""
    return "tensor" if name == "gpr" else name


def refuse_options_of_others(
    kinds: Iterable[str], given: Given, others: Mapping[str, tuple[bool, Sequence[str]]] | None = None
) -> None:
    """Refuse options that none of the kinds takes.

    Args:
        kinds: of the models.
        given: options that were given.
        others: further options: whether each was given, and the kinds that take it.

    Raises:
        InputError: one was given.
    """
    owners = {option: takers for option, (was_given, takers) in (others or {}).items() if was_given}
    for name in given:
        takers = {kind: group for kind, groups in OF_KIND.items() for group in groups if name in group.names}
        if takers:
            owners[next(iter(takers.values())).option(name)] = tuple(takers)
    for option, takers in owners.items():
        if not set(kinds) & set(takers):
            raise InputError(
                f"{option} is an option of {' and '.join(takers)} models; leave it out, or use --model {takers[0]}"
            )


def refuse_twice(file: Path, options: Iterable[str], what: str, mend: str = "leave it out") -> None:
    """Refuse options whose values are in a file: of what is given twice, one would be ignored.

    Raises:
        InputError: there are some.
    """
    for option in options:
        raise InputError(f"{option} is also in {what}; {mend}", file=str(file))


def options_in(given: Given, names: Sequence[str]) -> list[str]:
    """Those of these options that were given, as they are written on the command line."""
    groups = [group for groups in OF_KIND.values() for group in groups]
    return [next(group.option(name) for group in groups if name in group.names) for name in given if name in names]


def untrained(
    kind: str, given: Given, targets: tuple[str, ...] | None, species: tuple[str, ...] | None, seed: int = 0
) -> "Model":
    """The model that the options describe.

    Raises:
        InputError: options that cannot be, or several targets for a model that learns one.
    """
    from efg_jax.models import model_class

    names = targets or ("efg",)
    if len(names) > 1 and kind not in SEVERAL_TARGETS:
        raise InputError("a kernel model learns one target; give one, or use --model network")
    owner = model_class(kind)
    return Given(given | {"seed": seed}).build(owner, target=names[0] if len(names) == 1 else names, species=species)


def with_hyperparameters(model: "AnyModel", file: Path | None) -> "AnyModel":
    """The model with the hyperparameters of a file, if there is one."""
    if file is None:
        return model
    from efg_jax.tuning import read_hyperparameters

    return read_hyperparameters(file).apply(model)


def refuse_in_file(file: Path | None, given: Given) -> None:
    """Refuse options that a file of hyperparameters has too."""
    if file is not None:
        refuse_twice(file, options_in(given, TUNED), "--hyperparameters", "leave it out, or change it in the file")


def applied(found: Any, model: "AnyModel") -> "AnyModel | None":
    """The model with hyperparameters; None where they are of another kind of model."""
    try:
        return found.apply(model)
    except InputError:
        return None


def of_kinds(given: Given, kinds: Iterable[str]) -> Given:
    """Those of the options that these kinds of models take."""
    names = {name for kind in kinds for group in OF_KIND[kind] for name in group.names}
    return Given({name: value for name, value in given.items() if name in names})


def contracted(model: "AnyModel", frames: "Sequence[Atoms]", channels: int | None) -> "AnyModel":
    """The model with its density contracted to the principal channels of these structures; None: the model as it is."""
    if channels is None:
        return model
    from dataclasses import replace

    from efg_jax.descriptors import principal_contraction

    model = model.knowing(sorted({symbol for atoms in frames for symbol in atoms.symbols}))
    return replace(model, descriptor=principal_contraction(model.descriptor, frames, channels))
