"""Least squares from sums over rows, against the rows themselves."""

import itertools

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose

from efg_jax.gp import gram
from efg_jax.gp.gram import Gram, gram_of
from efg_jax.gp.nystrom import refactored, whitening

ROWS, COLUMNS, NOISE = 60, 13, 1e-3


@pytest.fixture(scope="module")
def rows():
    generator = np.random.default_rng(0)
    features = generator.normal(size=(ROWS, COLUMNS))
    return features, features @ generator.normal(size=COLUMNS) + 0.1 * generator.normal(size=ROWS)


@pytest.fixture(scope="module")
def folds(rows):
    """Sums over three unequal folds."""
    features, y = rows
    edges = [0, 10, 35, ROWS]
    return [
        Gram(*map(np.asarray, gram_of(jnp.asarray(features[a:b]), jnp.asarray(y[a:b]), jnp.asarray(float(b - a)))))
        for a, b in itertools.pairwise(edges)
    ]


@pytest.fixture(scope="module")
def total(folds):
    return folds[0].plus(folds[1]).plus(folds[2])


def test_sums_are_those_of_the_rows(rows, total):
    features, y = rows
    assert_allclose(total.matrix, features.T @ features, rtol=1e-13, atol=1e-12)
    assert_allclose(total.vector, features.T @ y, rtol=1e-13, atol=1e-12)
    assert_allclose(total.square, y @ y, rtol=1e-14)
    assert total.rows == ROWS


def test_solution_is_that_of_the_regularised_rows(rows, total):
    features, y = rows
    solution, _ = gram.solve(total, NOISE)
    stacked = np.vstack([features, np.sqrt(NOISE) * np.eye(COLUMNS)])
    assert_allclose(solution, np.linalg.lstsq(stacked, np.append(y, np.zeros(COLUMNS)))[0], atol=1e-12)


def test_error_of_held_out_folds_is_that_of_refits(rows, total, folds):
    features, y = rows
    residuals = []
    for a, b in ((0, 10), (10, 35), (35, ROWS)):
        kept = np.r_[0:a, b:ROWS]
        left = features[kept].T @ features[kept] + NOISE * np.eye(COLUMNS)
        residuals.append(y[a:b] - features[a:b] @ np.linalg.solve(left, features[kept].T @ y[kept]))
    expected = np.sqrt(np.mean(np.concatenate(residuals) ** 2))
    assert_allclose(gram.held_out_rms(total, folds, NOISE), expected, rtol=1e-10)


def test_chosen_regularisation_is_no_worse_than_its_surroundings(total, folds):
    ratio, rms = gram.choose_regularisation(total, folds)
    diagonal = np.trace(total.matrix) / ROWS
    assert rms == gram.held_out_rms(total, folds, ratio * diagonal)
    for factor in (0.1, 0.5, 2.0, 10.0):
        assert rms <= gram.held_out_rms(total, folds, factor * ratio * diagonal) * (1 + 1e-3)


def test_evidence_is_that_of_the_normal_distribution(rows, total):
    features, y = rows
    solution, factor = map(np.asarray, gram.solve(total, NOISE))
    amplitude, log_likelihood = gram.evidence(total, solution, factor, NOISE)
    covariance = features @ features.T + NOISE * np.eye(ROWS)
    assert_allclose(amplitude, y @ np.linalg.solve(covariance, y) / ROWS, rtol=1e-9)
    normal = scipy.stats.multivariate_normal(np.zeros(ROWS), amplitude * covariance)
    assert_allclose(log_likelihood, normal.logpdf(y), rtol=1e-9)


def test_whitened_columns_have_the_kernel_as_their_product():
    """Also where columns repeat each other: the kernel below has half its rank."""
    generator = np.random.default_rng(1)
    points = generator.normal(size=(12, 6))
    points = np.vstack([points, points])
    kernel = points @ points.T
    space = whitening(kernel)
    assert len(space.pivots) == 6
    features = np.asarray(space.features(jnp.asarray(kernel)))
    assert_allclose(features @ features.T, kernel, atol=1e-10)
    solution = generator.normal(size=6)
    weights = space.weights(jnp.asarray(solution), 24)
    assert_allclose(kernel @ weights, features @ solution, atol=1e-9)
    again = refactored(kernel, space.pivots)
    assert_allclose(again.factor, space.factor, atol=1e-12)


def test_an_ill_conditioned_basis_is_solved_as_by_orthogonal_factors():
    """Inducing points that all but coincide: bare normal equations of K_NM lose every digit here."""
    x = np.linspace(0.0, 1.0, 200)
    inducing = np.sort(np.append(np.linspace(0.0, 1.0, 15), np.linspace(0.0, 1.0, 15) + 1e-7))
    kernel = lambda a, b: np.exp(-0.5 * ((a[:, None] - b[None, :]) / 0.3) ** 2)  # noqa: E731
    y, noise = np.sin(6.0 * x), 1e-8
    space = whitening(kernel(inducing, inducing))
    features = space.features(jnp.asarray(kernel(x, inducing)))
    solution, _ = gram.solve(gram_of(features, jnp.asarray(y), jnp.asarray(200.0)), noise)
    stacked = np.vstack([np.asarray(features), np.sqrt(noise) * np.eye(features.shape[1])])
    expected = np.linalg.lstsq(stacked, np.append(y, np.zeros(features.shape[1])))[0]
    assert_allclose(np.asarray(features) @ np.asarray(solution), np.asarray(features) @ expected, atol=1e-7)
    assert np.abs(np.asarray(features) @ np.asarray(solution) - y).max() < 1e-3
    bare = kernel(x, inducing).T @ kernel(x, inducing) + noise * kernel(inducing, inducing)
    assert np.linalg.cond(bare) > 1e16
