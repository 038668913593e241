"""`efg-jax datasets`."""

import sys
from typing import Annotated

from cyclopts import Parameter


def datasets(*, as_json: Annotated[bool, Parameter("--json")] = False) -> None:
    """List the data sets that ship: their names stand for files wherever DATA are expected.

    Their data cards (level of theory, accuracy, provenance) are beside the data; in Python,
    `efg_jax.datasets.card(NAME)`.

    ```
    efg-jax datasets
    ```

    Args:
        as_json: Print JSON instead of a table.
    """
    import dataclasses
    import json

    from rich import box
    from rich.console import Console
    from rich.table import Table

    from efg_jax.datasets import describe

    rows = describe()
    if as_json:
        print(json.dumps([dataclasses.asdict(row) for row in rows], indent=2, ensure_ascii=False))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("name", style="bold", no_wrap=True)
    table.add_column("structures", justify="right")
    for heading in ("EFG tensors", "what", "level of theory", "licence"):
        table.add_column(heading)
    for row in rows:
        counts = ", ".join(f"{count} {symbol}" for symbol, count in row.tensors.items())
        table.add_row(row.name, str(row.structures), counts, row.title, row.level_of_theory, row.licence)
    # A pipe has no width to keep to.
    Console(width=None if sys.stdout.isatty() else 200, highlight=False).print(table)
