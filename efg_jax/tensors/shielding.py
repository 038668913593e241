"""Magnetic shielding and chemical shift tensors in the conventions of Haeberlen, of Maryland (Herzfeld–Berger) and of
IUPAC.

Shielding σ and shift δ are in ppm. All functions see the symmetric part of a tensor;
:func:`efg_jax.tensors.irreps.to_spherical` has the antisymmetric one. Where shielding and shift are described by
different formulas the sense of the tensor is an argument without default: published signs differ."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.tensors.efg import asymmetry
from efg_jax.tensors.euler import settled_axes
from efg_jax.tensors.principal import Degeneracy, degeneracy, identity_like, principal_axes, rounding

SENSES = ("shielding", "shift")


class Haeberlen(NamedTuple):
    """Isotropic value, reduced anisotropy ζ = σ_zz − σ_iso and asymmetry η = (σ_yy − σ_xx)/ζ (U. Haeberlen, 1976)."""

    iso: Float[Array, "*batch"]
    zeta: Float[Array, "*batch"]
    eta: Float[Array, "*batch"]

    @property
    def anisotropy(self) -> Float[Array, "*batch"]:
        """Δ = σ_zz − (σ_xx + σ_yy)/2 = 3ζ/2, ppm."""
        return 1.5 * self.zeta


class Maryland(NamedTuple):
    """Isotropic value, span Ω ≥ 0 and skew κ ∈ [−1, 1] (J. Mason, Solid State NMR 2 (1993) 285)."""

    iso: Float[Array, "*batch"]
    span: Float[Array, "*batch"]
    skew: Float[Array, "*batch"]


def isotropic(tensor: Float[Array, "*batch 3 3"]) -> Float[Array, "*batch"]:
    """Tr σ / 3, ppm."""
    return jnp.trace(tensor, axis1=-2, axis2=-1) / 3.0


def haeberlen(tensor: Float[Array, "*batch 3 3"]) -> Haeberlen:
    """Haeberlen's parameters: |σ_zz − σ_iso| ≥ |σ_xx − σ_iso| ≥ |σ_yy − σ_iso|, ζ = σ_zz − σ_iso, η = (σ_yy − σ_xx)/ζ.

    One formula serves both senses: the shift tensor of a shielding tensor has −ζ and the same η.

    Args:
        tensor: shielding or shift tensor, ppm.

    Returns:
        iso and ζ in ppm, η in [0, 1]; η = 0, with a zero derivative, for a tensor that is isotropic to rounding (see
        :func:`decompose_shielding`).
    """
    return decompose_shielding(tensor).haeberlen


def principal_from_haeberlen(
    iso: Float[Array, "*batch"], zeta: Float[Array, "*batch"], eta: Float[Array, "*batch"]
) -> Float[Array, "*batch 3"]:
    """(σ_xx, σ_yy, σ_zz) in Haeberlen order: σ_zz = σ_iso + ζ, σ_xx = σ_iso − ζ(1 + η)/2, σ_yy = σ_iso − ζ(1 − η)/2.

    Args:
        iso: isotropic value, ppm.
        zeta: reduced anisotropy ζ (not Δ = 3ζ/2), ppm.
        eta: asymmetry, in [0, 1].

    Returns:
        Principal values, ppm.
    """
    return jnp.stack([iso - 0.5 * zeta * (1.0 + eta), iso - 0.5 * zeta * (1.0 - eta), iso + zeta], axis=-1)


def principal_components(tensor: Float[Array, "*batch 3 3"], *, sense: str) -> Float[Array, "*batch 3"]:
    """IUPAC's principal components, in order of frequency: σ_11 ≤ σ_22 ≤ σ_33 for shielding, δ_11 ≥ δ_22 ≥ δ_33 for
    shift.

    Args:
        tensor: shielding or shift tensor, ppm.
        sense: which of the two it is, "shielding" or "shift".

    Returns:
        Components 11, 22, 33 in ppm.

    Raises:
        InputError: unknown sense.
    """
    return decompose_shielding(tensor).components(sense)


def maryland(tensor: Float[Array, "*batch 3 3"], *, sense: str) -> Maryland:
    """Span and skew: Ω = σ_33 − σ_11, κ = 3(σ_iso − σ_22)/Ω of a shielding; Ω = δ_11 − δ_33, κ = 3(δ_22 − δ_iso)/Ω of a
    shift.

    A site has one κ: a shielding tensor read as "shielding" and its shift tensor read as "shift" agree. The same
        numbers read in the other sense give −κ.

    Args:
        tensor: shielding or shift tensor, ppm.
        sense: which of the two it is, "shielding" or "shift".

    Returns:
        iso and Ω in ppm, κ in [−1, 1]; κ = 0, with a zero derivative, for a tensor that is isotropic to rounding (see
        :func:`decompose_shielding`).

    Raises:
        InputError: unknown sense.
    """
    return decompose_shielding(tensor).maryland(sense)


def principal_from_maryland(
    iso: Float[Array, "*batch"], span: Float[Array, "*batch"], skew: Float[Array, "*batch"], *, sense: str
) -> Float[Array, "*batch 3"]:
    """Components 11, 22, 33 from iso, Ω and κ, the inverse of :func:`maryland`.

    Args:
        iso: isotropic value, ppm.
        span: Ω, ppm, not negative.
        skew: κ in [−1, 1].
        sense: "shielding" (σ_11 ≤ σ_22 ≤ σ_33) or "shift" (δ_11 ≥ δ_22 ≥ δ_33).

    Returns:
        Principal components, ppm.

    Raises:
        InputError: unknown sense.
    """
    sign = 1.0 if _is_shielding(sense) else -1.0
    middle = iso - sign * skew * span / 3.0
    centre = 0.5 * (3.0 * iso - middle)
    return jnp.stack([centre - 0.5 * sign * span, middle, centre + 0.5 * sign * span], axis=-1)


def shift(
    shielding: Float[Array | np.ndarray, "..."], reference: Float[Array | np.ndarray, "..."] | float | int | None
) -> Float[Array | np.ndarray, "..."]:
    """Chemical shift δ = (σ_ref − σ)/(1 − σ_ref·10⁻⁶) of isotropic or principal values.

    Args:
        shielding: σ, ppm: isotropic values or principal components (of a whole tensor: :func:`shift_tensor`).
        reference: σ_ref of the reference compound, ppm, computed as σ was; there is no default.

    Returns:
        δ in ppm.

    Raises:
        InputError: reference is None.
    """
    reference = _required(reference)
    return _over_scale(reference - shielding, reference)


def shift_tensor(
    shielding: Float[Array, "*batch 3 3"], reference: Float[Array, "..."] | float | int | None
) -> Float[Array, "*batch 3 3"]:
    """Chemical shift tensor δ = (σ_ref·1 − σ)/(1 − σ_ref·10⁻⁶), antisymmetric part included.

    Args:
        shielding: σ, ppm.
        reference: isotropic σ_ref, ppm: one for all, or one per tensor.

    Returns:
        δ in ppm.

    Raises:
        InputError: reference is None.
    """
    reference = jnp.asarray(_required(reference), dtype=shielding.dtype)[..., None, None]
    scale = jnp.broadcast_to(reference, (*shielding.shape[:-2], 1, 1))
    return _over_scale(scale * identity_like(shielding) - shielding, scale)


def shielding_from_shift(
    shift: Float[Array, "..."], reference: Float[Array, "..."] | float | int | None
) -> Float[Array, "..."]:
    """σ = σ_ref − δ(1 − σ_ref·10⁻⁶), the inverse of :func:`shift`.

    Args:
        shift: δ, ppm: isotropic values or principal components.
        reference: σ_ref, ppm.

    Returns:
        σ in ppm.

    Raises:
        InputError: reference is None.
    """
    reference = _required(reference)
    return reference - shift * (1.0 - 1e-6 * reference)


class Decomposed(NamedTuple):
    """A shielding or shift tensor as its mean and what is left, from which all conventions follow.

    The mean is taken off before the eigenvalues are computed, so that float32 keeps the digits of a small anisotropy.

    Attributes:
        iso: isotropic value, ppm.
        deviations: principal values without the isotropic one, in Haeberlen order (xx, yy, zz), ppm.
        axes: principal axes as columns, in Haeberlen order, see :func:`efg_jax.tensors.euler.settled_axes`.
        rounding: differences of principal values up to this are rounding, ppm.
    """

    iso: Float[Array, "*batch"]
    deviations: Float[Array, "*batch 3"]
    axes: Float[Array, "*batch 3 3"]
    rounding: Float[Array, "*batch"]

    @property
    def degeneracy(self) -> Degeneracy:
        """Whether the tensor is isotropic or axial to rounding."""
        return degeneracy(self.deviations, self.rounding)

    @property
    def ascending(self) -> Float[Array, "*batch 3"]:
        """Principal values without the isotropic one, ascending, ppm."""
        return jnp.sort(self.deviations, axis=-1)

    @property
    def haeberlen(self) -> Haeberlen:
        """See :func:`haeberlen`."""
        return Haeberlen(self.iso, self.deviations[..., 2], asymmetry(self.deviations, self.rounding))

    def maryland(self, sense: str) -> Maryland:
        """See :func:`maryland`."""
        # κ as a ratio of the gaps, (above − below)/Ω: rounding of the mean cannot take it out of [−1, 1].
        below, above = jnp.moveaxis(jnp.diff(self.ascending, axis=-1), -1, 0)
        span = above + below
        isotropic_site = span <= self.rounding
        skew = jnp.where(isotropic_site, 0.0, (above - below) / jnp.where(isotropic_site, 1.0, span))
        return Maryland(self.iso, span, skew if _is_shielding(sense) else -skew)

    def components(self, sense: str) -> Float[Array, "*batch 3"]:
        """See :func:`principal_components`."""
        ascending = self.iso[..., None] + self.ascending
        return ascending if _is_shielding(sense) else ascending[..., ::-1]


def decompose_shielding(tensor: Float[Array, "*batch 3 3"], scale: Float[Array, "..."] | float = 0.0) -> Decomposed:
    """Isotropic value and principal axes of a shielding or shift tensor: one decomposition for all conventions.

    Args:
        tensor: ppm.
        scale: size of what it is the difference of, ppm, where that is larger than its elements; see
            :func:`efg_jax.tensors.principal.rounding`.
    """
    iso, own = isotropic(tensor), rounding(tensor, scale)
    deviations, axes = principal_axes(tensor - iso[..., None, None] * identity_like(tensor), "haeberlen")
    return Decomposed(iso, deviations, settled_axes(axes, degeneracy(deviations, own)), own)


def _over_scale(difference, reference):
    return difference / (1.0 - 1e-6 * reference)


def _required(reference):
    if reference is None:
        raise InputError("a chemical shift needs the shielding of a reference compound; pass reference=... in ppm")
    return reference


def _is_shielding(sense: str) -> bool:
    if sense not in SENSES:
        raise InputError(f"unknown sense {sense!r}; say whether the tensor is a 'shielding' or a 'shift'")
    return sense == "shielding"
