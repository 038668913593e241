"""How commands end: the one place where bad input becomes a line on stderr and an exit status."""

import inspect
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperGroup

from efg_jax.errors import InputError

BAD_INPUT = 2
INTERRUPTED = 130


class Commands(TyperGroup):
    """Commands that answer bad input with one line on stderr and status 2, Ctrl-C with one and 130; bugs keep their traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except InputError as error:
            typer.echo(f"efg-jax: error: {' '.join(str(error).split())}", err=True)
            raise typer.Exit(BAD_INPUT) from error
        except KeyboardInterrupt as error:
            typer.echo("efg-jax: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from error


def help_of(command: Callable[..., None]) -> str:
    """The docstring with one line a paragraph, so that it wraps at the width of the terminal and not at that of the source."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.getdoc(command).split("\n\n"))
