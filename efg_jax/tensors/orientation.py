"""Orientation of principal axes: quaternions, angles to the field, and comparisons that ignore the signs of axes.

Axes are the columns x, y, z of a proper rotation, as :func:`efg_jax.tensors.principal.principal_axes` gives them. An
orthorhombic tensor is the same after a turn of 180° about any of its axes, so each orientation has four frames (the
group D₂); whatever compares two tensors here takes the best of them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

HIGHEST = jax.lax.Precision.HIGHEST

# The six ways to hand three axes to three names, and whether each is even (+1) or odd (−1).
_PERMUTATIONS = np.array(list(itertools.permutations(range(3))))
_PARITIES = np.array([round(np.linalg.det(np.eye(3)[permutation])) for permutation in _PERMUTATIONS])
_SIGNS = np.array(list(itertools.product([1, -1], repeat=3)))


def quaternion(axes: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 4"]:
    """Unit quaternion (w, x, y, z), w ≥ 0, of the rotation that turns the Cartesian axes into these (S. W. Shepperd, J.
    Guid. Control 1 (1978) 223).

    Args:
        axes: proper rotation, columns x, y, z.

    Returns:
        q with v ↦ q v q* equal to v ↦ axes·v. Well conditioned for every rotation: the largest component is found
        first.
    """
    r = axes
    trace = r[..., 0, 0] + r[..., 1, 1] + r[..., 2, 2]
    # Four times the square of each component; the largest is at least 1.
    squares = jnp.stack([1.0 + trace] + [1.0 + 2.0 * r[..., i, i] - trace for i in range(3)], axis=-1)
    s = {(i, j): r[..., i, j] + r[..., j, i] for i, j in ((0, 1), (0, 2), (1, 2))}
    a = {(i, j): r[..., i, j] - r[..., j, i] for i, j in ((2, 1), (0, 2), (1, 0))}
    # Row k is 4 q_k q.
    products = jnp.stack(
        [
            jnp.stack([squares[..., 0], a[2, 1], a[0, 2], a[1, 0]], axis=-1),
            jnp.stack([a[2, 1], squares[..., 1], s[0, 1], s[0, 2]], axis=-1),
            jnp.stack([a[0, 2], s[0, 1], squares[..., 2], s[1, 2]], axis=-1),
            jnp.stack([a[1, 0], s[0, 2], s[1, 2], squares[..., 3]], axis=-1),
        ],
        axis=-2,
    )
    largest = jnp.argmax(squares, axis=-1)[..., None]
    row = jnp.take_along_axis(products, largest[..., None], axis=-2)[..., 0, :]
    q = 0.5 * row / jnp.sqrt(jnp.take_along_axis(squares, largest, axis=-1))
    return jnp.where(q[..., :1] < 0.0, -q, q)


def rotation_from_quaternion(q: Float[Array, "*batch 4"]) -> Float[Array, "*batch 3 3"]:
    """Rotation matrix of a quaternion (w, x, y, z), which need not be normalised (but not zero): the inverse of
    :func:`quaternion`.
    """
    w, x, y, z = (q[..., i] for i in range(4))
    two = 2.0 / (w * w + x * x + y * y + z * z)
    rows = [
        [1.0 - two * (y * y + z * z), two * (x * y - w * z), two * (x * z + w * y)],
        [two * (x * y + w * z), 1.0 - two * (x * x + z * z), two * (y * z - w * x)],
        [two * (x * z - w * y), two * (y * z + w * x), 1.0 - two * (x * x + y * y)],
    ]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def quaternion_overlap(q1: Float[Array, "*batch 4"], q2: Float[Array, "*batch 4"]) -> Float[Array, "*batch"]:
    """q̃ = max |q₁·(q₂ ⊗ u)| over u = 1, i, j, k: the paper's q·q′ (Harper et al. 2025, Eq. 9), made independent of
    axis signs.

    Args:
        q1: unit quaternions of one set of axes.
        q2: of the other.

    Returns:
        q̃ in [½, 1]; 1 where the tensors are aligned. The four products are the components of q₂* ⊗ q₁, hence the ½.
    """
    w, x, y, z = (q2[..., i] for i in range(4))
    images = jnp.stack(
        [
            jnp.stack([w, x, y, z], axis=-1),
            jnp.stack([-x, w, z, -y], axis=-1),
            jnp.stack([-y, -z, w, x], axis=-1),
            jnp.stack([-z, y, -x, w], axis=-1),
        ],
        axis=-2,
    )
    return jnp.max(jnp.abs(jnp.einsum("...i,...ui->...u", q1, images, precision=HIGHEST)), axis=-1)


def misfit_angle(overlap: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """The turn 2 arccos q̃ that brings one tensor's axes onto the other's, in [0, 2π/3] rad.

    Args:
        overlap: q̃ from :func:`quaternion_overlap`.

    Returns:
        Angle in rad; near 0 its resolution is √ε (3e-8 rad in float64, 7e-4 in float32). Exactly 0, with a zero
        derivative, for q̃ ≥ 1.
    """
    aligned = overlap >= 1.0
    return jnp.where(aligned, 0.0, 2.0 * jnp.arccos(jnp.where(aligned, 0.0, overlap)))


def polar_angles(
    axes: Float[Array, "*batch 3 3"], direction: Float[Array, "... 3"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """θ and φ of a field direction in the principal axes, folded into [0, π/2]²: independent of the axes' signs, as ν_Q
    is.

    Args:
        axes: principal axes as columns.
        direction: the field's direction, one per tensor or one for all; its length does not matter.

    Returns:
        θ from the z axis and φ about it from the x axis, rad. φ is 0 where θ is. Derivatives are finite everywhere.
    """
    x, y, z = jnp.moveaxis(jnp.abs(_in_axes(axes, direction)), -1, 0)
    return _arctan2(_length(x, y), z), _arctan2(y, x)


def paper_angles(
    axes: Float[Array, "*batch 3 3"], direction: Float[Array, "... 3"]
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    """θ ∈ [0, π) and φ ∈ [−π/2, π/2) of a field direction, the ranges of Harper et al. 2025 (Eq. 5, Fig. 1b).

    They cover half of the sphere: a direction in the other half is replaced by its opposite, which has the same ν_Q.
        Unlike :func:`polar_angles` they depend on the signs of the axes, of which four choices describe the same
        tensor.

    Args:
        axes: principal axes as columns, proper rotation.
        direction: the field's direction, one per tensor or one for all; its length does not matter.

    Returns:
        θ and φ in rad.
    """
    x, y, z = jnp.moveaxis(_in_axes(axes, direction), -1, 0)
    # Components that rounding alone keeps from zero would put the angles on the wrong, open end of their ranges.
    rounding = 4.0 * float(jnp.finfo(axes.dtype).eps)
    at_pole = _length(x, y) <= rounding * jnp.abs(z)
    x, y = (jnp.where(at_pole, 0.0, c) for c in (x, y))
    x = jnp.where(jnp.abs(x) <= rounding * jnp.abs(y), 0.0, x)
    # The half kept: x > 0; on its rim y < 0 (φ = −π/2, not +π/2); at the poles z > 0 (θ = 0, not π).
    opposite = (x < 0.0) | ((x == 0.0) & ((y > 0.0) | ((y == 0.0) & (z < 0.0))))
    x, y, z = (jnp.where(opposite, -c, c) for c in (x, y, z))
    return _arctan2(_length(x, y), z), _arctan2(y, x)


def z_axis_angle(axes1: Float[Array, "*batch 3 3"], axes2: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch"]:
    """Angle between two tensors' z axes, as lines: in [0, π/2] rad.

    Args:
        axes1: principal axes of one set of tensors, columns.
        axes2: of the other.

    Returns:
        arctan(|z₁ × z₂| / |z₁·z₂|), which keeps its digits at small angles; its derivative is taken as zero at 0.
    """
    z1, z2 = axes1[..., 2], axes2[..., 2]
    cross = jnp.cross(z1, z2)
    return _arctan2(_length(cross[..., 0], cross[..., 1], cross[..., 2]), jnp.abs(jnp.sum(z1 * z2, axis=-1)))


def reassign_axes(
    predicted_axes: Float[Array, "*batch 3 3"], reference_axes: Float[Array, "*batch 3 3"]
) -> tuple[Float[Array, "*batch 3 3"], Int[Array, "*batch 3"]]:
    """Predicted axes renamed and re-signed to match the reference best: max over permutations π of Σ_i (e_i ·
    e′_π(i))².

    Where |V_zz| ≈ |V_yy| the order of the eigenvalues is a matter of noise, and so are the angles (Harper et al. 2025,
    Fig. 3c, S6).

    Args:
        predicted_axes: columns x, y, z.
        reference_axes: columns x, y, z, proper rotations.

    Returns:
        The predicted axes, columns in the reference's order, each along (not against) its partner as far as det +1
        allows, and π with ``reassigned[..., i] = ± predicted[..., π(i)]``: ``jnp.take_along_axis(values, permutation,
        axis=-1)`` makes the values follow.
    """
    cosines = jnp.einsum("...ki,...kj->...ij", reference_axes, predicted_axes, precision=HIGHEST)
    # matched[..., p, i] = e_i · e'_π_p(i)
    matched = jnp.stack([jnp.stack([cosines[..., i, p[i]] for i in range(3)], axis=-1) for p in _PERMUTATIONS], axis=-2)
    best = jnp.argmax(jnp.sum(matched * matched, axis=-1), axis=-1)
    permutation = jnp.asarray(_PERMUTATIONS)[best]
    matched = jnp.take_along_axis(matched, best[..., None, None], axis=-2)[..., 0, :]
    axes = jnp.take_along_axis(predicted_axes, permutation[..., None, :], axis=-1)
    x, y, z = (predicted_axes[..., k] for k in range(3))
    handedness = jnp.where(jnp.sum(x * jnp.cross(y, z), axis=-1) < 0.0, -1, 1) * jnp.asarray(_PARITIES)[best]
    alignment = jnp.einsum("...i,si->...s", matched, jnp.asarray(_SIGNS, dtype=axes.dtype), precision=HIGHEST)
    proper = handedness[..., None] == jnp.broadcast_to(np.prod(_SIGNS, axis=-1), alignment.shape)
    signs = jnp.asarray(_SIGNS, dtype=axes.dtype)[jnp.argmax(jnp.where(proper, alignment, -jnp.inf), axis=-1)]
    return axes * signs[..., None, :], permutation


def _in_axes(axes: Array, direction: Array) -> Array:
    """Components of the direction along the axes."""
    return jnp.einsum("...i,...ij->...j", direction, axes, precision=HIGHEST)


def _length(*components: Array) -> Array:
    """Euclidean length, with a zero derivative at 0 instead of NaN."""
    square = sum(c * c for c in components)
    zero = square == 0.0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def _arctan2(y: Array, x: Array) -> Array:
    """arctan2 that is 0, with a zero derivative instead of NaN, at the origin."""
    origin = (x == 0.0) & (y == 0.0)
    return jnp.where(origin, 0.0, jnp.arctan2(y, jnp.where(origin, 1.0, x)))
