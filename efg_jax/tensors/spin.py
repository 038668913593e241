"""Spin operators, and what a quadrupolar nucleus does without a magnetic field: NQR.

H_Q = K I·V·I with K = eQ/(2I(2I − 1)h) needs no axes: the operators are along those in which V is given."""

from functools import lru_cache
from itertools import combinations
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from efg_jax.tensors.efg import coupling_factor, frequency_factor
from efg_jax.tensors.hermitian import eigh_hermitian
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.tensors.principal import rounding

HIGHEST = jax.lax.Precision.HIGHEST


@lru_cache(maxsize=32)
def spin_operators(spin: float) -> Complex[np.ndarray, "3 n n"]:
    """I_x, I_y and I_z as matrices of 2I + 1 rows, m = −I ... I, in units of ħ."""
    m = np.arange(-spin, spin + 1.0)
    raising = np.diag(np.sqrt(spin * (spin + 1.0) - m[:-1] * m[1:]), -1)
    return np.stack([0.5 * (raising + raising.T), -0.5j * (raising - raising.T), np.diag(m)])


def operators_like(spin: float, values: Float[Array, "..."]) -> Complex[Array, "3 n n"]:
    """`spin_operators` in the precision of real values."""
    return jnp.asarray(spin_operators(spin).astype(np.result_type(values.dtype, np.complex64)))


def quadrupole_operator(efg: Float[Array, "3 3"], spin: float) -> Complex[Array, "n n"]:
    """I·V·I in the unit of V; K times it is the quadrupolar Hamiltonian.

    Args:
        efg: symmetric V.
        spin: I.
    """
    spins = operators_like(spin, efg)
    along = jnp.einsum("ij,jbc->ibc", efg.astype(spins.dtype), spins, precision=HIGHEST)
    return jnp.einsum("iab,ibc->ac", spins, along, precision=HIGHEST)


def coupling_strength(nucleus: Isotope) -> float:
    """K = eQ/(2I(2I − 1)h), Hz per V/Å².

    Raises:
        InputError: the nucleus has no quadrupole moment.
    """
    return coupling_factor(nucleus) * frequency_factor(nucleus.spin) / 3.0


class NqrLines(NamedTuple):
    """Pure quadrupole resonance, line by line.

    Attributes:
        frequency: Hz, never negative.
        intensity: Σ |⟨a|I|b⟩|² over the states of both levels and the three directions of the coil, both ways, as a
            part of Tr I² = I(I + 1)(2I + 1); a powder's, for a weak pulse, without the factors of the frequency. What
            is missing to 1 lies within the levels. 0 where the two levels are one to rounding: there is no line.
    """

    frequency: Float[Array, "*atoms lines"]
    intensity: Float[Array, "*atoms lines"]


def nqr_labels(spin: float) -> tuple[str, ...]:
    """Names of the lines of `nqr_lines`: "1/2–3/2" for half-integer spins, "0–1−" for whole ones.

    The levels of a half-integer spin are doublets |m| (Kramers), those of a whole one 0, 1−, 1+, 2−, 2+, ... For spin 1
    "0–1−", "0–1+" and "1−–1+" are what is called ν₋, ν₊ and ν₀.
    """
    if float(spin).is_integer():
        names = ["0", *(f"{m}{sign}" for m in range(1, round(spin) + 1) for sign in "−+")]
    else:
        names = [f"{2 * k + 1}/2" for k in range(round(spin + 0.5))]
    return tuple(f"{low}–{high}" for low, high in combinations(names, 2))


def nqr_lines(efg: Float[Array, "*atoms 3 3"], isotope: Isotope | str) -> NqrLines:
    """Frequencies and intensities of pure quadrupole resonance, without a field, for any spin and η, by exact
    diagonalisation; differentiable.

    Levels are named by their order: the least |m| has the lowest energy where C_Q is positive, and the highest where it
    is negative. η mixes m with m ± 2; |m| is what the level is at η = 0 (T. P. Das, E. L. Hahn, Nuclear Quadrupole
    Resonance Spectroscopy, 1958). Degenerate pairs (Kramers) of half-integer spins count once.

    Args:
        efg: V, V/Å².
        isotope: nucleus of spin 1 or more.

    Returns:
        The lines in the order of `nqr_labels`; those that η = 0 forbids, or whose levels are one to rounding, have
        no intensity.

    Raises:
        InputError: the nucleus has no quadrupole moment.
    """
    nucleus = find_isotope(isotope)
    factor, spin = coupling_strength(nucleus), nucleus.spin
    degeneracy = 1 if float(spin).is_integer() else 2
    low, high = np.array(list(combinations(range(round(2 * spin + 1) // degeneracy), 2))).T

    def one(tensor: Float[Array, "3 3"]) -> NqrLines:
        # The sign that makes the lowest level the one of the least |m|: that of V_zz, or of det V.
        sign = jnp.where(jnp.linalg.det(tensor) < 0.0, -1.0, 1.0).astype(tensor.dtype)
        energies, states = eigh_hermitian(quadrupole_operator(sign * tensor, spin))
        levels = jnp.mean(energies.reshape(-1, degeneracy), axis=-1)
        spins = operators_like(spin, tensor)
        moments = jnp.einsum("ai,kab,bj->kij", states.conj(), spins, states, precision=HIGHEST)
        squares = jnp.sum(moments.real**2 + moments.imag**2, axis=0)
        squares = squares.reshape(len(levels), degeneracy, len(levels), degeneracy).sum(axis=(1, 3))[low, high]
        whole = spin * (spin + 1.0) * (2.0 * spin + 1.0)
        gaps = levels[high] - levels[low]
        # Within what rounding leaves as one level the choice of states is arbitrary, and so is what lies between them.
        apart = jax.lax.stop_gradient(gaps) > spin**2 * rounding(tensor)
        return NqrLines(abs(factor) * gaps, jnp.where(apart, 2.0 / whole * squares, 0.0))

    return NqrLines(*jnp.vectorize(one, signature="(i,j)->(k),(k)")(efg))
