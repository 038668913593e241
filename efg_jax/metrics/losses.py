"""The paper's metrics as losses: the same numbers away from η = 0 and η = 1, and smooth there.

|V_zz| has a kink at η = 1, where V_zz changes its sign, and η̃ has one more at η = 0, where it is a distance from axial symmetry. Both are
rounded here over a width that is given as a fraction of μ(|V_zz|). No eigenvectors are needed, so that nothing is singular.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from efg_jax.metrics.observables import Scale
from efg_jax.tensors.eigen import eigh3

NEWTON_STEPS = 6  # |V_zz| to rounding: the start is within 16 % of the root, and five steps reach 1e-16


def soft_abs(x: Float[Array, "*shape"], width: float) -> Float[Array, "*shape"]:
    """√(x² + w²) − w: |x| − w far out, x²/2w inside the width w; 0 at 0."""
    return jnp.sqrt(x * x + width * width) - width


def smooth_c_q_tilde(tensor: Float[Array, "*atoms 3 3"], scale: Scale, width: float = 0.01) -> Float[Array, "*atoms"]:
    """C̃_Q = (|V_zz| − μ)/σ (Harper et al. 2025, Eq. 7) with the kink at η = 1 rounded; infinitely differentiable, also at V = 0.

    Args:
        tensor: symmetric and traceless, V/Å².
        scale: μ and σ of |V_zz| for this nucleus.
        width: width of the rounding as a fraction of μ; |V_zz| is too large by width·μ/2 at η = 1, and by order width²·μ elsewhere.
    """
    mean, std = jnp.asarray(scale.mean, dtype=tensor.dtype), jnp.asarray(scale.std, dtype=tensor.dtype)
    magnitude, _ = _smooth_components(tensor, width * mean)
    return (magnitude - mean) / std


def smooth_eta_tilde(tensor: Float[Array, "*atoms 3 3"], scale: Scale, width: float = 0.01) -> Float[Array, "*atoms"]:
    """η̃ = (V_xx − V_yy)/μ for positive V_zz (Harper et al. 2025, Eq. 8), rounded at η = 0 and η = 1; infinitely differentiable.

    Args:
        tensor: symmetric and traceless, V/Å².
        scale: μ of |V_zz| for this nucleus.
        width: width of the rounding as a fraction of μ; η̃ is width at η = 0 (too large by about that) and too small by 3/2·width at η = 1.
    """
    mean = jnp.asarray(scale.mean, dtype=tensor.dtype)
    _, difference = _smooth_components(tensor, width * mean)
    return difference / mean


def tilt(reference: Float[Array, "*atoms 3 3"], predicted: Float[Array, "*atoms 3 3"]) -> Float[Array, "*atoms"]:
    """Square of the angle by which a predicted tensor is turned out of the reference, from the tensors alone: ⅔(1 − Tr VV′/Σ λ_k λ′_k).

    By von Neumann's trace inequality Tr VV′ ≤ Σ λ_k λ′_k (both sorted), with equality if and only if the two share their principal axes in the
    order of the eigenvalues. Between axial tensors it is sin²(angle between the z axes), whatever their sizes; otherwise each axis counts by how well the
    eigenvalues distinguish it, so that it stays finite where axes lose their meaning, unlike q̃.

    Args:
        reference: symmetric and traceless, V/Å².
        predicted: the same for the model.

    Returns:
        rad² for small angles, ≥ 0; 0 where a tensor vanishes.
    """
    overlap = jnp.einsum("...ij,...ij->...", reference, predicted)
    largest = jnp.sum(eigh3(reference)[0] * eigh3(predicted)[0], axis=-1)
    vanishes = largest <= 0  # NaN does not, and stays
    return jnp.where(vanishes, 0.0, 2.0 / 3.0 * (1.0 - overlap / jnp.where(vanishes, 1.0, largest)))


def observable_loss(
    reference: Float[Array, "n 3 3"], predicted: Float[Array, "n 3 3"], scale: Scale, width: float = 0.01
) -> Float[Array, ""]:
    """Mean of the errors in C̃_Q, η̃ and orientation: the objective by which Harper et al. 2025 choose hyperparameters, made smooth.

    The paper averages the MAEs of C̃_Q, η̃ and q̃. Here the first two are `soft_abs` of the differences of the smooth metrics, and the third is the
    `tilt` angle in rad, rounded in the same way: 1 − q̃ is its square over 8, which would hardly count. Finite gradients everywhere.

    Args:
        reference: symmetric and traceless, V/Å².
        predicted: the same for the model.
        scale: μ and σ of |V_zz| for this nucleus.
        width: width of all roundings: a fraction of μ, and the error below which the loss turns from linear to quadratic.
    """
    size = smooth_c_q_tilde(predicted, scale, width) - smooth_c_q_tilde(reference, scale, width)
    shape = smooth_eta_tilde(predicted, scale, width) - smooth_eta_tilde(reference, scale, width)
    # Rounding may leave the tilt an ulp below zero.
    orientation = jnp.sqrt(jnp.maximum(tilt(reference, predicted), 0.0) + width * width) - width
    return jnp.mean(soft_abs(size, width) + soft_abs(shape, width) + orientation) / 3.0


def _smooth_components(
    tensor: Float[Array, "*atoms 3 3"], width: Float[Array, ""]
) -> tuple[Float[Array, "*atoms"], Float[Array, "*atoms"]]:
    """|V_zz| and |V_yy| − |V_xx|, rounded over a width in V/Å².

    |V_zz| is the largest root of z³ − jz − |det V| = 0 with j = Tr V²/2, and (V_xx − V_yy)² = 4j − 3z². The root is simple for every η, so that it is a
    smooth function of j and |det V|, and only the modulus has to be rounded. Width² enters the last root four times because the
    rounding makes z too large by up to half a width squared over z, which costs 3 width².
    """
    square = jnp.einsum("...ij,...jk->...ik", tensor, tensor)
    j = 0.5 * jnp.trace(square, axis1=-2, axis2=-1)
    det = jnp.einsum("...ij,...ji->...", square, tensor) / 3.0  # of a traceless tensor
    modulus = jnp.sqrt(det**2 + (width * (j + width**2)) ** 2)
    z = 2.0 * jnp.sqrt((j + width**2) / 3.0)
    for _ in range(NEWTON_STEPS):
        z = z - (z**3 - j * z - modulus) / (3.0 * z**2 - j)
    return z, jnp.sqrt(4.0 * j - 3.0 * z**2 + 4.0 * width**2)
