"""Derivatives of features against central differences: every hyperparameter, positions, strain; and at the edges."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from oracles.differences import directional, gradient
from oracles.fixed_shape import fixed_shape
from strategies import SPECIES, place

from efg_jax.descriptors import LambdaSOAP
from efg_jax.gp.kernels import lambda_soap_kernel
from efg_jax.structures.environments import Environments, environments

CUTOFF, MARGIN = 3.5, 0.3
IRREPS = ((0, 1), (1, -1), (2, 1))
SOAP = LambdaSOAP(
    cutoff=CUTOFF,
    nmax=3,
    lmax=2,
    sigma=0.45,
    cutoff_width=0.6,
    scaling_rate=1.2,
    scaling_radius=2.1,
    scaling_exponent=3.5,
    centre_weight=0.8,
    species=SPECIES,
    species_weights=np.array([0.7, 1.0, 1.6]),
)
LEAVES = [
    "cutoff",
    "sigma",
    "cutoff_width",
    "scaling_rate",
    "scaling_radius",
    "scaling_exponent",
    "centre_weight",
    "species_weights",
]
NORMALISATIONS = ["none", "invariant", "environment"]


def crystal() -> Atoms:
    cell = np.array([[3.9, 0.3, 0.0], [1.5, 3.4, 0.2], [-0.4, 1.1, 4.2]])
    return place(np.random.default_rng(3), ["Si", "O", "H", "O"], cell, np.array([True, True, True]))


def batch_of(atoms: Atoms) -> Environments:
    return fixed_shape(environments([atoms], CUTOFF + MARGIN, SPECIES, pad=False))


BATCH = batch_of(crystal())
_RNG = np.random.default_rng(5)
_SHAPES = {irrep: p.shape for irrep, p in eqx.filter_eval_shape(SOAP, BATCH, IRREPS).items()}
MIXTURE = {irrep: jnp.asarray(_RNG.normal(size=shape)) for irrep, shape in _SHAPES.items()}


def _number(soap, positions, cells, batch, mixture):
    """A smooth number that depends on all features, on each in its own way."""
    batch = eqx.tree_at(lambda b: (b.positions, b.cells), batch, (positions, cells))
    features = soap(batch, IRREPS)
    return sum(jnp.sum(mixture[irrep] * features[irrep] + features[irrep] ** 2) for irrep in IRREPS)


_value = eqx.filter_jit(_number)
_gradients = eqx.filter_jit(jax.grad(_number, argnums=(0, 1, 2)))
_features = eqx.filter_jit(lambda soap, batch: soap(batch, IRREPS))


@jax.jit
@jax.value_and_grad
def _kernel_number(zeta, features, mixture):
    """A number that depends on all of a kernel's elements, and its derivative in ζ."""
    invariants = features[0, 1][:, 0]
    return jnp.sum(mixture * lambda_soap_kernel(features[2, 1], features[2, 1], invariants, invariants, zeta))


POSITIONS, CELLS = jnp.asarray(BATCH.positions), jnp.asarray(BATCH.cells)


def value(soap: LambdaSOAP, positions=POSITIONS, cells=CELLS) -> float:
    traced = jax.tree.map(jnp.asarray, soap)
    return float(_value(traced, positions, cells, BATCH, MIXTURE))


def gradients(soap: LambdaSOAP) -> tuple:
    """By hyperparameters, positions and cells."""
    return _gradients(jax.tree.map(jnp.asarray, soap), POSITIONS, CELLS, BATCH, MIXTURE)


def with_leaf(soap: LambdaSOAP, name: str, new) -> LambdaSOAP:
    return replace(soap, **{name: np.asarray(new)})


@pytest.mark.slow
@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_every_hyperparameter(normalise):
    soap = replace(SOAP, normalise=normalise)
    found, _, _ = gradients(soap)
    for name in LEAVES:
        at = np.asarray(getattr(soap, name))
        expected = gradient(lambda x, name=name: value(with_leaf(soap, name, x)), at, 2e-3)
        assert np.abs(expected).max() > 1e-6, name
        assert_allclose(getattr(found, name), expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max(), err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("normalise", NORMALISATIONS)
def test_positions_and_strain(normalise):
    soap = replace(SOAP, normalise=normalise)
    by_position, by_cell = map(np.asarray, gradients(soap)[1:])
    count = len(crystal())
    for atom in range(count):
        for axis in range(3):
            unit = np.zeros(POSITIONS.shape)
            unit[atom, axis] = 1.0
            expected = directional(lambda t, unit=unit: value(soap, positions=POSITIONS + t * unit), 1e-3)
            assert by_position[atom, axis] == pytest.approx(expected, rel=1e-6, abs=1e-6 * np.abs(by_position).max())
    assert_allclose(by_position[count:], 0.0, atol=0)  # padding
    assert_allclose(by_position.sum(axis=0), 0.0, atol=1e-11 * np.abs(by_position).max())  # moving all changes nothing
    for i in range(3):
        for j in range(3):
            strain = np.zeros((3, 3))
            strain[i, j] = 1.0
            expected = directional(
                lambda t, e=strain: value(soap, POSITIONS + t * POSITIONS @ e.T, CELLS + t * CELLS @ e.T), 5e-4
            )
            analytic = np.sum(by_position * (np.asarray(POSITIONS) @ strain.T)) + np.sum(
                by_cell * (np.asarray(CELLS) @ strain.T)
            )
            assert analytic == pytest.approx(expected, rel=1e-6, abs=1e-6 * np.abs(by_cell).max())


def test_held_neighbours_give_the_derivative_of_a_rebuilt_list():
    """With a smooth cutoff the topology may be held: the same derivative as with neighbours found anew."""
    generator = np.random.default_rng(7)
    direction = generator.normal(size=(len(crystal()), 3))

    def rebuilt(t: float) -> float:
        atoms = crystal()
        atoms.positions += t * direction
        batch = fixed_shape(environments([atoms], CUTOFF, SPECIES, pad=False))
        return float(_value(jax.tree.map(jnp.asarray, SOAP), batch.positions, batch.cells, batch, MIXTURE))

    _, by_position, _ = gradients(SOAP)
    expected = directional(rebuilt, 1e-3)
    assert float(np.sum(np.asarray(by_position)[: len(direction)] * direction)) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("zeta", [1.0, 2.0, 2.7])
def test_zeta(zeta):
    features = {irrep: p[:4] for irrep, p in _features(replace(SOAP, normalise="environment"), BATCH).items()}
    mixture = jnp.asarray(_RNG.normal(size=(4, 5, 4, 5)))
    expected = directional(lambda t: _kernel_number(jnp.asarray(zeta + t), features, mixture)[0], 1e-2)
    assert float(_kernel_number(jnp.asarray(zeta), features, mixture)[1]) == pytest.approx(expected, rel=1e-6)


EDGES = {
    "scaling_exponent": 0.0,
    "scaling_rate": 0.0,
    "centre_weight": 0.0,
    "species_weights": np.array([0.0, 1.0, 1.0]),
}


@pytest.mark.parametrize("normalise", ["invariant", "environment"])
@pytest.mark.parametrize("name", EDGES)
def test_edge_values_have_finite_gradients(name, normalise):
    soap = with_leaf(replace(SOAP, normalise=normalise), name, EDGES[name])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradients(soap)))


def test_a_lone_atom_has_finite_gradients():
    """Its λ = 2 features are exactly zero: no norm may be divided by."""
    batch = fixed_shape(environments([Atoms("O", positions=[[1, 2, 3]])], CUTOFF, SPECIES, pad=False))
    for normalise in NORMALISATIONS:
        soap = jax.tree.map(jnp.asarray, replace(SOAP, normalise=normalise))
        arguments = (soap, jnp.asarray(batch.positions), jnp.asarray(batch.cells), batch, MIXTURE)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(_gradients(*arguments)))


def test_an_atom_that_crosses_the_cutoff_changes_nothing_suddenly():
    def features(distance: float, soap: LambdaSOAP):
        atoms = Atoms("SiOH", positions=[[0, 0, 0], [0, 0, 1.5], [distance, 0, 0]])
        batch = fixed_shape(environments([atoms], CUTOFF, SPECIES, [np.array([0])], pad=False))
        return np.concatenate([p[0].ravel() for p in _features(jax.tree.map(jnp.asarray, soap), batch).values()])

    soap, hard = replace(SOAP, normalise="none"), replace(SOAP, normalise="none", cutoff_width=None)
    size = np.abs(features(2.0, soap)).max()
    smooth, step = (np.abs(features(CUTOFF - 1e-4, s) - features(CUTOFF + 1e-4, s)).max() / size for s in (soap, hard))
    assert smooth < 1e-6
    assert step > 1e-4  # what the smooth cutoff is there to avoid
