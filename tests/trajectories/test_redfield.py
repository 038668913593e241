"""Rates of quadrupolar relaxation against the propagation of spins whose tensor jumps, with nothing left out: no
perturbation theory, no secular approximation.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.linalg import expm

from efg_jax.tensors import isotope
from efg_jax.tensors.efg import coupling_factor
from efg_jax.trajectories import quadrupolar_rates, quadrupolar_t1

TAU, RATE = 1.0, 2e-4  # s, 1/s: the relaxation is slow against the motion
GOLDEN = (1 + 5**0.5) / 2
AXES = np.array([[0, 1, GOLDEN], [0, 1, -GOLDEN], [1, GOLDEN, 0], [1, -GOLDEN, 0], [GOLDEN, 0, 1], [-GOLDEN, 0, 1]])


def spins(spin):
    """I_x, I_y, I_z."""
    m = np.arange(spin, -spin - 1, -1)
    up = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), 1)
    return np.stack([(up + up.T) / 2, (up - up.T) / 2j, np.diag(m)])


def superoperator(hamiltonian):
    """ρ → −i[H, ρ]."""
    one = np.eye(len(hamiltonian))
    return -1j * (np.kron(hamiltonian, one) - np.kron(one, hamiltonian.T))


class Jumping:
    """A spin whose axial tensor jumps at random between the six axes of an icosahedron, which are isotropic for rank 2:
    the stochastic Liouville equation, in SI units.
    """

    def __init__(self, name, larmor, static=0.0):
        self.nucleus, self.larmor = isotope(name), larmor
        self.operators, spin = spins(self.nucleus.spin), self.nucleus.spin
        directions = AXES / np.linalg.norm(AXES, axis=1, keepdims=True)
        tensors = directions[:, :, None] * directions[:, None, :] - np.eye(3) / 3
        scale = (quadrupolar_t1(np.sum(tensors[0] ** 2) * TAU, name) * RATE) ** 0.5  # V/Å²
        self.strength = scale**2 * np.sum(tensors[0] ** 2)
        factor = 2 * np.pi * coupling_factor(self.nucleus) / (2 * spin * (2 * spin - 1)) * scale
        along = self.operators[2]
        fixed = larmor * along + static * (along @ along)
        parts = [
            fixed + factor * np.einsum("ij,iab,jbc->ac", tensor, self.operators, self.operators) for tensor in tensors
        ]
        size, count = len(along) ** 2, len(tensors)
        exchange = np.kron(np.ones((count, count)) / count - np.eye(count), np.eye(size)) / TAU
        blocks = np.zeros((count * size, count * size), dtype=complex)
        for k, part in enumerate(parts):
            blocks[k * size : (k + 1) * size, k * size : (k + 1) * size] = superoperator(part)
        self.generator = blocks + exchange

    @property
    def rates(self):
        frequencies = self.larmor * np.arange(3)
        return quadrupolar_rates(self.strength * TAU / (1 + (frequencies * TAU) ** 2), self.nucleus)

    def after(self, density, time):
        """⟨ρ(t)⟩ over the six axes."""
        count = len(self.generator) // density.size
        start = np.tile(density.ravel(), count) / count
        return (expm(self.generator * time) @ start).reshape(count, *density.shape).sum(0)


@pytest.mark.parametrize("name", ["2H", "23Na", "17O"])
@pytest.mark.parametrize("larmor", [0.05, 1.5])
def test_the_recovery_of_the_magnetisation_is_that_of_jumping_spins(name, larmor):
    spin = Jumping(name, larmor / TAU)
    along, rates = spin.operators[2], spin.rates
    for time in (0.7 / rates.t1, 3 / rates.t1):
        left = np.trace(along @ spin.after(along, time)).real / np.trace(along @ along).real
        expected = np.sum(rates.recovery.parts * np.exp(-rates.recovery.rates * time))
        assert_allclose(left, expected, atol=2e-3)
    if larmor > 1 and name != "2H":  # it is not one exponential
        assert abs(np.exp(-rates.t1 * time) - expected) > 0.006


@pytest.mark.parametrize("name", ["2H", "23Na", "17O"])
def test_coherences_whose_lines_lie_apart_decay_as_those_of_jumping_spins(name):
    spin = Jumping(name, 1.5 / TAU, static=40 * RATE)
    size = len(spin.operators[2])
    for k, rate in enumerate(spin.rates.transitions):
        density = np.zeros((size, size), dtype=complex)
        density[k, k + 1] = 1.0
        assert_allclose(-np.log(abs(spin.after(density, 1 / rate)[k, k + 1])), 1.0, rtol=0.02)


def test_the_transverse_magnetisation_of_a_liquid_of_sodium_has_two_parts():
    """Those of the central transition and of both satellites, which have one frequency but for dynamic shifts."""
    spin = Jumping("23Na", 1.5 / TAU)
    raising, decay = spin.operators[0] + 1j * spin.operators[1], spin.rates.decay
    assert_allclose(decay.parts, [0.4, 0.6])
    for part, rate in zip(([1], [0, 2]), decay.rates, strict=True):
        left = [
            sum(found[k, k + 1] * raising[k, k + 1] for k in part) for found in (spin.after(raising, 1 / rate), raising)
        ]
        assert_allclose(-np.log(abs(left[0] / left[1])), 1.0, rtol=0.02)


def test_rates_of_three_halves_are_hubbards():
    """Recovery: 80 % with J(2ω₀) and 20 % with J(ω₀); decay: 60 % with (J(0) + J(ω₀))/2, 40 % with (J(ω₀) + J(2ω₀))/2
    (P. S. Hubbard, J. Chem. Phys. 53 (1970) 985).
    """
    one, densities = 1 / quadrupolar_t1(1.0, "7Li"), np.array([5.0, 3.0, 1.0])
    rates = quadrupolar_rates(densities, "7Li")
    assert_allclose(rates.recovery.rates, [one, 3 * one])
    assert_allclose(rates.recovery.parts, [0.8, 0.2])
    assert_allclose(rates.decay.rates, [2 * one, 4 * one])
    assert_allclose(rates.decay.parts, [0.4, 0.6])
    assert_allclose(rates.central, 2 * one)


@pytest.mark.parametrize("name", ["2H", "10B", "7Li", "17O", "45Sc", "73Ge"])
def test_initial_rates_of_any_spin(name):
    """1/T₁ = R (J₁ + 4J₂)/5 and 1/T₂ = R (3J₀ + 5J₁ + 2J₂)/10 (Abragam 1961, ch. VIII); one in extreme narrowing."""
    one, (zero, first, second) = 1 / quadrupolar_t1(1.0, name), (5.0, 3.0, 1.0)
    rates = quadrupolar_rates(np.array([zero, first, second]), name)
    assert_allclose(rates.t1, one * (first + 4 * second) / 5)
    assert_allclose(rates.t2, one * (3 * zero + 5 * first + 2 * second) / 10)
    assert_allclose(rates.t1, rates.recovery.parts @ rates.recovery.rates)
    assert_allclose(rates.t2, rates.decay.parts @ rates.decay.rates)
    assert np.isnan(rates.central) == float(isotope(name).spin).is_integer()
    narrow = quadrupolar_rates(np.ones(3), name)
    for found in (narrow.recovery, narrow.decay):
        assert_allclose(found.rates, [one])
        assert_allclose(found.parts, [1.0])
