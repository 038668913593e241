"""Magnetic shielding and chemical shift tensors in the conventions of Haeberlen, of Maryland (Herzfeld–Berger) and of IUPAC.

Shielding σ and shift δ are in ppm. All functions see the symmetric part of a tensor; :func:`efg_jax.tensors.irreps.to_spherical` has the
antisymmetric one. Where shielding and shift are described by different formulas the sense of the tensor is an argument without default:
published signs differ.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.tensors.eigen import eigh3
from efg_jax.tensors.principal import principal_axes

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
        iso and ζ in ppm, η in [0, 1]; η = 0, with a zero derivative, for an isotropic tensor.
    """
    iso, deviation = _deviation(tensor)
    values = principal_axes(deviation, "haeberlen").values
    zeta = values[..., 2]
    isotropic_site = zeta == 0.0
    eta = jnp.where(isotropic_site, 0.0, (values[..., 1] - values[..., 0]) / jnp.where(isotropic_site, 1.0, zeta))
    return Haeberlen(iso, zeta, eta)


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
    """IUPAC's principal components, in order of frequency: σ_11 ≤ σ_22 ≤ σ_33 for shielding, δ_11 ≥ δ_22 ≥ δ_33 for shift.

    Args:
        tensor: shielding or shift tensor, ppm.
        sense: which of the two it is, "shielding" or "shift".

    Returns:
        Components 11, 22, 33 in ppm.

    Raises:
        InputError: unknown sense.
    """
    values, _ = eigh3(tensor)
    return values if _is_shielding(sense) else values[..., ::-1]


def maryland(tensor: Float[Array, "*batch 3 3"], *, sense: str) -> Maryland:
    """Span and skew: Ω = σ_33 − σ_11, κ = 3(σ_iso − σ_22)/Ω of a shielding; Ω = δ_11 − δ_33, κ = 3(δ_22 − δ_iso)/Ω of a shift.

    A site has one κ: a shielding tensor read as "shielding" and its shift tensor read as "shift" agree. The same numbers read in the
    other sense give −κ.

    Args:
        tensor: shielding or shift tensor, ppm.
        sense: which of the two it is, "shielding" or "shift".

    Returns:
        iso and Ω in ppm, κ in [−1, 1]; κ = 0, with a zero derivative, for an isotropic tensor.

    Raises:
        InputError: unknown sense.
    """
    iso, deviation = _deviation(tensor)
    values, _ = eigh3(deviation)
    span = values[..., 2] - values[..., 0]
    isotropic_site = span == 0.0
    skew = jnp.where(isotropic_site, 0.0, -3.0 * values[..., 1] / jnp.where(isotropic_site, 1.0, span))
    return Maryland(iso, span, skew if _is_shielding(sense) else -skew)


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


def shift(shielding: Float[Array, "..."], reference: Float[Array, "..."] | float | int | None) -> Float[Array, "..."]:
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
    return (reference - shielding) / (1.0 - 1e-6 * reference)


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
    identity = jnp.eye(3, dtype=shielding.dtype).reshape((1,) * (shielding.ndim - 2) + (3, 3))
    scale = jnp.broadcast_to(reference, (*shielding.shape[:-2], 1, 1))
    return (scale * identity - shielding) / (1.0 - 1e-6 * scale)


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


def _deviation(tensor):
    """Mean, and what is left of the tensor without it: taken off first, so that float32 keeps the digits of a small anisotropy."""
    iso = isotropic(tensor)
    identity = jnp.eye(3, dtype=tensor.dtype).reshape((1,) * (tensor.ndim - 2) + (3, 3))
    return iso, tensor - iso[..., None, None] * identity


def _required(reference):
    if reference is None:
        raise InputError("a chemical shift needs the shielding of a reference compound; pass reference=... in ppm")
    return reference


def _is_shielding(sense: str) -> bool:
    if sense not in SENSES:
        raise InputError(f"unknown sense {sense!r}; say whether the tensor is a 'shielding' or a 'shift'")
    return sense == "shielding"
