"""Arguments and options that several commands share, and what their texts mean."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from efg_jax.errors import InputError

if TYPE_CHECKING:
    from efg_jax.tensors.nuclei import Isotope

DATA, DESCRIPTOR, REGRESSION, OUTPUT = "Data", "Descriptor (λ-SOAP)", "Regression", "Output"

Data = Annotated[
    list[str],
    typer.Argument(
        metavar="DATA",
        help="Structures with tensors: extended XYZ, magres, OUTCAR, JSON of pymatgen, or any other file that ASE reads; or the name of a data set that ships "
        "(see [cyan]efg-jax datasets[/]). Atoms whose tensor is NaN count as unlabelled.",
        show_default=False,
    ),
]
ModelFile = Annotated[
    str, typer.Argument(metavar="MODEL", help="A model that [cyan]efg-jax train[/] wrote.", show_default=False)
]
TargetName = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="NAME",
        help="What to learn: efg (V/Å²), ms (shielding, ppm), dipole, polarizability, dielectric, or any array of the files.",
        rich_help_panel=DATA,
    ),
]
TargetNames = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="What to learn: efg (V/Å²), ms (shielding, ppm), dipole, polarizability, dielectric, or any array of the files; of a network several: "
        "efg,ms, or the option again. Without it efg.",
        rich_help_panel=DATA,
    ),
]
SomeTargets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="NAME",
        help="Of a network with several targets these only: efg,ms, or the option again.",
        rich_help_panel=DATA,
    ),
]
SpeciesNames = Annotated[
    list[str] | None,
    typer.Option(
        "--species",
        metavar="ELEMENT",
        help="Element whose atoms are learned; several: O,Si, or the option again. Without it all that have labels.",
        rich_help_panel=DATA,
    ),
]
PerWhat = Annotated[
    Literal["atom", "structure"] | None,
    typer.Option(
        "--per",
        help="One tensor an atom, or one a structure, as a sum over its atoms. Without it as the files have it.",
        rich_help_panel=DATA,
    ),
]
ModelKind = Annotated[
    Literal["tensor", "scalar", "network"],
    typer.Option(
        "--model",
        help="Learn the whole tensor with a kernel model (tensor) or with an equivariant network; or, for comparison, each of C̃_Q, η̃, θ, φ, ν_Q of an "
        "EFG by itself (scalar).",
        rich_help_panel=REGRESSION,
    ),
]
HyperparameterFile = Annotated[
    Path | None,
    typer.Option(
        "--hyperparameters",
        metavar="FILE",
        help="Descriptor, ζ and regularisation from what [cyan]efg-jax tune[/] wrote; of a network, sizes and steps.",
        rich_help_panel=DESCRIPTOR,
    ),
]
Contract = Annotated[
    int | None,
    typer.Option(
        "--contract",
        metavar="N",
        help="Contract the (species, n) channels of the density to their N principal components; features shrink with its square. "
        "[cyan]tune[/] learns more than that, by gradient.",
        rich_help_panel=DESCRIPTOR,
    ),
]
ArrayName = Annotated[
    str | None,
    typer.Option(
        "--array",
        metavar="NAME",
        help="Name under which the files carry the target, where it differs.",
        rich_help_panel=DATA,
    ),
]
Isotopes = Annotated[
    list[str] | None,
    typer.Option(
        "--isotope",
        metavar="NUCLIDE",
        help="Nucleus by which V/Å² becomes MHz and kHz: 49Ti, or Ti=49Ti. May be repeated; without it the one that NMR uses.",
        rich_help_panel=OUTPUT,
    ),
]
JsonFile = Annotated[
    Path | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write the report as JSON, one entry a species; of several targets one entry a target, with its species.",
        rich_help_panel=OUTPUT,
    ),
]
PlotFolder = Annotated[
    Path | None,
    typer.Option(
        "--plots",
        metavar="DIR",
        help="Write parity plots into this folder, of several targets into one folder each; made if it is missing.",
        rich_help_panel=OUTPUT,
    ),
]
Distributed = Annotated[
    bool,
    typer.Option(
        "--distributed",
        help="This is one of several processes that share the work, started by srun or mpirun (see docs/clusters.md).",
        rich_help_panel=OUTPUT,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress; results and errors only.", rich_help_panel=OUTPUT)
]


TensorFiles = Annotated[
    list[str],
    typer.Argument(
        metavar="FILES",
        help="Structures with tensors: magres, OUTCAR, extended XYZ (what [cyan]efg-jax predict[/] writes), JSON of pymatgen; or the name of "
        "a data set that ships.",
        show_default=False,
    ),
]
SiteSpecies = Annotated[
    list[str] | None,
    typer.Option(
        "--species",
        metavar="ELEMENT",
        help="Sites of these elements only: O,Si, or the option again.",
        rich_help_panel=DATA,
    ),
]
TensorArrays = Annotated[
    list[str] | None,
    typer.Option(
        "--array",
        metavar="TENSOR=NAME",
        help="Name under which the files carry a tensor, where it differs: efg=V_tensor, ms=sigma.",
        rich_help_panel=DATA,
    ),
]
FrameIndex = Annotated[
    str,
    typer.Option(
        "--index",
        metavar="SLICE",
        help="Structures to take from each file, counted from 0: 0, -1, ::10.",
        rich_help_panel=DATA,
    ),
]
References = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="ELEMENT=PPM",
        help="Shielding of the reference compound, computed in the same way: shifts are given then. O=287.5,Si=330 or the option again.",
        rich_help_panel=OUTPUT,
    ),
]


def parse_species(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """Element symbols, given one by one or with commas: ["O,Si", "Al"] → ("O", "Si", "Al"); None where there are none."""
    symbols = [symbol.strip() for value in values or () for symbol in value.split(",")]
    if "" in symbols:
        raise InputError("--species has an empty element; write --species O,Si")
    return tuple(dict.fromkeys(symbols)) or None


def parse_regularisation(text: str) -> float | Literal["auto"]:
    """ "auto", or a number."""
    if text == "auto":
        return text
    try:
        return float(text)
    except ValueError:
        raise InputError(f"--regularisation {text} is neither a number nor 'auto'; give, say, 1e-4") from None


def parse_isotopes(values: Sequence[str] | None) -> "dict[str, Isotope]":
    """Nuclei by element: ["Ti=49Ti", "17O"] → {"Ti": ⁴⁹Ti, "O": ¹⁷O}."""
    from efg_jax.tensors.nuclei import isotope

    chosen: dict[str, Isotope] = {}
    for value in (part.strip() for text in values or () for part in text.split(",")):
        symbol, equals, name = value.rpartition("=")
        nucleus = isotope(name)
        if equals and symbol.strip() != nucleus.symbol:
            raise InputError(
                f"--isotope {value}: {nucleus} is no isotope of {symbol.strip() or 'nothing'}; "
                f"write {nucleus.symbol}={nucleus}, or {nucleus} alone"
            )
        if chosen.setdefault(nucleus.symbol, nucleus) != nucleus:
            raise InputError(
                f"--isotope gives both {chosen[nucleus.symbol]} and {nucleus}; give one for {nucleus.symbol}"
            )
    return chosen


def parse_names(values: Sequence[str] | None) -> tuple[str, ...] | None:
    """Names, given one by one or with commas; None where there are none."""
    return tuple(dict.fromkeys(name.strip() for value in values or () for name in value.split(","))) or None


def parse_count(text: str, option: str, everything: str) -> int | None:
    """A whole number, or None for the word that means everything."""
    if text == everything:
        return None
    try:
        return int(text)
    except ValueError:
        raise InputError(f"{option} {text} is neither a whole number nor '{everything}'") from None


def parse_weights(values: Sequence[str] | None) -> dict[str, float]:
    """Weights by element: ["O=2"] → {"O": 2.0}."""
    weights = {}
    for value in values or ():
        symbol, _, number = value.partition("=")
        try:
            weights[symbol.strip()] = float(number)
        except ValueError:
            raise InputError(f"--weight {value} is not of the form O=2") from None
    return weights


def parse_references(values: Sequence[str] | None, option: str = "--reference") -> dict[str, float] | None:
    """Reference shieldings by element: ["O=287.5"] → {"O": 287.5}; None where there are none."""
    references: dict[str, float] = {}
    for value in values or ():
        for part in value.split(","):
            symbol, _, number = part.partition("=")
            try:
                parsed = float(number)
            except ValueError:
                parsed = float("nan")
            if not symbol.strip() or not -1e5 < parsed < 1e5:
                raise InputError(f"{option} {value} is not of the form O=287.5, a shielding in ppm")
            if references.setdefault(symbol.strip(), parsed) != parsed:
                raise InputError(f"{option} gives {symbol.strip()} twice; give one for each element")
    return references or None


def parse_arrays(values: Sequence[str] | None) -> dict[str, str]:
    """Names that tensors have in the files: ["V", "ms=sigma"] → {"efg": "V", "ms": "sigma"}; a name alone is the field gradient's."""
    arrays: dict[str, str] = {}
    for value in values or ():
        tensor, equals, name = value.partition("=")
        tensor, name = (tensor.strip(), name.strip()) if equals else ("efg", tensor.strip())
        if tensor not in ("efg", "ms") or not name:
            raise InputError(f"--array {value} is not of the form efg=NAME or ms=NAME")
        if arrays.setdefault(tensor, name) != name:
            raise InputError(f"--array gives {tensor} twice; give one name for it")
    return arrays
