"""Broadening of spectra, and how to write it as text."""

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from efg_jax.errors import InputError

Shape = Literal["gaussian", "lorentzian"]
Unit = Literal["Hz", "ppm"]
_UNITS = {"hz": (1.0, "Hz"), "khz": (1e3, "Hz"), "mhz": (1e6, "Hz"), "ppm": (1.0, "ppm")}


@dataclass(frozen=True)
class Broadening:
    """Line that every frequency is spread over.

    Attributes:
        fwhm: full width at half maximum, not negative.
        shape: "gaussian" or "lorentzian".
        unit: of the width, "Hz" or "ppm" of the Larmor frequency.
    """

    fwhm: float
    shape: Shape = "gaussian"
    unit: Unit = "Hz"

    def __post_init__(self):
        if not (math.isfinite(self.fwhm) and self.fwhm >= 0.0):
            raise InputError(f"a broadening of {self.fwhm:g} {self.unit} has no meaning; give 0 or more")
        if self.shape not in get_args(Shape) or self.unit not in get_args(Unit):
            raise InputError(f"broadening {self.shape} in {self.unit} is unknown; write '200 Hz' or 'lorentzian 1 ppm'")

    def hertz(self, larmor: float) -> float:
        """The width in Hz.

        Args:
            larmor: Larmor frequency, Hz.
        """
        return self.fwhm * (larmor * 1e-6 if self.unit == "ppm" else 1.0)

    def __str__(self) -> str:
        return f"{self.shape} {self.fwhm:g} {self.unit}"


def parse_broadening(text: str | float | int | Broadening) -> Broadening:
    """Broadening in words: "200 Hz", "lorentzian 1 ppm", "0.1 kHz gaussian"; a bare number is in Hz, and a shape that
    is not named Gaussian.

    Raises:
        InputError: anything else.
    """
    if isinstance(text, Broadening):
        return text
    if isinstance(text, float | int):
        return Broadening(float(text))
    match = re.fullmatch(
        r"\s*(?P<before>[a-z]+)?[\s:]*(?P<number>[\d.]+(?:e[+-]?\d+)?)\s*(?P<unit>[km]?hz|ppm)?"
        r"[\s:]*(?P<after>[a-z]+)?\s*",
        text.lower(),
    )
    names = [name for name in (match and match["before"], match and match["after"]) if name]
    shapes = [shape for shape in get_args(Shape) for name in names if len(name) >= 3 and shape.startswith(name)]
    try:
        if match is None or len(shapes) != len(names) or len(names) > 1:
            raise ValueError
        factor, unit = _UNITS[match["unit"] or "hz"]
        return Broadening(factor * float(match["number"]), shapes[0] if shapes else "gaussian", unit)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError(
            f"broadening {text!r} is not understood; write '200 Hz', '1 ppm' or 'lorentzian 1 ppm'"
        ) from None


def broaden(
    intensities: Float[Array | np.ndarray, "*batch points"],
    step: float,
    fwhm: Float[Array, ""] | float | int,
    shape: Shape = "gaussian",
) -> Float[Array, "*batch points"]:
    """Convolution with a normalised line, differentiable.

    The axis is doubled with zeros first, so that of a Gaussian nothing comes round from the other end; of a Lorentzian,
    whose wings reach on, it is at most fwhm/(2π · width of the axis) of the area.

    Args:
        intensities: on an even axis.
        step: of the axis.
        fwhm: full width at half maximum, in the unit of the step, not negative; 0 changes nothing.
        shape: "gaussian" or "lorentzian".

    Raises:
        InputError: unknown shape, or a negative width (unless it is traced).
    """
    if shape not in get_args(Shape):
        raise InputError(f"shape {shape!r} is unknown; give 'gaussian' or 'lorentzian'")
    if not isinstance(fwhm, jax.core.Tracer) and not fwhm >= 0.0:
        raise InputError(f"a broadening of {float(fwhm):g} has no meaning; give 0 or more")
    intensities = jnp.asarray(intensities)
    if isinstance(fwhm, float | int) and fwhm == 0:
        return intensities
    points = intensities.shape[-1]
    padded = 2 * points
    time = jnp.asarray(np.fft.rfftfreq(padded, step), dtype=intensities.dtype)
    if shape == "gaussian":
        decay = jnp.exp(-((np.pi * fwhm * time) ** 2) / (4.0 * math.log(2.0)))
    else:
        decay = jnp.exp(-np.pi * fwhm * time)
    signal = jnp.fft.rfft(intensities, n=padded, axis=-1)
    decay = decay.astype(signal.dtype).reshape((1,) * (signal.ndim - 1) + decay.shape)
    return jnp.fft.irfft(signal * decay, n=padded, axis=-1)[..., :points]
