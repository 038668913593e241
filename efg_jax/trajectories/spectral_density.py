"""Spectral densities J(ω) = ∫₀^∞ C(t) cos ωt dt of a correlation that is known with noise up to some lag."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.trajectories.correlator import MERGED

LONGEST = 4.0  # the integral ends at this part of the trajectory at the latest
SIGNIFICANT = 1.5  # standard errors
OCTAVE = 8  # lags in an octave at which the integral is looked at
SEVERAL = 6  # series from whose spread a standard error can be had
COMPONENTS = 5  # of a tensor, which may fluctuate independently
TRUNCATED = 1.5  # standard errors that the second half of the integral may add
NEGLIGIBLE = 0.05  # part of a rate that it may add, whatever the noise
LARGEST_ERROR = 1.0 / 3.0
ALIASED = 0.05  # part of the integral that may change with every second frame
TAPER = (4.0 * np.pi, 8.0 * np.pi)  # ωt between which ∫ C cos ωt dt fades out
GREGORY = np.array([3.0 / 8.0, 7.0 / 6.0, 23.0 / 24.0])  # the trapezoidal rule, its first slope put right


class Integrand(NamedTuple):
    """What it takes to integrate C(t) cos ωt.

    Attributes:
        lags: ascending from 0.
        values: C of each series.
        spacings: see `running_integral`.
    """

    lags: Float[np.ndarray, " lags"]
    values: Float[np.ndarray, "lags series"]
    spacings: Float[np.ndarray, " lags"] | None

    def integrals(self, angular: Float[np.ndarray, " k"], end: int) -> Float[np.ndarray, "k series"]:
        """∫ C cos ωt dt up to a lag.

        It fades out beyond some periods, as values of a `Correlator` are means over an eighth of the lag: of an
        exponential it is right to 2 % up to ωτ = 5, and off by 17 % at 20.
        """
        lags, values, angular = self.lags[: end + 1, None], self.values[: end + 1], angular[None]
        past = np.clip((angular * lags - TAPER[0]) / (TAPER[1] - TAPER[0]), 0.0, 1.0)
        factors = np.cos(angular * lags) * 0.5 * (1.0 + np.cos(np.pi * past))
        if self.spacings is None:
            return running_integral(lags[:, 0], factors[:, :, None] * values[:, None])[end]
        spacings = self.spacings[: end + 1, None]

        def restored(width: np.ndarray) -> np.ndarray:
            """For a slow C: what the trapezoidal rule makes too small of a quickly changing cosine."""
            half = 0.5 * angular * np.where(width > 1.5 * self.lags[1], width, 0.0)
            return factors * np.where((past < 1.0) & (half > 0.0), np.tan(half) / np.where(half > 0.0, half, 1.0), 1.0)

        weights = _weights(spacings, restored(spacings), restored(spacings / MERGED))
        weights[end] *= 0.5 if end else 0.0
        return weights.T @ values


class SpectralDensities(NamedTuple):
    """J at some frequencies, mean over the series, and how well it is known.

    Attributes:
        values: J, unit of C times time.
        noise: covariance of these by the finite length of the trajectory; of a few tensors a lower bound.
        covariance: that (an upper bound), and what the end of the integral and the spacing of the frames may have done.
        added: what the second half of the integral added.
        aliased: change of the integral with every second frame.
        until: lag at which the integral ends.
        integrand: for other frequencies.
        end: index of that lag.
    """

    values: Float[np.ndarray, " k"]
    noise: Float[np.ndarray, "k k"]
    covariance: Float[np.ndarray, "k k"]
    added: Float[np.ndarray, " k"]
    aliased: float
    until: float
    integrand: Integrand
    end: int

    def at(self, angular: Float[np.ndarray, " m"]) -> Float[np.ndarray, " m"]:
        """J at other angular frequencies."""
        mean = self.integrand._replace(values=self.integrand.values.mean(axis=1, keepdims=True))
        return mean.integrals(angular, self.end)[:, 0]

    def error(self, coefficients: Float[np.ndarray, " k"]) -> float:
        """Standard error of Σ_k c_k J_k."""
        return float(np.sqrt(coefficients @ self.covariance @ coefficients))

    def converged(self, coefficients: Float[np.ndarray, " k"]) -> bool:
        """Whether the integral has come to its end, and Σ_k c_k J_k is known to a third."""
        value, noise = coefficients @ self.values, np.sqrt(coefficients @ self.noise @ coefficients)
        ended = abs(coefficients @ self.added) <= max(TRUNCATED * noise, NEGLIGIBLE * value)
        return bool(ended and self.error(coefficients) <= LARGEST_ERROR * value)

    def resolved(self, coefficients: Float[np.ndarray, " k"]) -> bool:
        """Whether the frames are dense enough in time for Σ_k c_k J_k."""
        return bool(self.aliased * coefficients.sum() <= ALIASED * (coefficients @ self.values))


def spectral_densities(
    lags: Float[np.ndarray, " lags"],
    values: Float[np.ndarray, "lags series"],
    angular: Float[np.ndarray, " k"],
    *,
    duration: float | int,
    alike: int = 1,
    spacings: Float[np.ndarray, " lags"] | None = None,
    until: float | int | None = None,
    centred: bool = True,
) -> SpectralDensities:
    """J(ω), and its error, from an estimated correlation.

    A slow tail can be small and yet most of the integral. The integral therefore runs to twice the lag t from which on
    ∫C does not change significantly (`SIGNIFICANT`) up to 2t, at any of `OCTAVE` lags; at most to a quarter of the
    trajectory. What its second half adds, over √2, is the error of where it ends.

    The noise is the spread of the series, from `SEVERAL` on. Of fewer it is that of Gaussian processes of one
    component, an upper bound for tensors: the relative variance of the integral is 4t/T (N. Madras and A. D. Sokal, J.
    Stat. Phys. 50 (1988) 109); the end of the integral is sought with a fifth of that, as of five components.

    A mean that was taken from the same trajectory lowers the correlation by 2∫C/T at every lag, which is put right (U.
    Wolff, Comput. Phys. Commun. 156 (2004) 143, Eq. 49).

    Args:
        lags: ascending from 0.
        values: C of each series.
        angular: ω.
        duration: length T of the trajectory.
        alike: number of independent processes over which each of the series is a mean already.
        spacings: of the lags of a `Correlator`; see `running_integral`.
        until: lag at which to end the integral instead, the first step at least, and less than half of the trajectory
            where the mean was taken off.
        centred: the mean of each series over this trajectory was taken off.

    Raises:
        InputError: a trajectory of fewer than `LONGEST` steps, an end before the first step or beyond half of the
            trajectory.
    """
    if len(lags) < 2 or (until is None and lags[1] * LONGEST > duration):
        raise InputError("the trajectory has too few frames for an integral of its autocorrelation; give a longer one")
    if until is not None and not until >= lags[1]:
        raise InputError(
            f"until={until:.3g} s has no step, which takes {lags[1]:.3g} s; give a longer lag, or leave until= out"
        )
    if until is not None and centred and not until < 0.5 * duration:
        raise InputError(
            f"until={until:.3g} s is half of the trajectory of {duration:.3g} s or more, where deviations from the "
            "mean over the trajectory add up to nothing; give a shorter lag, or leave until= out"
        )
    kept = lags <= (duration / LONGEST if until is None else until)
    lags, values, spacings = lags[kept], values[kept], None if spacings is None else spacings[kept]
    running = running_integral(lags, values, spacings)
    if centred:
        running /= (1.0 - 2.0 * lags / duration)[:, None]
    noise = _Noise(float(duration) * alike * values.shape[1], running_integral(lags, values.mean(axis=1) ** 2))
    end = len(lags) - 1 if until is not None else _window(lags, running, noise)
    integrand = Integrand(lags, values + (2.0 * running[end] / duration if centred else 0.0), spacings)
    half = int(np.searchsorted(lags, 0.5 * lags[end], side="right")) - 1
    found = integrand.integrals(angular, end)
    added = (found - integrand.integrals(angular, half)).mean(axis=1)
    lower, upper = noise.of_means(found, lags[end])
    aliased = _aliased(lags[: end + 1], integrand.values[: end + 1].mean(axis=1), spacings)
    covariance = upper + 0.5 * np.outer(added, added) + (aliased / 3.0) ** 2
    return SpectralDensities(found.mean(axis=1), lower, covariance, added, aliased, float(lags[end]), integrand, end)


def running_integral(
    lags: Float[np.ndarray, " lags"],
    values: Float[np.ndarray, "lags *series"],
    spacings: Float[np.ndarray, " lags"] | None = None,
) -> Float[np.ndarray, "lags *series"]:
    """∫₀^t C dt' up to each lag.

    Args:
        lags: ascending from 0.
        values: C.
        spacings: of the lags of a `Correlator`, whose values are means over triangles of this half-width. They are
            added up such that the triangles make a window of height one, and so no oscillation is counted more at some
            lags than at others. None: the values are those at the lags, and the integral that of cubics through them.
    """
    if spacings is None:
        steps = np.diff(lags).reshape(-1, *(1,) * (values.ndim - 1))
        slopes = np.gradient(values, lags, axis=0, edge_order=min(2, len(lags) - 1)) if len(lags) > 1 else values
        parts = steps * (values[1:] + values[:-1]) / 2.0 + steps**2 * (slopes[:-1] - slopes[1:]) / 12.0
        return np.concatenate([np.zeros_like(values[:1]), np.cumsum(parts, axis=0)])
    ones = np.ones((len(lags), 1))
    parts = (_weights(spacings[:, None], ones, ones)[:, 0] * values.T).T
    found = np.cumsum(parts, axis=0) - 0.5 * parts
    found[0] = 0.0
    return found


def _weights(
    spacings: Float[np.ndarray, "lags 1"], factors: Float[np.ndarray, "lags k"], finer: Float[np.ndarray, "lags k"]
) -> Float[np.ndarray, "lags k"]:
    """Of triangle means of C, for ∫ C f dt of functions f with these values, and those of finer triangles."""
    weights = spacings * factors
    # Where the lags become wider, the last fine triangle makes up for the rising side of the first wide one.
    last = np.flatnonzero(spacings[1:, 0] > 1.5 * spacings[:-1, 0])
    weights[last] -= 0.5 * spacings[last] * factors[last + 1]
    weights[last + 1] -= 0.5 * spacings[last] * (factors - finer)[last + 1]
    weights[:3] *= GREGORY[: len(weights), None]
    return weights


class _Noise(NamedTuple):
    """Standard errors of integrals of the correlation.

    Attributes:
        total: length of the trajectory times the number of independent processes of one component.
        squares: ∫₀^t C² dt' at each lag.
    """

    total: float
    squares: Float[np.ndarray, " lags"]

    def of_changes(
        self, changes: Float[np.ndarray, "k series"], integrals: np.ndarray, times: np.ndarray, squares: np.ndarray
    ) -> Float[np.ndarray, " k"]:
        """Of what some time adds to the integral: the spread, or Bartlett's formula for a long and a short time."""
        if changes.shape[1] >= SEVERAL:
            return changes.std(axis=1, ddof=1) / np.sqrt(changes.shape[1])
        variances = np.minimum(4.0 * integrals**2 * times, 2.0 * squares * times**2)
        return np.sqrt(variances / (COMPONENTS * self.total))

    def of_means(
        self, found: Float[np.ndarray, "k series"], end: float
    ) -> tuple[Float[np.ndarray, "k k"], Float[np.ndarray, "k k"]]:
        """Covariance of the means over the series, a lower and an upper bound."""
        if found.shape[1] >= SEVERAL:
            return (np.cov(found) / found.shape[1],) * 2
        covariance = np.outer(found.mean(axis=1), found.mean(axis=1)) * 4.0 * end / self.total
        return covariance / COMPONENTS, covariance


def _window(lags: np.ndarray, running: np.ndarray, noise: _Noise) -> int:
    """Twice the lag from which on the integral does not change significantly; the last one, where there is none."""
    octaves = np.log2(lags[-1] / lags[1])
    looked = np.unique(np.searchsorted(lags, lags[1] * 2.0 ** np.arange(1.0, octaves + 1e-9, 1.0 / OCTAVE)))
    looked = looked[looked < len(lags)]
    for k in looked[2.0 * lags[looked] <= lags[-1]].tolist():
        later = looked[(looked > k) & (lags[looked] <= 2.0 * lags[k])]
        changes, times = running[later] - running[k], lags[later] - lags[k]
        errors = noise.of_changes(changes, running[later].mean(axis=1), times, noise.squares[later])
        if np.all(np.abs(changes.mean(axis=1)) <= SIGNIFICANT * errors):
            return int(np.searchsorted(lags, 2.0 * lags[k]))
    return len(lags) - 1


def _aliased(lags: np.ndarray, values: np.ndarray, spacings: np.ndarray | None) -> float:
    """Change of the integral with every second frame.

    By the trapezoidal rule it is the spectral density at half the rate of the frames, which bounds that at the rate
    itself, the error of the integral, where it falls with the frequency.
    """
    even = np.isclose(lags, lags[1] * np.arange(len(lags)))
    count = min(int(np.argmin(np.append(even, False))), 2 * OCTAVE)
    fade = np.cos(0.5 * np.pi * np.clip(2.0 * np.arange(count) / count - 1.0, 0.0, 1.0)) ** 2
    fade[0] = 0.5
    change = abs(lags[1] * np.sum((-1.0) ** np.arange(count) * fade * values[:count]))
    if spacings is None and len(lags) > 2:  # later lags may be too far apart as well
        every, second = (running_integral(lags[::k], values[::k])[(len(lags) - 1) // 2 * 2 // k] for k in (1, 2))
        change = max(change, abs(every - second))
    return float(change)
