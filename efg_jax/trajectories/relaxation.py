"""Quadrupolar relaxation from the autocorrelation of the EFG tensor: T₁ and T₂, with their errors."""

import logging
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.spectra.conditions import conditions
from efg_jax.spectra.frequencies import larmor_frequency
from efg_jax.tensors.efg import coupling_factor
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.trajectories.redfield import Exponentials, quadrupolar_rates
from efg_jax.trajectories.spectral_density import SpectralDensities, spectral_densities

logger = logging.getLogger(__name__)

NARROW = 0.05  # relative change of 1/T₁ at which extreme narrowing ends
STRONGEST = 28.2  # T, of the magnets in use
SMALLEST = 0.01  # part of J(0) below which J(2ω₀) cannot be had from a correlation on growing lags
COARSEST = 0.25 * np.pi  # phase 2ω₀ · step beyond which the frames do not follow the field
FAST = 0.1  # correlation time over T₁ or T₂ beyond which perturbation theory (Redfield) does not hold


class Relaxation(NamedTuple):
    """T₁ and T₂ of a quadrupolar nucleus, and what they rest on.

    Errors are standard errors: of the integral, from the spread of the atoms, which are taken to fluctuate
    independently of each other, and of where it ends.

    Attributes:
        t1: s; from the initial rate at which I_z returns after a pulse on all transitions; infinite where the tensor
            does not fluctuate.
        error: of T₁, s.
        t2: s; from the initial rate at which the transverse magnetisation of all transitions together decays.
        t2_error: s.
        t2_central: T₂ of the central transition where its line lies apart from the satellites, s; NaN for an integer
            spin.
        t2_central_error: s.
        recovery: the exponentials of I_z, (part, time in s); one in extreme narrowing.
        decay: the same of the transverse magnetisation, where all transitions have one frequency.
        t2_lines: T₂ of each single-quantum transition, from m = I ↔ I − 1 down, where they lie apart, s.
        field: T; None: T₁ and T₂ are those of extreme narrowing.
        densities: J(0), J(ω₀) and J(2ω₀), (V/Å²)² s.
        integral: J(0) = ∫ ⟨δV(0):δV(t)⟩ dt up to `until`, (V/Å²)² s.
        correlation_time: integral over ⟨δV:δV⟩, s.
        until: lag at which the integral ends, s.
        narrow_below: Larmor frequency up to which extreme narrowing gives 1/T₁ to 5 %, Hz.
        narrow: whether that reaches the field, or without one any magnet (28.2 T).
        resolved: False: the correlation falls too fast for the spacing of the frames, and T₁ is a guess.
        converged: False: the trajectory is too short for its correlation, or the error more than a third of T₁; it is a
            guess.
        within_reach: False: J(2ω₀) is less than a hundredth of J(0), too small a part to be had from a correlation; T₁
            is a guess.
        perturbative: False: the correlation time is more than a tenth of T₁ or T₂, so that the motion is not fast
            against the coupling, and Redfield's theory does not hold.
        isotope: the nucleus.
    """

    t1: float
    error: float
    t2: float
    t2_error: float
    t2_central: float
    t2_central_error: float
    recovery: tuple[tuple[float, float], ...]
    decay: tuple[tuple[float, float], ...]
    t2_lines: tuple[float, ...]
    field: float | None
    densities: tuple[float, float, float]
    integral: float
    correlation_time: float
    until: float
    narrow_below: float
    narrow: bool
    resolved: bool
    converged: bool
    within_reach: bool
    perturbative: bool
    isotope: Isotope

    @property
    def doubts(self) -> tuple[str, ...]:
        """Why T₁ and T₂ are guesses; empty where nothing speaks against them."""
        reasons = {
            "the frames are too far apart in time": self.resolved,
            "the trajectory is too short": self.converged,
            "J(2ω₀) is too small a part of J(0)": self.within_reach,
            "the motion is not fast against the coupling": self.perturbative,
        }
        return tuple(reason for reason, good in reasons.items() if not good)


def quadrupolar_t1(integral: float, isotope: Isotope | str) -> float:
    """T₁ in the limit of extreme narrowing: 1/T₁ = (2I + 3)/(20 I²(2I − 1)) · (eQ/ħ)² · ∫₀^∞ ⟨V(0):V(t)⟩ dt, V:V = Σ_ij
    V_ij².

    It is Abragam's rate for isotropic tumbling with an exponential correlation (The Principles of Nuclear Magnetism,
    1961, ch. VIII, Eq. 137; H. W. Spiess, NMR Basic Principles and Progress 15 (1978) 55), 1/T₁ = (3/40)(2I + 3)/(I²(2I
    − 1)) · (eQV_zz/ħ)²(1 + η²/3) τ_c, as V:V = (3/2)V_zz²(1 + η²/3) and the integral is V:V τ_c; and it does not need
    the correlation to be exponential.

    Limits: motion much faster than the Larmor period (2πν₀τ ≪ 1, where T₁ = T₂ and all transitions of a half-integer
        spin relax with one rate; beyond, `quadrupolar_rates`) and than 1/C_Q (perturbation theory); fluctuations that
        are isotropic on average (in a single crystal the rate depends on the field's direction, and this is its mean
        over a powder); no other mechanism; and the EFG of the trajectory itself, no Sternheimer factor.

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


def relaxation(
    lags: Float[np.ndarray, " lags"],
    values: Float[np.ndarray, "lags *atoms"],
    isotope: Isotope | str,
    *,
    duration: float | int,
    atoms: int = 1,
    spacings: Float[np.ndarray, " lags"] | None = None,
    field: float | int | None = None,
    until: float | int | None = None,
    centred: bool = True,
) -> Relaxation:
    """T₁ and T₂ from an autocorrelation ⟨δV(0):δV(t)⟩.

    See `spectral_densities` for where the integral ends and what its error is, and `quadrupolar_rates` for the rates.

    Args:
        lags: s, ascending from 0.
        values: (V/Å²)²: of each atom, (lags, atoms), or their mean, (lags,).
        isotope: nucleus.
        duration: length T of the trajectory, s.
        atoms: number of atoms, where their mean is given.
        spacings: of the lags of a `Correlator`, s; see `running_integral`.
        field: T, for J(ω₀) and J(2ω₀); None: extreme narrowing.
        until: lag at which to end the integral instead, s; the first step at least, and less than half of the
            trajectory where the mean was taken off.
        centred: the mean of each atom over this trajectory was taken off.

    Raises:
        InputError: too few frames, an end before the first step or beyond half of the trajectory, an integral below
            zero, a field that no magnet has, or a nucleus without quadrupole moment.
    """
    nucleus, table = find_isotope(isotope), values.reshape(len(lags), -1)
    field = None if field is None else conditions(nucleus, field=field, transitions="all").field
    angular = 2.0 * np.pi * (0.0 if field is None else larmor_frequency(nucleus, field)) * np.arange(3.0)
    found = spectral_densities(
        lags, table, angular, duration=duration, alike=atoms, spacings=spacings, until=until, centred=centred
    )
    if table[0].mean() <= 0.0:
        return _rigid(nucleus, field)
    rates = quadrupolar_rates(found.values, nucleus)
    if not min(rates.t1, rates.t2) > 0.0:
        raise InputError(
            f"a spectral density of the fluctuations is {found.values.min():.3g} (V/Å²)² s, below zero; "
            + (
                "at this field it is too small a part of J(0) to be had from a correlation: leave field= out, or give "
                "a lower one"
                if found.values[0] > 0.0
                else "the trajectory is too short, or until= too long"
            )
        )
    units = [quadrupolar_rates(one, nucleus) for one in np.eye(3)]  # the rates are linear in the densities
    first, second, central = (np.array([getattr(one, name) for one in units]) for name in ("t1", "t2", "central"))
    integral = float(found.at(np.zeros(1))[0])
    narrow_below = _narrow_below(found, lags[1])
    narrow = larmor_frequency(nucleus, field or STRONGEST) <= narrow_below
    correlation_time = integral / float(table[0].mean())
    times = 1.0 / np.array([rates.t1, rates.t2])
    if field is None and not narrow:
        logger.warning(
            "T₁ of %s is that of extreme narrowing, which holds up to a Larmor frequency of %.2g Hz (%.2g T); "
            "give field= (command line: --field) for T₁ and T₂ in a higher one",
            nucleus, narrow_below, narrow_below / larmor_frequency(nucleus, 1.0),
        )  # fmt: skip
    return Relaxation(
        t1=1.0 / rates.t1,
        error=found.error(first) / rates.t1**2,
        t2=1.0 / rates.t2,
        t2_error=found.error(second) / rates.t2**2,
        t2_central=1.0 / rates.central,
        t2_central_error=found.error(central) / rates.central**2,
        recovery=_times(rates.recovery),
        decay=_times(rates.decay),
        t2_lines=tuple((1.0 / rates.transitions).tolist()),
        field=field,
        densities=tuple(found.values.tolist()),
        integral=integral,
        correlation_time=correlation_time,
        until=found.until,
        narrow_below=narrow_below,
        narrow=narrow,
        resolved=found.resolved(first) and bool(angular[2] * lags[1] <= COARSEST),
        converged=found.converged(first) and found.converged(second),
        within_reach=bool(found.values[2] >= SMALLEST * found.values[0]),
        perturbative=bool(correlation_time <= FAST * times.min()),
        isotope=nucleus,
    )


def _narrow_below(found: SpectralDensities, step: float) -> float:
    """Larmor frequency up to which (J(ω₀) + 4J(2ω₀))/5 is J(0) to `NARROW`, Hz."""
    frequencies = np.geomspace(1e-3 / found.until, 0.05 / step, 200)
    one, two = (found.at(2.0 * np.pi * k * frequencies) for k in (1.0, 2.0))
    there = np.abs((one + 4.0 * two) / 5.0 / found.at(np.zeros(1)) - 1.0) > NARROW
    return float(frequencies[np.argmax(there)]) if there.any() else float("inf")


def _times(found: Exponentials) -> tuple[tuple[float, float], ...]:
    return tuple((float(part), float(1.0 / rate)) for rate, part in zip(found.rates, found.parts, strict=True))


def _rigid(nucleus: Isotope, field: float | None) -> Relaxation:
    """Of a tensor that does not fluctuate."""
    never, lines = float("inf"), (float("inf"),) * round(2 * nucleus.spin)
    central = never if len(lines) % 2 else float("nan")
    one = ((1.0, never),)
    times = (never, 0.0, never, 0.0, central, 0.0, one, one, lines)
    return Relaxation(*times, field, (0.0, 0.0, 0.0), 0.0, 0.0, 0.0, never, True, True, True, True, True, nucleus)
