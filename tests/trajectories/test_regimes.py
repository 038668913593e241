"""Second order under motion: the numbers of an average against exact dynamics of a spin that hops.

The exact side is a Liouvillian of 32 dimensions, in the laboratory frame, with nothing left out and no perturbation
theory: coherent precession in each site, and exchange of the density matrices between them.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from oracles.spin_hamiltonian import directions, frequencies, gaussian, histogram, spinning_frequencies
from scipy.constants import e, h
from scipy.spatial.transform import Rotation
from trajectories.conftest import traceless

import efg_jax as ej
from efg_jax.spectra.fluctuations import compressed, moving_frequency
from efg_jax.spectra.frequencies import spinning_frequency, static_frequency, transition
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
    assert faster - slower > 200.0  # Hz
    assert_allclose(q["rms_p_q"].value ** 2, np.mean([2 / 3 * np.sum(v**2) for v in SITES]) * HERTZ**2, rtol=1e-6)
    assert_allclose(abs(q["p_q"].value), abs(q["c_q"].value) * np.sqrt(1 + q["eta"].value ** 2 / 3), rtol=1e-9)
    assert q["p_q"].value * q["c_q"].value > 0
    assert "δ_QIS(⟨V⟩) ppm" in str(found)
    assert "faster than ν_L" in str(found)


def test_the_anisotropy_of_the_second_order_is_that_of_exchange_as_well(larmor):
    """One orientation at a time: the mean of the frequencies of the sites, ranks 0, 2 and 4 alike."""
    zero = np.zeros((2, 1, 3, 3))
    mean, shift, moved = ej.spectra.mean_and_fluctuations(jnp.asarray(SITES[:, None]), jnp.asarray(zero))
    line = transition(ej.tensors.isotope("23Na"), FIELD, 0.5, -0.5)
    one = jax.tree.map(lambda part: part[0], moved)
    fields = directions(7)
    for rate, fluctuations in ((1e6, one), (1e11, None)):
        exact = [hopping_central_transition(SITES, rate, larmor, n) for n in fields]
        found = jax.jit(
            jax.vmap(lambda n, own=fluctuations: moving_frequency(static_frequency, mean[0], shift[0], own, n, line))
        )(jnp.asarray(fields))
        assert_allclose(found, exact, atol=2e-3 * np.ptp(exact))


@pytest.mark.parametrize(("kernel", "m"), [(static_frequency, 0.5), (static_frequency, 2.5), (spinning_frequency, 1.5)])
def test_fluctuations_make_the_mean_of_the_frequencies_of_all_states(kernel, m):
    """Of central and satellite transitions, with shifts that move along; and so does what is left of many parts."""
    generator = np.random.default_rng(4)
    efg, shift = generator.normal(size=(2, 30, 1, 3, 3))
    efg, shift = 20 * (efg + efg.swapaxes(2, 3)), 400 * (shift + shift.swapaxes(2, 3))
    efg -= np.trace(efg, axis1=2, axis2=3)[..., None, None] / 3 * np.eye(3)
    weights = generator.dirichlet(np.ones(30))
    line = transition(ej.tensors.isotope("27Al"), FIELD, m, m - 1.0)
    n = jnp.asarray(ICOSAHEDRON[1])
    each = jax.vmap(lambda v, d: kernel(v, d, n, line))(jnp.asarray(efg[:, 0]), jnp.asarray(shift[:, 0]))
    *means, moved = ej.spectra.mean_and_fluctuations(*map(jnp.asarray, (efg, shift, weights)))
    few = compressed(jax.tree.map(np.asarray, moved))
    assert few.efg.shape == (1, 11, 3, 3)
    for parts in (moved, jax.tree.map(jnp.asarray, few)):
        own = jax.tree.map(lambda part: part[0], (*means, parts))
        assert_allclose(moving_frequency(kernel, *own, n, line), weights @ np.asarray(each), rtol=1e-9)


@pytest.fixture(scope="module")
def hopping():
    """Frames of two sodium atoms that hop between two sites each, and shiver."""
    generator, cell = np.random.default_rng(7), [9.0, 9.0, 9.0]
    frames = []
    for _ in range(12):
        atoms = Atoms("NaONa", [[0, 0, 0], [0, 0, 3], [0, 3, 0]], cell=cell, pbc=True)
        noise = traceless(generator, 3)
        atoms.arrays["efg"] = np.stack([SITES[generator.integers(2)], SITES[0], -SITES[generator.integers(2)]]) + noise
        atoms.arrays["ms"] = 550 * np.eye(3) + 20 * generator.normal(size=(3, 3, 3))
        frames.append(atoms)
    return frames


@pytest.mark.parametrize("spinning", [0.0, np.inf])
def test_spectra_of_a_trajectory_choose_the_regime(hopping, larmor, spinning):
    """Shapes against frequencies of the exact Hamiltonian, one frame after the other, averaged as the motion does."""
    pytest.importorskip("mrsimulator", reason="needs the extra [spectra]")
    axis = {"width": 12e3, "offset": -1e3, "points": 512, "broadening": 150.0, "density": 32}
    asked = {"isotope": "23Na", "field": FIELD, "shift": 0.0, "spinning": spinning, **axis}
    found = {motion: ej.spectra.spectrum(hopping, motion=motion, **asked) for motion in ("intermediate", "fast")}
    found["rigid"] = ej.spectra.spectrum(hopping[:2], motion="rigid", **asked)
    efgs, nucleus = np.array([atoms.arrays["efg"] for atoms in hopping]), ej.tensors.isotope("23Na")
    sample = partial(frequencies if spinning == 0.0 else spinning_frequencies, nucleus=nucleus, tesla=FIELD)
    fields, zero = directions(4000 if spinning == 0.0 else 800), np.zeros((3, 3))

    def shape(tensors, mean):
        each = [sample(efg, zero, fields)[:, 1] for efg in tensors]
        each = [np.mean(each, axis=0)] if mean else each
        return sum(gaussian(histogram(one, found["fast"].frequency), found["fast"].frequency, 150.0) for one in each)

    expected = {
        "fast": sum(shape([efgs[:, atom].mean(axis=0)], False) for atom in (0, 2)),
        "intermediate": sum(shape(efgs[:, atom], True) for atom in (0, 2)),
        "rigid": sum(shape(efgs[:2, atom], False) for atom in (0, 2)),
    }
    for motion, one in found.items():
        assert np.abs(one.total - expected[motion]).sum() < 0.03 * expected[motion].sum(), motion
        assert_allclose(one.integral, 4.0 if motion == "rigid" else 2.0, rtol=1e-2)
        assert one.metadata["motion"] == motion
    for motion, name in (("fast", "delta_qis"), ("intermediate", "mean_delta_qis")):
        shifts = [site.quantities[name].value for site in average(hopping, species="Na", field=FIELD).sites]
        assert_allclose(found[motion].centre_of_gravity, np.mean(shifts), rtol=0.01)


def test_the_mean_structure_carries_what_the_intermediate_spectrum_needs(hopping, tmp_path):
    """Through a file, too."""
    pytest.importorskip("mrsimulator", reason="needs the extra [spectra]")
    asked = {"isotope": "23Na", "field": FIELD, "shift": 0.0, "motion": "intermediate", "points": 256, "density": 12}
    expected = ej.spectra.spectrum(hopping, **asked)
    mean = average(hopping, species="Na").to_atoms()
    ej.io.write(tmp_path / "mean.extxyz", mean)
    for atoms in (mean, ej.io.read(tmp_path / "mean.extxyz")[0]):
        found = ej.spectra.spectrum(atoms, **asked)
        assert_allclose(found.frequency, expected.frequency, rtol=1e-4)
        assert_allclose(found.total, expected.total, atol=1e-4 * expected.total.max())
    halves = [average(half, species="Na").to_atoms() for half in (hopping[:6], hopping[6:])]
    assert_allclose(ej.spectra.spectrum(halves, **asked).total, expected.total, atol=1e-6 * expected.total.max())


def test_motion_that_cannot_be_is_refused(hopping):
    pytest.importorskip("mrsimulator", reason="needs the extra [spectra]")
    asked = {"isotope": "23Na", "field": FIELD, "shift": 0.0}
    moved = {**asked, "motion": "intermediate"}
    turned = hopping[1].copy()
    turned.rotate(90, (1, 0, 0), rotate_cell=True)
    for call, message in (
        (lambda: ej.spectra.spectrum(hopping[0], **moved), "one structure says nothing of motion"),
        (lambda: ej.spectra.spectrum([hopping[0], hopping[0][:2]], **moved), "not the same ones"),
        (lambda: ej.spectra.spectrum([hopping[0], turned], **moved), "frame 1: the cell is turned by 90°"),
        (lambda: ej.spectra.spectrum(hopping, spinning=1e4, **moved), "sidebands of a finite rate"),
        (lambda: ej.spectra.spectrum(hopping, merge=True, **moved), "leave merge out"),
        (lambda: ej.spectra.mqmas(hopping, **moved), "MQMAS cannot average the second order"),
    ):
        with pytest.raises(ej.InputError, match=message):
            call()


def test_second_order_shifts_need_a_central_transition_and_a_field_a_quadrupolar_nucleus(frame):
    (site,) = average([frame([SITES[0]], ["H"])], isotope="2H", field=FIELD).sites
    assert "delta_qis" not in site.quantities
    with pytest.raises(ej.InputError, match="relaxation of quadrupolar nuclei, and Si of target='efg' has none"):
        average([frame([SITES[0]], ["Si"])], field=FIELD)
    with pytest.raises(ej.InputError, match="outside the range of magnets"):
        average([frame([SITES[0]], ["Na"])], field=400.0)


@pytest.mark.parametrize(("times", "warns"), [(5, False), (20, True)])
def test_second_order_shifts_warn_outside_their_range(frame, caplog, times, warns):
    """ν_Q/ν_L from 0.1 on; here 0.05 and 0.2."""
    sites = average([frame([times * SITES[0]], ["Na"]), frame([times * SITES[1]], ["Na"])], field=FIELD).sites
    assert "delta_qis" in sites[0].quantities
    assert ("used outside its range: ν_Q/ν_L is up to 0.2" in caplog.text) == warns
