"""How long a newcomer waits: import, first prediction (compilation included), second prediction; each in a fresh process.

python benchmarks/latency.py [--structures 100]
"""

import argparse
import subprocess
import sys
import tempfile
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--structures", type=int, default=100, help="in the training set of the model that is loaded")
    arguments = parser.parse_args()
    import efg_jax as ej

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.npz"
        ej.TensorGPR(species="O").fit(ej.datasets.load("silica-efg")[: arguments.structures]).save(path)
        size = path.stat().st_size
        run = subprocess.run([sys.executable, "-c", PROBE, str(path)], capture_output=True, text=True, check=True)
    names = (
        "import efg_jax",
        "load a model",
        "first prediction, compilation included",
        "second structure of the same size",
    )
    table = Table("what", "seconds", title=f"¹⁷O model of {arguments.structures} structures, {size / 1024:.0f} KiB")
    for name, seconds in zip(names, map(float, run.stdout.split()), strict=True):
        table.add_row(name, f"{seconds:.3f}")
    Console().print(table)


if __name__ == "__main__":
    main()
