"""Tensors that move while the nucleus precesses: means for the first order, mean squares for the second.

Motion faster than the coupling averages the first order, n·⟨V⟩·n. While it is slower than the Larmor frequency, the
second order follows it, and its mean over the motion counts: that of a polynomial of degree 2 in the tensors, and so of
their means and covariances, ranks 0, 2 and 4 alike. Above the Larmor frequency only the means are left (A. Abragam, The
Principles of Nuclear Magnetism, 1961, chapters VII and VIII)."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.spectra.frequencies import Transition

PARTS = 11  # 5 components of a field gradient, 6 of a shift


class Fluctuations(NamedTuple):
    """How tensors scatter about their means, as parts F_k and D_k with Σ_k F_k ⊗ F_k = ⟨δV ⊗ δV⟩ and Σ_k F_k ⊗ D_k =
    ⟨δV ⊗ δδ⟩.

    Attributes:
        efg: F_k of each site, V/Å².
        shift: D_k, ppm.
    """

    efg: Float[Array | np.ndarray, "*sites parts 3 3"]
    shift: Float[Array | np.ndarray, "*sites parts 3 3"]


def mean_and_fluctuations(
    efg: Float[Array, "states sites 3 3"],
    shift: Float[Array, "states sites 3 3"],
    populations: Float[Array, " states"] | None = None,
) -> tuple[Float[Array, "sites 3 3"], Float[Array, "sites 3 3"], Fluctuations]:
    """Mean tensors and fluctuations of nuclei that move between states, for `powder_spectrum`; pure.

    Args:
        efg: V of every nucleus in every state (frame, or site that it visits), V/Å².
        shift: δ, ppm.
        populations: of the states, of sum 1; None: all alike.
    """
    count = len(efg)
    weights = jnp.full(count, 1.0 / count, dtype=efg.dtype) if populations is None else populations
    means = [jnp.tensordot(weights, tensors, 1, precision=jax.lax.Precision.HIGHEST) for tensors in (efg, shift)]
    root = jnp.sqrt(weights)[:, None, None, None]
    parts = [
        jnp.moveaxis(root * (tensors - mean[None]), 0, 1) for tensors, mean in zip((efg, shift), means, strict=True)
    ]
    return *means, Fluctuations(*parts)


def compressed(fluctuations: Fluctuations) -> Fluctuations:
    """The same covariances in `PARTS` parts at most."""
    sites, parts = fluctuations.efg.shape[:2]
    rows = np.concatenate([np.reshape(part, (sites, parts, 9)) for part in fluctuations], axis=2)
    _, strengths, axes = np.linalg.svd(rows, full_matrices=False)
    rows = (strengths[:, :, None] * axes)[:, :PARTS].reshape(sites, -1, 2, 3, 3)
    return Fluctuations(rows[:, :, 0], rows[:, :, 1])


def moving_frequency(
    kernel: Callable[..., Float[Array, ""]],
    efg: Float[Array, "3 3"],
    shift: Float[Array, "3 3"],
    fluctuations: Fluctuations | None,
    direction: Float[Array, "3"],
    of: Transition,
) -> Float[Array, ""]:
    """Frequency of a nucleus whose tensors move faster than it couples, and slower than it precesses.

    Args:
        kernel: `static_frequency` or `spinning_frequency`.
        efg, shift: means.
        fluctuations: of one site; None: no motion.
        direction: of the field, or the rotor.
        of: transition.

    Returns:
        Hz from the Larmor frequency.
    """
    frequency = kernel(efg, shift, direction, of)
    if fluctuations is None:
        return frequency
    second = replace(of, shift=0.0, first=0.0)
    parts = jax.vmap(lambda f, d: kernel(f, d, direction, second))(*fluctuations)
    return frequency + jnp.sum(parts)
