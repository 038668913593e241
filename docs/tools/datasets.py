"""The pictures of the data cards, what each data set covers: `python -m docs.tools.datasets`, in the folder of the repository."""

from pathlib import Path

import efg_jax as ej
from docs.tools.palette import small
from efg_jax import plots
from experiments.lto.dataset import BOND, NUCLEI, with_sites

FOLDER = Path(__file__).parents[1] / "data"


def main() -> None:
    """Draw every data set; the spinel by its sites."""
    FOLDER.mkdir(exist_ok=True)
    for name in ej.datasets.names():
        frames, of_sites = ej.datasets.load(name), name == "lto-efg"
        options = {"by": "site", "bond": BOND, "isotopes": NUCLEI} if of_sites else {}
        plots.save(
            plots.dataset_figure(with_sites(frames) if of_sites else frames, **options), path := FOLDER / f"{name}.png"
        )
        path.write_bytes(small(path.read_bytes()))


if __name__ == "__main__":
    main()
