"""Radial integrals against quadrature of their definition, Kummer's function against mpmath."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from scipy.special import ive

from efg_jax.descriptors import radial
from efg_jax.descriptors.hypergeometric import scaled_hyp1f1
from efg_jax.descriptors.radial import cutoff_function, radial_scaling

NODES = np.concatenate([[0.0, 1e-10, 1e-3], np.geomspace(0.1, 3000.0, 60), [44.9, 44.999999, 45.0, 45.000001, 45.1]])
gto_radial_integrals = jax.jit(radial.gto_radial_integrals, static_argnums=(3, 4))
LEGENDRE = np.polynomial.legendre.leggauss(500)


@pytest.mark.parametrize("order", [0, 1, 2])
def test_kummers_function_and_its_derivatives_are_mpmaths(order):
    """For all (a, b) of n_max 10, l_max 9. Derivatives by Leibniz' rule on e^(−z) and DLMF 13.3.16."""
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 40
    n, l = np.meshgrid([0, 1, 4, 9], [0, 1, 5, 9])
    a, b = (n + l + 3).ravel() / 2, l.ravel() + 1.5

    def derivative(a, b, z):
        a, b, z = mpmath.mpf(float(a)), mpmath.mpf(float(b)), mpmath.mpf(float(z))
        terms = [
            mpmath.binomial(order, k)
            * (-1) ** (order - k)
            * mpmath.rf(a, k)
            / mpmath.rf(b, k)
            * mpmath.hyp1f1(a + k, b + k, z)
            for k in range(order + 1)
        ]
        return float(mpmath.exp(-z) * sum(terms))

    expected = np.array([[derivative(*pair, z) for z in NODES] for pair in zip(a, b, strict=True)])

    def function(z):
        return scaled_hyp1f1(a, b, jnp.broadcast_to(z, a.shape))

    for _ in range(order):
        function = jax.jacfwd(function)
    values = jax.jit(jax.vmap(function, out_axes=1))(jnp.asarray(NODES))
    # a = b: the function is 1 and its derivatives vanish, so the scale is that of the terms.
    scale = np.maximum(np.abs(expected), 1e-290)
    assert_allclose(np.asarray(values) / scale, expected / scale, rtol=0, atol=3e-13)


@pytest.mark.parametrize(("a", "b"), [(11.5, 21.5), (14.0, 21.5), (39.0, 20.5), (39.5, 1.5), (30.0, 1.5)])
def test_kummers_function_for_a_basis_far_larger_than_usual(a, b):
    mpmath = pytest.importorskip("mpmath")
    mpmath.mp.dps = 40
    expected = np.array([float(mpmath.exp(-mpmath.mpf(z)) * mpmath.hyp1f1(a, b, mpmath.mpf(z))) for z in NODES])
    values = scaled_hyp1f1(np.full(NODES.shape, a), np.full(NODES.shape, b), jnp.asarray(NODES))
    assert_allclose(values, expected, rtol=1e-12)


def quadrature(r: float, sigma: float, cutoff: float, nmax: int, lmax: int) -> np.ndarray:
    """c_nl(r) by its definition, [l, n]; the orthonormal radial functions too by quadrature."""
    x, weights = 12.5 * (LEGENDRE[0] + 1), 12.5 * LEGENDRE[1]
    n = np.arange(nmax)[:, None]
    width = np.maximum(np.sqrt(n), 1) * cutoff / nmax
    primitive = x**n * np.exp(-0.5 * (x / width) ** 2)
    primitive /= np.sqrt(np.sum(weights * x**2 * primitive**2, axis=1))[:, None]
    overlap = (primitive * weights * x**2) @ primitive.T
    functions = scipy.linalg.inv(scipy.linalg.sqrtm(overlap)).real @ primitive
    assert_allclose((functions * weights * x**2) @ functions.T, np.eye(nmax), atol=1e-9)
    rows = []
    for l in range(lmax + 1):
        # i_l(u) = √(π/2u) I_{l+1/2}(u), with e^(u) taken into the Gaussian.
        u = x * r / sigma**2
        if r == 0.0:
            bessel = np.ones_like(x) if l == 0 else np.zeros_like(x)
        else:
            bessel = np.sqrt(np.pi / (2 * u)) * ive(l + 0.5, u)
        gaussian = 4 * np.pi * (np.pi * sigma**2) ** -0.75 * np.exp(-0.5 * ((x - r) / sigma) ** 2)
        rows.append(functions @ (weights * x**2 * gaussian * bessel))
    return np.array(rows)


@pytest.mark.parametrize(("sigma", "cutoff", "nmax"), [(0.4, 5.0, 6), (0.2, 3.0, 4), (0.8, 6.0, 8)])
@pytest.mark.parametrize("r", [1e-2, 0.7, 1.9, 4.2])
def test_radial_integrals_are_those_of_the_definition(r, sigma, cutoff, nmax):
    lmax = 5
    expected = quadrature(r, sigma, cutoff, nmax, lmax)
    values = gto_radial_integrals(jnp.asarray(r**2), jnp.asarray(sigma), jnp.asarray(cutoff), nmax, lmax)
    values = np.asarray(values) * r ** np.arange(lmax + 1)[:, None]
    tolerance = 1e-9 * np.abs(expected).max(axis=1, keepdims=True)
    assert (np.abs(values - expected) <= tolerance).all()


def test_the_centre_is_the_limit_of_small_distances():
    arguments = (jnp.asarray(0.4), jnp.asarray(5.0), 6, 4)
    centre = gto_radial_integrals(jnp.asarray(0.0), *arguments)
    assert_allclose(centre[0], quadrature(0.0, 0.4, 5.0, 6, 0)[0], rtol=0, atol=1e-9)
    assert_allclose(gto_radial_integrals(jnp.asarray(1e-12), *arguments), centre, rtol=0, atol=1e-10)


def test_norm_of_a_narrow_gaussian_inside_the_cutoff_is_nearly_whole():
    """Completeness: Σ_nlm c² → ∫ρ² = 1 from below as n_max grows (the Gaussian has unit square norm)."""
    sums = []
    for nmax in (4, 8, 12):
        overlaps = gto_radial_integrals(jnp.asarray(2.0**2), jnp.asarray(0.5), jnp.asarray(5.0), nmax, 20)
        l = np.arange(21)
        sums.append(
            float(np.sum((2 * l + 1) / (4 * np.pi) * np.sum((np.asarray(overlaps) * 2.0 ** l[:, None]) ** 2, axis=1)))
        )
    assert sums[0] < sums[1] < sums[2] < 1.0 + 1e-9
    assert sums[2] > 0.999


def test_smooth_cutoff_falls_from_one_to_zero_without_a_kink():
    cutoff, width = jnp.asarray(5.0), jnp.asarray(0.5)
    value = lambda r: cutoff_function(jnp.asarray(r), cutoff, width)  # noqa: E731
    assert_allclose([value(0.1), value(4.5), value(4.75), value(5.0), value(9.0)], [1, 1, 0.5, 0, 0], atol=1e-15)
    slope = jax.grad(value)
    assert_allclose([slope(4.5 + 1e-7), slope(5.0 - 1e-7), slope(5.0), slope(4.5)], 0.0, atol=1e-5)
    assert slope(4.75) == pytest.approx(-np.pi / 2 / 0.5)


def test_radial_scaling_has_its_limits():
    u = lambda r, c, r0, m: float(radial_scaling(*map(jnp.asarray, (r, c, r0, m))))  # noqa: E731
    assert u(3.0, 2.0, 1.5, 4.0) == pytest.approx(2 / (2 + 16))
    assert u(3.0, 0.0, 1.5, 4.0) == pytest.approx(1 / 16)
    assert u(3.0, 2.0, 1.5, 0.0) == 1.0
    assert u(3.0, 0.0, 1.5, 0.0) == 1.0


def test_float32_radial_integrals_are_close():
    for r in (0.3, 2.0, 4.9):
        double = gto_radial_integrals(jnp.asarray(r**2), jnp.asarray(0.4), jnp.asarray(5.0), 8, 6)
        single = gto_radial_integrals(*map(jnp.float32, (r**2, 0.4, 5.0)), 8, 6)
        assert single.dtype == jnp.float32
        assert_allclose(single, double, rtol=0, atol=1e-4 * np.abs(double).max())


def test_one_radial_function_gives_the_overlap_of_two_gaussians():
    sigma, cutoff, r = 0.5, 2.0, 1.3
    value = gto_radial_integrals(jnp.asarray(r**2), jnp.asarray(sigma), jnp.asarray(cutoff), 1, 0)[0, 0]
    # R_0 Y_00 = (πc²)^(-3/4) exp(-x²/2c²) with c = cutoff, so the overlap is the closed form of two Gaussians.
    overlap = (2 * sigma * cutoff / (sigma**2 + cutoff**2)) ** 1.5 * np.exp(-0.5 * r**2 / (sigma**2 + cutoff**2))
    assert float(value) / np.sqrt(4 * np.pi) == pytest.approx(overlap, rel=1e-13)


@jax.jit
def exact_and_interpolated(r, sigma, cutoff):
    """Values and slopes of the integrals and of their table, and the table's value at the centre."""

    def exact(r):
        return jax.vmap(lambda x: radial.gto_radial_integrals(x**2, sigma, cutoff, 6, 4))(r)

    table = radial.radial_table(sigma, cutoff, 6, 4)
    return *(jax.jvp(function, (r,), (jnp.ones_like(r),)) for function in (exact, table)), table.at_centre


@pytest.mark.parametrize(("sigma", "cutoff", "error"), [(0.4, 5.0, 1e-12), (0.9, 8.0, 1e-12), (0.15, 5.0, 2e-9)])
def test_interpolated_integrals_and_their_slopes_are_the_exact_ones(sigma, cutoff, error):
    r = np.concatenate([[cutoff, 0.0], np.random.default_rng(0).uniform(0.0, cutoff, 198)])
    found = exact_and_interpolated(*map(jnp.asarray, (r, sigma, cutoff)))
    (exact, slope), (interpolated, its_slope), at_centre = jax.tree.map(np.asarray, found)
    size = np.max(np.abs(exact), axis=(0, 2), keepdims=True)
    assert np.max(np.abs(interpolated - exact) / size) < error
    assert np.max(np.abs(its_slope - slope)[2:] / size) < 2e3 * error
    assert_allclose(at_centre, exact[1, 0], rtol=1e-12, atol=1e-14 * float(size.max()))
