"""Losses for tensors: the metrics of Harper et al. 2025, or close relatives, made smooth.

Two of them are means of three errors, of size, shape and orientation, and differ in the last. Both have finite
gradients everywhere."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from efg_jax.metrics.efg_metrics import Scale
from efg_jax.metrics.smooth import smooth_c_q_tilde, smooth_eta_tilde, smooth_q_tilde
from efg_jax.tensors.eigen import eigh3


def soft_abs(x: Float[Array, "*shape"], width: float | Float[Array, ""]) -> Float[Array, "*shape"]:
    """√(x² + w²) − w: |x| − w far out, x²/2w inside the width w; 0 at 0."""
    return jnp.sqrt(x * x + width * width) - width


def tilt(reference: Float[Array, "*atoms 3 3"], predicted: Float[Array, "*atoms 3 3"]) -> Float[Array, "*atoms"]:
    """Square of the angle by which a predicted tensor is turned out of the reference, from the tensors alone: ⅔(1 − Tr
    VV′/Σ λ_k λ′_k).

    By von Neumann's trace inequality Tr VV′ ≤ Σ λ_k λ′_k (both sorted), with equality if and only if the two share
    their principal axes in the order of the eigenvalues. Between axial tensors it is sin²(angle between the z axes),
    whatever their sizes; otherwise each axis counts by how well the eigenvalues distinguish it, so that it stays finite
    where axes lose their meaning, unlike q̃.

    Args:
        reference: symmetric and traceless, V/Å².
        predicted: the same for the model.

    Returns:
        rad² for small angles, ≥ 0; 0 where a tensor vanishes.
    """
    overlap = jnp.einsum("...ij,...ij->...", reference, predicted)
    values, _ = eigh3(jnp.stack([reference, predicted]))  # one call, see `smooth_q_tilde`
    largest = jnp.sum(values[0] * values[1], axis=-1)
    vanishes = largest <= 0  # NaN does not, and stays
    return jnp.where(vanishes, 0.0, 2.0 / 3.0 * (1.0 - overlap / jnp.where(vanishes, 1.0, largest)))


def observable_loss(
    reference: Float[Array, "n 3 3"],
    predicted: Float[Array, "n 3 3"],
    scale: Scale,
    width: float | Float[Array, ""] = 0.01,
) -> Float[Array, ""]:
    """Mean of the MAEs of C̃_Q, of η̃ and of 1 − q̃: the objective by which Harper et al. 2025 choose hyperparameters,
    made smooth.

    The three metrics are the smooth ones, the first two differences enter through `soft_abs`. The number is the
    paper's, up to the rounding. As an objective it has a weakness: 1 − q̃ is the square of the angle over 8, so that
    axes 10° off cost 0.004 and hardly count beside errors of some per cent in size and shape, and most of what does
    count comes from tensors near η = 0 and η = 1, whose axes have little meaning. See `tilt_loss`.

    Args:
        reference: symmetric and traceless, V/Å².
        predicted: the same for the model.
        scale: μ and σ of |V_zz| for this nucleus.
        width: width of all roundings: a fraction of μ, and the error below which the first two terms turn from linear
            to quadratic.

    Returns:
        Without unit. 0 for a perfect prediction of tensors far from η = 0, η = 1 and V = 0 on the scale of width·μ, and
        up to 0.07 per tensor at these, where `smooth_q_tilde` counts the axes as lost.
    """
    orientation = 1.0 - smooth_q_tilde(reference, predicted, scale, width)
    return jnp.mean(_size_and_shape(reference, predicted, scale, width) + orientation) / 3.0


def tilt_loss(
    reference: Float[Array, "n 3 3"],
    predicted: Float[Array, "n 3 3"],
    scale: Scale,
    width: float | Float[Array, ""] = 0.01,
) -> Float[Array, ""]:
    """`observable_loss` with the `tilt` angle in place of 1 − q̃: not the paper's objective, but one to which
    orientations matter.

    The angle is linear in small errors, as the two other terms are, and weighs each axis by how well the eigenvalues
    distinguish it: a tensor near η = 0 or η = 1 counts by its well-defined axis only, and no axis changes its name. 0
    for a perfect prediction of any tensor.

    Args:
        reference: symmetric and traceless, V/Å².
        predicted: the same for the model.
        scale: μ and σ of |V_zz| for this nucleus.
        width: width of all roundings: a fraction of μ, and the error (of the angle: in rad) below which the loss turns
            from linear to quadratic.
    """
    # Rounding may leave the tilt an ulp below zero.
    orientation = jnp.sqrt(jnp.maximum(tilt(reference, predicted), 0.0) + width * width) - width
    return jnp.mean(_size_and_shape(reference, predicted, scale, width) + orientation) / 3.0


def _size_and_shape(
    reference: Float[Array, "n 3 3"], predicted: Float[Array, "n 3 3"], scale: Scale, width: float | Float[Array, ""]
) -> Float[Array, "n"]:
    """Smooth |ΔC̃_Q| + |Δη̃|."""
    size = smooth_c_q_tilde(predicted, scale, width) - smooth_c_q_tilde(reference, scale, width)
    shape = smooth_eta_tilde(predicted, scale, width) - smooth_eta_tilde(reference, scale, width)
    return soft_abs(size, width) + soft_abs(shape, width)
