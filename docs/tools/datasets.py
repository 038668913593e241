"""Figures of the data cards: what each data set covers. Run `python -m docs.tools.datasets` in the repository."""

from pathlib import Path

from ase import Atoms

import efg_jax as ej
from docs.tools.palette import small
from efg_jax import plots
from efg_jax.datasets.dataset_figure import dataset_figure
from efg_jax.datasets.shielding_figure import shielding_figure
from experiments.lto.dataset import BOND, NUCLEI, with_sites

FOLDER = Path(__file__).parents[1] / "data"


def main() -> None:
    """Draw every data set."""
    FOLDER.mkdir(exist_ok=True)
    for name in ej.datasets.names():
        plots.save(picture(name, ej.datasets.load(name)), path := FOLDER / f"{name}.png")
        path.write_bytes(small(path.read_bytes()))


def picture(name: str, frames: list[Atoms]) -> plots.Picture:
    """Field gradients of crystals, of the spinel by site; shieldings of molecules."""
    if name == "molecules-nmr":
        return shielding_figure(frames)
    if name == "lto-efg":
        return dataset_figure(with_sites(frames), by="site", bond=BOND, isotopes=NUCLEI)
    return dataset_figure(frames)


if __name__ == "__main__":
    main()
