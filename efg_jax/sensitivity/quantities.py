"""What an NMR experiment sees of a tensor, and its exact derivative with respect to the tensor's elements.

All but ν_Q and the isotropic values are functions of the eigenvalues λ_k alone; then ∂f/∂V = Σ_k ∂f/∂λ_k u_k u_kᵀ with the eigenvectors u_k, as first-order
perturbation theory says.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.tensors.efg import HZ_PER_MILLIBARN_V_PER_ANGSTROM2, frequency_factor
from efg_jax.tensors.nuclei import Isotope

EFG = ("c_q", "p_q", "v_zz", "eta", "eta_squared", "nu_q")
SHIELDING = ("sigma_iso", "delta_iso", "span", "skew", "anisotropy", "eta")
SYMBOLS = {
    "c_q": "C_Q", "p_q": "P_Q", "v_zz": "V_zz", "eta": "η", "eta_squared": "η²", "nu_q": "ν_Q",
    "sigma_iso": "σ_iso", "delta_iso": "δ_iso", "span": "Ω", "skew": "κ", "anisotropy": "Δ",
}  # fmt: skip
UNITS = dict.fromkeys(("c_q", "p_q", "nu_q"), "Hz") | {"v_zz": "V/Å²"}
UNITS |= dict.fromkeys(("sigma_iso", "delta_iso", "span", "anisotropy"), "ppm")
DEGENERATE = 64.0 * np.finfo(float).eps  # relative gap below which two eigenvalues are one


class Quantity(NamedTuple):
    """A number of one tensor.

    Attributes:
        name: as in `EFG` or `SHIELDING`.
        value: in its unit.
        slope: ∂f/∂V_ij, symmetric.
        kink: distance to where the derivative jumps, of the number that tells it (η, κ, a gap of principal values); infinite where there is no such place.
        kink_slope: ∂/∂V_ij of that number.
        at_kink: what happens there, in words.
    """

    name: str
    value: float
    slope: Float[np.ndarray, "3 3"]
    kink: float = float("inf")
    kink_slope: Float[np.ndarray, "3 3"] = np.zeros((3, 3))
    at_kink: str = ""

    @property
    def unit(self) -> str:
        """Hz, V/Å², ppm, or none."""
        return UNITS.get(self.name, "")

    @property
    def symbol(self) -> str:
        """As in a text."""
        return SYMBOLS[self.name]


def efg_quantity(
    name: str, tensor: Float[np.ndarray, "3 3"], isotope: Isotope | None, direction: Float[np.ndarray, "3"] | None
) -> Quantity:
    """A number of an EFG: "c_q", "p_q" (Hz), "v_zz" (V/Å²), "eta", "eta_squared", "nu_q" (Hz, along the direction).

    Raises:
        InputError: an unknown name; no isotope or direction where one is needed; a zero tensor; η at η = 0, or anything that rests on V_zz at η = 1.
    """
    if name not in EFG:
        raise InputError(f"unknown quantity {name!r} of an EFG; choose one of {', '.join(EFG)}")
    if name in ("c_q", "p_q", "nu_q") and isotope is None:
        raise InputError(f"{SYMBOLS[name]} needs a quadrupolar isotope; pass isotope=, or take quantity='v_zz'")
    hertz = 1.0 if isotope is None else HZ_PER_MILLIBARN_V_PER_ANGSTROM2 * isotope.require_quadrupole()
    if name == "nu_q":
        if direction is None:
            raise InputError("ν_Q needs the direction of the field; pass direction=(0, 0, 1), or another")
        factor = hertz * frequency_factor(isotope.spin)
        return Quantity(name, float(factor * direction @ tensor @ direction), factor * np.outer(direction, direction))
    values, axes = np.linalg.eigh(tensor)
    order = np.argsort(np.abs(values), kind="stable")
    v_xx, v_yy, v_zz = values[order]
    if v_zz == 0.0:
        raise InputError("the EFG is zero here, and has no derivative of its principal values; displace the atoms")
    x, y, z = (np.outer(axes[:, k], axes[:, k]) for k in order)
    eta = (v_xx - v_yy) / v_zz
    eta_slope = (x - y - eta * z) / v_zz
    exchange = "V_zz and V_yy change places at η = 1, where V_zz jumps to the other sign"
    if name in ("c_q", "v_zz", "eta", "eta_squared") and abs(v_zz + v_yy) <= DEGENERATE * abs(v_zz):
        raise InputError(
            f"η is 1 here, and {exchange}: {SYMBOLS[name]} has no derivative; take quantity='p_q', which has"
        )
    if name in ("c_q", "v_zz"):
        factor = hertz if name == "c_q" else 1.0
        return Quantity(name, float(factor * v_zz), factor * z, 1.0 - eta, eta_slope, exchange)
    if name == "p_q":
        strength = np.sqrt(np.sum(tensor**2) * 2.0 / 3.0)
        sign = np.sign(v_zz)  # P_Q carries the sign of C_Q, which jumps at η = 1 while its magnitude does not
        return Quantity(name, float(sign * hertz * strength), sign * hertz * 2.0 / 3.0 * tensor / strength)
    if name == "eta_squared":
        return Quantity(name, float(eta**2), _square_slope(tensor, v_zz, z), 1.0 - eta, eta_slope, exchange)
    if abs(v_xx - v_yy) <= DEGENERATE * abs(v_zz):
        raise InputError(
            "η is 0 here, where it has a kink like |x|: no gradient; take quantity='eta_squared', which is smooth there"
        )
    nearest = "η has a kink at 0, where V_xx and V_yy change places" if eta < 0.5 else exchange
    return Quantity(name, float(eta), eta_slope, min(eta, 1.0 - eta), eta_slope, nearest)


def shielding_quantity(name: str, tensor: Float[np.ndarray, "3 3"], reference: float | None) -> Quantity:
    """A number of a shielding: "sigma_iso", "delta_iso" (with a reference), "span", "anisotropy" (Δ, Haeberlen), ppm; "skew" (shielding sense), "eta" (Haeberlen).

    Raises:
        InputError: an unknown name; no reference for a shift; a tensor on the kink of what is asked.
    """
    if name not in SHIELDING:
        raise InputError(f"unknown quantity {name!r} of a shielding; choose one of {', '.join(SHIELDING)}")
    iso, third = float(np.trace(tensor)) / 3.0, np.eye(3) / 3.0
    if name == "sigma_iso":
        return Quantity(name, iso, third)
    if name == "delta_iso":
        if reference is None or not np.isfinite(reference):
            raise InputError(
                "a chemical shift needs the shielding of a reference compound; pass reference=..., a number in ppm"
            )
        scale = 1.0 - 1e-6 * reference
        return Quantity(name, (reference - iso) / scale, -third / scale)
    deviation = 0.5 * (tensor + tensor.T) - iso * np.eye(3)
    values, axes = np.linalg.eigh(deviation)
    low, middle, high = (np.outer(axes[:, k], axes[:, k]) for k in range(3))
    span = values[2] - values[0]
    gaps = np.diff(values)
    gap, gap_slope = (gaps[0], middle - low) if gaps[0] < gaps[1] else (gaps[1], high - middle)
    if gap <= DEGENERATE * max(abs(iso), span):
        raise InputError(f"two principal values coincide here, where {SYMBOLS[name]} has a kink; displace the atoms")
    if name == "span":
        return Quantity(
            name, float(span), high - low, float(gap), gap_slope, "two principal values coincide, and Ω has a kink"
        )
    if name == "skew":
        skew = -3.0 * values[1] / span
        slope = (3.0 * (third - middle) - skew * (high - low)) / span
        return Quantity(name, float(skew), slope, float(gap), gap_slope, "κ has a kink at ±1")
    found = efg_quantity("eta" if name == "eta" else "v_zz", deviation, None, None)
    # Haeberlen's η, (σ_yy − σ_xx)/ζ with |σ_xx| ≥ |σ_yy|, is the EFG's: the order of x and y is changed twice.
    factor = 1.0 if name == "eta" else 1.5
    slope = found.slope - np.trace(found.slope) * third  # of the deviation, not of the mean
    return Quantity(name, factor * found.value, factor * slope, found.kink, found.kink_slope, found.at_kink)


def _square_slope(tensor: np.ndarray, v_zz: float, z: np.ndarray) -> np.ndarray:
    """Of η² = 2 Tr V²/V_zz² − 3, which does not look at V_xx and V_yy."""
    slope = 4.0 * tensor / v_zz**2 - 4.0 * np.sum(tensor**2) / v_zz**3 * z
    return slope - np.trace(slope) / 3.0 * np.eye(3)  # an EFG does not change along its trace
