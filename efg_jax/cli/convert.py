"""`efg-jax convert`."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from efg_jax.cli import options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.progress import Progress, listed
from efg_jax.errors import InputError
from efg_jax.text import counted

SITES = Fields(
    "efg_jax.io.simpson:write_simpson",
    {
        "species": {"type": options.Species},
        "sites": {"type": options.Indices, "name": "--indices"},
        "isotopes": {"type": options.Isotopes},
        "reference": {"type": options.References},
    },
    options.DATA,
)
WHOLE = ("extxyz", "magres")
ONLY = {"sites": ("simpson", "mrsim"), "shift": ("mrsim",)}


@takes(SITES, options.MOMENTS)
def convert(
    *files: options.Files,
    out: Annotated[Path, Parameter(metavar="FILE", group=options.OUTPUT)],
    format: Annotated[
        Literal["extxyz", "magres", "simpson", "chemiscope", "csv", "mrsim"] | None, Parameter(group=options.OUTPUT)
    ] = None,
    source: options.Tensors = options.TENSORS,
    shift: Annotated[float | None, Parameter(metavar="PPM", group=options.OUTPUT)] = None,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Write structures with tensors in the format of another program.

    extxyz, chemiscope, csv and mrsim hold many structures; magres and SIMPSON hold one, which --index selects.
    --species, --isotope and --reference are for formats of sites (SIMPSON, chemiscope, CSV, mrsimulator); SIMPSON's
    shifts need references. .extxyz is compressed if .gz, .bz2 or .xz follows, .magres and .json if .gz does.

    ```
    efg-jax convert OUTCAR --out crystal.magres
    efg-jax convert ethanol.magres --species O --reference O=287.5 --out o17.spinsys
    efg-jax convert predicted.extxyz --out predicted.chemiscope.json.gz
    ```

    Args:
        out: File to write: .extxyz, .magres, .spinsys or .in (SIMPSON), .json (chemiscope), .csv (observables), .mrsim
            (mrsimulator).
        format: What to write, where the name of the file does not say it.
        shift: For a mrsimulator file, instead of a reference: one shift for all sites, for files without shielding: 0.
    """
    check_outputs({"--out": out}, inputs=files)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.datasets.sources import read_structures
        from efg_jax.io.writing import format_of, write

        named = given.of(SITES) | ({} if shift is None else {"shift": shift})
        chosen = _options(format_of(out, format), named)  # before anything is read
        progress.stage(f"reading {listed(files)}")
        frames = read_structures(files, source.index, source.array)
        progress.stage(f"writing {out}")
        write(out, frames, format, **chosen)
        progress.wrote(f"{out} ({counted(len(frames), 'structure')})")


def _options(form: str, named: dict[str, Any]) -> dict[str, Any]:
    """What was given, as the format's writer calls it."""
    flags = {"shift": "--shift"} | {name: SITES.option(name) for name in SITES.names}
    if form in WHOLE and named:
        raise InputError(
            f"{flags[next(iter(named))]} is for formats of sites (SIMPSON, chemiscope, CSV, mrsimulator); {form} holds "
            "whole structures, so leave it out"
        )
    for name, forms in ONLY.items():
        if name in named and form not in forms:
            raise InputError(f"{flags[name]} is for {' and '.join(forms)}, not for {form}; leave it out")
    return _of_one_nucleus(**named) if form == "mrsim" else named


def _of_one_nucleus(
    isotopes: dict[str, Any] | None = None,
    reference: dict[str, float] | None = None,
    species: tuple[str, ...] | None = None,
    sites: list[int] | None = None,
    shift: float | None = None,
) -> dict[str, Any]:
    """The same for a file of mrsimulator's."""
    if len(isotopes or ()) != 1:
        raise InputError("mrsimulator's file is of one nucleus; name it, as --isotope 17O")
    ((symbol, nucleus),) = isotopes.items()
    if reference is not None and list(reference) != [symbol]:
        raise InputError(f"--reference must be that of {symbol}, of which the file is; write {symbol}=...")
    if species not in (None, (symbol,)):
        raise InputError(f"--species must be {symbol}, of which the file is; leave it out")
    return {
        "isotope": nucleus,
        "indices": sites,
        "reference": None if reference is None else reference[symbol],
        "shift": shift,
    }
