"""Principal values and axes of a symmetric tensor in the orders that NMR uses."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from efg_jax.errors import InputError
from efg_jax.tensors.eigen import eigh3

CONVENTIONS = ("nqr", "haeberlen")
# A direction cosine below this many units of rounding counts as zero when an axis is given its sign.
SIGN_ULPS = 64.0
# Contributions to a tensor, which cancel at sites of high symmetry, reach some 10³ V/Å² (one p electron makes a field
# gradient of ⅘⟨r⁻³⟩, 1 to 20 atomic units of 97 V/Å²) and 10³ ppm (diamagnetic and paramagnetic shielding).
CONTRIBUTIONS = 1e3
ROUNDING_ULPS = 64.0


class PrincipalAxes(NamedTuple):
    """Principal values (xx, yy, zz) and the axes x, y, z as the columns of a proper rotation: V = axes · diag(values) ·
    axesᵀ.
    """

    values: Float[Array, "*batch 3"]
    axes: Float[Array, "*batch 3 3"]

    @property
    def zz(self) -> Float[Array, "*batch"]:
        """The principal value of largest magnitude (of the deviation from the mean, in Haeberlen order)."""
        return self.values[..., 2]

    @property
    def z_axis(self) -> Float[Array, "*batch 3"]:
        """The unit vector of the z axis."""
        return self.axes[..., :, 2]

    def tensor(self) -> Float[Array, "*batch 3 3"]:
        """The symmetric Cartesian tensor, axes · diag(values) · axesᵀ."""
        return jnp.einsum(
            "...ik,...k,...jk->...ij", self.axes, self.values, self.axes, precision=jax.lax.Precision.HIGHEST
        )


class Degeneracy(NamedTuple):
    """What rounding leaves of the shape of a tensor.

    Attributes:
        isotropic: all principal values are equal to rounding: shape and axes have no meaning.
        axial: two of them are, and the third is not: only the z axis has a meaning, as a line.
        tilt: angle by which rounding may turn that axis, rad.
    """

    isotropic: Bool[Array, "*batch"]
    axial: Bool[Array, "*batch"]
    tilt: Float[Array, "*batch"]


def rounding(tensor: Float[Array, "*batch 3 3"], scale: Float[Array, "..."] | float = 0.0) -> Float[Array, "*batch"]:
    """Size up to which a difference of principal values is rounding: 64 ε of the largest number that was rounded.

    Elements that are off by at most δ move each eigenvalue of a symmetric 3×3 matrix by at most 3δ, and a difference by
    6δ (Weyl's theorem). With δ = ε/2 that is 3 ε; the rest of 64 is for the sums and rotations that made the tensor.
    (Of the eight cubic sites of NaCl by CASTEP, principal shieldings differ by up to 7 ε σ_iso, and those of the field
    gradient by up to 15 ε · 10³ V/Å².)

    Args:
        tensor: any unit. If all elements are numbers of float32, ε is that of float32, whatever the dtype: it was
            computed so.
        scale: size of what the tensor is a sum of, in its unit, where that is larger than its elements:
            `CONTRIBUTIONS` in V/Å² or ppm.

    Returns:
        In the tensor's unit, without a derivative.
    """
    single = (tensor.astype(jnp.float32).astype(tensor.dtype) == tensor).all(axis=(-2, -1))
    epsilon = jnp.where(single, float(jnp.finfo(jnp.float32).eps), float(jnp.finfo(tensor.dtype).eps))
    largest = jnp.maximum(jnp.max(jnp.abs(tensor), axis=(-2, -1)), scale)
    return jax.lax.stop_gradient(ROUNDING_ULPS * epsilon.astype(tensor.dtype) * largest)


def degeneracy(values: Float[Array, "*batch 3"], rounding: Float[Array, "*batch"]) -> Degeneracy:
    """Which principal values differ by no more than rounding.

    Args:
        values: principal values in any order.
        rounding: of the tensor, in the unit of the values.
    """
    gaps = jnp.diff(jnp.sort(jax.lax.stop_gradient(values), axis=-1), axis=-1)
    isotropic = jnp.sum(gaps, axis=-1) <= rounding
    axial = (jnp.min(gaps, axis=-1) <= rounding) & ~isotropic
    return Degeneracy(isotropic, axial, rounding / jnp.where(isotropic, 1.0, jnp.max(gaps, axis=-1)))


def principal_axes(tensor: Float[Array, "*batch 3 3"], convention: str = "nqr") -> PrincipalAxes:
    """Principal axis system of the symmetric part of a tensor.

    NQR order: |V_zz| ≥ |V_yy| ≥ |V_xx|. Haeberlen order: |σ_zz − σ_iso| ≥ |σ_xx − σ_iso| ≥ |σ_yy − σ_iso|. For a
        traceless tensor they differ by a turn of 90° about z. Of two equal magnitudes of opposite sign (η = 1) the
        positive one becomes zz.

    The axes are right-handed (det +1). Their signs carry no physics and are fixed so: the last non-zero Cartesian
    component of z, and of y, is positive (z component first, then y, then x, "zero" up to 64 roundings), and x = y × z.
    This is the member of the four equivalent frames with active ZYZ Euler angles β ≤ π/2 and γ < π.

    Args:
        tensor: Cartesian tensor, any unit.
        convention: "nqr" for EFG tensors, "haeberlen" for shielding tensors and spectrum simulators.

    Returns:
        Values (xx, yy, zz) in the tensor's unit and axes as columns. Derivatives are finite everywhere, see
        :func:`efg_jax.tensors.eigen.eigh3`; where the order changes hands (|V_zz| = |V_yy|) they jump.

    Raises:
        InputError: unknown convention.
    """
    if convention not in CONVENTIONS:
        raise InputError(f"unknown axis convention {convention!r}; use one of {', '.join(CONVENTIONS)}")
    # The mean of a shielding tensor can be a thousand times its anisotropy: taken off first, or float32 loses the
    # digits that matter.
    mean = jnp.zeros_like(tensor[..., 0, 0]) if convention == "nqr" else jnp.trace(tensor, axis1=-2, axis2=-1) / 3.0
    values, vectors = eigh3(tensor - mean[..., None, None] * identity_like(tensor))
    magnitude = jnp.abs(values)
    # Stable: of equal magnitudes the larger (positive) eigenvalue comes last. NQR: x smallest; Haeberlen: y smallest.
    ranking = jnp.argsort(magnitude, axis=-1, stable=True)
    order = ranking if convention == "nqr" else jnp.stack([ranking[..., 1], ranking[..., 0], ranking[..., 2]], axis=-1)
    values = jnp.take_along_axis(values, order, axis=-1)
    vectors = jnp.take_along_axis(vectors, order[..., None, :], axis=-1)
    return PrincipalAxes(values + mean[..., None], orient(vectors))


def orient(axes: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch 3 3"]:
    """The same axes with the signs that :func:`principal_axes` documents: a proper rotation, one of the four that mean
    the same.

    Args:
        axes: orthonormal columns, any signs and handedness.

    Returns:
        Columns ±x, ±y, ±z with det +1. The signs are piecewise constant: their derivative is zero.
    """
    fixed = jax.lax.stop_gradient(axes)
    y_sign, z_sign = _sign(fixed[..., 1]), _sign(fixed[..., 2])
    handedness = jnp.sum(fixed[..., 0] * jnp.cross(fixed[..., 1], fixed[..., 2]), axis=-1)
    x_sign = jnp.where(handedness < 0.0, -1.0, 1.0).astype(axes.dtype) * y_sign * z_sign
    return axes * jnp.stack([x_sign, y_sign, z_sign], axis=-1)[..., None, :]


def identity_like(tensor: Float[Array, "*batch 3 3"]) -> Float[Array, "*ones 3 3"]:
    """The 3×3 identity with the tensor's dtype and number of axes."""
    return jnp.eye(3, dtype=tensor.dtype).reshape((1,) * (tensor.ndim - 2) + (3, 3))


def _sign(axis: Float[Array, "*batch 3"]) -> Float[Array, "*batch"]:
    """±1 such that sign·axis has its last non-zero component positive."""
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    zero = SIGN_ULPS * float(jnp.finfo(axis.dtype).eps)
    leading = jnp.where(jnp.abs(z) > zero, z, jnp.where(jnp.abs(y) > zero, y, x))
    return jnp.where(leading < 0.0, -1.0, 1.0).astype(axis.dtype)
