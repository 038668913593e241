"""`efg-jax observables`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from efg_jax.cli import options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.parsing import parse_names, several
from efg_jax.cli.progress import Progress, listed
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from efg_jax.observables import NqrTable, SiteObservables

TABLE = Fields(
    "efg_jax.observables.tabulation:site_observables",
    {
        "species": {"type": options.Species},
        "isotopes": {"type": options.Isotopes},
        "reference": {"type": options.References},
        "convention": {"type": Annotated[tuple[Any, ...] | str, several(parse_names, metavar="NAME")]},
        "rotation": {"type": Literal["active", "passive"]},
        "efg_axes": {"type": Literal["nqr", "haeberlen"]},
    },
    options.OUTPUT,
)


@takes(TABLE, options.MOMENTS)
def observables(
    *files: options.Files,
    tensor: Annotated[Literal["both", "efg", "ms"], Parameter(group=options.DATA)] = "both",
    source: options.Tensors = options.TENSORS,
    nqr: Annotated[bool, Parameter(group=options.OUTPUT)] = False,
    csv: options.File = None,
    json: options.File = None,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Tabulate the NMR observables of every site: C_Q, P_Q, η, ν_Q, shielding or shift, its anisotropy, Euler angles.

    ν_Q is the first-order splitting 3C_Q/(2I(2I − 1)). Of the equivalent sets of Euler angles, those with active β ≤
    90° are given.

    ```
    efg-jax observables ethanol.magres --reference C=170,O=287.5,H=30.5
    efg-jax observables predicted.extxyz --species O --isotope 17O --csv sites.csv
    efg-jax observables chloride.magres --species Cl --nqr
    ```

    Args:
        tensor: Which tensors to tabulate, of those in the files.
        nqr: Tabulate the frequencies of pure quadrupole resonance, without a field, line by line, instead.
        csv: Also write the table as CSV.
        json: Also write the table as JSON, with units, conventions and nuclei.
    """
    check_outputs({"--csv": csv, "--json": json}, inputs=files)
    asked = given.of(TABLE)
    other = [TABLE.option(name) for name in asked if name not in ("species", "isotopes")]
    if nqr and (other := [*other, *(["--tensor"] if tensor == "ms" else [])]):
        raise InputError(f"{other[0]} does not go with --nqr, a table of field gradients; leave one of them out")
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.datasets.sources import read_structures
        from efg_jax.observables import nqr_table, site_observables

        progress.stage(f"reading {listed(files)}")
        frames = read_structures(files, source.index, source.array)
        tensors = ("efg", "ms") if tensor == "both" else tensor
        found = nqr_table(frames, **asked) if nqr else site_observables(frames, tensors=tensors, **asked)
        if csv is not None:
            found.to_csv(csv)
        if json is not None:
            found.to_json(json)
        progress.wrote(csv, json)
    _print(found)


def _print(found: "SiteObservables | NqrTable") -> None:
    """On a terminal in parts, where the whole is too wide for it."""
    if not (sys.stdout.isatty() and hasattr(found, "names")):
        print(found)
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
