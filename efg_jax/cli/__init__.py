"""The command line, `efg-jax`. A command is imported when it runs or shows its help, and JAX only when it runs."""

import os
import re
import sys
from collections.abc import Sequence

from cyclopts import App, CoercionError, CycloptsError, MissingArgumentError, Parameter

from efg_jax.cli.interrupts import heed_interrupts
from efg_jax.cli.option_fields import help_of
from efg_jax.compilation import use_environment
from efg_jax.errors import InputError
from efg_jax.version import __version__

__all__ = ["app", "main", "run"]

BAD_INPUT, INTERRUPTED = 2, 130
FRACTION = re.compile(r"[-+]?\d*(\.\d*([eE][-+]?\d+)?|[eE][-+]?\d+)")
COMMANDS = (
    *("audit", "train", "tune", "evaluate", "predict", "learning_curve"),
    *("observables", "convert", "spectrum", "average", "alignment_echo", "sensitivity", "order", "datasets"),
)
HELP = """Learn the tensors behind solid-state NMR from first-principles structures.

Electric field gradients, shielding and other tensors, one per atom or one per structure: train a model, evaluate it in
the quantities that a spectrometer measures (C_Q, η, orientation, ν_Q), predict new structures.

A first example, with data that ship:

```
efg-jax train silica-efg --index :247 --species O --out o17.npz
```

Tables go to stdout, progress and errors to stderr. Exit status: 0 done, 1 an audit found errors, 2 bad input or
usage, 130 interrupted.
"""


def _shown(default: object) -> str | None:
    """How the help page shows a default."""
    hidden = default is None or default is False or default == ()
    return None if hidden else str(default)


def _refuse_fractions(app: App, commands: object, arguments: Sequence) -> None:
    """Refuse 3.5 for a whole number, which cyclopts would round."""
    for argument in arguments:
        for token in argument.tokens:
            if argument.hint in (int, int | None) and FRACTION.fullmatch(token.value):
                raise CoercionError(argument=argument, token=token, target_type=int)


def choose_moments(app: App, commands: object, arguments: Sequence) -> None:
    """Take the quadrupole moments that --moments names, before other options look up nuclei."""
    for argument in arguments:
        if argument.name == "--moments":
            chosen = argument.tokens[-1].value if argument.tokens else "pyykko2008"
            if argument.tokens or "efg_jax.tensors.nuclei" in sys.modules:
                from efg_jax.tensors.nuclei import MOMENTS, use_moments

                use_moments(chosen if chosen in MOMENTS else "pyykko2008")  # cyclopts refuses others


app = App(
    name="efg-jax",
    help=HELP,
    help_format="markdown",
    version=f"efg-jax {__version__}",
    version_flags=["--version"],
    config=(_refuse_fractions, choose_moments),
    default_parameter=Parameter(negative=(), show_default=_shown, allow_repeating=True),
    exit_on_error=False,
    print_error=False,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
app.register_install_completion_command()
for _place, _name in enumerate(COMMANDS):
    _module = f"efg_jax.cli.{_name}"
    app.command(f"{_module}:{_name}", name=_name.replace("_", "-"), help=help_of(_module, _name), sort_key=_place)


def run(words: Sequence[str] | None = None) -> int:
    """Run a command; bad input ends in one line on stderr. Bugs keep their traceback.

    Args:
        words: the command line without the name of the program; None: that of this process.

    Returns:
        Exit status: what the command returns, which is 0 if nothing; 2 bad input or usage, 130 interrupted.
    """
    words = sys.argv[1:] if words is None else list(words)
    try:
        if words:
            return app(words) or 0
        app.help_print([])
        return BAD_INPUT
    except (CycloptsError, InputError) as error:
        print(f"efg-jax: error: {_line(error)}", file=sys.stderr)
        _leave_other_processes()
        return BAD_INPUT
    except KeyboardInterrupt:
        print("efg-jax: interrupted", file=sys.stderr)
        return INTERRUPTED


def main() -> None:
    """Entry point of the `efg-jax` script."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # η and λ must not fail on a terminal that cannot show them
    heed_interrupts()
    use_environment()  # JAX reads it when it is imported
    sys.exit(run())


def _line(error: CycloptsError | InputError) -> str:
    """The message in one line; of a text that the reader of an option refused, what the reader says."""
    if isinstance(error, MissingArgumentError) and error.argument is not None:
        command = " ".join(["efg-jax", *(error.command_chain or ())])
        return f"{error.argument.name} is missing, or has no value; `{command} --help` shows how to give it"
    refused = isinstance(error, CycloptsError) and isinstance(error.__cause__, InputError)
    return " ".join(str(error.__cause__ if refused else error).split())


def _leave_other_processes() -> None:
    """End this process at once where it is one of several: an orderly end would wait for the others, which wait for
    it.
    """
    jax = sys.modules.get("jax")
    if jax is not None and jax.distributed.is_initialized():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(BAD_INPUT)
