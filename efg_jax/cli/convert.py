"""`efg-jax convert`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import read_tensors
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.predict import parse_indices
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

WHOLE = ("extxyz", "magres")
OPTIONS = {
    "species": "--species",
    "sites": "--indices",
    "isotopes": "--isotope",
    "reference": "--reference",
    "shift": "--shift",
}
ONLY = {"sites": ("simpson", "mrsim"), "shift": ("mrsim",)}


def convert(
    files: options.TensorFiles,
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="File to write: .extxyz, .magres, .spinsys or .in (SIMPSON), .json (chemiscope), .csv (observables), .mrsim (mrsimulator).",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ],
    format: Annotated[
        Literal["extxyz", "magres", "simpson", "chemiscope", "csv", "mrsim"] | None,
        typer.Option(
            "--format", help="What to write, where the name of the file does not say it.", rich_help_panel=OUTPUT
        ),
    ] = None,
    species: options.SiteSpecies = None,
    array: options.TensorArrays = None,
    index: options.FrameIndex = ":",
    indices: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="Sites of a SIMPSON or mrsimulator file, atoms numbered from 0: 0,5,10-20. Without it all of the species.",
            rich_help_panel=options.DATA,
        ),
    ] = None,
    isotope: options.Isotopes = None,
    reference: options.References = None,
    shift: Annotated[
        float | None,
        typer.Option(
            metavar="PPM",
            help="Of a mrsimulator file, instead of a reference: one shift for all sites, for files without shielding: 0.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Write structures with tensors in the format of another program.

    extxyz, chemiscope, csv and mrsim take many structures, magres and SIMPSON one: choose it with --index. --species, --isotope and
    --reference are for formats of sites (SIMPSON, chemiscope, CSV, mrsimulator); SIMPSON's shifts need references. .extxyz is compressed
    where .gz, .bz2 or .xz follows, .magres and .json where .gz does.

    [bold cyan]efg-jax convert OUTCAR --out crystal.magres[/]

    [bold cyan]efg-jax convert ethanol.magres --species O --reference O=287.5 --out o17.spinsys[/]

    [bold cyan]efg-jax convert predicted.extxyz --out predicted.chemiscope.json.gz[/]
    """
    check_outputs({"--out": out}, inputs=files)
    arrays = options.parse_arrays(array)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.io.writing import format_of, write

        given = _options(format_of(out, format), species, indices, isotope, reference, shift)  # before anything is read
        progress.stage(f"reading {', '.join(files)}")
        frames = read_tensors(files, arrays, index)
        progress.stage(f"writing {out}")
        write(out, frames, format, **given)
        progress.wrote(f"{out} ({len(frames)} structure{'s' * (len(frames) != 1)})")


def _options(
    form: str,
    species: Sequence[str] | None,
    indices: str | None,
    isotope: Sequence[str] | None,
    reference: Sequence[str] | None,
    shift: float | None,
) -> dict[str, Any]:
    """What was given, as the format's writer calls it."""
    isotopes, references = options.parse_isotopes(isotope), options.parse_references(reference)
    given: dict[str, Any] = {
        "species": options.parse_species(species),
        "sites": parse_indices(indices),
        "isotopes": isotopes or None,
        "reference": references,
        "shift": shift,
    }
    named = {name: value for name, value in given.items() if value is not None}
    if form in WHOLE and named:
        raise InputError(
            f"{OPTIONS[next(iter(named))]} is for formats of sites (SIMPSON, chemiscope, CSV, mrsimulator); {form} takes whole structures, so leave it out"
        )
    for name, forms in ONLY.items():
        if name in named and form not in forms:
            raise InputError(f"{OPTIONS[name]} is for {' and '.join(forms)}, not for {form}; leave it out")
    return _of_one_nucleus(named) if form == "mrsim" else named


def _of_one_nucleus(given: dict[str, Any]) -> dict[str, Any]:
    """The same for a file of mrsimulator's."""
    isotopes, references = given.get("isotopes", {}), given.get("reference")
    if len(isotopes) != 1:
        raise InputError("mrsimulator's file is of one nucleus; name it, as --isotope 17O")
    ((symbol, nucleus),) = isotopes.items()
    if references is not None and list(references) != [symbol]:
        raise InputError(f"--reference must be that of {symbol}, of which the file is; write {symbol}=...")
    if given.get("species", (symbol,)) != (symbol,):
        raise InputError(f"--species must be {symbol}, of which the file is; leave it out")
    found = {
        "isotope": nucleus,
        "indices": given.get("sites"),
        "reference": None if references is None else references[symbol],
        "shift": given.get("shift"),
    }
    return {name: value for name, value in found.items() if value is not None}
