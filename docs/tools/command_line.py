"""The page on the command line, from the command line itself: every command, argument and option with its help."""

import re

from efg_jax.cli import COMMANDS, app

# The name of a command, and its text up to the next one.
SECTION = re.compile(r"^## efg-jax (\S+)\n(.*?)(?=^## |\Z)", re.M | re.S)
INTRODUCTION = """\
# Command line

Every command explains its options with `--help`. Tables go to stdout, progress and errors to stderr. The exit status is
0 (done), 2 (bad input or usage: one line says where, what, and what to do) or 130 (interrupted). Outputs appear whole
or not at all.

## Completion

```text
efg-jax --install-completion      # for your shell, from the next session on
```

Then the Tab key completes commands, options and choices.
"""


def page() -> str:
    """Markdown of the whole page."""
    text = app.generate_docs(output_format="markdown").replace("```console\n", "```text\n")
    sections = dict(SECTION.findall(text))
    names = [name.replace("_", "-") for name in COMMANDS]
    return "\n\n".join([INTRODUCTION, *(f"## {name}\n{sections[name]}" for name in names)])
