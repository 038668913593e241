"""The pictures of the page on pictures, made by its own examples: `python docs/tools/examples.py`."""

import os
import re
import tempfile
from pathlib import Path

from palette import small

import efg_jax as ej

PAGE = Path(__file__).parents[1] / "how-to" / "pictures.md"
EXAMPLE = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def main() -> None:
    """Run the examples on held-out silica with a small model, and keep the pictures that the page shows."""
    train, test = ej.split(ej.datasets.load("silica-efg")[:247:2], test=0.4, seed=0)
    page = PAGE.read_text(encoding="utf-8")
    names = {"frames": test, "atoms": next(atoms for atoms in test if len(atoms) == 9)}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        ej.TensorGPR(ej.LambdaSOAP(cutoff=4.0, nmax=4, lmax=3), species="O").fit(train).save("o17.npz")
        for code in EXAMPLE.findall(page):
            exec(compile(code, str(PAGE), "exec"), names)
        for picture in re.findall(r"\]\((\w+\.png)\)", page):
            (PAGE.parent / picture).write_bytes(small(Path(picture).read_bytes()))
        os.chdir(PAGE.parent)  # the folder is about to go


if __name__ == "__main__":
    main()
