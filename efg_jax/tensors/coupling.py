"""Clebsch–Gordan coefficients of real spherical harmonics: how two of them make a third."""

from functools import cache
from math import factorial, sqrt

import numpy as np
from jaxtyping import Float


@cache
def real_clebsch_gordan(l1: int, l2: int, order: int) -> Float[np.ndarray, "mu m1 m2"]:
    """Coupling coefficients C[μ, m1, m2] that make (a ⊗ b)_λμ = Σ C[μ, m1, m2] a_{l1 m1} b_{l2 m2} turn as λ.

    In the basis of `solid_harmonics`. Orthonormal: Σ_{m1 m2} C[μ, m1, m2] C[μ', m1, m2] = δ_μμ'. For l1 + l2 + λ odd
    the transform of
    the complex coefficients is imaginary and its imaginary part is returned: the pseudotensor coupling (l1 = l2 = λ =
        1: the cross product over √2).

    Args:
        l1, l2: angular momenta that are coupled.
        order: λ of the result, |l1 − l2| ≤ λ ≤ l1 + l2.

    Returns:
        Host array of shape (2λ+1, 2 l1+1, 2 l2+1), exact to rounding.

    Raises:
        ValueError: the triangle rule does not hold.
    """
    if not abs(l1 - l2) <= order <= l1 + l2:
        raise ValueError(f"l1 = {l1} and l2 = {l2} do not couple to λ = {order}")
    complex_coupling = np.zeros((2 * order + 1, 2 * l1 + 1, 2 * l2 + 1))
    for m1 in range(-l1, l1 + 1):
        for m2 in range(-l2, l2 + 1):
            if abs(m1 + m2) <= order:
                complex_coupling[m1 + m2 + order, m1 + l1, m2 + l2] = _clebsch_gordan(l1, m1, l2, m2, order, m1 + m2)
    real = np.einsum(
        "uM,Mab,ia,jb->uij", _to_real(order), complex_coupling, _to_real(l1).conj(), _to_real(l2).conj(), optimize=True
    )
    coupling = real.real if (l1 + l2 + order) % 2 == 0 else real.imag
    coupling.setflags(write=False)
    return coupling


def _to_real(l: int) -> np.ndarray:
    """Unitary matrix from complex harmonics (Condon–Shortley) to the real ones of `solid_harmonics`, rows and columns m
    = −l..l.
    """
    u = np.zeros((2 * l + 1, 2 * l + 1), dtype=complex)
    u[l, l] = 1.0
    for m in range(1, l + 1):
        sign = (-1) ** m
        u[l + m, l + m], u[l + m, l - m] = sign / sqrt(2), 1 / sqrt(2)
        u[l - m, l + m], u[l - m, l - m] = -1j * sign / sqrt(2), 1j / sqrt(2)
    return u


def _clebsch_gordan(l1: int, m1: int, l2: int, m2: int, l: int, m: int) -> float:
    """Racah's formula, in exact integers up to the final square root."""
    f = factorial
    total = 0.0
    for k in range(l1 + l2 - l + 1):
        terms = (k, l1 + l2 - l - k, l1 - m1 - k, l2 + m2 - k, l - l2 + m1 + k, l - l1 - m2 + k)
        if min(terms) >= 0:
            denominator = 1
            for term in terms:
                denominator *= f(term)
            total += (-1) ** k / denominator
    numerator = (2 * l + 1) * f(l + l1 - l2) * f(l - l1 + l2) * f(l1 + l2 - l)
    numerator *= f(l + m) * f(l - m) * f(l1 - m1) * f(l1 + m1) * f(l2 - m2) * f(l2 + m2)
    return total * sqrt(numerator / f(l1 + l2 + l + 1))
