"""The differentiable line shape against exact diagonalisation, closed formulas and finite differences."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.spin_hamiltonian import directions, frequencies, gaussian, histogram, spinning_frequencies

import efg_jax as ej
from efg_jax import InputError
from efg_jax.spectra.conditions import conditions
from efg_jax.spectra.frequencies import static_frequency, transitions
from efg_jax.spectra.grid import octahedral_grid
from efg_jax.structures.environments import with_positions
from efg_jax.tensors.efg import HZ_PER_MILLIBARN_V_PER_ANGSTROM2 as HZ
from efg_jax.tensors.nuclei import isotope

TESLA = 14.1


def of_coupling(nucleus, c_q, eta=0.0):
    """Principal values in V/Å² of a tensor with this C_Q."""
    v_zz = c_q / (HZ * nucleus.quadrupole_moment)
    return np.array([-0.5 * v_zz * (1 - eta), -0.5 * v_zz * (1 + eta), v_zz])


@pytest.mark.parametrize(
    ("name", "c_q", "rtol"), [("27Al", 1e6, 2e-3), ("17O", -1e6, 5e-3), ("2H", 2e5, 2e-4), ("49Ti", 5e5, 5e-3)]
)
def test_perturbation_theory_is_that_of_the_hamiltonian(tensor, name, c_q, rtol):
    """To second order with the cross term of the two tensors; what is left is of third order."""
    nucleus = isotope(name)
    efg, shift = tensor(of_coupling(nucleus, c_q, 0.6), 0), tensor((30.0, -50.0, 20.0), 1)
    fields = directions(25)
    exact = frequencies(efg, shift, fields, nucleus, TESLA)
    found, first = [
        np.stack(
            [
                jax.vmap(lambda n, of=of: static_frequency(jnp.asarray(efg), jnp.asarray(shift), n, of))(
                    jnp.asarray(fields)
                )
                for of in transitions(nucleus, conditions(nucleus, field=TESLA, transitions="all", order=order))
            ],
            axis=1,
        )
        for order in (2, 1)
    ]
    second = np.abs(exact - first).max()
    assert np.abs(found - exact).max() < max(rtol, 3e-3) * second + 0.5  # Hz: (ν_L δ)²/ν_L of the shift alone is 0.2 Hz


def test_grid_covers_the_half_sphere():
    grid = octahedral_grid(12)
    assert len(grid.triangles) == 4 * 12**2
    assert_allclose(grid.weights.sum(), 1.0, rtol=1e-12)
    n = grid.directions[grid.triangles].mean(axis=1)
    n /= np.linalg.norm(n, axis=1, keepdims=True)
    assert_allclose(np.einsum("t,ti,tj->ij", grid.weights, n, n), np.eye(3) / 3, atol=2e-4)


@pytest.mark.parametrize("spinning", [0.0, np.inf])
def test_line_shape_is_that_of_exact_diagonalisation(tensor, spinning):
    """¹⁷O, second order and anisotropic shift of the same size along other axes.

    And the relative orientation matters.
    """
    nucleus, fwhm = isotope("17O"), 250.0 if spinning == 0.0 else 60.0
    efg, shift = tensor(of_coupling(nucleus, 2.5e6, 0.5), 3), tensor((90.0, 20.0, -60.0), 4)
    half = 12e3 if spinning == 0.0 else 4e3
    axis = np.linspace(-half, half, 601) + 800.0
    sample = frequencies if spinning == 0.0 else spinning_frequencies
    exact = sample(efg, shift, directions(12000 if spinning == 0.0 else 4000), nucleus, TESLA)[:, 2]
    expected = gaussian(histogram(exact, axis), axis, fwhm)

    def ours(shift):
        return np.asarray(
            ej.spectra.powder_spectrum(
                jnp.asarray(efg)[None],
                jnp.asarray(shift)[None],
                axis,
                isotope=nucleus,
                field=TESLA,
                spinning=spinning,
                fwhm=fwhm,
            )[0]
        )

    assert np.abs(ours(shift) - expected).sum() < 0.015 * expected.sum()
    assert_allclose(ours(shift).sum() * (axis[1] - axis[0]), 1.0, atol=1e-6)
    turned = tensor((90.0, 20.0, -60.0), 5)
    # Spinning at infinite rate takes the anisotropic shift away, and with it what its orientation does.
    difference = np.abs(ours(turned) - expected).sum() / expected.sum()
    assert (difference > 0.2) if spinning == 0.0 else (difference < 0.015)


@pytest.mark.parametrize(("spinning", "low", "high"), [(0.0, -16 / 9, 1.0), (np.inf, -4 / 3, -4 / 21)])
@pytest.mark.parametrize("name", ["27Al", "7Li", "93Nb"])
def test_edges_of_axial_central_transitions(name, spinning, low, high):
    """η = 0: ν = −A(1−x)(9x−1), x = cos²θ, with A = ν_Q²[I(I+1)−¾]/(16 ν_L).

    Of its fourth-rank part −7/18 is left by spinning.
    """
    nucleus, c_q = isotope(name), 2e6
    spin, larmor = nucleus.spin, abs(nucleus.gyromagnetic_ratio) * TESLA / (2 * np.pi)
    nu_q = 3 * c_q / (2 * spin * (2 * spin - 1))
    a = nu_q**2 / (16 * larmor) * (spin * (spin + 1) - 0.75)
    axis = np.linspace(-2.5 * a, 1.5 * a, 1601)
    efg = jnp.asarray(np.diag(of_coupling(nucleus, c_q)))[None]
    curve = np.asarray(
        ej.spectra.powder_spectrum(
            efg, jnp.zeros((1, 3, 3)), axis, isotope=name, field=TESLA, spinning=spinning, density=48
        )[0]
    )
    inside = axis[curve > 1e-3 * curve.max()]
    assert_allclose([inside.min() / a, inside.max() / a], [low, high], atol=6e-3)
    # Centre of gravity: the quadrupolar induced shift.
    product = -3 / 40 * (c_q / larmor) ** 2 * (spin * (spin + 1) - 0.75) / (spin**2 * (2 * spin - 1) ** 2) * larmor
    assert_allclose((axis * curve).sum() / curve.sum(), product, rtol=5e-3)


def test_edges_of_an_anisotropic_shift():
    """Spin 1/2: from the least to the largest principal value, the middle one is the singularity.

    Spinning leaves a line at δ_iso.
    """
    axis = np.linspace(-8e3, 14e3, 2201)
    larmor = ej.spectra.larmor_frequency(isotope("29Si"), 9.4)
    shift = jnp.asarray(np.diag([-60.0, 20.0, 130.0]))[None]
    options = {"isotope": "29Si", "field": 9.4}
    static = np.asarray(ej.spectra.powder_spectrum(None, shift, axis, density=48, **options)[0])
    inside = axis[static > 1e-3 * static.max()] / larmor * 1e6
    assert_allclose([inside.min(), axis[static.argmax()] / larmor * 1e6, inside.max()], [-60.0, 20.0, 130.0], atol=0.5)
    spun = np.asarray(ej.spectra.powder_spectrum(None, shift, axis, spinning=np.inf, **options)[0])
    assert_allclose(axis[spun.argmax()] / larmor * 1e6, 30.0, atol=0.2)
    assert np.count_nonzero(spun > 1e-6 * spun.max()) <= 2


def test_derivative_with_respect_to_tensors_is_that_of_differences(tensor):
    nucleus = isotope("27Al")
    efg = jnp.asarray(np.stack([tensor(of_coupling(nucleus, 3e6, eta), k) for k, eta in enumerate((0.3, 0.0))]))
    shift = jnp.asarray(np.stack([tensor((10.0, 40.0, 70.0), 7), np.eye(3) * 20.0]))
    axis = np.linspace(-9e3, 15e3, 400)
    target = jnp.asarray(np.exp(-((axis - 2e3) ** 2) / 1e7))

    @jax.jit
    @partial(jax.value_and_grad, argnums=(0, 1, 2))
    def loss(efg, shift, fwhm):
        curve = ej.spectra.powder_spectrum(efg, shift, axis, isotope=nucleus, field=9.4, fwhm=fwhm, density=12).sum(
            axis=0
        )
        return jnp.sum((curve / curve.max() - target) ** 2)

    at = (efg, shift, jnp.asarray(300.0))
    gradient = loss(*at)[1]
    for argument, step in ((0, 1e-6), (1, 1e-5), (2, 1e-3)):
        direction = jnp.asarray(np.random.default_rng(argument).normal(size=at[argument].shape))
        moved = [loss(*at[:argument], at[argument] + s * step * direction, *at[argument + 1 :])[0] for s in (1, -1)]
        assert_allclose(jnp.sum(gradient[argument] * direction), (moved[0] - moved[1]) / (2 * step), rtol=1e-5)


def test_a_spectrum_is_a_loss_of_positions():
    """d(spectrum)/d(position) through a model's prediction."""
    from oracles.labelled_crystals import crystals

    frames = crystals(2, seed=0)
    model = ej.TensorGPR(ej.LambdaSOAP(cutoff=3.5, nmax=2, lmax=1, sigma=0.5), species="O", regularisation=1e-3).fit(
        frames
    )
    atoms = crystals(1, seed=1)[0]
    environments = model.environments_of(atoms, "O")
    oxygen = np.flatnonzero(atoms.symbols == "O")
    axis = np.linspace(-1.0, 1.0, 300) * 2.0 * HZ * 25.58 * max(np.abs(f.arrays["efg"]).max() for f in frames)

    @eqx.filter_jit
    @eqx.filter_value_and_grad
    def of_model(positions, model):
        efg = model.tensors(with_positions(environments, positions))[oxygen]
        curve = ej.spectra.powder_spectrum(
            efg,
            jnp.zeros(len(oxygen)),
            axis,
            isotope="17O",
            field=14.1,
            transitions="all",
            order=1,
            fwhm=axis[-1] / 20,
            density=8,
        )
        return jnp.sum(curve.sum(axis=0) ** 2) * axis[-1]

    def moment(positions):
        return of_model(positions, model)

    positions = jnp.asarray(environments.positions)
    direction = jnp.zeros_like(positions).at[: len(atoms)].set(np.random.default_rng(2).normal(size=(len(atoms), 3)))
    slope = jnp.sum(moment(positions)[1] * direction)
    step = 1e-7
    above, below = (moment(positions + s * step * direction)[0] for s in (1, -1))
    assert abs(slope) > 1e-3
    assert_allclose(slope, (above - below) / (2 * step), rtol=1e-4)


def test_whole_numbers_are_numbers():
    """Integer tensors would otherwise cut directions and weights down to integers."""
    axis = np.linspace(-12e3, 12e3, 601)
    values = np.diag([-60, 20, 130])[None]
    whole, floating = (
        ej.spectra.powder_spectrum(None, jnp.asarray(shift), axis, isotope="29Si", field=9.4, fwhm=250.0)
        for shift in (values, values.astype(float))
    )
    assert_allclose(whole, floating, rtol=1e-12)


def test_lines_may_be_sites_of_a_batch(tensor):
    """vmap over the sites is the same as the function's own axis; weights multiply."""
    nucleus = isotope("7Li")
    efg = jnp.asarray(np.stack([tensor(of_coupling(nucleus, c_q, 0.2), k) for k, c_q in enumerate((5e4, 9e4))]))
    axis = np.linspace(-8e4, 8e4, 200)

    def lines(efg, shift, weights=None):
        return ej.spectra.powder_spectrum(
            efg,
            shift,
            axis,
            isotope="7Li",
            field=9.4,
            transitions="all",
            fwhm=2e3,
            shape="lorentzian",
            density=8,
            weights=weights,
        )

    together = lines(efg, jnp.zeros(2), jnp.asarray([2.0, 3.0]))
    apart = jax.vmap(lambda v: lines(v[None], jnp.zeros(1))[0])(efg)
    assert_allclose(together, apart * jnp.array([[2.0], [3.0]]), rtol=1e-10)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"spinning": 1e4}, "finite rate"),
        ({"axis": np.array([0.0, 1.0, 3.0])}, "even steps"),
        ({"axis": np.array([0.0])}, "two points"),
        ({"field": -1.0}, "-1 T"),
        ({"field": 600.0}, "not MHz"),
        ({"isotope": "14N", "transitions": "central"}, "no central transition"),
    ],
)
def test_line_shape_refuses(options, says):
    given = {"isotope": "17O", "field": 9.4} | options
    axis = given.pop("axis", np.linspace(-1e3, 1e3, 11))
    with pytest.raises(InputError, match=says):
        ej.spectra.powder_spectrum(jnp.zeros((1, 3, 3)), jnp.zeros(1), axis, **given)
