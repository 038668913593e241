"""Gaussian-process algebra: closed forms against refits, differences, scipy and textbook formulas."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from numpy.testing import assert_allclose
from oracles.differences import directional, gradient
from scipy.stats import multivariate_normal

from efg_jax.gp import gaussian_process as gp

N = 24
_RNG = np.random.default_rng(0)
_POINTS = _RNG.normal(size=(N, 40))
KERNEL = _POINTS @ _POINTS.T / 40
TARGETS = _RNG.normal(size=N)
RHO = 0.03
GROUPS = {
    "leave one out": np.arange(N),
    "folds": np.arange(N) % 4,
    "uneven": np.array([0] * 11 + [3] * 1 + [7] * 2 + [1] * 5 + [2] * 3 + [9] * 2)[_RNG.permutation(N)],
    "two": np.array([5] * 23 + [4]),
}


def refitted(kernel: np.ndarray, targets: np.ndarray, labels: np.ndarray, rho: float) -> np.ndarray:
    """Residuals of every group predicted from a model fitted to the others."""
    residuals = np.empty(len(targets))
    for label in np.unique(labels):
        out, rest = labels == label, labels != label
        weights = scipy.linalg.solve(
            kernel[np.ix_(rest, rest)] + rho * np.eye(rest.sum()), targets[rest], assume_a="pos"
        )
        residuals[out] = targets[out] - kernel[np.ix_(out, rest)] @ weights
    return residuals


@partial(jax.jit, static_argnums=0)
def held_out(form: str, kernel, targets, groups, rho):
    if form == "cholesky":
        return gp.held_out_residuals(kernel, targets, groups, rho)
    return gp.held_out_residuals_from_modes(gp.eigenmodes(kernel), targets, groups, rho)


@pytest.mark.parametrize("form", ["cholesky", "eigenmodes"])
@pytest.mark.parametrize("name", GROUPS)
def test_held_out_residuals_are_those_of_refits(name, form):
    labels = GROUPS[name]
    residuals = held_out(form, jnp.asarray(KERNEL), jnp.asarray(TARGETS), gp.group_rows(labels), jnp.asarray(RHO))
    assert_allclose(residuals, refitted(KERNEL, TARGETS, labels, RHO), rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("name", GROUPS)
def test_every_row_is_in_one_group_with_its_equals(name):
    labels = GROUPS[name]
    seen = []
    for lines in gp.group_rows(labels):
        for line in lines:
            rows = line[line >= 0]
            assert len(np.unique(labels[rows])) == 1
            assert len(rows) == np.sum(labels == labels[rows[0]])
            seen.extend(rows)
    assert sorted(seen) == list(range(N))


@pytest.mark.parametrize("form", ["cholesky", "eigenmodes"])
def test_gradients_of_held_out_residuals(form):
    groups = gp.group_rows(GROUPS["uneven"])

    def loss(points, targets, rho):
        return jnp.sum(held_out(form, points @ points.T / 40, targets, groups, rho) ** 2)

    arguments = (jnp.asarray(_POINTS), jnp.asarray(TARGETS), jnp.asarray(RHO))
    both = jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2)))
    _, (by_points, by_targets, by_rho) = both(*arguments)

    def compiled(*moved):
        return both(*moved)[0]

    direction = _RNG.normal(size=_POINTS.shape)
    expected = directional(lambda t: compiled(arguments[0] + t * direction, *arguments[1:]), 1e-4)
    assert float(np.sum(by_points * direction)) == pytest.approx(expected, rel=1e-6)
    expected = gradient(lambda y: compiled(arguments[0], jnp.asarray(y), arguments[2]), TARGETS, 1e-2)
    assert_allclose(by_targets, expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max())
    expected = directional(lambda t: compiled(*arguments[:2], jnp.asarray(RHO + t)), 1e-4)
    assert float(by_rho) == pytest.approx(expected, rel=1e-6)


def test_likelihood_is_scipys_normal_distribution():
    factor = gp.factorise(jnp.asarray(KERNEL), jnp.asarray(RHO))
    found = gp.log_marginal_likelihood(factor, jnp.asarray(TARGETS))
    expected = multivariate_normal(np.zeros(N), KERNEL + RHO * np.eye(N)).logpdf(TARGETS)
    assert float(found) == pytest.approx(expected, rel=1e-11)


def test_posterior_is_a_conditional_normal_distribution():
    """Block inversion: the covariance of some variables given the others is the inverse of a block of the precision."""
    train, rest = np.arange(16), np.arange(16, N)
    joint = KERNEL.copy()
    joint[train, train] += RHO
    expected = np.linalg.inv(np.linalg.inv(joint)[np.ix_(rest, rest)])
    factor = gp.factorise(jnp.asarray(KERNEL[np.ix_(train, train)]), jnp.asarray(RHO))
    found = gp.posterior_covariance(
        factor, jnp.asarray(KERNEL[np.ix_(train, rest)]), jnp.asarray(KERNEL[np.ix_(rest, rest)])
    )
    assert_allclose(found, expected, rtol=1e-9, atol=1e-11)


def test_solve_and_indefinite_kernels():
    factor = gp.factorise(jnp.asarray(KERNEL), jnp.asarray(RHO))
    weights = gp.solve(factor, jnp.asarray(TARGETS))
    assert_allclose((KERNEL + RHO * np.eye(N)) @ weights, TARGETS, atol=1e-12)
    assert np.isnan(gp.factorise(jnp.asarray(-KERNEL), jnp.asarray(RHO))).any()


def test_the_chosen_regularisation_is_the_noise_of_the_data():
    """y = K-smooth + noise of variance v on many rows: the best ρ is near v, and no scanned ρ does better."""
    generator = np.random.default_rng(4)
    points = generator.normal(size=(120, 20))
    kernel, noise = points @ points.T, 0.3
    targets = points @ generator.normal(size=20) + noise * generator.normal(size=120)
    labels = np.arange(120) // 2
    modes = gp.eigenmodes(jnp.asarray(kernel))
    relative, rms = gp.choose_regularisation(modes, jnp.asarray(targets), gp.group_rows(labels))
    diagonal = np.mean(np.diag(kernel))
    assert 0.1 < relative * diagonal / noise**2 < 10
    assert rms == pytest.approx(np.sqrt(np.mean(refitted(kernel, targets, labels, relative * diagonal) ** 2)), rel=1e-9)
    for exponent in np.arange(-6.0, 1.5):
        other = np.sqrt(np.mean(refitted(kernel, targets, labels, 10**exponent * diagonal) ** 2))
        assert rms <= other * (1 + 1e-9)


@pytest.mark.parametrize("n", [1, 7, 24])
def test_inverse_by_halves_is_the_inverse(n):
    factor = np.linalg.cholesky(KERNEL[:n, :n] + RHO * np.eye(n))
    assert_allclose(gp.lower_inverse(jnp.asarray(factor), largest=3), np.linalg.inv(factor), rtol=0, atol=1e-11)


def test_the_chosen_regularisation_covers_what_is_negative_in_the_kernel():
    """A kernel may be slightly indefinite if ζ is not an integer."""
    values, vectors = np.linalg.eigh(KERNEL)
    values[0] = -3e-3 * values.mean()
    kernel = (vectors * values) @ vectors.T
    smooth = kernel @ _RNG.normal(size=N)  # without noise: the smallest regularisation would do
    groups = gp.group_rows(np.arange(N))
    chosen, _ = gp.choose_regularisation(gp.eigenmodes(jnp.asarray(kernel)), jnp.asarray(smooth), groups)
    assert chosen * np.trace(kernel) / N >= -2 * values[0] * (1 - 1e-9)
    assert np.isfinite(gp.factorise(jnp.asarray(kernel), jnp.asarray(chosen * np.trace(kernel) / N))).all()
