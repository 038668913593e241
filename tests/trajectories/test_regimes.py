"""Second order under motion: the numbers of an average against exact dynamics of a spin that hops.

The exact side is a Liouvillian of 32 dimensions, in the laboratory frame, with nothing left out and no perturbation
theory: coherent precession in each site, and exchange of the density matrices between them.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.constants import e, h
from scipy.spatial.transform import Rotation

import efg_jax as ej
from efg_jax.trajectories import average

FIELD, LARMOR = 9.4, 105.9e6  # of ²³Na, Hz
HERTZ = e * 104e-31 * 1e20 / h  # eQ/h, Hz per V/Å²
M = np.array([1.5, 0.5, -0.5, -1.5])
RAISING = np.diag(np.sqrt(3.75 - M[1:] * (M[1:] + 1)), 1)
SPIN = [(RAISING + RAISING.T) / 2, (RAISING - RAISING.T) / 2j, np.diag(M)]
GOLDEN = (1 + 5**0.5) / 2
# Means of polynomials of the field's direction of degree 5 and less are exact over the vertices of an icosahedron.
ICOSAHEDRON = np.array(
    [(0, 1, GOLDEN), (0, 1, -GOLDEN), (1, GOLDEN, 0), (1, -GOLDEN, 0), (GOLDEN, 0, 1), (-GOLDEN, 0, 1)]
)
ICOSAHEDRON /= np.linalg.norm(ICOSAHEDRON[0])


def tensor(c_q, eta, seed):
    """An EFG of this C_Q (Hz) and η along random axes."""
    axes = Rotation.random(rng=seed).as_matrix()
    return axes @ np.diag(c_q / HERTZ * np.array([-(1 - eta) / 2, -(1 + eta) / 2, 1])) @ axes.T


SITES = np.array([tensor(2.2e6, 0.3, 1), tensor(-1.8e6, 0.7, 2)])


def hamiltonian(efg, larmor, direction):
    """−ν_L I_z + eQ/(2I(2I−1)h) I·V·I for a field along a direction, Hz."""
    axes = Rotation.align_vectors([[0, 0, 1]], [direction])[0].as_matrix()
    turned = axes @ efg @ axes.T
    coupling = sum(turned[i, j] * SPIN[i] @ SPIN[j] for i in range(3) for j in range(3))
    return -larmor * SPIN[2] + HERTZ / 6 * coupling


def hopping_central_transition(efgs, rate, larmor, direction):
    """Frequency of the central transition from ν_L, Hz, of a spin that hops at a rate (1/s) between sites."""
    one, count = np.eye(4), len(efgs)
    exchange = rate * (np.ones((count, count)) - count * np.eye(count))
    liouvillian = np.kron(exchange, np.eye(16)).astype(complex)
    for k, efg in enumerate(efgs):
        energy, own = hamiltonian(efg, larmor, direction), slice(16 * k, 16 * k + 16)
        liouvillian[own, own] -= 2j * np.pi * (np.kron(energy, one) - np.kron(one, energy.T))
    values, vectors = np.linalg.eig(liouvillian)
    central = np.tile(np.outer([0, 0, 1, 0], [0, 1, 0, 0]).ravel(), count)  # |−½⟩⟨½| in all sites alike
    return -values[np.argmax(np.abs(central @ vectors.conj()))].imag / (2 * np.pi) - larmor


def of_powder(rate, larmor):
    return np.mean([hopping_central_transition(SITES, rate, larmor, n) for n in ICOSAHEDRON])


@pytest.fixture(scope="module")
def larmor():
    found = ej.spectra.larmor_frequency(ej.tensors.isotope("23Na"), FIELD)
    assert_allclose(found, LARMOR, rtol=1e-3)
    return found


def test_both_second_order_shifts_are_those_of_exchange_in_liouville_space(frame, larmor):
    """Between C_Q and ν_L the mean of the shifts, above ν_L the shift of the mean."""
    found = average((frame([SITES[k % 2]], ["Na"]) for k in range(64)), isotope="23Na", field=FIELD)
    q = found.sites[0].quantities
    slower, faster = (q[name].value * 1e-6 * larmor for name in ("mean_delta_qis", "delta_qis"))
    for rate in (1e5, 1e6, 1e7):
        assert_allclose(of_powder(rate, larmor), slower, rtol=1e-3)
    assert_allclose(of_powder(1e11, larmor), faster, rtol=1e-3)
    assert abs(slower - faster) > 200.0  # Hz
    assert_allclose(q["rms_p_q"].value ** 2, np.mean([2 / 3 * np.sum(v**2) for v in SITES]) * HERTZ**2, rtol=1e-6)
    assert_allclose(abs(q["p_q"].value), abs(q["c_q"].value) * np.sqrt(1 + q["eta"].value ** 2 / 3), rtol=1e-9)
    assert q["p_q"].value * q["c_q"].value > 0
    assert "δ_QIS(⟨V⟩) ppm" in str(found)
    assert "faster than ν_L" in str(found)


def test_second_order_shifts_need_a_central_transition(frame):
    frames = [frame([SITES[0]], ["H"])]
    with pytest.raises(ej.InputError, match="second-order shift of a central transition, which H"):
        average(frames, isotope="2H", field=FIELD)
    with pytest.raises(ej.InputError, match="outside the range of magnets"):
        average([frame([SITES[0]], ["Na"])], field=400.0)
