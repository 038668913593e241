"""Spectra by mrsimulator against exact diagonalisation, closed formulas and the library's own line shape."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.spin_hamiltonian import directions, frequencies, gaussian, histogram, spinning_frequencies

import efg_jax as ej
from efg_jax.spectra import Sites
from efg_jax.spectra.bridge import spin_systems
from efg_jax.spectra.conditions import conditions
from efg_jax.spectra.frequencies import transition
from efg_jax.spectra.window import isotropic_frequencies
from efg_jax.tensors.efg import HZ_PER_MILLIBARN_V_PER_ANGSTROM2 as HZ
from efg_jax.tensors.nuclei import isotope, isotopes

TESLA = 14.1
SILICATES = {"isotope": "17O", "field": TESLA, "reference": 287.5}
ALL = isotopes()


def site(nucleus, efg, shift):
    """One site from its tensors."""
    return Sites(
        nucleus, None if efg is None else efg[None], shift[None], np.ones(1), np.zeros(1, int), np.zeros(1, int)
    )


def distance(one, other):
    """L1, relative."""
    return float(np.abs(one - other).sum() / np.abs(other).sum())


@pytest.mark.parametrize("spinning", [0.0, np.inf])
def test_spectra_are_those_of_exact_diagonalisation(molecule, spinning):
    """¹⁷O with field gradient and shielding along different axes, from the arrays of a structure on."""
    fwhm = 300.0 if spinning == 0.0 else 100.0
    found = ej.spectra.spectrum(molecule, spinning=spinning, broadening=fwhm, points=1024, **SILICATES)
    nucleus = isotope("17O")
    sample = frequencies if spinning == 0.0 else spinning_frequencies
    for number in (0, 1):
        ms = molecule.arrays["ms"][number]
        shift = (287.5 * np.eye(3) - ms) / (1 - 287.5e-6)
        exact = sample(
            molecule.arrays["efg"][number], shift, directions(8000 if spinning == 0.0 else 4000), nucleus, TESLA
        )[:, 2]
        expected = gaussian(histogram(exact, found.frequency), found.frequency, fwhm)
        assert distance(found.per_site[number], expected) < 0.02
    assert_allclose(found.total, found.per_site.sum(axis=0))
    assert_allclose(found.integral, 2.0, rtol=1e-3)


def test_relative_orientation_matters(molecule):
    """Turning one tensor against the other changes a static spectrum; turning both does not."""
    q = np.linalg.qr(np.random.default_rng(5).normal(size=(3, 3)))[0]
    axis = {"width": 30e3, "offset": 5e3, "points": 1024}
    both, one = molecule.copy(), molecule.copy()
    both.arrays["efg"] = q @ molecule.arrays["efg"] @ q.T
    one.arrays["ms"] = both.arrays["ms"] = q @ molecule.arrays["ms"] @ q.T
    kept, turned, twisted = (
        ej.spectra.spectrum(atoms, broadening=300.0, **axis, **SILICATES).total for atoms in (molecule, both, one)
    )
    assert distance(turned, kept) < 0.005
    assert distance(twisted, kept) > 0.1


@pytest.mark.parametrize(
    ("name", "spinning", "transitions"),
    [
        ("27Al", 0.0, "central"), ("27Al", 0.0, "all"), ("27Al", np.inf, "central"), ("27Al", np.inf, "all"),
        ("7Li", 0.0, "all"), ("14N", np.inf, "all"), ("47Ti", 0.0, "central"),
    ],
)  # fmt: skip
def test_the_line_shape_is_that_of_mrsimulator(tensor, name, spinning, transitions):
    """Within 1 % L1: first and second order, satellites and their weights, cross terms."""
    nucleus = isotope(name)
    v_zz = 1.5e6 / (HZ * nucleus.quadrupole_moment)
    efg, shift = tensor((-0.3 * v_zz, -0.7 * v_zz, v_zz), 1), tensor((150.0, 40.0, -100.0), 2)
    one = site(nucleus, efg, shift)
    options = {"field": TESLA, "spinning": spinning, "transitions": transitions}
    plain = ej.spectra.spectrum(one, points=512, **options)
    step = plain.frequency[1] - plain.frequency[0]
    theirs = ej.spectra.spectrum(one, points=512, broadening=4 * step, **options)
    ours = ej.spectra.powder_spectrum(
        jnp.asarray(efg)[None], jnp.asarray(shift)[None], theirs.frequency,
        isotope=name, fwhm=4 * (theirs.frequency[1] - theirs.frequency[0]), **options,
    )[0]  # fmt: skip
    assert distance(np.asarray(ours), theirs.total) < 0.01


@pytest.mark.parametrize("part", range(4))
def test_every_isotope_of_the_table(part):
    """The centre of gravity is δ_iso + δ_QIS with our spin, Q and γ, whatever mrsimulator has for the nucleus.

    Ours and theirs have one sign.
    """
    for nucleus in ALL[part::4]:
        c_q, eta, delta = 1e6, 0.4, 75.0
        spin, larmor = nucleus.spin, ej.spectra.larmor_frequency(nucleus, TESLA)
        efg, induced = None, 0.0
        if nucleus.is_quadrupolar:
            c_q = 0.02 * spin * (2 * spin - 1) * larmor
            v_zz = c_q / (HZ * nucleus.require_quadrupole())
            efg = np.diag([-0.5 * v_zz * (1 - eta), -0.5 * v_zz * (1 + eta), v_zz])
            square = (c_q / larmor) ** 2 * (1 + eta**2 / 3)
            induced = -3 / 40 * square * (spin * (spin + 1) - 0.75) / (spin**2 * (2 * spin - 1) ** 2) * 1e6
            (system,) = spin_systems(site(nucleus, efg, np.zeros((3, 3))), exact=True)
            assert_allclose(system.sites[0].quadrupolar.Cq, c_q, rtol=1e-9, err_msg=str(nucleus))
        integer = float(spin).is_integer()
        if integer:
            efg, induced = None, 0.0  # all transitions together have another centre
        found = ej.spectra.spectrum(
            site(nucleus, efg, np.diag([-20.0, 10.0, 10.0]) + delta * np.eye(3)),
            field=TESLA, spinning=np.inf, efg=efg is not None, transitions="all" if integer else "central", density=20,
        )  # fmt: skip
        assert_allclose(found.integral, 1.0, rtol=1e-6, err_msg=str(nucleus))
        assert_allclose(found.centre_of_gravity, delta + induced, rtol=3e-3, atol=0.2, err_msg=str(nucleus))


def test_a_nucleus_is_the_users_to_change(molecule):
    """Q enters squared at second order; a nucleus changed in this process is not the one of the last call."""
    nucleus = isotope("17O")
    doubled = nucleus.replace(quadrupole_moment=2 * nucleus.quadrupole_moment)
    options = {"field": TESLA, "shift": 0.0, "spinning": np.inf}
    small, large, again = (ej.spectra.spectrum(molecule, isotope=n, **options) for n in (nucleus, doubled, nucleus))
    assert_allclose(large.centre_of_gravity, 4 * small.centre_of_gravity, rtol=2e-3)
    assert_allclose(again.total, small.total)


def test_the_centre_of_a_satellite_without_anisotropy_is_that_of_the_isotropic_shift(molecule):
    found = ej.spectra.sites(molecule, "17O", reference=287.5)
    plain = replace(found, shift=found.isotropic_shift[:, None, None] * np.eye(3))
    left_out, isotropic, with_csa = (
        isotropic_frequencies(
            sites, conditions(found.isotope, field=TESLA, csa=csa), transition(found.isotope, TESLA, 1.5, 0.5)
        )
        for sites, csa in ((found, False), (plain, True), (found, True))
    )
    assert_allclose(left_out, isotropic, rtol=1e-12)
    assert np.abs(with_csa - isotropic).min() > 0.1  # Hz, of the cross term


@pytest.mark.parametrize("rate", [900.0, 2500.0])
def test_sidebands_have_the_second_moment_of_the_static_pattern(tensor, rate):
    """Spinning moves intensity into sidebands, and leaves the second moment (M. M. Maricq, J. S. Waugh, J. Chem. Phys.
    70 (1979) 3300).

    It is ζ²(1 + η²/3)/5 of an anisotropic shift; of a spin 1 (3C_Q/4)²(1 + η²/3)/5 to first order.
    """
    window = {"field": 9.4, "spinning": rate, "width": 60e3, "points": 8192}
    delta, zeta, eta = -30.0, -100.0, 0.8
    shift = tensor(delta + zeta * np.array([-0.5 * (1 - eta), -0.5 * (1 + eta), 1.0]), 3)
    larmor = ej.spectra.larmor_frequency(isotope("29Si"), 9.4) * 1e-6
    deuterium, c_q = isotope("2H"), 8e3
    v_zz = c_q / (HZ * deuterium.quadrupole_moment)
    efg = tensor(v_zz * np.array([-0.5 * (1 - eta), -0.5 * (1 + eta), 1.0]), 4)
    for one, strength, options in (
        (site(isotope("29Si"), None, shift), zeta * larmor, {"offset": delta * larmor}),
        (site(deuterium, efg, np.zeros((3, 3))), 0.75 * c_q, {"offset": 0.0, "order": 1}),
    ):
        found = ej.spectra.spectrum(one, **window, **options)
        distance_from_centre = found.frequency - options["offset"]
        moment = (distance_from_centre**2 * found.total).sum() / found.total.sum()
        assert_allclose(moment, strength**2 * (1 + eta**2 / 3) / 5, rtol=5e-4)


def test_sidebands_stand_a_rate_apart(tensor):
    """²⁹Si spinning slowly: lines at δ_iso + k ν_r only, and their centre of gravity is δ_iso."""
    nucleus, rate = isotope("29Si"), 1500.0
    found = ej.spectra.spectrum(
        site(nucleus, None, tensor((60.0, -20.0, -130.0), 3)), field=9.4, spinning=rate, points=8192
    )
    step = found.frequency[1] - found.frequency[0]
    delta = -30.0 * found.larmor * 1e-6
    order = (found.frequency - delta) / rate
    lines = found.total > 1e-6 * found.total.max()
    assert np.abs(order[lines] - np.round(order[lines])).max() * rate < 1.5 * step
    assert len(np.unique(np.round(order[lines]))) > 5
    assert_allclose(found.centre_of_gravity, -30.0, atol=0.3)


def test_transitions_have_the_weights_of_an_ideal_pulse(tensor):
    """²⁷Al, first order: 5:8:9:8:5; the central transition is a line of 9/35 at the shift."""
    nucleus = isotope("27Al")
    v_zz = 3e6 / (HZ * nucleus.quadrupole_moment)
    one = site(nucleus, np.diag([-0.5 * v_zz, -0.5 * v_zz, v_zz]), np.zeros((3, 3)))
    found = ej.spectra.spectrum(one, field=TESLA, transitions="all", order=1, points=4001)
    step = found.frequency[1] - found.frequency[0]
    nu_q = 3 * 3e6 / 20
    share = found.total * step
    assert_allclose(share[np.abs(found.frequency) < 3 * step].sum(), 9 / 35, atol=0.01)
    # Only the outer satellites, ±ν_Q(3cos²θ − 1), reach beyond ν_Q: where cos²θ > 2/3.
    beyond = share[np.abs(found.frequency) > nu_q * 1.01].sum()
    assert_allclose(beyond, 10 / 35 * (1 - np.sqrt(2 / 3)), atol=0.003)


def test_windows(molecule, caplog, monkeypatch):
    """A window that was asked for cuts and does not fold, and says so; one that was not holds everything.

    Sites in pieces are the same sites.
    """
    whole = ej.spectra.spectrum(molecule, points=4096, **SILICATES)
    assert_allclose(whole.integral, 2.0, rtol=1e-6)
    assert not caplog.records
    step = whole.frequency[1] - whole.frequency[0]
    delta = ej.spectra.sites(molecule, "17O", reference=287.5).isotropic_shift * whole.larmor * 1e-6
    for offset in (
        delta.min() - 2.5e3,
        delta.mean(),
        delta.max() + 2.5e3,
    ):  # none, all, none of the isotropic shifts within
        caplog.clear()
        part = ej.spectra.spectrum(molecule, width=4e3, offset=offset, points=512, **SILICATES)
        assert "outside the window" in caplog.text
        inside = np.abs(whole.frequency - offset) < 2e3
        assert_allclose(part.integral, whole.total[inside].sum() * step, rtol=0.01)
    monkeypatch.setattr("efg_jax.spectra.simulate.PIECE", 1)
    again = ej.spectra.spectrum(molecule, width=4e3, offset=offset, points=512, **SILICATES)
    assert_allclose(again.per_site, part.per_site, rtol=1e-9, atol=1e-9 * part.total.max())


def test_equivalent_sites_are_merged(molecule):
    """Rotated and inverted copies are one site with a count; a mirror image of one tensor against the other is not."""
    frames = [molecule]
    for seed in (1, 2, 3):
        copy = molecule.copy()
        q = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]
        for name in ("efg", "ms"):
            copy.arrays[name] = q @ molecule.arrays[name] @ q.T
        frames.append(copy)
    found = ej.spectra.sites(frames, "17O", reference=287.5)
    merged = ej.spectra.merge(found)
    assert (len(found), len(merged)) == (8, 2)
    assert_allclose(merged.count, 4.0)
    assert merged.labels == ("O0 ×4", "O1 ×4")
    options = {"field": TESLA, "broadening": 300.0, "points": 1024}
    all_sites, few = (
        ej.spectra.spectrum(frames, merge=merge, isotope="17O", reference=287.5, **options) for merge in (False, True)
    )
    assert distance(few.total, all_sites.total) < 0.01
    twisted = frames[0].copy()
    axes = np.linalg.eigh(molecule.arrays["efg"][0])[1]
    turn = axes @ np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) @ axes.T
    twisted.arrays["efg"][0] = turn @ molecule.arrays["efg"][0] @ turn.T
    assert len(ej.spectra.merge(ej.spectra.sites([molecule, twisted], "17O", reference=287.5))) == 3


def test_interactions_can_be_left_out(molecule):
    """Without field gradients no second order; without anisotropy the static line of an isotropic site."""
    bare = ej.spectra.spectrum(molecule, efg=False, csa=False, **SILICATES)
    delta = ej.spectra.sites(molecule, "17O", reference=287.5).isotropic_shift
    assert_allclose(np.sort(bare.ppm[bare.per_site.argmax(axis=1)]), np.sort(delta), atol=0.2)
    first = ej.spectra.spectrum(molecule, order=1, spinning=np.inf, **SILICATES)
    assert_allclose(first.centre_of_gravity, delta.mean(), atol=0.2)
    no_shielding = ej.spectra.spectrum(molecule, isotope="17O", field=TESLA, shift=12.0, order=1)
    assert_allclose(no_shielding.centre_of_gravity, 12.0, atol=0.2)
    assert first.metadata["efg"]
    assert not ej.spectra.spectrum(site(isotope("17O"), None, np.eye(3)), field=TESLA).metadata["efg"]


def test_a_spectrum_in_a_file(molecule, tmp_path):
    found = ej.spectra.spectrum(molecule, broadening="1 ppm", **SILICATES)
    found.to_csv(tmp_path / "o.csv")
    lines = (tmp_path / "o.csv").read_text().splitlines()
    header = next(line for line in lines if not line.startswith("#"))
    assert header == "frequency_hz,shift_ppm,total,O0,O1"
    assert "# reference_ppm: 287.5" in lines
    table = np.loadtxt(tmp_path / "o.csv", delimiter=",", skiprows=lines.index(header) + 1)
    assert_allclose(table[:, 2], found.total, rtol=1e-7, atol=1e-12)
    assert_allclose(table[:, 1], found.ppm, rtol=1e-7, atol=1e-7)
    assert found.normalised().total.max() == 1.0
