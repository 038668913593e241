"""`efg-jax predict`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import read_structures
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError


def predict(
    model: options.ModelFile,
    structures: Annotated[
        list[str],
        typer.Argument(
            metavar="STRUCTURES",
            help="Structures in any format that ASE reads, trajectories too, or the name of a data set that ships.",
            show_default=False,
        ),
    ],
    *,
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            help="Extended XYZ to write; compressed where the name ends in .gz.",
            rich_help_panel=OUTPUT,
            show_default=False,
        ),
    ],
    variance: Annotated[
        bool, typer.Option("--variance", help="Also write how sure the model is: NAME_std.", rich_help_panel=OUTPUT)
    ] = False,
    precision: Annotated[
        Literal["float64", "float32"],
        typer.Option(
            help="Of the arithmetic; float32 is for accelerators, and off by up to a few per cent of the tensors.",
            rich_help_panel=OUTPUT,
        ),
    ] = "float64",
    isotope: options.Isotopes = None,
    quiet: options.Quiet = False,
) -> None:
    """Predict tensors of structures, and write both as extended XYZ.

    Each frame keeps what it carries and gains the target under its own name (nine numbers an atom, row by row, in place of any label
    that was there; NaN for elements that the model is not for); a target per structure becomes an entry of the comment line. EFG
    tensors come with [bold]c_q[/] (MHz, signed, NaN without a quadrupolar isotope) and [bold]eta[/]. A scalar model gives
    [bold]c_q_tilde, eta_tilde, theta, phi[/] (rad), [bold]v_nn[/] (V/Å²) and [bold]z_axis[/]. NAME_std is the posterior standard
    deviation of the whole tensor, √Σ var V_ij.

    [bold cyan]efg-jax predict o17.npz trajectory.extxyz --out predicted.extxyz[/]
    """
    check_outputs({"--out": out}, inputs=[model, *structures])
    isotopes = options.parse_isotopes(isotope)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import io
        from efg_jax.cli import annotation
        from efg_jax.models import ScalarGPR, load

        progress.stage(f"reading {model}")
        fitted = load(model, variance=variance)
        progress.stage(f"reading {', '.join(structures)}")
        frames = read_structures(structures)
        progress.stage(f"predicting {len(frames)} structures")
        if isinstance(fitted, ScalarGPR):
            _refuse_for_scalars(variance, precision)
            annotation.add_scalars(fitted, frames)
        else:
            annotation.add_tensors(fitted, frames, variance, precision, isotopes)
        progress.stage("writing")
        io.write(out, frames)
        progress.wrote(out)


def _refuse_for_scalars(variance: bool, precision: Literal["float64", "float32"]) -> None:
    if variance:
        raise InputError("a scalar model has no variance; leave --variance out, or train with --model tensor")
    if precision != "float64":
        raise InputError("a scalar model computes in float64 only; leave --precision out, or train with --model tensor")
