"""The page on the command line, from the command line itself: every command, argument and option with its help."""

import inspect
import re
from collections import defaultdict
from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple, get_args, get_origin

from typer.models import ArgumentInfo, OptionInfo

from efg_jax.cli import app
from efg_jax.cli.commands import help_of

INTRODUCTION = """\
# Command line

Every command says what it takes with `--help`, writes tables to stdout, progress and errors to stderr, and ends with status 0 (done),
2 (bad input or usage: one line that says where, what, and how to mend it) or 130 (interrupted). Outputs appear whole or not at all.

## Completion

```text
efg-jax --install-completion      # for the shell at hand: bash, zsh, fish, PowerShell; from the next one on
efg-jax --show-completion         # prints it instead, to be put where you like
```

Then the Tab key completes commands, options and choices.
"""


class Parameter(NamedTuple):
    """One argument or option of a command."""

    name: str
    info: ArgumentInfo | OptionInfo
    kind: Any
    default: Any


def page() -> str:
    """Markdown of the whole page."""
    commands = {
        info.name or info.callback.__name__.replace("_", "-"): info.callback for info in app.registered_commands
    }
    return "\n".join(
        [INTRODUCTION, *(line for name, callback in commands.items() for line in _section(name, callback))]
    )


def _section(name: str, callback: Callable[..., None]) -> list[str]:
    declared = inspect.signature(callback).parameters.values()
    parameters = [_parameter(parameter) for parameter in declared if get_origin(parameter.annotation) is Annotated]
    arguments = [parameter for parameter in parameters if isinstance(parameter.info, ArgumentInfo)]
    panels = defaultdict(list)
    for parameter in parameters:
        if isinstance(parameter.info, OptionInfo) and not parameter.info.hidden:
            panels[parameter.info.rich_help_panel or "Options"].append(parameter)
    usage = " ".join(["efg-jax", name, *(_argument(parameter) for parameter in arguments), "[OPTIONS]"])
    lines = [f"## {name}", "", "```text", usage, "```", "", _markdown(help_of(callback)), ""]
    for title, members in {"Arguments": arguments, **panels}.items():
        if members:
            lines += [f"| {title} | |", "|---|---|", *map(_row, members), ""]
    return lines


def _parameter(parameter: inspect.Parameter) -> Parameter:
    kind, *metadata = get_args(parameter.annotation)
    info = next(entry for entry in metadata if isinstance(entry, ArgumentInfo | OptionInfo))
    return Parameter(parameter.name, info, kind, parameter.default)


def _argument(parameter: Parameter) -> str:
    name = parameter.info.metavar or parameter.name.upper()
    return f"{name}..." if get_origin(parameter.kind) is list else name


def _row(parameter: Parameter) -> str:
    text = _markdown(parameter.info.help or "")
    if isinstance(parameter.info, ArgumentInfo):
        names = f"`{_argument(parameter)}`"
    else:
        # In Annotated the first name that is declared arrives as the default.
        declared = [
            name for name in (parameter.info.default, *(parameter.info.param_decls or ())) if isinstance(name, str)
        ]
        names = ", ".join(f"`{name}`" for name in declared or [f"--{parameter.name.replace('_', '-')}"])
        if (value := _value(parameter)) is not None:
            names += f" `{value}`"
    if parameter.default is inspect.Parameter.empty:
        text += " **Required.**"
    elif parameter.default not in (None, False) and parameter.info.show_default is not False:
        text += f" Default: `{parameter.default}`."
    return f"| {_cell(names)} | {_cell(text)} |"


def _value(parameter: Parameter) -> str | None:
    """What follows the option, None for a switch."""
    kinds = [parameter.kind, *get_args(parameter.kind)]
    if bool in kinds:
        return None
    choices = next((get_args(kind) for kind in kinds if get_origin(kind) is Literal), ())
    return parameter.info.metavar or "|".join(map(str, choices)) or parameter.name.upper()


def _markdown(text: str) -> str:
    """Rich's markup as Markdown: an example is a block of code, and so are names."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        example = re.fullmatch(r"\[bold cyan\](.*)\[/\]", paragraph.strip())
        paragraphs.append(
            f"```text\n{example[1]}\n```"
            if example
            else re.sub(r"\[(?:bold cyan|bold|cyan)\](.*?)\[/\]", r"`\1`", paragraph)
        )
    return "\n\n".join(paragraphs)


def _cell(text: str) -> str:
    """Fit for a table: bars outside of code would end the cell."""
    parts = text.replace("\n", " ").split("`")
    return "`".join(part if number % 2 else part.replace("|", "&#124;") for number, part in enumerate(parts))
