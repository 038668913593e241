"""Nonlinear functions of invariants, scaled so that a normal variable keeps its second moment of 1."""

from collections.abc import Callable
from math import sqrt

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def _normalisation(function: Callable[[np.ndarray], np.ndarray]) -> float:
    """1/√⟨f(x)²⟩ over the standard normal distribution, by Gauss–Hermite quadrature."""
    x, weights = np.polynomial.hermite_e.hermegauss(200)
    return float(1.0 / np.sqrt(np.sum(weights * function(x) ** 2) / sqrt(2.0 * np.pi)))


_SILU = _normalisation(lambda x: x / (1.0 + np.exp(-x)))
_TANH = _normalisation(np.tanh)


def silu(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """x/(1 + e^(−x)), for invariants and for gates."""
    return _SILU * jax.nn.silu(x)


def tanh(x: Float[Array, "..."]) -> Float[Array, "..."]:
    """Odd, for pseudoscalars, which change sign under inversion."""
    return _TANH * jnp.tanh(x)
