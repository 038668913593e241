"""Transition frequencies of one nucleus for a field along a unit vector n, by perturbation theory, from the tensors
themselves.

With H₀ = −ν_L I_z, the quadrupolar interaction K I·V·I, K = eQ/(2I(2I−1)h), and the chemical shift −ν_L I·δ·n, first
and second order need only numbers that are free of any axes (A. Abragam, The Principles of Nuclear Magnetism, 1961,
chapter VII, for η = 0):

    a = n·V·n,    |V₁|² = n·V²·n − a²,    |V₂|² = 2 (Tr V² + a²/2 − 2 n·V²·n),    x = n·(Vδ + δV)·n/2 − a n·δ·n

with |V₁|² = V_xz² + V_yz² and |V₂|² = (V_xx − V_yy)² + 4V_xy² in axes whose z is n. No eigenvalue and no Euler angle
appears, so that the relative orientation of the two tensors is right by construction and the derivative with respect to
either is that of a polynomial.

Frequencies are in Hz on the axis of the chemical shift: relative to the Larmor frequency, positive towards larger δ
whatever the sign of γ."""

from dataclasses import dataclass
from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jax.lax import Precision
from jaxtyping import Array, Float

from efg_jax.spectra.conditions import Conditions
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.spin import coupling_strength

HIGHEST = Precision.HIGHEST
CONE_POINTS = 5  # enough for polynomials of degree 4 in the field's direction
MAGIC_ANGLE = float(np.arccos(1.0 / np.sqrt(3.0)))


def larmor_frequency(nucleus: Isotope, field: float | int) -> float:
    """|γB/2π| in Hz of the bare nucleus.

    Args:
        nucleus: isotope.
        field: T.
    """
    return abs(nucleus.gyromagnetic_ratio * field) / (2.0 * np.pi)


@dataclass(frozen=True)
class Transition:
    """One transition |m⟩ → |m'⟩ of a spin as the coefficients of its frequency, in Hz.

    Attributes:
        initial, final: m and m'.
        shift: coefficient of n·δ·n (δ in ppm).
        first: of a, V/Å².
        single: of |V₁|², (V/Å²)².
        double: of |V₂|².
        cross: of x, V/Å² ppm.
        weight: |⟨m'|I₋|m⟩|², the intensity after an ideal pulse; 0 for multiple-quantum transitions.
    """

    initial: float
    final: float
    shift: float | Float[Array, ""]
    first: float | Float[Array, ""]
    single: float | Float[Array, ""]
    double: float | Float[Array, ""]
    cross: float | Float[Array, ""]
    weight: float

    @property
    def coefficients(self) -> tuple[float, float, float, float, float]:
        """(shift, first, single, double, cross), as compiled functions take them."""
        return self.shift, self.first, self.single, self.double, self.cross

    @classmethod
    def of(cls, coefficients: Float[Array, "5"]) -> "Transition":
        """From its coefficients, traced ones too; the quantum numbers are not known then."""
        return cls(np.nan, np.nan, *coefficients, np.nan)


@lru_cache(maxsize=1024)
def transition(
    nucleus: Isotope,
    field: float | int,
    initial: float,
    final: float,
    *,
    order: int = 2,
    efg: bool = True,
) -> Transition:
    """Coefficients of one transition.

    Args:
        nucleus: isotope.
        field: T.
        initial, final: quantum numbers m > m'.
        order: 1 for first order only, 2 for second order as well, which includes the cross term of quadrupolar coupling
            and shift.
        efg: False leaves the quadrupolar coupling out.
    """
    spin, larmor = nucleus.spin, larmor_frequency(nucleus, field)
    quantum = initial - final
    weight = ladder(spin, final) if quantum == 1.0 else 0.0
    if not (efg and nucleus.is_quadrupolar):
        return Transition(initial, final, quantum * larmor * 1e-6, 0.0, 0.0, 0.0, 0.0, weight)
    strength = coupling_strength(nucleus)
    # E₁ = K a (3m² − I(I+1))/2; with γ < 0 the axis runs against the frequency.
    first = np.sign(nucleus.gyromagnetic_ratio) * strength * 1.5 * (final**2 - initial**2)
    second = strength**2 / larmor if order == 2 else 0.0
    of_final, of_initial = _second_order(spin, final), _second_order(spin, initial)
    single, double, cross = (low - high for low, high in zip(of_final, of_initial, strict=True))
    mixed = np.sign(nucleus.gyromagnetic_ratio) * strength * 1e-6 * cross if order == 2 else 0.0
    return Transition(
        initial,
        final,
        quantum * larmor * 1e-6,
        float(first),
        second * single,
        second * double,
        float(mixed),
        weight,
    )


def transitions(nucleus: Isotope, conditions: Conditions) -> tuple[Transition, ...]:
    """The single-quantum transitions that are excited, the central one or all, in order of m."""
    initials = [0.5] if conditions.transitions == "central" else np.arange(nucleus.spin, -nucleus.spin, -1.0).tolist()
    options = {"order": conditions.order, "efg": conditions.efg}
    return tuple(transition(nucleus, conditions.field, m, m - 1.0, **options) for m in initials)


def static_frequency(
    efg: Float[Array, "3 3"], shift: Float[Array, "3 3"], direction: Float[Array, "3"], of: Transition
) -> Float[Array, ""]:
    """Frequency for a field along a unit vector.

    Args:
        efg: symmetric traceless V, V/Å².
        shift: chemical shift tensor δ, ppm; its symmetric part counts.
        direction: n.
        of: transition.

    Returns:
        Hz from the Larmor frequency (of each quantum).
    """
    symmetric = 0.5 * (shift + shift.T)
    along_efg = jnp.matmul(efg, direction, precision=HIGHEST)
    along_shift = jnp.matmul(symmetric, direction, precision=HIGHEST)
    a, s = jnp.dot(direction, along_efg, precision=HIGHEST), jnp.dot(direction, along_shift, precision=HIGHEST)
    square = jnp.sum(along_efg * along_efg)
    total = jnp.sum(efg * efg)
    single, double = square - a * a, 2.0 * (total + 0.5 * a * a - 2.0 * square)
    mixed = jnp.sum(along_efg * along_shift) - a * s
    return of.shift * s + of.first * a + of.single * single + of.double * double + of.cross * mixed


def spinning_frequency(
    efg: Float[Array, "3 3"], shift: Float[Array, "3 3"], rotor: Float[Array, "3"], of: Transition
) -> Float[Array, ""]:
    """Frequency averaged over a turn about the magic angle, for spinning that is fast beyond measure.

    The field runs round a cone about the rotor's axis; the frequency is a polynomial of degree 4 in its direction, and
    so its mean over the turn is that of five equally spaced directions, exactly.

    Args:
        efg: V, V/Å².
        shift: δ, ppm.
        rotor: unit vector of the rotor's axis in the crystal frame.
        of: transition.

    Returns:
        Hz from the Larmor frequency.
    """
    # Any vector that is not along the rotor starts the frame; the direction of its least component is the safest.
    start = jnp.zeros_like(rotor).at[jnp.argmin(jnp.abs(rotor))].set(1.0)
    x = start - jnp.sum(start * rotor) * rotor
    x = x / jnp.sqrt(jnp.sum(x * x))
    y = jnp.cross(rotor, x)
    total = jnp.zeros((), dtype=efg.dtype)
    for phase in 2.0 * np.pi * np.arange(CONE_POINTS) / CONE_POINTS:
        around = float(np.cos(phase)) * x + float(np.sin(phase)) * y
        field = float(np.cos(MAGIC_ANGLE)) * rotor + float(np.sin(MAGIC_ANGLE)) * around
        total = total + static_frequency(efg, shift, field, of)
    return total / CONE_POINTS


def ladder(spin: float, m: float) -> float:
    """|⟨m+1|I₊|m⟩|² = I(I+1) − m(m+1)."""
    return spin * (spin + 1.0) - m * (m + 1.0)


def _second_order(spin: float, m: float) -> tuple[float, float, float]:
    """Σ_k |⟨k|H₁|m⟩|²/(E_m − E_k) over k = m ± 1, m ± 2: coefficients of K²|V₁|²/ν_L, K²|V₂|²/ν_L and K x."""

    def one(m: float) -> float:  # |⟨m+1|H_Q|m⟩|², of K²|V₁|²
        return 0.25 * (2.0 * m + 1.0) ** 2 * ladder(spin, m)

    def two(m: float) -> float:  # |⟨m+2|H_Q|m⟩|², of K²|V₂|²
        return 0.0625 * ladder(spin, m) * ladder(spin, m + 1.0)

    def crossed(m: float) -> float:  # twice the product of the quadrupolar and the shift's matrix element
        return -0.5 * (2.0 * m + 1.0) * ladder(spin, m)

    return (
        one(m) - one(m - 1.0),
        0.5 * (two(m) - two(m - 2.0)),
        crossed(m) - crossed(m - 1.0),
    )
