"""Frequencies and intensities of a nucleus's transitions for given directions of the field: by perturbation theory, or
by exact diagonalisation of the spin's Hamiltonian.

In the frame of the tensors, with the field along n and ν_L = |γB/2π|,

    H/ν_L = −s I·(1 + δ)·n + (K/ν_L) I·V·I,    s the sign of γ,  K = eQ/(2I(2I − 1)h)

with the induced field as the first index of δ, which is all of the Zeeman and quadrupolar interactions: components
across the field, every order, and the shift's antisymmetric part too. `Sites` carry symmetric shift tensors, so that
this part is only seen where the functions are given tensors directly."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Real

from efg_jax.spectra.conditions import Conditions
from efg_jax.spectra.fluctuations import Fluctuations, moving_frequency
from efg_jax.spectra.frequencies import (
    Transition,
    larmor_frequency,
    spinning_frequency,
    static_frequency,
    transitions,
)
from efg_jax.tensors.hermitian import eigh_hermitian
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.spin import HIGHEST, coupling_strength, operators_like, quadrupole_operator

Tensors = tuple[Float[Array, "3 3"], Float[Array, "3 3"], Fluctuations | None]


class Lines(NamedTuple):
    """Lines of one nucleus.

    Attributes:
        frequency: Hz from the Larmor frequency.
        intensity: |⟨b|I₊|a⟩|² + |⟨b|I₋|a⟩|² with I± across the field: of a short ideal pulse and a coil across the
            field, averaged over turns about the field. I(I + 1) − m(m − 1) where the coupling is weak.
    """

    frequency: Float[Array, "lines directions"]
    intensity: Float[Array, "lines directions"]


class PerturbedLines(eqx.Module):
    """Single-quantum transitions by perturbation theory.

    Attributes:
        coefficients: of `Transition`.
        weights: intensities.
        spinning: averaged over a turn about the magic angle; directions are those of the rotor then.
    """

    coefficients: Float[Array | np.ndarray, "lines 5"]
    weights: Float[Array | np.ndarray, " lines"]
    spinning: bool = eqx.field(static=True, default=False)

    def __call__(self, tensors: Tensors, directions: Float[Array, "n 3"]) -> Lines:
        kernel = spinning_frequency if self.spinning else static_frequency

        def of_line(coefficients: Float[Array, "5"]) -> Float[Array, " n"]:
            line = Transition.of(coefficients)
            return jax.vmap(lambda n: moving_frequency(kernel, *tensors, n, line))(directions)

        frequency = jax.lax.map(of_line, self.coefficients)
        return Lines(frequency, jnp.broadcast_to(self.weights[:, None], frequency.shape))


class ExactLines(eqx.Module):
    """Transitions between the exact levels.

    Levels are numbered from 0 in the order that −I ... I has in a strong field; while they keep it, level k is m = k −
    I. Where the coupling becomes as strong as the Zeeman energy, levels avoid each other and exchange what they are:
    frequency and intensity stay right, the names of the levels do not.

    Attributes:
        coupling: −s K/ν_L per V/Å².
        larmor: ν_L, Hz.
        spin: I.
        pairs: lower and upper level of each transition.
    """

    coupling: Float[Array | np.ndarray, ""] | float
    larmor: Float[Array | np.ndarray, ""] | float
    spin: float = eqx.field(static=True)
    pairs: tuple[tuple[int, int], ...] = eqx.field(static=True)

    def __call__(self, tensors: Tensors, directions: Float[Array, "n 3"]) -> Lines:
        efg, shift, _ = tensors
        low, high = np.array(self.pairs).T
        spins = operators_like(self.spin, directions)
        field = directions + 1e-6 * jnp.matmul(directions, shift.T, precision=HIGHEST)
        zeeman = jnp.einsum("nk,kab->nab", field.astype(spins.dtype), spins, precision=HIGHEST)
        energies, states = eigh_hermitian(zeeman + quadrupole_operator(self.coupling * efg, self.spin)[None])
        upper, lower = states[:, :, high].conj(), states[:, :, low]
        moments = jnp.einsum("nap,kab,nbp->pnk", upper, spins, lower, precision=HIGHEST)
        along = jnp.einsum("pnk,nk->pn", moments, directions.astype(spins.dtype), precision=HIGHEST)
        across = jnp.sum(moments.real**2 + moments.imag**2, axis=-1) - along.real**2 - along.imag**2
        frequency = self.larmor * (energies[:, high] - energies[:, low] - 1.0)
        return Lines(frequency.T, 2.0 * jnp.maximum(across, 0.0))


def lines_of(nucleus: Isotope, wanted: Conditions) -> PerturbedLines | ExactLines:
    """The transitions that conditions ask for.

    "central" is the pair of levels in the middle. "all" are the single-quantum transitions; exactly, all pairs of
    levels, as many are allowed a little.
    """
    if wanted.method == "perturbation":
        found = transitions(nucleus, wanted)
        numbers = (np.array([line.coefficients for line in found]), np.array([line.weight for line in found]))
        return PerturbedLines(*numbers, spinning=wanted.mode == "infinite")
    levels = round(2 * nucleus.spin + 1)
    middle = levels // 2
    pairs = tuple((low, high) for high in range(levels) for low in range(high))
    return exact_lines(nucleus, wanted, ((middle - 1, middle),) if wanted.transitions == "central" else pairs)


def exact_lines(nucleus: Isotope, wanted: Conditions, pairs: tuple[tuple[int, int], ...]) -> ExactLines:
    """Chosen pairs of levels, under the field of the conditions."""
    larmor = larmor_frequency(nucleus, wanted.field)
    coupling = coupling_strength(nucleus) / larmor if wanted.efg else 0.0
    return ExactLines(float(-np.sign(nucleus.gyromagnetic_ratio) * coupling), larmor, nucleus.spin, pairs)


def in_precision(tree: Any, dtype: np.dtype) -> Any:
    """The same PyTree with its numbers in the precision of the tensors."""
    return jax.tree.map(lambda number: jnp.asarray(number, dtype=dtype), tree)


def floating(values: Real[Array | np.ndarray, "..."]) -> Float[Array, "..."]:
    """Whole numbers as floating ones."""
    values = jnp.asarray(values)
    return values if jnp.issubdtype(values.dtype, jnp.floating) else values.astype(float)
