"""`efg-jax spectrum`."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import read_tensors
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs, require_suffix
from efg_jax.cli.predict import parse_indices
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

SAMPLE, MEASUREMENT, WINDOW = "Sites", "Measurement", "Axis"


def spectrum(
    files: options.TensorFiles,
    *,
    isotope: Annotated[
        str, typer.Option(metavar="NUCLIDE", help="Nucleus: 17O.", rich_help_panel=SAMPLE, show_default=False)
    ],
    field: Annotated[
        float, typer.Option(metavar="TESLA", help="Magnetic field.", rich_help_panel=MEASUREMENT, show_default=False)
    ],
    reference: Annotated[
        str | None,
        typer.Option(
            metavar="PPM",
            help="Shielding σ_ref of the reference compound, computed as that of the files (ms): 287.5, or O=287.5.",
            rich_help_panel=SAMPLE,
        ),
    ] = None,
    shift: Annotated[
        float | None,
        typer.Option(
            metavar="PPM",
            help="Instead of a reference, one shift for all sites, for files without shielding: 0.",
            rich_help_panel=SAMPLE,
        ),
    ] = None,
    indices: Annotated[
        str | None,
        typer.Option(
            metavar="LIST",
            help="These atoms of every structure only, numbered from 0: 0,5,10-20.",
            rich_help_panel=SAMPLE,
        ),
    ] = None,
    index: options.FrameIndex = ":",
    array: options.TensorArrays = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Compute equivalent sites once.", rich_help_panel=SAMPLE)
    ] = False,
    spinning: Annotated[
        str | None,
        typer.Option(
            metavar="HZ|inf|static",
            help="Rate of magic-angle spinning: 20000, inf or static. Without it static (MQMAS: inf).",
            rich_help_panel=MEASUREMENT,
        ),
    ] = None,
    transitions: Annotated[
        Literal["central", "all"] | None,
        typer.Option(
            help="Central transition or all. Without it central where the spin has one.", rich_help_panel=MEASUREMENT
        ),
    ] = None,
    order: Annotated[
        int,
        typer.Option(
            min=1, max=2, help="Of the quadrupolar coupling: first, or second as well.", rich_help_panel=MEASUREMENT
        ),
    ] = 2,
    no_csa: Annotated[
        bool, typer.Option("--no-csa", help="Leave the anisotropy of the shift out.", rich_help_panel=MEASUREMENT)
    ] = False,
    no_efg: Annotated[
        bool, typer.Option("--no-efg", help="Leave the quadrupolar coupling out.", rich_help_panel=MEASUREMENT)
    ] = False,
    mqmas: Annotated[
        int | None,
        typer.Option(
            "--mqmas",
            metavar="QUANTA",
            help="Two dimensions: sheared MQMAS with 3, 5, 7 or 9 quanta, at infinite spinning rate.",
            rich_help_panel=MEASUREMENT,
        ),
    ] = None,
    broadening: Annotated[
        str | None,
        typer.Option(
            metavar="WIDTH",
            help="Full width at half maximum: '200 Hz', '1 ppm', 'lorentzian 1 ppm'. Without it none (MQMAS: 1 ppm).",
            rich_help_panel=MEASUREMENT,
        ),
    ] = None,
    width: Annotated[
        float | None,
        typer.Option(metavar="HZ", help="Spectral width; without it as wide as the pattern.", rich_help_panel=WINDOW),
    ] = None,
    offset: Annotated[
        float | None, typer.Option(metavar="HZ", help="Middle of the window.", rich_help_panel=WINDOW)
    ] = None,
    points: Annotated[int | None, typer.Option(metavar="N", help="Number of points.", rich_help_panel=WINDOW)] = None,
    per_site: Annotated[
        bool,
        typer.Option(
            "--per-site", help="Also the contribution of each site, in table and picture.", rich_help_panel=OUTPUT
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Table to write, CSV.", rich_help_panel=OUTPUT, show_default=False),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Picture to write: .png, .pdf or .svg.", rich_help_panel=OUTPUT, show_default=False
        ),
    ] = None,
    mrsim: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Sites and method as a file of mrsimulator to write.", rich_help_panel=OUTPUT
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Simulate the powder spectrum of one isotope, from the tensors in files.

    All structures of all files add up to one spectrum: polymorphs, snapshots, or what [cyan]efg-jax predict[/] wrote. The chemical shift needs the shielding of a
    reference compound; --shift 0 does without the shielding. Every nucleus has the same area. Needs mrsimulator: pip install 'efg-jax\\[spectra]'.

    [bold cyan]efg-jax spectrum quartz.magres --isotope 17O --field 14.1 --reference 287.5 --spinning 20000 --broadening '200 Hz' --out o17.csv --plot o17.png[/]

    [bold cyan]efg-jax spectrum predicted.extxyz --isotope 17O --field 18.8 --shift 0 --mqmas 3 --plot 3qmas.png[/]
    """
    outputs = {"--out": out, "--plot": plot, "--mrsim": mrsim}
    if not any(outputs.values()):
        raise InputError("nothing to write; give --out spectrum.csv, --plot spectrum.png or --mrsim spectrum.mrsim")
    check_outputs(outputs, inputs=files)
    if out is not None and out.exists() <= out.is_file():  # a device takes anything
        require_suffix(out, (".csv",), "spectrum")
    rate = parse_spinning(spinning or ("static" if mqmas is None else "inf"))
    choice = {"reference": parse_reference(reference, isotope), "shift": shift, "indices": parse_indices(indices)}
    line = {} if broadening is None else {"broadening": broadening}
    common = {"isotope": isotope, "field": field, "merge": merge, "csa": not no_csa, **choice, **line}
    one = {"spinning": rate, "transitions": transitions, "order": order, "efg": not no_efg}
    one |= {"width": width, "offset": offset, "points": points}
    if mqmas is not None:
        _refuse_beside_mqmas(one, mrsim)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import plots, spectra

        progress.stage(f"reading {', '.join(files)}")
        frames = read_tensors(files, options.parse_arrays(array), index)
        if out is not None or plot is not None:
            progress.stage("simulating")
            if mqmas is not None:
                found = spectra.mqmas(frames, quanta=mqmas, per_site=per_site, **common)
            else:
                found = spectra.spectrum(frames, per_site=per_site, **common, **one)
        progress.stage("writing")
        if out is not None:
            found.to_csv(out)
        if plot is not None:
            plots.save(found.plot(), plot)
        if mrsim is not None:
            spectra.write_mrsim(mrsim, frames, **common, **one)
        progress.wrote(*(path for path in outputs.values() if path is not None))


def parse_spinning(text: str) -> float:
    """Rate in Hz: "static" → 0, "inf" → ∞, or a number.

    Raises:
        InputError: none of them.
    """
    words = {"static": 0.0, "inf": math.inf, "infinite": math.inf}
    if text.strip().lower() in words:
        return words[text.strip().lower()]
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not rate >= 0.0:
        raise InputError(f"--spinning {text} is no rate; give Hz (20000), inf or static")
    return rate


def parse_reference(text: str | None, isotope: str) -> float | None:
    """Shielding of the reference: "287.5", or "O=287.5" for an isotope of oxygen.

    Raises:
        InputError: no number, or another element's.
    """
    if text is None:
        return None
    from efg_jax.tensors.nuclei import isotope as find_isotope

    symbol, equals, number = text.rpartition("=")
    nucleus = find_isotope(isotope)
    if equals and symbol.strip() != nucleus.symbol:
        raise InputError(f"--reference {text} is not for {nucleus}; write {nucleus.symbol}={number} or {number}")
    try:
        return float(number)
    except ValueError:
        raise InputError(f"--reference {text} is no shielding in ppm; write 287.5 or {nucleus.symbol}=287.5") from None


def _refuse_beside_mqmas(one: dict[str, Any], mrsim: Path | None) -> None:
    plain = {"spinning": (math.inf,), "transitions": (None, "central"), "order": (2,), "efg": (True,)}
    plain |= {"width": (None,), "offset": (None,), "points": (None,)}
    for name, value in one.items():
        if value not in plain[name]:
            option = "no-efg" if name == "efg" else name
            raise InputError(
                f"--{option} does not go with --mqmas, which is the central transition to second order at infinite rate; leave it out"
            )
    if mrsim is not None:
        raise InputError("--mrsim holds a spectrum of one dimension; leave --mqmas out")
