"""Quadrupolar relaxation of any spin by Redfield's theory, from the spectral densities J(0), J(ω₀) and J(2ω₀)."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from efg_jax.tensors.efg import coupling_factor
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.nuclei import isotope as find_isotope

NEGLIGIBLE = 1e-9  # part of the magnetisation below which an exponential does not count
EQUAL = 1e-6  # relative difference of rates that are one


class Exponentials(NamedTuple):
    """Σ_k p_k exp(−R_k t).

    Attributes:
        rates: R_k, 1/s, ascending.
        parts: p_k; they sum to 1.
    """

    rates: Float[np.ndarray, " exponentials"]
    parts: Float[np.ndarray, " exponentials"]


class QuadrupolarRates(NamedTuple):
    """Rates of relaxation, 1/s.

    Attributes:
        t1: 1/T₁, the initial rate at which I_z returns after a pulse on all transitions.
        t2: 1/T₂, the initial rate at which the transverse magnetisation of all transitions together decays.
        recovery: of I_z after such a pulse.
        decay: of the transverse magnetisation, where all transitions have one frequency, as in a liquid.
        transitions: of the coherences m ↔ m − 1, from m = I down, where their lines lie apart, as in a solid.
    """

    t1: float
    t2: float
    recovery: Exponentials
    decay: Exponentials
    transitions: Float[np.ndarray, " transitions"]

    @property
    def central(self) -> float:
        """Of the coherence ½ ↔ −½; NaN for an integer spin."""
        return float(self.transitions[len(self.transitions) // 2]) if len(self.transitions) % 2 else float("nan")


def quadrupolar_rates(densities: Float[np.ndarray, "3"], isotope: Isotope | str) -> QuadrupolarRates:
    """Rates of a spin in a strong field whose EFG fluctuates alike in all directions.

    With H(t) = κ I·δV(t)·I, κ = eQ/(2I(2I − 1)ħ), and T_q = I·B_q·I of the orthonormal spherical tensors B_q, the
    density matrix relaxes as dρ/dt = −(κ²/5) Σ_q J(qω₀) [T_q†, [T_q, ρ − ρ_eq]] (A. G. Redfield, Adv. Magn. Reson. 1
    (1965) 1; A. Abragam, The Principles of Nuclear Magnetism, 1961, ch. VIII). This gives any spin the initial rates

    1/T₁ = R (J(ω₀) + 4J(2ω₀))/5 and 1/T₂ = R (3J(0) + 5J(ω₀) + 2J(2ω₀))/10, R = (2I + 3)/(20 I²(2I − 1)) (eQ/ħ)²,

    which are the only ones of I = 1. I_z of a half-integer spin above ½ returns with I + ½ exponentials (P. S. Hubbard,
    J. Chem. Phys. 53 (1970) 985).

    Limits: those of `relaxation.quadrupolar_t1`, but for ω₀τ; in a single crystal all but the powder means of t1 and t2
        depend on its orientation. The small dynamic shifts of the lines are left out, which changes no rate but those
        of `decay` of spins above 3/2.

    Args:
        densities: J(ω) = ∫₀^∞ ⟨δV(0):δV(t)⟩ cos ωt dt at 0, ω₀ and 2ω₀, (V/Å²)² s.
        isotope: nucleus, gives Q and I.

    Raises:
        InputError: the nucleus has no quadrupole moment.
    """
    nucleus = find_isotope(isotope)
    along, plus, _ = _operators(nucleus.spin)
    coupling = 2.0 * np.pi * float(coupling_factor(nucleus)) / (2.0 * nucleus.spin * (2.0 * nucleus.spin - 1.0))
    rates = coupling**2 / 5.0 * np.tensordot(densities, _double_commutators(nucleus.spin), axes=1)
    rates = rates.reshape(2 * along.shape)
    up, down = np.arange(len(along) - 1), np.arange(1, len(along))
    populations = np.einsum("aacc->ac", rates)
    coherences = rates[up[:, None], down[:, None], up, down]
    magnetisation, transverse = np.diag(along), np.diag(plus, k=1)
    return QuadrupolarRates(
        float(magnetisation @ populations @ magnetisation / np.sum(magnetisation**2)),
        float(transverse @ coherences @ transverse / np.sum(transverse**2)),
        _exponentials(populations, magnetisation),
        _exponentials(coherences, transverse),
        np.diag(coherences),
    )


def _exponentials(rates: np.ndarray, start: np.ndarray) -> Exponentials:
    """xᵀ exp(−R t) x / xᵀx."""
    values, vectors = np.linalg.eigh(rates)
    parts = (start @ vectors) ** 2 / np.sum(start**2)
    groups = np.concatenate([[0], np.cumsum(np.diff(values) > EQUAL * values[-1])])
    sums = np.bincount(groups, parts)
    means = np.bincount(groups, values) / np.bincount(groups)
    return Exponentials(means[sums > NEGLIGIBLE], sums[sums > NEGLIGIBLE])


def _operators(spin: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """I_z, I₊ and I₋ in the states m = I, I − 1, ..., −I."""
    m = spin - np.arange(round(2 * spin) + 1)
    raising = np.diag(np.sqrt(spin * (spin + 1.0) - m[1:] * (m[1:] + 1.0)), k=1)
    return np.diag(m), raising, raising.T


def _double_commutators(spin: float) -> Float[np.ndarray, "3 pairs pairs"]:
    """ρ → [T_q†, [T_q, ρ]], summed over q and −q, for q = 0, 1, 2."""
    along, plus, minus = _operators(spin)
    tensors = [
        [(3.0 * along @ along - spin * (spin + 1.0) * np.eye(len(along))) / np.sqrt(6.0)],
        [0.5 * (along @ one + one @ along) for one in (plus, minus)],
        [0.5 * one @ one for one in (plus, minus)],
    ]
    return np.stack([sum(_commutator(one.T) @ _commutator(one) for one in pair) for pair in tensors])


def _commutator(operator: np.ndarray) -> np.ndarray:
    """ρ → [A, ρ] on ρ as a vector of its rows."""
    one = np.eye(len(operator))
    return np.kron(operator, one) - np.kron(one, operator.T)
