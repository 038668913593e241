"""Equivalent sites: a powder cannot tell a site from its images under rotation and inversion, and one of them can stand
for all.
"""

from itertools import product

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.spectra.nmr_sites import Sites

LEAST = 1.0  # ppm; smaller anisotropies than this one do not make the comparison finer
# Proper rotations by half turns about principal axes, as signs of the axes.
HALF_TURNS = np.array([signs for signs in product((1.0, -1.0), repeat=3) if np.prod(signs) > 0.0])
# Weights of (δ, V) in the tensors whose principal axes are tried: where one is axial, the others decide about the turn.
MIXTURES = np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.4], [0.4, -0.6]])


def merge(sites: Sites, tolerance: float = 1e-4) -> Sites:
    """One site for each class of sites that differ by a rotation, with their number as its count.

    Sites are compared by their tensors, not by invariants: a site belongs to a class if a rotation brings both tensors
    of its first site onto its own. So the tolerance holds for amplitudes, P_Q, η P_Q, Ω, ... and for angles alike.
    (Invariants of second and third degree are quadratic in η near an axial site, and in the angle between parallel
    axes.)

    Args:
        sites: as found.
        tolerance: largest norm of the difference of either tensor, as a part of the norm of the strongest site's: with
            1e-4 two axial sites of C_Q 10 MHz differ by 1 kHz at most.

    Returns:
        The first site of each class, in the order in which they appear.

    Raises:
        InputError: a tolerance that is negative or no number.
    """
    if not tolerance >= 0.0:
        raise InputError(f"merge = {tolerance:g} is no tolerance; give 0 or more, as 1e-4")
    pairs = _scaled(sites)
    # |λ_i(A) − λ_i(B)| ≤ ‖A − B‖ (Weyl), whatever the axes: most sites are told apart without trying rotations.
    mixed = np.einsum("mp,npij->nmij", MIXTURES, pairs)
    values, axes = np.linalg.eigh(mixed)
    values = values.reshape(len(pairs), -1)
    classes: list[int] = []
    count: list[float] = []
    for row in range(len(pairs)):
        alike = np.flatnonzero(np.abs(values[classes] - values[row]).max(axis=1) <= tolerance) if classes else ()
        same = [k for k in alike if _distance(pairs[classes[k]], axes[classes[k]], pairs[row], axes[row]) <= tolerance]
        if same:
            count[same[0]] += float(sites.count[row])
        else:
            classes.append(row)
            count.append(float(sites.count[row]))
    return sites.select(np.array(classes), np.array(count))


def _scaled(sites: Sites) -> Float[np.ndarray, "sites 2 3 3"]:
    """(δ, V) of each site relative to the largest norms: of anisotropies, so that a large shift does not hide them."""
    anisotropic = sites.shift - sites.isotropic_shift[:, None, None] * np.eye(3)
    scale = float(np.linalg.norm(anisotropic, axis=(1, 2)).max())
    efg = np.zeros_like(anisotropic) if sites.efg is None else sites.efg
    largest = float(np.linalg.norm(efg, axis=(1, 2)).max())
    return np.stack([sites.shift / max(scale, LEAST), efg / (largest or 1.0)], axis=1)


def _distance(
    one: Float[np.ndarray, "2 3 3"],
    one_axes: Float[np.ndarray, "mixtures 3 3"],
    other: Float[np.ndarray, "2 3 3"],
    other_axes: Float[np.ndarray, "mixtures 3 3"],
) -> float:
    """Larger of the norms of both tensors' differences, for the best of the rotations that align principal axes."""
    turns = np.einsum("mia,sa,mja->msij", other_axes, HALF_TURNS, one_axes)
    turned = np.einsum("msij,pjk,mslk->mspil", turns, one, turns)
    return float(np.linalg.norm(turned - other, axis=(-2, -1)).max(axis=-1).min())
