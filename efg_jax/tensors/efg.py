"""What a quadrupolar nucleus measures of an electric field gradient: C_Q, η, P_Q and the quadrupolar frequency.

EFGs are in V/Å², frequencies in Hz (not rad/s), angles in rad. The axis order is |V_zz| ≥ |V_yy| ≥ |V_xx| throughout.
"""

import logging
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.tensors.eigen import eigh3
from efg_jax.tensors.nuclei import Isotope, Nuclei
from efg_jax.tensors.nuclei import isotope as find_isotope

# Atomic unit of electric field gradient, E_h/(e a_0²), CODATA 2022.
V_PER_ANGSTROM2_PER_ATOMIC_UNIT = 97.173624424
# e/h · 10⁻³¹ m²/mb · 10²⁰ (V/m²)/(V/Å²); e and h are exact in the SI.
HZ_PER_MILLIBARN_V_PER_ANGSTROM2 = 1.602176634e-19 / 6.62607015e-34 * 1e-11

HIGHEST = jax.lax.Precision.HIGHEST
STRONG = 0.1  # ν_Q/ν_L from which on perturbation theory leaves out what shows

logger = logging.getLogger(__name__)


def coupling_factor(isotope: Isotope | Nuclei | str) -> Float[Array | np.ndarray, "*atoms"] | float:
    """e Q/h: the coupling constant C_Q in Hz that one V/Å² of V_zz gives.

    Raises:
        InputError: the isotope has spin below 1, and so no quadrupole moment.
    """
    return HZ_PER_MILLIBARN_V_PER_ANGSTROM2 * find_isotope(isotope).require_quadrupole()


def coupling_constant(v_zz: Float[Array, "*atoms"], isotope: Isotope | Nuclei | str) -> Float[Array, "*atoms"]:
    """Quadrupolar coupling constant C_Q = e Q V_zz / h (Harper et al. 2025, Eq. 3).

    Args:
        v_zz: principal EFG component of largest magnitude, V/Å².
        isotope: nucleus, or one for each atom; its quadrupole moment Q is in millibarn.

    Returns:
        C_Q in Hz, with the sign of Q·V_zz.

    Raises:
        InputError: the isotope has spin below 1, and so no quadrupole moment.
    """
    return v_zz * coupling_factor(isotope)


def principal_values(v_zz: Float[Array, "*atoms"], eta: Float[Array, "*atoms"]) -> Float[Array, "*atoms 3"]:
    """(V_xx, V_yy, V_zz) of the traceless tensor with this V_zz and η: V_xx = −V_zz(1 − η)/2, V_yy = −V_zz(1 + η)/2.

    Args:
        v_zz: principal component of largest magnitude, V/Å².
        eta: asymmetry, in [0, 1].

    Returns:
        Principal values in NQR order, V/Å².
    """
    return jnp.stack([-0.5 * v_zz * (1.0 - eta), -0.5 * v_zz * (1.0 + eta), v_zz], axis=-1)


def asymmetry(
    values: Float[Array, "*atoms 3"], rounding: Float[Array, "*atoms"] | float = 0.0
) -> Float[Array, "*atoms"]:
    """Asymmetry η = (V_xx − V_yy)/V_zz (Harper et al. 2025, Eq. 4).

    Computed from the smaller gap s and the larger gap b between the sorted values, η = 3s/(2b + s), which is the same
    for zero trace and cannot leave [0, 1].

    Args:
        values: principal values (V_xx, V_yy, V_zz), any unit; their order does not matter.
        rounding: largest difference of values that means nothing, see :func:`efg_jax.tensors.principal.rounding`.

    Returns:
        η in [0, 1]; 0, with a zero derivative, where all values are equal to rounding. η has a kink at 0, where V_xx
        and V_yy change places: use :func:`asymmetry_squared` where a smooth function is needed.
    """
    gaps = jnp.diff(jnp.sort(values, axis=-1), axis=-1)
    small, large = jnp.min(gaps, axis=-1), jnp.max(gaps, axis=-1)
    isotropic = small + large <= rounding
    return jnp.where(isotropic, 0.0, 3.0 * small / jnp.where(isotropic, 1.0, 2.0 * large + small))


def invariant_strength(tensor: Float[Array, "*atoms 3 3"]) -> Float[Array, "*atoms"]:
    """√(⅔ Tr V²) = |V_zz| √(1 + η²/3), the P_Q of a tensor in EFG units: no eigenvalues, smooth except at the zero
    tensor.

    Args:
        tensor: symmetric traceless EFG, V/Å².

    Returns:
        The strength in V/Å², never negative; 0, with a zero derivative, for the zero tensor.
    """
    square = (2.0 / 3.0) * jnp.sum(tensor * tensor, axis=(-2, -1))
    zero = square == 0.0
    return jnp.where(zero, 0.0, jnp.sqrt(jnp.where(zero, 1.0, square)))


def asymmetry_squared(
    tensor: Float[Array, "*atoms 3 3"], rounding: Float[Array, "*atoms"] | float = 0.0
) -> Float[Array, "*atoms"]:
    """η² = 2 Tr V²/V_zz² − 3, smooth through η = 0, where η itself has a kink.

    Args:
        tensor: symmetric traceless EFG, any unit.
        rounding: largest |V_zz| that means nothing, see :func:`efg_jax.tensors.principal.rounding`.

    Returns:
        η²; 0, with a zero derivative, for a tensor that is zero to rounding. Rounding leaves a few ε of either sign at
        η = 0.
    """
    values, _ = eigh3(tensor)
    # The eigenvalue of largest magnitude is one of the two ends; ascending order makes choosing it cheap.
    low, high = values[..., 0], values[..., 2]
    v_zz = jnp.where(-low > high, low, high)
    zero = jnp.abs(v_zz) <= rounding
    # Scaled first: V_zz² of a small tensor underflows in float32.
    scaled = tensor / jnp.where(zero, 1.0, v_zz)[..., None, None]
    return jnp.where(zero, 0.0, 2.0 * jnp.sum(scaled * scaled, axis=(-2, -1)) - 3.0)


def asymmetry_invariant(
    tensor: Float[Array, "*atoms 3 3"], rounding: Float[Array, "*atoms"] | float = 0.0
) -> Float[Array, "*atoms"]:
    """η = √(2 Tr V²/V_zz² − 3), from the tensor itself and without an order of V_xx and V_yy.

    Half the digits are lost near η = 0 (a rounding of ε in η² is √ε in η): prefer :func:`asymmetry` for values, and
    :func:`asymmetry_squared` for derivatives.

    Args:
        tensor: symmetric traceless EFG, any unit.
        rounding: as for :func:`asymmetry_squared`.

    Returns:
        η, 0 (with a zero derivative) where rounding makes the root's argument zero or negative.
    """
    square = asymmetry_squared(tensor, rounding)
    axial = square <= 0.0  # NaN is neither, and stays
    return jnp.where(axial, 0.0, jnp.sqrt(jnp.where(axial, 1.0, square)))


def quadrupolar_product(
    v_zz: Float[Array, "*atoms"], eta: Float[Array, "*atoms"], isotope: Isotope | Nuclei | str
) -> Float[Array, "*atoms"]:
    """Quadrupolar product P_Q = C_Q √(1 + η²/3).

    Args:
        v_zz: principal EFG component of largest magnitude, V/Å².
        eta: asymmetry.
        isotope: nucleus.

    Returns:
        P_Q in Hz, with the sign of C_Q. Its magnitude is also that of ``coupling_constant(invariant_strength(tensor),
        isotope)``.

    Raises:
        InputError: the isotope has spin below 1.
    """
    return coupling_constant(v_zz, isotope) * jnp.sqrt(1.0 + eta * eta / 3.0)


def quadrupolar_induced_shift(
    p_q: Float[Array, "*atoms"],
    larmor: Float[Array, "..."] | float | int,
    spin: float | int,
    order: Literal[2, 4] = 2,
) -> Float[Array, "*atoms"]:
    """Shift of the central transition's centre of gravity, δ_QIS = −(3/40)(P_Q/ν_L)² [I(I + 1) − ¾]/[I²(2I − 1)²] ·
    10⁶.

    Isotropic: static or spinning, a powder's centre of gravity, the mean of the frequency over directions, lies at
    δ_iso + δ_QIS (A. Samoson, Chem. Phys. Lett. 119 (1985) 29).

    The odd orders of perturbation theory vanish for m → −m. The fourth depends on P_Q alone, too, +(27/17920)(P_Q/ν_L)⁴
    (I(I + 1) − ¾)(12 I(I + 1) − 13)/(I(2I − 1))⁴ · 10⁶: our powder mean of the fourth-order energies, quartic in V, for
    which a traceless V has no other invariant than (Tr V²)². With it the shift of spin 3/2 is right to 1 % at ν_Q/ν_L =
    0.9; the sixth order has η. A warning is logged from ν_Q/ν_L = 0.1 on, unless values are traced.

    Args:
        p_q: quadrupolar product, Hz; its sign does not matter.
        larmor: Larmor frequency ν_L, Hz; its sign does not matter.
        spin: nuclear spin I, 3/2, 5/2, ...
        order: 2, or 4 for both.

    Returns:
        δ_QIS in ppm, to second order never positive.

    Raises:
        InputError: a spin without a central transition that the coupling shifts: whole, or below 3/2; another order.
    """
    if spin < 1.5 or float(spin).is_integer():
        raise InputError(
            f"a nucleus of spin {spin:g} has no central transition that is shifted; it takes spin 3/2, 5/2, ..."
        )
    if order not in (2, 4):
        raise InputError(f"order = {order} is not there; give 2, or 4 for second and fourth order")
    if order == 2:
        warn_where_strong(p_q, larmor, spin)
        return _second_order_shift(p_q, larmor, spin)
    return _second_order_shift(p_q, larmor, spin) + _fourth_order_shift(p_q, larmor, spin)


def _second_order_shift(p_q, larmor, spin):
    return -1e6 * 3.0 / 40.0 * (spin * (spin + 1.0) - 0.75) / (spin * (2.0 * spin - 1.0)) ** 2 * (p_q / larmor) ** 2


def _fourth_order_shift(p_q, larmor, spin):
    square, size = spin * (spin + 1.0), spin * (2.0 * spin - 1.0)
    return 1e6 * 27.0 / 17920.0 * (square - 0.75) * (12.0 * square - 13.0) / size**4 * (p_q / larmor) ** 4


def warn_where_strong(
    p_q: Float[Array | np.ndarray, "*atoms"], larmor: Float[Array, "..."] | float | int, spin: float | int
) -> None:
    """Log a warning where a shift of second order is used outside its range, with the size of the fourth.

    Args:
        p_q: quadrupolar products, Hz; of traced ones nothing is known.
        larmor: Larmor frequency, Hz.
        spin: I.
    """
    ratio = coupling_ratio(p_q, larmor, spin)
    if isinstance(ratio, jax.core.Tracer) or not np.size(ratio) or not (largest := np.nanmax(ratio)) >= STRONG:
        return
    logger.warning(
        "the second-order shift of the central transition is used outside its range: ν_Q/ν_L is up to %.2g, and the "
        "fourth order (the third is zero) up to %+.3g ppm; take order=4 of quadrupolar_induced_shift, or a spectrum by "
        "exact diagonalisation, method='exact' (command line: efg-jax spectrum --method exact)",
        largest, np.nanmax(_fourth_order_shift(p_q, larmor, spin)),
    )  # fmt: skip


def coupling_ratio(
    p_q: Float[Array | np.ndarray, "*atoms"], larmor: Float[Array, "..."] | float | int, spin: float | int
) -> Float[Array, "*atoms"]:
    """ν_Q/ν_L with ν_Q = 3P_Q/(2I(2I − 1)), which perturbation theory wants far below 1.

    Args:
        p_q: quadrupolar product, Hz.
        larmor: Larmor frequency, Hz.
        spin: I.
    """
    return jnp.abs(frequency_factor(spin) * p_q / larmor)


def frequency_factor(
    spin: Float[Array | np.ndarray, "*atoms"] | float | int,
) -> Float[Array | np.ndarray, "*atoms"] | float:
    """3/(2I(2I − 1)), which turns eQ/h · n·V·n into ν_Q.

    Args:
        spin: nuclear spin I, 1 or more; arrays are not checked.

    Raises:
        InputError: a spin below 1.
    """
    if isinstance(spin, float | int) and spin < 1:
        raise InputError(f"a nucleus of spin {spin:g} has no quadrupolar frequency; it takes spin 1 or more")
    return 3.0 / (2.0 * spin * (2.0 * spin - 1.0))


def field_component(tensor: Float[Array, "*atoms 3 3"], direction: Float[Array, "... 3"]) -> Float[Array, "*atoms"]:
    """n·V·n, the component of a tensor along the magnetic field.

    Args:
        tensor: Cartesian tensor, any unit.
        direction: the field's direction, one per atom or one for all; its length does not matter, unless it is zero.
    """
    component = jnp.einsum("...i,...ij,...j->...", direction, tensor, direction, precision=HIGHEST)
    return component / jnp.sum(direction * direction, axis=-1)


def field_component_from_angles(
    v_zz: Float[Array, "*atoms"],
    width: Float[Array, "*atoms"],
    theta: Float[Array, "*atoms"],
    phi: Float[Array, "*atoms"],
) -> Float[Array, "*atoms"]:
    """n·V·n = ½[V_zz(3cos²θ − 1) + (V_xx − V_yy) sin²θ cos 2φ], for axes in NQR order.

    Eq. 5 of Harper et al. 2025 with the sign that belongs to φ measured from the x axis.

    Args:
        v_zz: V/Å²; or C_Q, for a result in Hz.
        width: V_xx − V_yy = η V_zz, in the same unit.
        theta: polar angle of the field in the principal axes, rad.
        phi: its azimuth, rad.

    Returns:
        n·V·n in the unit of `v_zz`.
    """
    return 0.5 * (v_zz * (3.0 * jnp.cos(theta) ** 2 - 1.0) + width * jnp.sin(theta) ** 2 * jnp.cos(2.0 * phi))


def frequency_of_component(v_nn: Float[Array, "*atoms"], isotope: Isotope | Nuclei | str) -> Float[Array, "*atoms"]:
    """First-order quadrupolar frequency ν_Q = 3/(2I(2I − 1)) · eQ/h · n·V·n of a field along n, in Hz.

    Args:
        v_nn: n·V·n, V/Å².
        isotope: nucleus, or one for each atom.

    Raises:
        InputError: the isotope has spin below 1.
    """
    nucleus = find_isotope(isotope)
    return coupling_constant(v_nn, nucleus) * frequency_factor(nucleus.spin)


def quadrupolar_frequency(
    tensor: Float[Array, "*atoms 3 3"], direction: Float[Array, "... 3"], isotope: Isotope | Nuclei | str
) -> Float[Array, "*atoms"]:
    """First-order quadrupolar frequency ν_Q(n) = 3/(2I(2I − 1)) · eQ/h · n·V·n, free of any convention on axes.

    Args:
        tensor: EFG, V/Å².
        direction: the magnetic field's direction, one per atom or one for all; its length does not matter.
        isotope: nucleus, or one for each atom.

    Returns:
        ν_Q in Hz, with its sign.

    Raises:
        InputError: the isotope has spin below 1.
    """
    return frequency_of_component(field_component(tensor, direction), isotope)


def angular_quadrupolar_frequency(
    c_q: Float[Array, "*atoms"],
    eta: Float[Array, "*atoms"],
    theta: Float[Array, "*atoms"],
    phi: Float[Array, "*atoms"],
    spin: float | int,
) -> Float[Array, "*atoms"]:
    """ν_Q = 3 C_Q/(2I(2I − 1)) · ½(3cos²θ − 1 + η sin²θ cos 2φ), for axes in NQR order.

    Args:
        c_q: coupling constant, Hz.
        eta: asymmetry.
        theta: polar angle of the field in the principal axes, rad.
        phi: its azimuth, rad.
        spin: nuclear spin I, 1 or more.

    Returns:
        ν_Q in Hz, the same as :func:`quadrupolar_frequency`.

    Raises:
        InputError: a spin below 1.
    """
    return frequency_factor(spin) * field_component_from_angles(c_q, eta * c_q, theta, phi)


def paper_quadrupolar_frequency(
    c_q: Float[Array, "*atoms"],
    eta: Float[Array, "*atoms"],
    theta: Float[Array, "*atoms"],
    phi: Float[Array, "*atoms"],
    spin: float | int,
) -> Float[Array, "*atoms"]:
    """Harper et al. 2025, Eq. 5, as printed: 3 C_Q/(2I(2I − 1)) · ½(3cos²θ − 1 − η sin²θ cos 2φ).

    The minus sign is right only if φ is measured from the axis of the *intermediate* eigenvalue V_yy, not, as the
    paper's axis order suggests, from that of the smallest. Use it to compare with the paper;
    :func:`angular_quadrupolar_frequency` has the sign that fits.

    Args:
        c_q: coupling constant, Hz.
        eta: asymmetry.
        theta: polar angle of the field in the principal axes, rad.
        phi: its azimuth, rad.
        spin: nuclear spin I, 1 or more.

    Returns:
        The printed expression in Hz.
    """
    return angular_quadrupolar_frequency(c_q, -eta, theta, phi, spin)
