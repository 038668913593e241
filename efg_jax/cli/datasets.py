"""`efg-jax datasets`."""

from typing import Annotated

import typer


def datasets(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """List the data sets that ship: their names stand for files wherever DATA are asked for.

    Their data cards (level of theory, accuracy, provenance) are beside the data, and in Python
    [cyan]efg_jax.datasets.card(NAME)[/].
    """
    import dataclasses
    import json

    from efg_jax.datasets import describe

    rows = describe()
    if as_json:
        typer.echo(json.dumps([dataclasses.asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return

    import sys

    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("structures", justify="right")
    table.add_column("EFG tensors")
    for heading in ("what", "level of theory", "licence"):
        table.add_column(heading)
    for row in rows:
        counts = ", ".join(f"{count} {symbol}" for symbol, count in row.tensors.items())
        table.add_row(row.name, str(row.structures), counts, row.title, row.level_of_theory, row.licence)
    # Where nobody looks at a terminal there is no width to keep to.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)
