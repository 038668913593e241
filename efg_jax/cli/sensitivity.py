"""`efg-jax sensitivity`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from efg_jax.cli import options
from efg_jax.cli.average import parse_direction
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs, print_report
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from efg_jax.sensitivity import Sensitivity

QUANTITY = "Quantity"
NAMES = {"cq": "c_q", "pq": "p_q", "nuq": "nu_q", "vzz": "v_zz", "η": "eta", "η²": "eta_squared", "eta2": "eta_squared", "δ_iso": "delta_iso", "σ_iso": "sigma_iso", "ω": "span", "κ": "skew", "δ": "delta_iso"}  # fmt: skip


def sensitivity(
    model: options.ModelFile,
    structure: Annotated[
        str,
        typer.Argument(
            metavar="STRUCTURE", help="File with the structure, in any format that ASE reads.", show_default=False
        ),
    ],
    *,
    atom: Annotated[
        int,
        typer.Option(
            metavar="INDEX",
            help="Atom whose quantity it is, numbered from 0.",
            rich_help_panel=QUANTITY,
            show_default=False,
        ),
    ],
    frame: Annotated[
        int, typer.Option(metavar="N", help="Structure of the file, numbered from 0.", rich_help_panel=QUANTITY)
    ] = 0,
    quantity: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Of an EFG: C_Q (as without this option), P_Q, V_zz, eta, eta_squared, nu_Q; of a shielding: sigma_iso (as without), delta_iso, span, skew, anisotropy, eta.",
            rich_help_panel=QUANTITY,
        ),
    ] = None,
    isotope: Annotated[
        str | None,
        typer.Option(metavar="NUCLIDE", help="Nucleus; without it the one that NMR uses.", rich_help_panel=QUANTITY),
    ] = None,
    direction: Annotated[
        str | None,
        typer.Option(metavar="X,Y,Z", help="Of the magnetic field, for nu_Q: 0,0,1.", rich_help_panel=QUANTITY),
    ] = None,
    reference: Annotated[
        float | None,
        typer.Option(
            metavar="PPM", help="Shielding of the reference compound, for delta_iso.", rich_help_panel=QUANTITY
        ),
    ] = None,
    shells: Annotated[
        int,
        typer.Option(
            metavar="N", help="1: bonds and angles at the atom; 2: at its neighbours, too.", rich_help_panel=OUTPUT
        ),
    ] = 2,
    strain: Annotated[
        bool, typer.Option("--strain", help="Also print the derivative with respect to strain.", rich_help_panel=OUTPUT)
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the derivatives: .csv (one row an atom) or .json (everything).",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write the picture, arrows on the structure: .png, .pdf or .svg.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Say on which bonds and angles a coupling or shift of one atom depends: exact derivatives of the model's prediction.

    The table is sorted by what a displacement along the bond, or along the arc of the angle, does. --out has the derivatives with respect to
    every position (Hz/Å, 1/Å, ppm/Å) and, as JSON, strain.

    [bold cyan]efg-jax sensitivity o17.npz quartz.cif --atom 4 --quantity C_Q --plot arrows.png[/]
    """
    if out is not None and out.suffix.lower() not in (".csv", ".json"):
        raise InputError("is of no format that derivatives are written in; name it *.csv or *.json", file=str(out))
    check_outputs({"--out": out, "--plot": plot}, inputs=[model, structure])
    towards = parse_direction(direction)
    name = None if quantity is None else parse_quantity(quantity)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import io, load
        from efg_jax.sensitivity import gradient

        progress.stage(f"reading {model}")
        fitted = load(model)
        (atoms,) = io.read(structure, target=None, index=frame)
        progress.stage(
            f"differentiating at atom {atom} ({atoms.symbols[atom]})" if 0 <= atom < len(atoms) else "differentiating"
        )
        found = gradient(
            fitted, atoms, atom, name, isotope=isotope, direction=towards, reference=reference, shells=shells
        )
        _write(found, out, plot, progress)
    _print(found, strain)


def parse_quantity(text: str) -> str:
    """A quantity by its name or symbol, whose case means nothing but for Δ (the anisotropy) and δ (the shift)."""
    return "anisotropy" if text == "Δ" else NAMES.get(text.lower(), text.lower())


def _write(found: "Sensitivity", out: Path | None, plot: Path | None, progress: Progress) -> None:
    if out is not None:
        (found.to_csv if out.suffix.lower() == ".csv" else found.to_json)(out)
    if plot is not None:
        from efg_jax import plots

        plots.save(found.plot(), plot)
    progress.wrote(*(path for path in (out, plot) if path is not None))


def _print(found: "Sensitivity", strain: bool) -> None:
    print_report(found)
    if strain:
        unit, factor = found.unit
        print(
            f"per unit strain{f', {unit}' if unit else ''} (xx yy zz yz xz xy; a shear counts twice, as ε_yz and ε_zy)"
        )
        tensor = found.strain / factor
        print("  ".join(f"{tensor[i, j]:.6g}" for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))))
