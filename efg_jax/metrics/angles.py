"""Euler angles of predicted tensors against those of the reference."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.tensors.euler import equivalent_euler_angles, euler_angles, settled_angles
from efg_jax.tensors.principal import Degeneracy


def euler_differences(
    reference: Float[Array, "*batch 3 3"],
    predicted: Float[Array, "*batch 3 3"],
    *,
    passive: bool = True,
    shape: Degeneracy | None = None,
) -> Float[Array, "*batch 3"]:
    """Predicted minus reference ZYZ angles (α, β, γ), of the predicted tensor's four equivalent sets the one that is
    nearest.

    Each angle has its own difference, as Ben Mahmoud et al. (2024) compare them. Where β is near 0 or π only α + γ or α
    − γ has a meaning, and the
    differences of α and γ are large for tensors that hardly differ: `q_tilde` is the measure without that flaw.

    Args:
        reference, predicted: principal axes as columns, any signs.
        passive: whether the angles are passive ones.
        shape: of the reference tensors, where some may be isotropic or axial to rounding.

    Returns:
        In rad, each in [−π, π]; 0 for an angle that has no meaning in the reference.
    """
    own, undefined = euler_angles(reference, passive=passive), False
    if shape is not None:
        own, undefined = settled_angles(reference, shape, passive=passive)
        undefined = undefined[..., None, :]
    sets = equivalent_euler_angles(euler_angles(predicted, passive=passive), passive=passive)
    away = sets - own[..., None, :]
    away = jnp.where(undefined, 0.0, away - 2.0 * np.pi * jnp.round(away / (2.0 * np.pi)))
    nearest = jnp.argmin(jnp.sum(away**2, axis=-1), axis=-1)
    return jnp.take_along_axis(away, nearest[..., None, None], axis=-2)[..., 0, :]
