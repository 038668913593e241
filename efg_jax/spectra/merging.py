"""Equivalent sites: a powder cannot tell a site from its images under rotation and inversion, and one of them can stand
for all.
"""

from functools import reduce

import numpy as np
from jaxtyping import Float

from efg_jax.spectra.nmr_sites import Sites

ISOTROPIC = 1e-6  # ppm; below it no site has an anisotropy, and shifts are compared in ppm


def merge(sites: Sites, tolerance: float = 1e-4) -> Sites:
    """One site for each class of sites that differ by a rotation, with their number as its count.

    Two pairs (δ, V) of symmetric tensors are images of each other if, and only if, their invariants Tr δ, δ², δ³, V²,
    V³, δV, δ²V, δV², δ²V² agree (A. J. M. Spencer, in Continuum Physics I, 1971, table II). They are compared as
    lengths, relative to the strongest site.

    Args:
        sites: as found.
        tolerance: largest difference of any invariant, as a part of the norm of the strongest site's tensors.

    Returns:
        The first site of each class, in the order in which they appear.
    """
    invariants = _invariants(sites)
    classes: list[int] = []
    count: list[float] = []
    for row, values in enumerate(invariants):
        same = np.flatnonzero(np.abs(invariants[classes] - values).max(axis=1) <= tolerance) if classes else ()
        if len(same):
            count[same[0]] += float(sites.count[row])
        else:
            classes.append(row)
            count.append(float(sites.count[row]))
    return sites.select(np.array(classes), np.array(count))


def _invariants(sites: Sites) -> Float[np.ndarray, "sites 9"]:
    """Invariants of each site as lengths: those of unit tensors times the norm (the smaller one where both enter),
    scaled to the strongest tensors.

    So a weak tensor is compared as finely, in the end in Hz, as a strong one, and the orientation of a vanishing one
    does not matter."""
    mean = sites.isotropic_shift
    anisotropic = sites.shift - mean[:, None, None] * np.eye(3)
    efg = np.zeros_like(anisotropic) if sites.efg is None else sites.efg
    a, a_norm, a_scale = _unit(anisotropic)
    b, b_norm, _ = _unit(efg)
    both = np.minimum(a_norm, b_norm)
    lengths = [
        mean / (a_scale if a_scale > ISOTROPIC else 1.0),
        a_norm,
        a_norm * _trace(a, a, a),
        b_norm,
        b_norm * _trace(b, b, b),
        both * _trace(a, b),
        both * _trace(a, a, b),
        both * _trace(a, b, b),
        both * _trace(a, a, b, b),
    ]
    return np.stack(lengths, axis=1)


def _unit(tensors: Float[np.ndarray, "sites 3 3"]) -> tuple[np.ndarray, np.ndarray, float]:
    """Tensors of norm 1, norms relative to the largest, and that."""
    norms = np.linalg.norm(tensors, axis=(1, 2))
    largest = float(norms.max())
    return tensors / np.where(norms > 0.0, norms, 1.0)[:, None, None], norms / (largest or 1.0), largest


def _trace(*factors: Float[np.ndarray, "sites 3 3"]) -> Float[np.ndarray, " sites"]:
    return np.trace(reduce(np.matmul, factors), axis1=1, axis2=2)
