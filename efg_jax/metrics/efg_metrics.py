"""The quantities that a solid-state NMR experiment sees in an EFG tensor, and the metrics that Harper et al. 2025 make
of them.

V_zz is fixed positive in the metrics C̃_Q and η̃, as in the paper. That is done here, to derived values, and never to
training targets."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.precision import x64
from efg_jax.structures.padding import in_bucket
from efg_jax.tensors.efg import (
    coupling_constant,
    field_component,
    field_component_from_angles,
    frequency_of_component,
)
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.orientation import polar_angles, quaternion, quaternion_overlap, reassign_axes, z_axis_angle
from efg_jax.tensors.principal import ROUNDING_ULPS, Degeneracy, principal_axes
from efg_jax.tensors.quantities import Context, View


class Scale(NamedTuple):
    """Mean μ and standard deviation σ (over N, not N − 1) of |V_zz| of one nucleus over the reference data, V/Å².

    They make C̃_Q and η̃ comparable between nuclei (Harper et al. 2025, Eqs. 7 and 8). μ(V_zz) with its sign is
    ill-conditioned where the sign varies between sites (37 % positive in an aluminosilicate: μ = −0.10, σ = 0.24 a.u.),
    hence |V_zz|. σ is 0 where sites differ by rounding alone, and C̃_Q is undefined there."""

    mean: Float[Array, ""] | float
    std: Float[Array, ""] | float

    @classmethod
    def from_tensors(cls, tensors: Float[Array, "n 3 3"]) -> "Scale":
        """μ and σ of |V_zz| of these tensors, V/Å²."""
        magnitude = _magnitude(tensors)
        mean, std = jnp.mean(magnitude), jnp.std(magnitude)
        return cls(mean, jnp.where(std <= ROUNDING_ULPS * float(jnp.finfo(std.dtype).eps) * mean, 0.0, std))

    @classmethod
    def of_data(cls, tensors: Float[np.ndarray, "n 3 3"]) -> "Scale":
        """The same of the tensors on the host that have no NaN, as Python floats in float64; data sets of similar size
        share a compilation.
        """
        tensors = tensors[np.isfinite(tensors).all(axis=(1, 2))]
        with x64():
            padded = _compiled_magnitude(in_bucket(np.asarray(tensors, dtype=np.float64)))
        magnitude = np.asarray(padded)[: len(tensors)]
        mean, std = float(np.mean(magnitude)), float(np.std(magnitude))
        return cls(mean, 0.0 if std <= ROUNDING_ULPS * np.finfo(float).eps * mean else std)


def _magnitude(tensors: Float[Array, "n 3 3"]) -> Float[Array, "n"]:
    """|V_zz|."""
    return jnp.abs(principal_axes(tensors).values[:, 2])


_compiled_magnitude = jax.jit(_magnitude)


class Observables(NamedTuple):
    """Everything that is derived from the tensors of n nuclei of one kind. None: not defined, or not known to the
    model.

    Attributes:
        v_zz: principal component of largest magnitude with its sign, V/Å².
        eta: asymmetry η ∈ [0, 1].
        c_q: quadrupolar coupling constant with its sign, Hz; None for spin 1/2.
        c_q_tilde: C̃_Q, from |V_zz|.
        eta_tilde: η̃, from positive V_zz.
        theta: polar angle of the field direction in the principal frame, folded to [0, π/2], rad.
        phi: azimuth of the field direction there, from the x axis, folded to [0, π/2], rad.
        v_nn: n·V·n, the tensor along the field direction n, V/Å².
        nu_q: quadrupolar frequency with the field along n, Hz; None for spin 1/2.
        axes: principal axes as columns x, y, z.
        quaternion: the same as unit quaternions (w, x, y, z).
        shape: which tensors are isotropic (zero) or axial to rounding: angles and axes have a meaning as far as
            `efg_jax.tensors.settled_angles` says, and are 0, or the Cartesian axes, otherwise.
    """

    v_zz: Float[Array, "n"]
    eta: Float[Array, "n"]
    c_q: Float[Array, "n"] | None
    c_q_tilde: Float[Array, "n"]
    eta_tilde: Float[Array, "n"]
    theta: Float[Array, "n"]
    phi: Float[Array, "n"]
    v_nn: Float[Array, "n"]
    nu_q: Float[Array, "n"] | None
    axes: Float[Array, "n 3 3"] | None = None
    quaternion: Float[Array, "n 4"] | None = None
    shape: Degeneracy | None = None


class AxesErrors(NamedTuple):
    """How far predicted principal axes are from reference ones, per nucleus.

    Attributes:
        q_tilde: quaternion overlap q̃ ∈ [1/2, 1].
        z_axis: angle between the z axes, [0, π/2] rad.
        q_tilde_reassigned: q̃ after the predicted axes were matched to the reference ones.
        theta_reassigned: θ of the field in the matched frame, rad.
        phi_reassigned: φ of the field in the matched frame, rad.
        permutation: which predicted axis stands for x, y and z after matching; (0, 1, 2) where the order of the
            eigenvalues was right.
    """

    q_tilde: Float[Array, "n"]
    z_axis: Float[Array, "n"]
    q_tilde_reassigned: Float[Array, "n"]
    theta_reassigned: Float[Array, "n"]
    phi_reassigned: Float[Array, "n"]
    permutation: Array


def c_q_tilde(v_zz: Float[Array, "*atoms"], scale: Scale) -> Float[Array, "*atoms"]:
    """C̃_Q = (|V_zz| − μ)/σ (Harper et al. 2025, Eq. 7, V_zz fixed positive), without unit.

    Args:
        v_zz: principal component of largest magnitude, V/Å², of either sign.
        scale: μ and σ of |V_zz| for this nucleus.
    """
    mean, std = _as(v_zz, scale)
    return (jnp.abs(v_zz) - mean) / std


def eta_tilde(values: Float[Array, "*atoms 3"], scale: Scale) -> Float[Array, "*atoms"]:
    """η̃ = (V_xx − V_yy)/μ for V_zz fixed positive (Harper et al. 2025, Eq. 8), without unit.

    With V_zz > 0 and zero trace both other components are negative or zero, so that V_xx − V_yy = |V_yy| − |V_xx| ≥ 0
    for either sign of V_zz. It vanishes with η and equals η at |V_zz| = μ.

    Args:
        values: principal components (V_xx, V_yy, V_zz) in NQR order, V/Å².
        scale: μ of |V_zz| for this nucleus.
    """
    mean, _ = _as(values, scale)
    return (jnp.abs(values[..., 1]) - jnp.abs(values[..., 0])) / mean


def q_tilde(
    reference_axes: Float[Array, "*atoms 3 3"], predicted_axes: Float[Array, "*atoms 3 3"]
) -> Float[Array, "*atoms"]:
    """q̃ = q·q′ (Harper et al. 2025, Eq. 9) of two principal frames, maximised over the four D₂ images and the sign:
    [1/2, 1].

    Args:
        reference_axes: proper orthogonal matrices with the principal axes as columns.
        predicted_axes: the same for the model.
    """
    return quaternion_overlap(quaternion(reference_axes), quaternion(predicted_axes))


def direction_angle(
    theta: Float[Array, "*atoms"],
    phi: Float[Array, "*atoms"],
    other_theta: Float[Array, "*atoms"],
    other_phi: Float[Array, "*atoms"],
) -> Float[Array, "*atoms"]:
    """Angle between two directions given by polar angles, [0, π] rad.

    Between the field as seen in the reference and in the predicted principal frame it is what θ and φ together say
    about the orientation, without φ's singularity at θ = 0; the frames differ by a rotation of at least this angle."""
    # Haversine form: exact for small angles, where acos of a dot product loses half of the digits.
    haversine = (
        jnp.sin(0.5 * (theta - other_theta)) ** 2
        + jnp.sin(theta) * jnp.sin(other_theta) * jnp.sin(0.5 * (phi - other_phi)) ** 2
    )
    return 2.0 * jnp.arcsin(jnp.sqrt(jnp.clip(haversine, 0.0, 1.0)))


def tensor_observables(
    tensors: Float[Array, "n 3 3"], directions: Float[Array, "n 3"], scale: Scale, isotope: Isotope | None = None
) -> Observables:
    """Every observable of n EFG tensors of one nucleus (`isotope` is static under `jax.jit`).

    Args:
        tensors: symmetric and traceless, V/Å².
        directions: unit vectors of the magnetic field, in the tensors' frame.
        scale: μ and σ of |V_zz| for this nucleus.
        isotope: the nucleus that turns V/Å² into Hz; c_q and nu_q are None without one, or with one of spin 1/2.
    """
    view = View(Context(direction=directions), efg=tensors)
    values, axes = view.principal
    v_zz = values[:, 2]
    theta, phi = view.polar
    v_nn = field_component(tensors, directions)
    quadrupolar = isotope is not None and isotope.quadrupole_moment is not None
    return Observables(
        v_zz=v_zz,
        eta=view.eta,
        c_q=coupling_constant(v_zz, isotope) if quadrupolar else None,
        c_q_tilde=c_q_tilde(v_zz, scale),
        eta_tilde=eta_tilde(values, scale),
        theta=theta,
        phi=phi,
        v_nn=v_nn,
        nu_q=frequency_of_component(v_nn, isotope) if quadrupolar else None,
        axes=axes,
        quaternion=quaternion(axes),
        shape=view.efg_shape,
    )


def scalar_observables(
    c_q_tilde: Float[Array, "n"],
    eta_tilde: Float[Array, "n"],
    theta: Float[Array, "n"],
    phi: Float[Array, "n"],
    sign: Float[Array, "n"],
    scale: Scale,
    isotope: Isotope | None = None,
) -> Observables:
    """What follows from the four scalars C̃_Q, η̃, θ, φ, each learned by itself: |V_zz| = μ + σC̃_Q, η = η̃μ/|V_zz|,
    n·V·n by `field_component_from_angles`.

    Nothing is clipped: a model that predicts η outside [0, 1] or angles outside [0, π/2] is shown as it is.

    Args:
        c_q_tilde: C̃_Q.
        eta_tilde: η̃.
        theta: θ, rad.
        phi: φ, rad.
        sign: sign of V_zz, ±1, which C̃_Q does not know. Taken from the reference, it is granted to the scalar model.
        scale: μ and σ of |V_zz| for this nucleus.
        isotope: as in `tensor_observables`.
    """
    mean, std = _as(c_q_tilde, scale)
    magnitude, width = mean + std * c_q_tilde, mean * eta_tilde
    v_zz = sign * magnitude
    v_nn = sign * field_component_from_angles(magnitude, width, theta, phi)
    quadrupolar = isotope is not None and isotope.quadrupole_moment is not None
    return Observables(
        v_zz=v_zz,
        eta=width / magnitude,
        c_q=coupling_constant(v_zz, isotope) if quadrupolar else None,
        c_q_tilde=c_q_tilde,
        eta_tilde=eta_tilde,
        theta=theta,
        phi=phi,
        v_nn=v_nn,
        nu_q=frequency_of_component(v_nn, isotope) if quadrupolar else None,
    )


def axes_errors(
    reference_axes: Float[Array, "n 3 3"],
    predicted_axes: Float[Array, "n 3 3"],
    directions: Float[Array, "n 3"],
    shape: Degeneracy | None = None,
) -> AxesErrors:
    """Orientation errors of principal frames, before and after the predicted axes are matched to the reference ones.

    Where |V_zz| ≈ |V_yy| (η → 1) the order of the eigenvalues is ambiguous, and a tiny error in them turns the named
    axes by 90°; matching the axes shows the error without these outliers (Harper et al. 2025, SI).

    Args:
        reference_axes: principal axes as columns x, y, z.
        predicted_axes: the same for the model.
        directions: unit vectors of the magnetic field.
        shape: of the reference tensors. An axial one leaves the turn about z open, and the best is taken; an isotropic
            one has no orientation to miss.
    """
    matched, permutation = reassign_axes(predicted_axes, reference_axes)
    theta, phi = polar_angles(matched, directions)
    z_axis, overlap = orientation_errors(reference_axes, predicted_axes, shape)
    _, reassigned = orientation_errors(reference_axes, matched, shape)
    return AxesErrors(
        q_tilde=overlap,
        z_axis=z_axis,
        q_tilde_reassigned=reassigned,
        theta_reassigned=theta,
        phi_reassigned=phi,
        permutation=permutation,
    )


def orientation_errors(
    reference_axes: Float[Array, "n 3 3"], predicted_axes: Float[Array, "n 3 3"], shape: Degeneracy | None = None
) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    """Angle between the z axes in rad, and q̃, as far as the shape of the reference tensors gives them a meaning.

    Args:
        reference_axes, predicted_axes, shape: as for `axes_errors`.

    Returns:
        For an axial reference q̃ is the largest over all turns about its axis, cos(½ angle between the z axes); for an
        isotropic one the angle is 0 and q̃ is 1.
    """
    angle, overlap = z_axis_angle(reference_axes, predicted_axes), q_tilde(reference_axes, predicted_axes)
    if shape is None:
        return angle, overlap
    angle = jnp.where(shape.isotropic, 0.0, angle)
    return angle, jnp.where(shape.isotropic | shape.axial, jnp.cos(0.5 * angle), overlap)


def _as(values: Float[Array, "*shape"], scale: Scale) -> tuple[Float[Array, ""], Float[Array, ""]]:
    """μ and σ in the precision of the values."""
    return jnp.asarray(scale.mean, dtype=values.dtype), jnp.asarray(scale.std, dtype=values.dtype)
