"""`efg-jax observables`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import read_tensors
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.progress import Progress

if TYPE_CHECKING:
    from efg_jax.observables import SiteObservables


def observables(
    files: options.TensorFiles,
    *,
    species: options.SiteSpecies = None,
    array: options.TensorArrays = None,
    index: options.FrameIndex = ":",
    tensor: Annotated[
        Literal["both", "efg", "ms"],
        typer.Option(help="What to look at, of what is there.", rich_help_panel=options.DATA),
    ] = "both",
    convention: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Of the shielding's anisotropy: maryland (Ω, κ), haeberlen (Δ, ζ, η), iupac (11, 22, 33), or all; may be repeated. "
            "Without it maryland.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    rotation: Annotated[
        Literal["active", "passive"], typer.Option(help="Sense of the ZYZ Euler angles.", rich_help_panel=OUTPUT)
    ] = "active",
    efg_axes: Annotated[
        Literal["nqr", "haeberlen"],
        typer.Option(
            help="Order of the EFG's axes, on which its angles depend: |zz| ≥ |yy| ≥ |xx|, or |zz| ≥ |xx| ≥ |yy|.",
            rich_help_panel=OUTPUT,
        ),
    ] = "nqr",
    isotope: options.Isotopes = None,
    reference: options.References = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Also write the table as CSV.", rich_help_panel=OUTPUT)
    ] = None,
    json: Annotated[
        Path | None,
        typer.Option(
            "--json",
            metavar="FILE",
            help="Also write it as JSON, with units, conventions and nuclei.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Tabulate what NMR measures of every site: C_Q, P_Q, η, ν_Q, shielding or shift, its anisotropy, and Euler angles.

    ν_Q is the first-order splitting 3C_Q/(2I(2I − 1)). Of the equivalent sets of Euler angles those with active β ≤ 90° are given.

    [bold cyan]efg-jax observables ethanol.magres --reference C=170,O=287.5,H=30.5[/]

    [bold cyan]efg-jax observables predicted.extxyz --species O --isotope 17O --csv sites.csv[/]
    """
    check_outputs({"--csv": csv, "--json": json}, inputs=files)
    isotopes, references = options.parse_isotopes(isotope), options.parse_references(reference)
    elements, arrays = options.parse_species(species), options.parse_arrays(array)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.observables import site_observables

        progress.stage(f"reading {', '.join(files)}")
        frames = read_tensors(files, arrays, index)
        found = site_observables(
            frames,
            species=elements,
            isotopes=isotopes,
            reference=references,
            convention=options.parse_names(convention) or "maryland",
            rotation=rotation,
            efg_axes=efg_axes,
            tensors=("efg", "ms") if tensor == "both" else tensor,
        )
        progress.wrote(*_write(found, csv, json))
    _print(found)


def _write(found: "SiteObservables", csv: Path | None, json: Path | None) -> list[Path]:
    if csv is not None:
        found.to_csv(csv)
    if json is not None:
        found.to_json(json)
    return [path for path in (csv, json) if path is not None]


def _print(found: "SiteObservables") -> None:
    """On a terminal in parts, where the whole is too wide for it."""
    if not sys.stdout.isatty():
        typer.echo(str(found))
        return
    from rich.console import Console

    console = Console(highlight=False)
    whole = found.table()
    if console.measure(whole).minimum <= console.width:
        console.print(whole)
        return
    for part in ("quadrupolar", "shielding", "angles"):
        if found.names(part):
            console.print(found.table(part))
