"""The page on the command line, from the command line itself: every command, argument and option with its help."""

from efg_jax.cli import COMMANDS, app

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
    names = [name.replace("_", "-") for name in COMMANDS]
    return "\n\n".join([INTRODUCTION, *map(_section, names)])


def _section(name: str) -> str:
    text = app[name].generate_docs(output_format="markdown", heading_level=2, usage_name=f"efg-jax {name}")
    return text.replace("```console\n", "```text\n")
