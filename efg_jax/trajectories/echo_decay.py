"""How a two-time echo decays: its 1/e time, and the stretched exponential that experiments are fitted with."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.optimize import curve_fit

STRETCHING = (0.05, 3.0)  # of a fit; outside of it there is no decay to speak of


class Decay(NamedTuple):
    """Decay of y(t_m) = (F₂(t_m) − F₂(∞))/(F₂(0) − F₂(∞)); NaN where it does not fall to 1/e.

    Attributes:
        time: τ of the fit y = exp(−(t_m/τ)^β), s.
        stretching: β of the fit.
        e_time: t_m at which y falls to 1/e, s.
    """

    time: float
    stretching: float
    e_time: float


NONE = Decay(np.nan, np.nan, np.nan)


def decay_of(
    mixing: Float[np.ndarray, " mixings"], values: Float[np.ndarray, " mixings"], plateau: float, until: float = np.inf
) -> Decay:
    """Decay of one echo.

    Args:
        mixing: t_m, s, ascending from 0.
        values: F₂; the first one is F₂(0).
        plateau: F₂(∞).
        until: longest t_m that counts, s.
    """
    contrast = values[0] - plateau
    used = (mixing > 0.0) & (mixing <= until)
    if not contrast > 1e-6 * abs(values[0]) or used.sum() < 3:
        return NONE
    times, left = np.log(mixing[used]), (values[used] - plateau) / contrast
    below = np.flatnonzero(left <= np.exp(-1.0))
    if not len(below):
        return NONE
    k = int(below[0])
    start = times[0] if k == 0 else np.interp(-np.exp(-1.0), -left[k - 1 : k + 1], times[k - 1 : k + 1])
    try:
        (time, stretching), _ = curve_fit(
            lambda t, time, stretching: np.exp(-np.exp(np.clip(stretching * (t - time), -700.0, 50.0))),
            times, left, (start, 1.0), bounds=([-np.inf, STRETCHING[0]], [np.inf, STRETCHING[1]]),
        )  # fmt: skip
    except RuntimeError:  # no fit
        return Decay(np.nan, np.nan, float(np.exp(start)))
    return Decay(float(np.exp(time)), float(stretching), float(np.exp(start)) if k else np.nan)
