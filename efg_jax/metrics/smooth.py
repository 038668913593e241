"""The paper's metrics made smooth: C̃_Q, η̃ and q̃ away from η = 0 and η = 1, and finite slopes at these and at V = 0.

|V_zz| has a kink at η = 1, where V_zz changes its sign, and η̃ has one more at η = 0, where it is a distance from axial
symmetry. q̃ is worse: at η = 0 the x and y axes turn arbitrarily fast, and at η = 1 the names y and z change places.
All are rounded over a width that is given as a fraction of μ(|V_zz|), so that a width of 0.01 reads: errors of 1 % of a
typical tensor do not count."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.metrics.efg_metrics import Scale
from efg_jax.tensors.eigen import eigh3

HIGHEST = jax.lax.Precision.HIGHEST
NEWTON_STEPS = 6  # |V_zz| to rounding: the start is within 16 % of the root, and five steps reach 1e-16

# q̃ of two tensors of which one has no x and y axes, z aligned, is the mean of cos(γ/2) over |γ| ≤ π/2, 2√2/π; 4q̃² is
# this twice.
AXIAL = 16.0 / np.pi**2
# 4q̃² with q̃ the mean over all rotations, 0.77912…: of max|q_i| over the unit sphere in four dimensions.
ISOTROPIC = 2.428127863
# How a half turn about each axis changes the signs of the three direction cosines (D₂).
HALF_TURNS = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])


def smooth_c_q_tilde(
    tensor: Float[Array, "*atoms 3 3"], scale: Scale, width: float | Float[Array, ""] = 0.01
) -> Float[Array, "*atoms"]:
    """C̃_Q = (|V_zz| − μ)/σ (Harper et al. 2025, Eq. 7) with the kink at η = 1 rounded; infinitely differentiable, also
    at V = 0.

    Args:
        tensor: symmetric and traceless, V/Å².
        scale: μ and σ of |V_zz| for this nucleus.
        width: width of the rounding as a fraction of μ; |V_zz| is too large by width·μ/2 at η = 1, and by order
            width²·μ elsewhere.
    """
    mean, std = jnp.asarray(scale.mean, dtype=tensor.dtype), jnp.asarray(scale.std, dtype=tensor.dtype)
    magnitude, _ = _smooth_components(tensor, width * mean)
    return (magnitude - mean) / std


def smooth_eta_tilde(
    tensor: Float[Array, "*atoms 3 3"], scale: Scale, width: float | Float[Array, ""] = 0.01
) -> Float[Array, "*atoms"]:
    """η̃ = (V_xx − V_yy)/μ for positive V_zz (Harper et al. 2025, Eq. 8), rounded at η = 0 and η = 1; infinitely
    differentiable.

    Args:
        tensor: symmetric and traceless, V/Å².
        scale: μ of |V_zz| for this nucleus.
        width: width of the rounding as a fraction of μ; η̃ is width at η = 0 (too large by about that) and too small by
            3/2·width at η = 1.
    """
    mean = jnp.asarray(scale.mean, dtype=tensor.dtype)
    _, difference = _smooth_components(tensor, width * mean)
    return difference / mean


def smooth_q_tilde(
    reference: Float[Array, "*atoms 3 3"],
    predicted: Float[Array, "*atoms 3 3"],
    scale: Scale,
    width: float | Float[Array, ""] = 0.01,
) -> Float[Array, "*atoms"]:
    """q̃ (Harper et al. 2025, Eq. 9) from the tensors, with slopes of at most order 1/(width·μ) everywhere, also at η =
    0, η = 1 and V = 0.

    It is about the mean of q̃ over noise of size ν = width·μ in both tensors, and exact up to order exp(−(g/ν)²), g the
    smallest of |V_xx − V_yy| and ⅔|V_xx| of both:

    - With c_a the cosines between the axes of equal name, 4q̃² = 1 + max Σ ±c_a, the maximum over the signs that a half
      turn about one axis can give. c_a stays as it is when the other two turn about axis a, and means nothing when one
      of those two pairs includes a and is degenerate. So c_a gets the factor s_b s_c, s = 1 − exp(−(gap/ν)²) of the
      pair that axis b (c) is normal to, in both tensors. An eigenvector turns by 1/gap, and s/gap ≤ 0.64/ν.
    - What a lost pair would add on average is put in its place: q̃ = 2√2/π = 0.900 at η = 0 with z aligned, 0.779 where
      a tensor vanishes. So a perfect prediction of an axial tensor is no 1, as in the exact q̃ a nearly perfect one is
      not.
    - At η = 1 the signs of V_xx decide the names. Ascending eigenvectors do not jump there; x is always the middle one.
      If both signs agree, axes of equal place have equal names, else the first belongs to the last. The two q̃ are
      weighed by the probability that the signs agree, ½(1 + erf(ξ/ν) erf(ξ′/ν)), with det V/(j + ν²) for ξ: −V_xx near
      η = 1, and smooth elsewhere.

    Symmetric in its two tensors, as q̃ is. Kinks remain where q̃ has them itself: where two of the four equivalent
    frames are equally near. It inherits from the mean, too, that it is not largest at equal tensors where both are
    within the noise of η = 1: half-way between the two namings is the better guess.

    Args:
        reference: symmetric and traceless, V/Å².
        predicted: the same for the model.
        scale: μ of |V_zz| for this nucleus, positive.
        width: width of the rounding as a fraction of μ, positive.

    Returns:
        q̃ in [½, 1], up to rounding.
    """
    noise = width * jnp.asarray(scale.mean, dtype=predicted.dtype)
    # One decomposition of both: two in one program, of thousands of tensors each, can wait for each other's threads for
    # ever (jaxlib 0.10.2, CPU).
    axes, kept, sign = _noisy_axes(jnp.stack([reference, predicted]), noise)
    same = _blurred_overlap(axes[0], axes[1], kept[0] * kept[1])
    swapped = _blurred_overlap(axes[0], axes[1, ..., ::-1], kept[0] * kept[1, ..., ::-1])
    agreement = 0.5 * (1.0 + sign[0] * sign[1])
    return agreement * same + (1.0 - agreement) * swapped


def _noisy_axes(
    tensor: Float[Array, "*atoms 3 3"], noise: Float[Array, ""]
) -> tuple[Float[Array, "*atoms 3 3"], Float[Array, "*atoms 3"], Float[Array, "*atoms"]]:
    """Eigenvectors in ascending order (columns), how far the pair normal to each withstands the noise, [0, 1], and the
    smooth sign of V_xx.
    """
    values, vectors = eigh3(tensor)
    gaps = jnp.roll(values, 1, axis=-1) - jnp.roll(values, -1, axis=-1)  # squared below: of either sign
    kept = -jnp.expm1(-((gaps / noise) ** 2))
    j = 0.5 * jnp.sum(values**2, axis=-1)
    return vectors, kept, jax.scipy.special.erf(jnp.prod(values, axis=-1) / (noise * (j + noise**2)))


def _blurred_overlap(
    axes: Float[Array, "*atoms 3 3"], other: Float[Array, "*atoms 3 3"], kept: Float[Array, "*atoms 3"]
) -> Float[Array, "*atoms"]:
    """q̃ of two frames (columns of any sign and handedness), averaged over turns about the axes that are not kept.

    Each of the terms below is linear in every ``kept``, so that its corners show the bounds: 4q̃² ≤ 4, 2·AXIAL and
    2·AXIAL − 1 for none, one and two lost, and ISOTROPIC for three; and ≥ 1, because the four sums over the half turns
    have zero mean."""
    cosines = jnp.einsum("...ki,...kj->...ij", axes, other, precision=HIGHEST)
    rows = jax.lax.stop_gradient(cosines)
    volume = jnp.sum(rows[..., 0, :] * jnp.cross(rows[..., 1, :], rows[..., 2, :]), axis=-1)
    handedness = jnp.where(volume < 0.0, -1.0, 1.0).astype(axes.dtype)
    lost = 1.0 - kept
    spread = 1.0 + (AXIAL - 1.0) * lost
    weights = spread * jnp.roll(kept, 1, axis=-1) * jnp.roll(kept, -1, axis=-1)
    constant = jnp.sum(spread, axis=-1) - 2.0 + (ISOTROPIC + 2.0 - 3.0 * AXIAL) * jnp.prod(lost, axis=-1)
    terms = handedness[..., None] * weights * jnp.diagonal(cosines, axis1=-2, axis2=-1)
    half_turns = jnp.asarray(HALF_TURNS, dtype=axes.dtype)
    return 0.5 * jnp.sqrt(
        constant + jnp.max(jnp.einsum("ua,...a->...u", half_turns, terms, precision=HIGHEST), axis=-1)
    )


def _smooth_components(
    tensor: Float[Array, "*atoms 3 3"], width: Float[Array, ""]
) -> tuple[Float[Array, "*atoms"], Float[Array, "*atoms"]]:
    """|V_zz| and |V_yy| − |V_xx|, rounded over a width in V/Å².

    |V_zz| is the largest root of z³ − jz − |det V| = 0 with j = Tr V²/2, and (V_xx − V_yy)² = 4j − 3z². The root is
    simple for every η, so that it is a smooth function of j and |det V|, and only the modulus has to be rounded. Width²
    enters the last root four times because the rounding makes z too large by up to half a width squared over z, which
    costs 3 width²."""
    square = jnp.einsum("...ij,...jk->...ik", tensor, tensor)
    j = 0.5 * jnp.trace(square, axis1=-2, axis2=-1)
    det = jnp.einsum("...ij,...ji->...", square, tensor) / 3.0  # of a traceless tensor
    modulus = jnp.sqrt(det**2 + (width * (j + width**2)) ** 2)
    z = 2.0 * jnp.sqrt((j + width**2) / 3.0)
    for _ in range(NEWTON_STEPS):
        z = z - (z**3 - j * z - modulus) / (3.0 * z**2 - j)
    return z, jnp.sqrt(4.0 * j - 3.0 * z**2 + 4.0 * width**2)
