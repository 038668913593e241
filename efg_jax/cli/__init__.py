"""The command line, `efg-jax`: train, evaluate, predict, and the data sets that ship.

A command imports what it works with when it runs, so that ``--help`` does not wait for JAX.
"""

import sys
from typing import Annotated

import typer

from efg_jax.cli import (
    average,
    convert,
    datasets,
    evaluate,
    learning_curve,
    observables,
    predict,
    sensitivity,
    spectrum,
    train,
    tune,
)
from efg_jax.cli.commands import Commands, help_of
from efg_jax.cli.interrupts import heed_interrupts
from efg_jax.compilation import use_environment

__all__ = ["app", "main"]

app = typer.Typer(
    name="efg-jax",
    cls=Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # what is no InputError is a bug, and its whole traceback is wanted
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> bool:
    if wanted:
        from efg_jax import __version__

        typer.echo(f"efg-jax {__version__}")
        raise typer.Exit
    return wanted


def _efg_jax(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Learn the tensors behind solid-state NMR from first-principles structures.

    Electric field gradients, shielding and other tensors, one an atom or one a structure: train a model, judge it in the quantities
    that a spectrometer sees (C_Q, η, orientation, ν_Q), predict new structures.

    A first look, on data that ship:

    [bold cyan]efg-jax train silica-efg --index :247 --species O --out o17.npz[/]

    Tables go to stdout, progress and errors to stderr. Exit status: 0 done, 2 bad input or usage, 130 interrupted.
    """


app.callback(help=help_of(_efg_jax))(_efg_jax)
for command in (
    train.train,
    tune.tune,
    evaluate.evaluate,
    predict.predict,
    learning_curve.learning_curve,
    observables.observables,
    convert.convert,
    spectrum.spectrum,
    average.average,
    sensitivity.sensitivity,
    datasets.datasets,
):
    app.command(help=help_of(command))(command)


def main() -> None:
    """Entry point of the `efg-jax` script."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # η and λ must not fail on a terminal that cannot show them
    heed_interrupts()
    use_environment()  # JAX reads it when it is imported
    app()
