"""Quadrupolar relaxation in the limit of extreme narrowing, from the autocorrelation of the EFG tensor."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.tensors.efg import coupling_factor
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.nuclei import isotope as find_isotope

WINDOW = 5.0  # the integral ends at this many integral correlation times (Sokal)
LONGEST = 5.0
COARSE = 0.7  # a correlation that falls below this part of itself from one frame to the next is not resolved


class Relaxation(NamedTuple):
    """T₁ of a quadrupolar nucleus, and what it rests on.

    Attributes:
        t1: s; infinite where the tensor does not fluctuate.
        error: standard error of T₁, s: that of the integral, for atoms that fluctuate independently of each other.
        integral: ∫ ⟨δV(0):δV(t)⟩ dt up to `until`, (V/Å²)² s.
        correlation_time: integral over ⟨δV:δV⟩, s.
        until: lag at which the integral ends, s.
        highest_frequency: Larmor frequency, Hz, at which 2πν₀·τ = 1: the formula wants one far below.
        resolved: False: the correlation falls too fast for the spacing of the frames, and T₁ is a guess.
        converged: False: the trajectory is shorter than `LONGEST` times the lag at which the correlation has died away,
            and T₁ is a guess.
        isotope: the nucleus.
    """

    t1: float
    error: float
    integral: float
    correlation_time: float
    until: float
    highest_frequency: float
    resolved: bool
    converged: bool
    isotope: Isotope


def quadrupolar_t1(integral: float, isotope: Isotope | str) -> float:
    """T₁ in the limit of extreme narrowing: 1/T₁ = (2I + 3)/(20 I²(2I − 1)) · (eQ/ħ)² · ∫₀^∞ ⟨V(0):V(t)⟩ dt, V:V = Σ_ij
    V_ij².

    It is Abragam's rate for isotropic tumbling with an exponential correlation (The Principles of Nuclear Magnetism,
    1961, ch. VIII, Eq. 137; H. W. Spiess, NMR Basic Principles and Progress 15 (1978) 55), 1/T₁ = (3/40)(2I + 3)/(I²(2I
    − 1)) · (eQV_zz/ħ)²(1 + η²/3) τ_c, as V:V = (3/2)V_zz²(1 + η²/3) and the integral is V:V τ_c; and it does not need
    the correlation to be exponential.

    Limits: motion much faster than the Larmor period (2πν₀τ ≪ 1, where T₁ = T₂ and all transitions of a half-integer
        spin relax with one rate) and than 1/C_Q (perturbation theory); fluctuations that are isotropic on average (in a
        single crystal the rate depends on the field's direction, and this is its mean over a powder); no other
        mechanism; and the EFG of the trajectory itself, no Sternheimer factor.

    Args:
        integral: (V/Å²)² s.
        isotope: nucleus, gives Q and I.

    Returns:
        s; infinite for a zero integral.

    Raises:
        InputError: the nucleus has no quadrupole moment, or the integral is negative.
    """
    nucleus = find_isotope(isotope)
    coupling = 2.0 * np.pi * coupling_factor(nucleus)  # eQ/ħ, rad/s per V/Å²
    if integral < 0.0:
        raise InputError(
            f"the integral of the autocorrelation is {integral:.3g}, below zero; "
            "the trajectory is too short, or until= too long"
        )
    spin = nucleus.spin
    rate = (2.0 * spin + 3.0) / (20.0 * spin**2 * (2.0 * spin - 1.0)) * coupling**2 * integral
    return float(1.0 / rate) if rate > 0.0 else float("inf")


def running_integral(
    lags: Float[np.ndarray, " lags"], values: Float[np.ndarray, " lags"]
) -> Float[np.ndarray, " lags"]:
    """∫₀^t C dt' by the trapezoidal rule, on lags of any spacing."""
    steps = 0.5 * np.diff(lags) * (values[1:] + values[:-1])
    return np.concatenate([[0.0], np.cumsum(steps)])


def relaxation(
    lags: Float[np.ndarray, " lags"],
    values: Float[np.ndarray, " lags"],
    isotope: Isotope | str,
    *,
    duration: float,
    atoms: int = 1,
    until: float | None = None,
    centred: bool = True,
) -> Relaxation:
    """T₁ from an autocorrelation ⟨δV(0):δV(t)⟩.

    The integral is cut where the correlation has become noise: at the first lag t that is at least `WINDOW` times the
    correlation time that the integral up to t gives (Sokal's window; Madras and Sokal, J. Stat. Phys. 50 (1988) 109,
    which has the error as well: the relative variance of τ is 4t/T). A mean that was taken from the same trajectory
    lowers the correlation by 2∫/T at every lag, and the integral by the factor 1 − 2t/T, which is put right (Wolff,
    Comput. Phys. Commun. 156 (2004) 143, Eq. 49).

    Args:
        lags: s, ascending from 0.
        values: (V/Å²)².
        isotope: nucleus.
        duration: length T of the trajectory, s.
        atoms: number of atoms that were averaged over.
        until: lag at which to end the integral instead, s; the first step at least.
        centred: the mean of each atom over this trajectory was taken off.

    Raises:
        InputError: fewer than two lags, an end before the first step, an integral below zero, or a nucleus without
            quadrupole moment.
    """
    if len(lags) < 2:
        raise InputError("a single frame has no autocorrelation; give a trajectory")
    if until is not None and not until >= lags[1]:
        raise InputError(
            f"until={until:.3g} s has no step, which takes {lags[1]:.3g} s; give a longer lag, or leave until= out"
        )
    if values[0] <= 0.0:
        return Relaxation(float("inf"), 0.0, 0.0, 0.0, 0.0, float("inf"), True, True, find_isotope(isotope))
    end = _window(lags, values, until)
    converged = bool(lags[end] * LONGEST <= duration)
    bias = 1.0 - 2.0 * lags[end] / duration if centred and converged else 1.0
    integral = float(running_integral(lags, values)[end] / bias)
    time = integral / float(values[0])
    t1 = quadrupolar_t1(integral, isotope)
    return Relaxation(
        t1=t1,
        error=float(t1 * np.sqrt(4.0 * lags[end] / (duration * atoms))),
        integral=integral,
        correlation_time=time,
        until=float(lags[end]),
        highest_frequency=1.0 / (2.0 * np.pi * time) if time > 0.0 else float("inf"),
        resolved=bool(values[1] > COARSE * values[0]),
        converged=converged,
        isotope=find_isotope(isotope),
    )


def _window(lags: np.ndarray, values: np.ndarray, until: float | None) -> int:
    """Where the integral ends; the last lag, where the correlation does not die away."""
    if until is not None:
        return int(np.flatnonzero(lags <= until)[-1])
    times = running_integral(lags, values) / values[0]
    closed = np.flatnonzero((lags >= WINDOW * times) & (lags > 0))
    return int(closed[0]) if len(closed) else len(lags) - 1
