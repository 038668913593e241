"""How commands end: the one place where bad input becomes a line on stderr and an exit status."""

import inspect
import os
import sys
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
            _leave_other_processes()
            raise typer.Exit(BAD_INPUT) from error
        except KeyboardInterrupt as error:
            typer.echo("efg-jax: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from error


def _leave_other_processes() -> None:
    """End this process at once where it is one of several: an orderly end would first wait for the others, which wait for this one."""
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(BAD_INPUT)


def help_of(command: Callable[..., None]) -> str:
    """The docstring with one line a paragraph, so that it wraps at the width of the terminal and not at that of the source."""
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in inspect.getdoc(command).split("\n\n"))
