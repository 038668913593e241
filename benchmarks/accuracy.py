"""Accuracy against featomic with dense Gaussian-process regression, at the same hyperparameters, on the same split.

featomic's equivariant power spectrum (with the √2 that symmetry-reduced features need) goes into the plainest
possible regression: NumPy and SciPy, normalised kernel, ζ = 2, regularisation by the held-out structures of a fifth
of the training set. efg_jax does the same job with the normalisation of the paper, which must give the same numbers,
and with its defaults.

    python benchmarks/accuracy.py [--species O Si] [--seed 0]
"""

import argparse
import time

import numpy as np
import scipy.linalg
from rich.console import Console
from rich.table import Table

import efg_jax as ej
from efg_jax.structures.targets import KNOWN, labels, to_irreps

NMAX, LMAX, CUTOFF, SIGMA, WIDTH = 8, 6, 5.0, 0.4, 0.5  # the defaults of LambdaSOAP
SCALING = {"rate": 1.0, "scale": 2.5, "exponent": 5.0}
GRID = 10.0 ** np.arange(-7.0, -1.0, 0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--species", nargs="+", default=["O", "Si"])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train, test = ej.split(ej.datasets.load("silica-efg")[:247], test=0.2, seed=arguments.seed)
    same = ej.LambdaSOAP(
        cutoff=CUTOFF,
        nmax=NMAX,
        lmax=LMAX,
        sigma=SIGMA,
        cutoff_width=WIDTH,
        scaling_rate=SCALING["rate"],
        scaling_radius=SCALING["scale"],
        scaling_exponent=SCALING["exponent"],
        normalise="environment",
    )
    console = Console()
    for species in arguments.species:
        table = Table(
            "model",
            "%RMSE",
            "features + fit + test (s)",
            title=f"{species}: EFG tensors of silica, held-out structures",
        )
        percent, regularisation, seconds = featomic_gpr(train, test, species)
        table.add_row(f"featomic + dense GPR, nmax {NMAX}, lmax {LMAX}", f"{percent:.3f}", f"{seconds:.1f}")
        candidates = {
            "efg_jax, the same (and the same ρ)": ej.TensorGPR(same, species=species, regularisation=regularisation),
            "efg_jax, the same, ρ by leave-one-structure-out": ej.TensorGPR(same, species=species),
            "efg_jax, default settings (normalised by λ = 0)": ej.TensorGPR(species=species),
        }
        for name, model in candidates.items():
            started = time.perf_counter()
            percent = model.fit(train).evaluate(test).to_dict()[species]["rmse_percent"]
            table.add_row(name, f"{percent:.3f}", f"{time.perf_counter() - started:.1f}")
        console.print(table)


def featomic_gpr(train: list, test: list, species: str) -> tuple[float, float, float]:
    """%RMSE on the test structures, chosen regularisation over the mean diagonal, and seconds."""
    started = time.perf_counter()
    left, right = features(train, species), features(test, species)
    targets = spherical_labels(train, species)
    scale = np.sqrt(np.mean(targets**2))
    kernel = dense_kernel(left, left)
    diagonal = np.mean(np.diag(kernel))
    owner = np.repeat(np.arange(len(train)), [5 * atoms.symbols.count(species) for atoms in train])
    inner = owner % 5 != 0  # whole structures, every fifth of them held out
    y = targets.ravel() / scale

    def held_out(ratio: float) -> float:
        factor = scipy.linalg.cho_factor(kernel[np.ix_(inner, inner)] + ratio * diagonal * np.eye(inner.sum()))
        return np.mean((kernel[np.ix_(~inner, inner)] @ scipy.linalg.cho_solve(factor, y[inner]) - y[~inner]) ** 2)

    best = min(GRID, key=held_out)
    weights = scipy.linalg.solve(kernel + best * diagonal * np.eye(len(y)), y, assume_a="pos")
    predicted = (dense_kernel(right, left) @ weights).reshape(-1, 5) * scale
    reference = spherical_labels(test, species)
    spread = np.sqrt(np.mean((reference - reference.mean(axis=0)) ** 2))
    percent = 100 * np.sqrt(np.mean((predicted - reference) ** 2)) / spread
    return percent, float(best), time.perf_counter() - started


def features(frames: list, species: str) -> tuple[np.ndarray, np.ndarray]:
    """Normalised λ = 0 and λ = 2 features of all atoms of an element, from featomic."""
    import featomic
    from ase.data import atomic_numbers
    from featomic.clebsch_gordan import EquivariantPowerSpectrum
    from metatensor import Labels

    expansion = featomic.SphericalExpansion(
        cutoff={"radius": CUTOFF, "smoothing": {"type": "ShiftedCosine", "width": WIDTH}},
        density={"type": "Gaussian", "width": SIGMA, "scaling": {"type": "Willatt2018", **SCALING}},
        basis={"type": "TensorProduct", "max_angular": LMAX, "radial": {"type": "Gto", "max_radial": NMAX - 1}},
    )
    centre = atomic_numbers[species]
    neighbours = sorted({int(number) for atoms in frames for number in atoms.numbers})
    spectrum = EquivariantPowerSpectrum(expansion, neighbor_types=neighbours)
    keys = Labels(["o3_lambda", "o3_sigma", "center_type"], np.array([[0, 1, centre], [2, 1, centre]]))
    result = spectrum.compute(frames, selected_keys=keys, neighbors_to_properties=True)
    blocks = []
    for order in (0, 2):
        block = result.block({"o3_lambda": order, "o3_sigma": 1, "center_type": centre})
        weight = np.where(block.properties["l_1"] == block.properties["l_2"], 1.0, np.sqrt(2.0))
        values = block.values * weight
        gram = np.einsum("iuf,ivf->iuv", values, values)
        blocks.append(values / np.sqrt(np.linalg.norm(gram, axis=(1, 2)))[:, None, None])
    return blocks[0][:, 0], blocks[1]


def dense_kernel(left: tuple[np.ndarray, np.ndarray], right: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """λ = 2 kernel with ζ = 2, flattened."""
    p, q = (side[1].reshape(-1, side[1].shape[-1]) for side in (left, right))
    invariant = left[0] @ right[0].T
    return (p @ q.T) * np.repeat(np.repeat(invariant, 5, axis=0), 5, axis=1)


def spherical_labels(frames: list, species: str) -> np.ndarray:
    """λ = 2 components of the EFG of all atoms of an element."""
    return to_irreps(KNOWN["efg"], labels(frames, KNOWN["efg"], species))[2, 1]


if __name__ == "__main__":
    main()
