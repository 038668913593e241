"""Latency of the first prediction in a notebook, and of `efg-jax predict` without and with compiled programs on disk.

Everything in fresh processes; the folder of compiled programs is empty for the first command, and as it left it for
the second.

python benchmarks/latency.py [--structures 100]
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

PROBE = """
import sys, time
start = time.perf_counter()
import efg_jax as ej
ej.TensorGPR, ej.load  # names are imported when they are first used
imported = time.perf_counter()
first, second = [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) == 12][:2]
ready = time.perf_counter()
model = ej.load(sys.argv[1])
loaded = time.perf_counter()
model.predict(first)
predicted = time.perf_counter()
model.predict(second)
again = time.perf_counter()
print(imported - start, loaded - ready, predicted - loaded, again - predicted)
"""


COMMAND = "from efg_jax.cli import main; main()"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, default=100, help="in the training set of the model that is loaded")
    arguments = parser.parse_args()
    import efg_jax as ej

    with tempfile.TemporaryDirectory() as folder:
        model, cells = Path(folder) / "model.npz", Path(folder) / "cells.extxyz"
        frames = ej.datasets.load("silica-efg")
        ej.TensorGPR(species="O").fit(frames[: arguments.structures]).save(model)
        ej.io.write(cells, frames[arguments.structures : arguments.structures + 10])
        title = f"¹⁷O model of {arguments.structures} structures, {model.stat().st_size / 1024:.0f} KiB"
        Console().print(notebook(model, title))
        Console().print(command_line(model, cells, Path(folder)))


def notebook(model: Path, title: str) -> Table:
    """Wall seconds of the steps of one process."""
    run = subprocess.run([sys.executable, "-c", PROBE, str(model)], capture_output=True, text=True, check=True)
    names = (
        "import efg_jax",
        "load a model",
        "first prediction, compilation included",
        "second structure of the same size",
    )
    table = Table("what", "seconds", title=title)
    for name, seconds in zip(names, map(float, run.stdout.split()), strict=True):
        table.add_row(name, f"{seconds:.2f}")
    return table


def command_line(model: Path, cells: Path, folder: Path) -> Table:
    """Wall and CPU seconds of whole commands."""
    compiled = folder / "compiled"
    predict = ("predict", model, cells, "--out", folder / "out.extxyz", "--quiet")
    table = Table("command", "compiled programs", "wall s", "CPU s", title="efg-jax in a fresh process")
    for name, kept, arguments in (
        ("--help", "not needed", ("--help",)),
        ("predict, 10 structures", "off", predict),
        ("predict, 10 structures", "empty folder", predict),
        ("predict, 10 structures", "filled folder", predict),
    ):
        wall, cpu = seconds_of(arguments, "off" if kept == "off" else str(compiled))
        table.add_row(name, kept, f"{wall:.1f}", f"{cpu:.1f}")
    entries = [path.stat().st_size for path in compiled.iterdir()]
    table.caption = f"{len(entries)} programs, {sum(entries) / 1024:.0f} KiB"
    return table


def seconds_of(arguments: tuple, kept: str) -> tuple[float, float]:
    """Wall and CPU seconds of a command."""
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", COMMAND, *map(str, arguments)],
        env=environment | {"EFG_JAX_CACHE": kept},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.perf_counter() - started, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
