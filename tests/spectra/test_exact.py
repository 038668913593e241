"""Exact diagonalisation against LAPACK and against perturbation theory; where the latter ends."""

import logging
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.spin_hamiltonian import directions, frequencies, gaussian, histogram, spin_operators
from scipy.spatial.transform import Rotation

import efg_jax as ej
from efg_jax.errors import InputError
from efg_jax.spectra import Sites, transition_frequencies
from efg_jax.tensors import field_directions
from efg_jax.tensors.efg import HZ_PER_MILLIBARN_V_PER_ANGSTROM2 as HZ
from efg_jax.tensors.nuclei import isotope

FIELD = 9.4


def efg_of(nucleus, c_q, eta=0.0, seed=None):
    v_zz = c_q / (HZ * nucleus.quadrupole_moment)
    axes = np.eye(3) if seed is None else Rotation.random(random_state=seed).as_matrix()
    return axes @ np.diag([-0.5 * v_zz * (1 - eta), -0.5 * v_zz * (1 + eta), v_zz]) @ axes.T


NO_SHIFT = np.zeros((3, 3))


def site(nucleus, efg, shift=NO_SHIFT):
    return Sites(nucleus, efg[None], shift[None], np.ones(1), np.zeros(1, int), np.zeros(1, int))


@partial(jax.jit, static_argnames=("isotope", "field", "transitions", "method"))
def lines(efg, shift, fields, **options):
    return transition_frequencies(efg, shift, fields, **options)


@pytest.mark.parametrize(
    ("name", "field", "larmor", "c_q", "perturbed", "exact"),
    [("35Cl", 9.4, 39.21e6, 72e6, -84_300, -64_500), ("127I", 18.8, 160.2e6, 300e6, -21_030, -19_740)],
)
def test_centres_of_gravity_of_strong_couplings(name, field, larmor, c_q, perturbed, exact):
    """The mean frequency of the central transition over a powder, η = 0, ppm."""
    nucleus = isotope(name).replace(gyromagnetic_ratio=2 * np.pi * larmor / field)
    given = (efg_of(nucleus, c_q), NO_SHIFT, field_directions(4000))
    options = {"isotope": nucleus, "field": field}
    for method, expected in (("perturbation", perturbed), ("exact", exact)):
        found = lines(*given, method=method, **options).frequency
        assert_allclose(found.mean() / larmor * 1e6, expected, rtol=1e-3)
    assert_allclose(ej.tensors.quadrupolar_induced_shift(jnp.asarray(c_q), larmor, nucleus.spin), perturbed, rtol=1e-3)


def oracle(efg, shift, fields, nucleus, field):
    """Frequencies and intensities of all pairs of levels, by LAPACK with the field along each direction."""
    spin, operators = nucleus.spin, spin_operators(nucleus.spin)
    larmor = nucleus.gyromagnetic_ratio * field / (2 * np.pi)
    strength = HZ * nucleus.quadrupole_moment / (2 * spin * (2 * spin - 1))
    along = np.einsum("nk,kab->nab", fields, operators)
    felt = fields + 1e-6 * fields @ shift.T
    quadrupolar = strength * np.einsum("ij,iab,jbc->ac", efg, operators, operators)
    energies, states = np.linalg.eigh(-larmor * np.einsum("nk,kab->nab", felt, operators) + quadrupolar)
    if larmor > 0:  # level 0 is m = −I
        energies, states = energies[:, ::-1], states[:, :, ::-1]

    def squares(operator):
        return np.abs(states.conj().swapaxes(1, 2) @ operator @ states) ** 2

    across = sum(squares(operator) for operator in operators) - squares(along)
    pairs = [(low, high) for high in range(len(along[0])) for low in range(high)]
    gaps = np.stack([np.abs(energies[:, low] - energies[:, high]) for low, high in pairs])
    return gaps - abs(larmor), np.stack([2 * across[:, low, high] for low, high in pairs])


@pytest.mark.parametrize(("name", "c_q"), [("35Cl", -40e6), ("17O", 25e6), ("14N", 3e6), ("209Bi", 150e6)])
def test_frequencies_and_intensities_are_those_of_the_hamiltonian(tensor, name, c_q):
    """Both signs of γ, whole and half-integer spins, a shift with an antisymmetric part; couplings up to ν_L."""
    nucleus = isotope(name)
    efg = efg_of(nucleus, c_q, 0.4, 1)
    shift = tensor((300.0, -500.0, 900.0), 2) + np.array([[0, 40, 0], [-40, 0, 90], [0, -90, 0]])
    fields = directions(40)
    found = lines(efg, shift, fields, isotope=nucleus, field=FIELD, method="exact", transitions="all")
    frequency, intensity = oracle(efg, shift, fields, nucleus, FIELD)
    assert_allclose(found.frequency, frequency, atol=1e-3)
    assert_allclose(found.intensity, intensity, atol=1e-8)
    levels = round(2 * nucleus.spin + 1)
    if levels % 2 == 0:
        central = lines(efg, shift, fields, isotope=nucleus, field=FIELD, method="exact").frequency[0]
        symmetric = frequencies(efg, 0.5 * (shift + shift.T), fields, nucleus, FIELD)
        # What is symmetric is in the tests of perturbation theory, too; the rest is a cross term, seen here.
        assert_allclose(central, symmetric[:, levels // 2 - 1], atol=1e-6 * 100 * np.abs(c_q))
        assert np.abs(central - symmetric[:, levels // 2 - 1]).max() > 1.0


@pytest.mark.parametrize("name", ["35Cl", "27Al", "93Nb"])
def test_what_perturbation_theory_leaves_out(name):
    """Third order of satellites: eight times as much for twice the coupling; of the central transition, and of every
    m → −m, the third order vanishes, and the fourth is 16 times as much.
    """
    nucleus = isotope(name)
    larmor = ej.spectra.larmor_frequency(nucleus, FIELD)
    spin, fields = nucleus.spin, directions(300)
    left = {}
    for ratio in (0.01, 0.02):
        efg = efg_of(nucleus, ratio * larmor * 2 * spin * (2 * spin - 1) / 3, 0.3, 3)
        options = {"isotope": nucleus, "field": FIELD, "transitions": "all"}
        perturbed = np.asarray(lines(efg, NO_SHIFT, fields, **options).frequency)[::-1]
        exact = np.asarray(lines(efg, NO_SHIFT, fields, method="exact", **options).frequency)
        adjacent = [high * (high - 1) // 2 + high - 1 for high in range(1, round(2 * spin + 1))]
        left[ratio] = exact[adjacent] - perturbed
    middle = round(spin - 0.5)
    assert_allclose(np.abs(left[0.02][middle]).max() / np.abs(left[0.01][middle]).max(), 16.0, rtol=0.02)
    assert_allclose(np.abs(left[0.02][0]).max() / np.abs(left[0.01][0]).max(), 8.0, rtol=0.05)
    for quanta in range(1, middle + 1):  # the sum of the 2m lines of m → −m
        total = [left[ratio][middle - quanta : middle + quanta + 1].sum(axis=0) for ratio in (0.01, 0.02)]
        assert_allclose(np.abs(total[1]).max() / np.abs(total[0]).max(), 16.0, rtol=0.05)


@pytest.mark.parametrize(("name", "c_q", "transitions"), [("35Cl", 60e6, "central"), ("14N", 4e6, "all")])
def test_line_shapes_are_histograms_of_exact_lines(tensor, name, c_q, transitions):
    """Weighted with their intensities; the same for tensors turned together."""
    nucleus = isotope(name)
    efg, shift = efg_of(nucleus, c_q, 0.3, 1), tensor((900.0, 200.0, -600.0), 2)
    turn = Rotation.random(random_state=9).as_matrix()
    frequency, intensity = oracle(efg, shift, directions(20000), nucleus, FIELD)
    chosen = [2] if transitions == "central" else slice(None)
    frequency, intensity = frequency[chosen], intensity[chosen]
    axis = np.linspace(-1.1, 2.3, 601) * np.abs(frequency).max()
    fwhm = 6 * (axis[1] - axis[0])
    expected = gaussian(histogram(frequency.ravel(), axis, intensity.ravel()), axis, fwhm)
    options = {"isotope": nucleus, "field": FIELD, "transitions": transitions, "method": "exact", "fwhm": fwhm}
    tensors = [jnp.asarray(np.stack([t, turn @ t @ turn.T])) for t in (efg, shift)]
    found, turned = np.asarray(ej.spectra.powder_spectrum(*tensors, axis, density=32, **options))
    assert np.abs(found - expected).sum() < 0.015 * expected.sum()
    assert np.abs(found - turned).sum() < 0.01 * expected.sum()
    assert_allclose(found.sum() * (axis[1] - axis[0]), 1.0, atol=1e-5)


def test_derivatives_of_an_exact_line_shape(tensor):
    """Those of differences, with η = 0 and with a coupling of the strength of the Larmor frequency."""
    nucleus = isotope("35Cl")
    efg = jnp.asarray(np.stack([efg_of(nucleus, 30e6, 0.0, 1), efg_of(nucleus, 70e6, 0.6, 2)]))
    shift = jnp.asarray(np.stack([tensor((100.0, 40.0, -70.0), 7), np.eye(3) * 20.0]))
    axis = np.linspace(-12e6, 8e6, 300)

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1))
    def loss(efg, shift):
        curve = ej.spectra.powder_spectrum(
            efg, shift, axis, isotope=nucleus, field=FIELD, method="exact", fwhm=4e5, density=7
        )
        return 1e6 * jnp.sum(curve.sum(axis=0) * jnp.sin(jnp.asarray(axis) / 1e6))

    gradients = loss(efg, shift)[1]
    for k, (gradient, step) in enumerate(zip(gradients, (1e-5, 1e-2), strict=True)):
        direction = np.random.default_rng(k).normal(size=(2, 3, 3))
        direction = jnp.asarray(step * (direction + direction.swapaxes(1, 2)))
        moved = []
        for sign in (1.0, -1.0):
            at = [t + sign * direction if k == j else t for j, t in enumerate((efg, shift))]
            moved.append(loss(*at)[0])
        assert_allclose(jnp.sum(gradient * direction), (moved[0] - moved[1]) / 2, rtol=1e-4)


def test_spectra_by_exact_diagonalisation(tensor):
    """With the isotropic shift alone, counts, and an automatic window, which leaves forbidden lines out; weak couplings
    give the spectrum of mrsimulator.
    """
    nucleus = isotope("35Cl")
    weak = replace(site(nucleus, efg_of(nucleus, 5e5, 0.3, 1), tensor((30.0, 10.0, -20.0), 3)), count=np.full(1, 2.0))
    options = {"field": FIELD, "transitions": "all", "points": 512, "broadening": 5000.0, "csa": False, "density": 16}
    theirs, exact = (ej.spectra.spectrum(weak, method=method, **options) for method in ("perturbation", "exact"))
    assert_allclose(exact.frequency[[0, -1]], theirs.frequency[[0, -1]], rtol=0.03)
    same = np.interp(exact.frequency, theirs.frequency, theirs.total)
    assert np.abs(exact.total - same).sum() < 0.02 * theirs.total.sum()
    assert_allclose(exact.integral, 2.0, atol=0.01)
    assert exact.metadata["method"] == "exact"
    assert "order" not in exact.metadata


@pytest.mark.parametrize("ratio", [0.09, 0.11])
def test_perturbation_theory_warns_outside_its_range(ratio, tmp_path, caplog):
    """Wherever a field is known: line shapes, spectra, MQMAS, files for mrsimulator, δ_QIS."""
    nucleus = isotope("27Al")
    larmor = ej.spectra.larmor_frequency(nucleus, FIELD)
    efg = efg_of(nucleus, ratio * larmor * 20 / 3)
    one, axis, options = site(nucleus, efg), np.linspace(-1e5, 1e5, 11), {"isotope": nucleus, "field": FIELD}
    arrays = jnp.asarray(efg)[None], jnp.zeros(1)
    calls = {
        "powder_spectrum": lambda: ej.spectra.powder_spectrum(*arrays, axis, density=2, **options),
        "transition_frequencies": lambda: transition_frequencies(efg, NO_SHIFT, np.eye(3), **options),
        "spectrum": lambda: ej.spectra.spectrum(one, field=FIELD, density=4),
        "spinning": lambda: ej.spectra.spectrum(one, field=FIELD, spinning=np.inf, density=4),
        "all": lambda: ej.spectra.spectrum(one, field=FIELD, transitions="all", density=4),
        "mqmas": lambda: ej.spectra.mqmas(one, field=FIELD, density=4),
        "write_mrsim": lambda: ej.spectra.write_mrsim(tmp_path / "a.mrsim", one, field=FIELD),
        "δ_QIS": lambda: ej.tensors.quadrupolar_induced_shift(jnp.asarray(ratio * larmor * 20 / 3), larmor, 2.5),
    }
    for name, call in calls.items():
        caplog.clear()
        with caplog.at_level(logging.WARNING):
            call()
        assert bool(caplog.records) == (ratio > 0.1), name
        if ratio > 0.1:
            assert "ν_Q/ν_L is" in caplog.text
            assert ("third order on" if name == "all" else "the third is zero") in caplog.text
            assert ("only static" in caplog.text) == (name in ("spinning", "mqmas")), name


def test_exact_lines_and_traced_tensors_do_not_warn(caplog):
    """Known tensors beside a traced shift do."""
    nucleus, axis = isotope("35Cl"), np.linspace(-1e5, 1e5, 11)
    known, shift = jnp.asarray(efg_of(nucleus, 60e6))[None], jnp.zeros(1)
    options = {"isotope": nucleus, "field": FIELD, "density": 2}
    ej.spectra.powder_spectrum(known, shift, axis, method="exact", **options)
    jax.jit(lambda efg: ej.spectra.powder_spectrum(efg, shift, axis, **options))(known)
    assert not caplog.records
    jax.jit(lambda shift: ej.spectra.powder_spectrum(known, shift, axis, **options))(shift)
    assert "outside its range" in caplog.text


def test_the_warning_has_the_size_of_what_is_left_out(caplog):
    nucleus = isotope("35Cl")
    larmor = ej.spectra.larmor_frequency(nucleus, FIELD)
    efg = efg_of(nucleus, 72e6, 0.0, 1)
    ej.spectra.powder_spectrum(
        jnp.asarray(efg)[None], jnp.zeros(1), np.linspace(-1e5, 1e5, 11), isotope=nucleus, field=FIELD, density=2
    )
    fields = directions(20000)
    exact = oracle(efg, NO_SHIFT, fields, nucleus, FIELD)[0][2]
    perturbed = lines(efg, NO_SHIFT, fields, isotope=nucleus, field=FIELD).frequency[0]
    difference = (exact - np.asarray(perturbed)) / larmor * 1e6
    _, _, *said = caplog.records[0].args[:-1]
    largest, centre = said[-2:]
    assert_allclose(largest, np.abs(difference).max(), rtol=0.02)
    assert_allclose(float(centre.split("by ")[1].split()[0]), difference.mean(), rtol=0.02)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"spinning": np.inf}, "exact diagonalisation is for static samples; take spinning=0"),
        ({"spinning": 1e4}, "exact diagonalisation is for static samples"),
        ({"order": 1}, "order = 1"),
    ],
)
def test_exact_spectra_refuse(options, says):
    nucleus = isotope("35Cl")
    given = {"field": FIELD, "method": "exact"} | options
    with pytest.raises(InputError, match=says):
        ej.spectra.spectrum(site(nucleus, efg_of(nucleus, 1e6)), **given)
    axis = np.linspace(-1e5, 1e5, 11)
    with pytest.raises(InputError, match=says):
        ej.spectra.powder_spectrum(jnp.zeros((1, 3, 3)), jnp.zeros(1), axis, isotope=nucleus, **given)


def test_the_coupling_can_be_left_out():
    """The line is then that of the broadening alone; a coupling of this size is megahertz wide."""
    nucleus = isotope("35Cl")
    given = {"field": FIELD, "efg": False, "method": "exact", "broadening": "500 Hz"}
    found = ej.spectra.spectrum(site(nucleus, efg_of(nucleus, 6e6, 0.3, 1)), width=2e4, **given)
    expected = ej.spectra.spectrum(site(nucleus, np.zeros((3, 3))), width=2e4, **given | {"efg": True})
    assert_allclose(found.total, expected.total, rtol=0, atol=1e-6 * expected.total.max())


def test_motion_that_averages_a_strong_coupling_out_is_warned_of(caplog):
    """A tensor that jumps among x, y and z has a mean of zero; the second order is that of each state."""
    nucleus = isotope("35Cl")
    states = jnp.stack([efg_of(nucleus, 60e6)[np.ix_(order, order)] for order in ([0, 1, 2], [1, 2, 0], [2, 0, 1])])
    mean, shift, fluctuations = ej.spectra.mean_and_fluctuations(states[:, None], jnp.zeros((3, 1, 3, 3)))
    axis = np.linspace(-1e5, 1e5, 11)
    for moving, efg in ((None, states[:1]), (fluctuations, mean)):
        caplog.clear()
        ej.spectra.powder_spectrum(efg, shift, axis, isotope=nucleus, field=FIELD, density=2, fluctuations=moving)
        (warning,) = caplog.records
        assert warning.args[0] == pytest.approx(30e6 / ej.spectra.larmor_frequency(nucleus, FIELD), rel=1e-6)
        assert ("motion='rigid'" in caplog.text) == (moving is not None)
