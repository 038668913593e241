"""ZYZ Euler angles of principal axes, active and passive, and the sets that describe the same tensor.

With R the axes as columns (a proper rotation, T_lab = R · T_PAS · Rᵀ):

    active:   R  = R_z(α) R_y(β) R_z(γ): turns a tensor that lies along the Cartesian axes into the lab tensor
    passive:  Rᵀ = R_z(α) R_y(β) R_z(γ): turns the lab tensor into its principal axis system, T_PAS = Rᵀ T_lab R

R_z(α) = [[cos α, −sin α, 0], [sin α, cos α, 0], [0, 0, 1]] and R_y(β) = [[cos β, 0, sin β], [0, 1, 0], [−sin β, 0, cos
β]]. One set of angles in terms of the other, both ways: (α, β, γ) → (π − γ, β, π − α). The same as Soprano's and
TensorView's. Angles are in rad."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from efg_jax.tensors.principal import Degeneracy, orient

# Below this many units of rounding, sin β is noise and only α + γ (β = 0) or α − γ (β = π) has a meaning: γ is set to
# zero there.
GIMBAL_ULPS = 16.0
HALF_TURNS = ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))
HIGHEST = jax.lax.Precision.HIGHEST


def rotation_from_euler(angles: Float[Array, "*batch 3"], *, passive: bool = False) -> Float[Array, "*batch 3 3"]:
    """Axes as columns, R, from ZYZ angles: R_z(α) R_y(β) R_z(γ), or its transpose for passive angles.

    Args:
        angles: (α, β, γ), rad.
        passive: whether these are passive angles.

    Returns:
        R with T_lab = R T_PAS Rᵀ, in either case.
    """
    (ca, cb, cg), (sa, sb, sg) = (jnp.moveaxis(f(angles), -1, 0) for f in (jnp.cos, jnp.sin))
    rows = [
        [ca * cb * cg - sa * sg, -ca * cb * sg - sa * cg, ca * sb],
        [sa * cb * cg + ca * sg, -sa * cb * sg + ca * cg, sa * sb],
        [-sb * cg, sb * sg, cb],
    ]
    matrix = jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)
    return jnp.swapaxes(matrix, -1, -2) if passive else matrix


def euler_from_rotation(
    axes: Float[Array, "*batch 3 3"], *, passive: bool = False, tilt: Float[Array, "..."] | float = 0.0
) -> Float[Array, "*batch 3"]:
    """ZYZ angles of exactly these axes, signs included: the inverse of :func:`rotation_from_euler`.

    Args:
        axes: proper rotation R, columns x, y, z.
        passive: whether to give the passive angles.
        tilt: angle by which rounding may turn the z axis, rad: β up to this is 0 (and 16 ε anyway).

    Returns:
        (α, β, γ) in rad, β ∈ [0, π], α and γ ∈ [0, 2π). At β = 0 and π the active γ is 0. Derivatives are finite.
    """
    c, s = axes[..., 0, 2], axes[..., 1, 2]  # sin β (cos α, sin α)
    smallest = jnp.maximum(tilt, GIMBAL_ULPS * float(jnp.finfo(axes.dtype).eps))
    gimbal = jnp.maximum(jnp.abs(c), jnp.abs(s)) <= smallest
    alpha = jnp.arctan2(jnp.where(gimbal, -axes[..., 0, 1], s), jnp.where(gimbal, axes[..., 1, 1], c))
    # The rest is R_z(−α) R = R_y(β) R_z(γ). Reading β and γ from it, not from R, keeps α + γ right when sin β is all
    # but zero.
    ca, sa = jnp.cos(alpha), jnp.sin(alpha)
    beta = jnp.arctan2(ca * c + sa * s, axes[..., 2, 2])
    beta = jnp.where(gimbal, jnp.where(axes[..., 2, 2] < 0.0, np.pi, 0.0).astype(axes.dtype), beta)
    sine, cosine = (ca * axes[..., 1, k] - sa * axes[..., 0, k] for k in (0, 1))
    gamma = jnp.where(gimbal, 0.0, jnp.arctan2(jnp.where(gimbal, 0.0, sine), jnp.where(gimbal, 1.0, cosine)))
    active = jnp.stack([_wrap(alpha), beta, _wrap(gamma)], axis=-1)
    return swap_sense(active) if passive else active


def euler_angles(
    axes: Float[Array, "*batch 3 3"], *, passive: bool = False, tilt: Float[Array, "..."] | float = 0.0
) -> Float[Array, "*batch 3"]:
    """ZYZ angles of a tensor: of its four equivalent sets the one with active β ≤ π/2 and γ < π (passive β ≤ π/2 and α
    ≤ π).

    On the rim (β = π/2, and so on) the choice is that of :func:`efg_jax.tensors.principal.orient`, which rounding
    errors do not change.

    Args:
        axes: principal axes as columns, proper rotation, any signs.
        passive: whether to give the passive angles.
        tilt: as for :func:`euler_from_rotation`.

    Returns:
        (α, β, γ) in rad. Where η = 0 only the z axis has a meaning, and of the active angles only α and β do:
        :func:`settled_angles` gives the others a value.
    """
    return euler_from_rotation(orient(axes), passive=passive, tilt=tilt)


def settled_angles(
    axes: Float[Array, "*batch 3 3"], shape: Degeneracy, *, passive: bool = False
) -> tuple[Float[Array, "*batch 3"], Bool[Array, "*batch 3"]]:
    """`euler_angles` with 0 for the angles that have no meaning, and which these are.

    All three of an isotropic tensor; of an axial one the active γ (passive α), and with β = 0 the other turn about z.

    Args:
        axes: principal axes as columns, proper rotation, any signs.
        shape: of the tensor, see :func:`efg_jax.tensors.principal.degeneracy`.
        passive: whether to give the passive angles.

    Returns:
        Angles in rad, and whether each is undefined.
    """
    angles = euler_angles(axes, tilt=shape.tilt)
    upright = shape.axial & (angles[..., 1] == 0.0)
    return _settled(angles, (shape.isotropic | upright, shape.isotropic, shape.isotropic | shape.axial), passive)


def settled_axes(axes: Float[Array, "*batch 3 3"], shape: Degeneracy) -> Float[Array, "*batch 3 3"]:
    """Principal axes that do not depend on rounding: the Cartesian ones of an isotropic tensor, and R_z(α) R_y(β) of an
    axial one, with the angles of `settled_angles`; others as they are.

    Args:
        axes: principal axes as columns, proper rotation, the z axis that of an axial tensor.
        shape: of the tensor.
    """
    defined = rotation_from_euler(settled_angles(axes, shape)[0])
    return jnp.where((shape.isotropic | shape.axial)[..., None, None], defined, axes)


def settled_relative_angles(
    first: Float[Array, "*batch 3 3"],
    second: Float[Array, "*batch 3 3"],
    shapes: tuple[Degeneracy, Degeneracy],
    *,
    passive: bool = False,
) -> tuple[Float[Array, "*batch 3"], Bool[Array, "*batch 3"]]:
    """`relative_euler_angles` with 0 for the angles that have no meaning, and which these are.

    All three where a tensor is isotropic; the active α where the first is axial, γ where the second is, and both where
    one is and β = 0. An axial tensor is the same after any half turn about an axis normal to its own: with an axial
    first one, γ and π − γ mean the same, and the smaller is given.

    Args:
        first: principal axes as columns.
        second: the same for the other tensor.
        shapes: of both tensors.
        passive: whether to give the passive angles.

    Returns:
        Angles in rad, and whether each is undefined.
    """
    one, other = shapes
    angles = relative_euler_angles(first, second, tilt=one.tilt + other.tilt)
    none = one.isotropic | other.isotropic
    upright = (one.axial | other.axial) & (angles[..., 1] == 0.0)
    alpha, beta, gamma = jnp.moveaxis(angles, -1, 0)
    gamma = jnp.where(one.axial, jnp.minimum(gamma, np.pi - gamma), gamma)
    free = (none | one.axial | upright, none, none | other.axial | upright)
    return _settled(jnp.stack([alpha, beta, gamma], axis=-1), free, passive)


def _settled(
    active: Float[Array, "*batch 3"], free: tuple[Bool[Array, "*batch"], ...], passive: bool
) -> tuple[Float[Array, "*batch 3"], Bool[Array, "*batch 3"]]:
    """Angles in either sense with 0 where they are free; passive α is free where active γ is."""
    undefined = jnp.stack(free[::-1] if passive else free, axis=-1)
    return jnp.where(undefined, 0.0, swap_sense(active) if passive else active), undefined


def swap_sense(angles: Float[Array, "*batch 3"]) -> Float[Array, "*batch 3"]:
    """Active angles from passive ones and passive from active: (α, β, γ) → (π − γ, β, π − α), wrapped to [0, 2π)."""
    alpha, beta, gamma = jnp.moveaxis(angles, -1, 0)
    return jnp.stack([_wrap(np.pi - gamma), beta, _wrap(np.pi - alpha)], axis=-1)


def equivalent_euler_angles(angles: Float[Array, "*batch 3"], *, passive: bool = False) -> Float[Array, "*batch 4 3"]:
    """The four sets of ZYZ angles that describe the same tensor: a turn of 180° about z, and the two with z reversed.

    Passive: (α, β, γ), (α+π, β, γ), (π−α, π−β, γ+π), (−α, π−β, γ+π). Active: (α, β, γ), (α, β, γ+π), (α+π, π−β, π−γ),
        (α+π, π−β, −γ).

    Args:
        angles: one set, rad.
        passive: whether it is passive.

    Returns:
        The four sets, the given one first, α and γ wrapped to [0, 2π).
    """
    alpha, beta, gamma = jnp.moveaxis(angles, -1, 0)
    flipped = np.pi - beta
    if passive:
        sets = [
            (alpha, beta, gamma),
            (alpha + np.pi, beta, gamma),
            (np.pi - alpha, flipped, gamma + np.pi),
            (-alpha, flipped, gamma + np.pi),
        ]
    else:
        sets = [
            (alpha, beta, gamma),
            (alpha, beta, gamma + np.pi),
            (alpha + np.pi, flipped, np.pi - gamma),
            (alpha + np.pi, flipped, -gamma),
        ]
    return jnp.stack([jnp.stack([_wrap(a), b, _wrap(g)], axis=-1) for a, b, g in sets], axis=-2)


def relative_euler_angles(
    first: Float[Array, "*batch 3 3"],
    second: Float[Array, "*batch 3 3"],
    *,
    tilt: Float[Array, "..."] | float = 0.0,
) -> Float[Array, "*batch 3"]:
    """Active ZYZ angles of one tensor's axes in those of another, R_firstᵀ R_second (Soprano's
    ``second.euler_to(first)``).

    Each tensor has four equivalent frames, so sixteen sets of angles mean the same. `euler_angles` chooses among the
    half turns of the second; of the half turns of the first the one with the smallest α is taken, at most 90°.

    Args:
        first: principal axes as columns.
        second: the same for the other tensor.
        tilt: as for :func:`euler_from_rotation`.

    Returns:
        (α, β, γ) in rad.
    """
    half_turns = jnp.stack([jnp.diag(jnp.array(signs, dtype=first.dtype)) for signs in HALF_TURNS])
    turned = jnp.einsum("kij,...lj,...lm->...kim", half_turns, first, second, precision=HIGHEST)
    sets = euler_angles(turned, tilt=jnp.asarray(tilt)[..., None])
    best = jnp.argmin(sets[..., 0], axis=-1)
    return jnp.take_along_axis(sets, best[..., None, None], axis=-2)[..., 0, :]


def _wrap(angle: Float[Array, "*batch"]) -> Float[Array, "*batch"]:
    """Into [0, 2π). The remainder of a negative rounding error is 2π itself, which belongs to 0."""
    wrapped = jnp.mod(angle, 2.0 * np.pi)
    return jnp.where(wrapped >= jnp.asarray(2.0 * np.pi, dtype=angle.dtype), jnp.zeros_like(wrapped), wrapped)
