"""λ-SOAP by featomic (https://github.com/metatensor/featomic), an independent program: the oracle of the descriptor.

featomic keeps one of the pairs (l, l') and (l', l) without the √2 that makes its kernels those of the full
sum: it is put in here.
"""

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

SQRT2 = np.sqrt(2.0)


def features(
    frames: list[Atoms],
    symbol: str,
    irreps: tuple[tuple[int, int], ...],
    species: tuple[str, ...],
    *,
    cutoff: float,
    nmax: int,
    lmax: int,
    sigma: float,
    smooth_width: float | None = None,
    scaling: tuple[float, float, float] | None = None,
    centre_weight: float = 1.0,
) -> dict[tuple[int, int], np.ndarray]:
    """Features of all atoms of an element, frame after frame, not normalised: {(λ, parity): (centres, 2λ+1, features)}.

    Args:
        smooth_width: of a shifted-cosine cutoff; None: a step.
        scaling: (rate c, radius r0, exponent m) of the radial scaling c/(c + (r/r0)^m).
    """
    import featomic
    from featomic.clebsch_gordan import EquivariantPowerSpectrum
    from metatensor import Labels

    smoothing = {"type": "Step"} if smooth_width is None else {"type": "ShiftedCosine", "width": smooth_width}
    density = {"type": "Gaussian", "width": sigma, "center_atom_weight": centre_weight}
    if scaling is not None:
        rate, radius, exponent = scaling
        density["scaling"] = {"type": "Willatt2018", "exponent": exponent, "rate": rate, "scale": radius}
    expansion = featomic.SphericalExpansion(
        cutoff={"radius": cutoff, "smoothing": smoothing},
        density=density,
        basis={
            "type": "TensorProduct",
            "max_angular": lmax,
            "radial": {"type": "Gto", "max_radial": nmax - 1},
            "spline_accuracy": None,
        },
    )
    numbers = sorted(atomic_numbers[s] for s in species)
    calculator = EquivariantPowerSpectrum(expansion, neighbor_types=numbers)
    centre = atomic_numbers[symbol]
    wanted = Labels(["o3_lambda", "o3_sigma", "center_type"], np.array([[*irrep, centre] for irrep in irreps]))
    spectrum = calculator.compute(frames, selected_keys=wanted, neighbors_to_properties=True)
    result = {}
    for order, parity in irreps:
        block = spectrum.block({"o3_lambda": order, "o3_sigma": parity, "center_type": centre})
        samples = np.lexsort((block.samples["atom"], block.samples["system"]))
        weight = np.where(block.properties["l_1"] == block.properties["l_2"], 1.0, SQRT2)
        result[order, parity] = (np.asarray(block.values) * weight)[samples]
    return result


def normalised(features: np.ndarray) -> np.ndarray:
    """P/√‖P Pᵀ‖_F of each environment, as in the program TENSOAP."""
    gram = np.einsum("iuf,ivf->iuv", features, features)
    return features / np.sqrt(np.linalg.norm(gram, axis=(1, 2)))[:, None, None]


def kernel(features: np.ndarray) -> np.ndarray:
    """P_i P_jᵀ of all pairs of environments."""
    return np.einsum("iuf,jvf->iujv", features, features)
