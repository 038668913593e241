"""Fitted models: predictions against explicit kernel algebra, whatever the masks, species, precision and batches."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from numpy.testing import assert_allclose, assert_array_equal
from oracles.labelled_crystals import SYMBOLS, crystals
from strategies import SPECIES

from efg_jax import TensorGPR
from efg_jax.errors import InputError
from efg_jax.structures.environments import environments, with_positions
from efg_jax.tensors.irreps import to_cartesian, to_spherical


def oxygen(frames):
    return [np.flatnonzero(np.array(atoms.symbols) == "O") for atoms in frames]


def explicit(model, train, test):
    """EFG predictions and their covariance traces at the oxygens, by the textbook, in numpy."""
    soap, zeta = model.model.descriptor, float(model.model.zeta)
    count = sum(map(len, oxygen(train)))
    both = soap(
        environments([*train, *test], 3.5, SPECIES, [*oxygen(train), *oxygen(test)], pad=False), ((0, 1), (2, 1))
    )
    p0, p2 = np.asarray(both[0, 1])[:, 0], np.asarray(both[2, 1])
    kernel = np.einsum("iuf,jvf->iujv", p2, p2) * (p0 @ p0.T)[:, None, :, None] ** (zeta - 1)
    kernel = kernel.reshape(len(p2) * 5, -1)
    n = 5 * count
    labels = np.concatenate([atoms.arrays["efg"][index] for atoms, index in zip(train, oxygen(train), strict=True)])
    y = np.asarray(to_spherical(jnp.asarray(labels), 2)).ravel()
    noise = model.model.regularisation * np.mean(np.diag(kernel)[:n])
    noisy = kernel[:n, :n] + noise * np.eye(n)
    mean = kernel[n:, :n] @ np.linalg.solve(noisy, y)
    covariance = kernel[n:, n:] - kernel[n:, :n] @ np.linalg.solve(noisy, kernel[:n, n:])
    amplitude = y @ np.linalg.solve(noisy, y) / n  # where the marginal likelihood is largest
    return np.asarray(to_cartesian({2: jnp.asarray(mean.reshape(-1, 5))})), amplitude * np.diag(covariance).reshape(
        -1, 5
    ).sum(axis=1)


@pytest.mark.slow
def test_prediction_and_variance_are_those_of_the_textbook(efg_model, train, test):
    predicted, variance = efg_model.predict(test, variance=True)
    expected, expected_variance = explicit(efg_model, train, test)
    at = oxygen(test)
    found = np.concatenate([p[i] for p, i in zip(predicted, at, strict=True)])
    assert_allclose(found, expected, rtol=0, atol=1e-9 * np.abs(expected).max())
    found = np.concatenate([v[i] for v, i in zip(variance, at, strict=True)])
    assert_allclose(found, expected_variance, rtol=1e-6)
    for values, index in zip(predicted, at, strict=True):
        others = np.setdiff1d(np.arange(len(SYMBOLS)), index)
        assert np.isnan(values[others]).all()


def test_variance_vanishes_at_training_points(descriptor, train, test):
    model = TensorGPR(descriptor, species="O", regularisation=1e-9).fit(train[:3])
    _, at_training = model.predict(train[0], variance=True)
    _, elsewhere = model.predict(test[0], variance=True)
    assert np.nanmax(at_training) < 1e-6 * np.nanmin(elsewhere)
    assert np.nanmin(at_training) >= 0


@pytest.mark.slow
def test_tight_fits_reproduce_their_labels(descriptor, train):
    model = TensorGPR(descriptor, target="ms", regularisation=1e-10).fit(train)
    for atoms in train[:2]:
        assert_allclose(model.predict(atoms), atoms.arrays["ms"], rtol=0, atol=1e-4 * np.abs(atoms.arrays["ms"]).max())


def test_all_three_parts_of_a_shielding_tensor_are_learned(shielding_model, train):
    assert set(shielding_model.target.irreps) == {(0, 1), (1, -1), (2, 1)}
    antisymmetric = lambda t: t - t.swapaxes(1, 2)  # noqa: E731
    reference = np.concatenate([antisymmetric(atoms.arrays["ms"]) for atoms in train])
    predicted = np.concatenate([antisymmetric(p) for p in shielding_model.predict(train)])
    assert np.linalg.norm(reference) > 1.0
    assert np.linalg.norm(predicted - reference) < 0.2 * np.linalg.norm(reference)


def test_isotropic_parts_are_centred_and_labels_scaled(descriptor, train, test, shielding_model):
    """A constant added to all labels, or a factor, comes out again whatever the regularisation."""
    changed = []
    for atoms in train:
        atoms = atoms.copy()
        atoms.arrays["ms"] = 7.0 * (atoms.arrays["ms"] + 1000.0 * np.eye(3))
        changed.append(atoms)
    model = TensorGPR(descriptor, target="ms", regularisation=1e-5).fit(changed)
    expected = 7.0 * (shielding_model.predict(test[0]) + 1000.0 * np.eye(3))
    assert_allclose(model.predict(test[0]), expected, rtol=0, atol=1e-8 * np.abs(expected).max())


def test_species_in_one_call_are_as_each_by_itself(descriptor, train, test, efg_model):
    together = TensorGPR(descriptor, species=("O", "Si"), regularisation=1e-5).fit(train)
    silicon = TensorGPR(descriptor, species="Si", regularisation=1e-5).fit(train)
    both, first, second = (model.predict(test[0]) for model in (together, efg_model, silicon))
    expected = np.where(np.isnan(first), second, first)
    assert_allclose(both, expected, rtol=1e-11, atol=1e-12)


@pytest.mark.slow
def test_atoms_without_a_label_are_left_out(descriptor, train, test):
    masked = [atoms.copy() for atoms in train[:5]]
    for index in oxygen(train)[3]:
        masked[3].arrays["efg"][index] = np.nan
    model = TensorGPR(descriptor, species="O", regularisation=1e-5)
    without = model.fit([*train[:3], train[4]]).predict(test[0])
    assert_allclose(model.fit(masked).predict(test[0]), without, rtol=1e-10, atol=1e-11)


def test_float32_is_close(shielding_model, test):
    single, double = (shielding_model.predict(test[0], dtype=p) for p in ("float32", "float64"))
    assert_allclose(single, double, rtol=0, atol=1e-4 * np.abs(double).max())
    assert (single != double).any()


def test_many_structures_are_as_each_by_itself(shielding_model, test, train):
    frames = [test[0], train[0], test[1]]
    together = shielding_model.predict(frames)
    assert isinstance(together, list)
    for atoms, values in zip(frames, together, strict=True):
        alone = shielding_model.predict(atoms)
        assert alone.shape == (len(atoms), 3, 3)
        assert_allclose(values, alone, rtol=0, atol=1e-12 * np.abs(alone).max())


def test_more_atoms_than_a_chunk(efg_model, train, test):
    frames = [*train, *test]
    whole = efg_model.predict(frames)
    for one, other in zip(whole, efg_model.predict(frames, chunk=16), strict=True):
        assert_allclose(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize(("normalise", "bound"), [("invariant", 1e-10), ("environment", 1e-4)])
def test_a_cubic_site_is_predicted_to_have_no_field_gradient(descriptor, train, normalise, bound):
    model = TensorGPR(replace(descriptor, normalise=normalise), species="Si", regularisation=1e-5).fit(train)
    crystal = bulk("Si")
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    crystal = Atoms("Si2", positions=crystal.positions @ turn, cell=crystal.cell.array @ turn, pbc=True)
    labels = np.concatenate([atoms.arrays["efg"] for atoms in train])
    assert np.abs(model.predict(crystal)).max() < bound * np.abs(labels).max()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["dipole", "polarizability"])
def test_targets_of_structures_are_sums_over_atoms(descriptor, train, test, target):
    model = TensorGPR(descriptor, target=target, regularisation=1e-9).fit(train)
    for atoms in train[:2]:
        reference = atoms.info[target]
        assert_allclose(model.predict(atoms), reference, rtol=0, atol=1e-3 * np.abs(reference).max())
    one, variance = model.predict(test[0], variance=True)
    double, double_variance = model.predict(test[0].repeat((2, 1, 1)), variance=True)
    assert_allclose(double, 2 * one, rtol=1e-10, atol=1e-11 * np.abs(one).max())
    assert double_variance == pytest.approx(4 * variance, rel=1e-5)


@pytest.mark.slow
def test_polarizabilities_are_learned_better_than_their_mean(descriptor, train):
    more = crystals(16, seed=5)
    model = TensorGPR(descriptor, target="polarizability").fit(more)
    reference = np.stack([atoms.info["polarizability"] for atoms in train])
    mean = np.mean([np.trace(atoms.info["polarizability"]) / 3 for atoms in more]) * np.eye(3)
    error = np.linalg.norm(np.stack(model.predict(train)) - reference)
    assert error < 0.7 * np.linalg.norm(reference - mean)


def test_unknown_elements_and_nothing_to_predict(efg_model, train):
    iron = Atoms("OFe", positions=[[0, 0, 0], [0, 0, 2]])
    with pytest.raises(InputError, match=r"atom 1 \(Fe\)"):
        efg_model.predict(iron)
    with pytest.raises(InputError, match="nothing to predict"):
        efg_model.predict(Atoms("SiH", positions=[[0, 0, 0], [0, 0, 1.5]]))
    with pytest.raises(InputError, match="not fitted"):
        TensorGPR().predict(train[0])


def test_predicting_changes_nothing(efg_model, test):
    atoms = test[0].copy()
    first = efg_model.predict(atoms)
    assert_array_equal(efg_model.predict(atoms), first)
    assert atoms == test[0]


def test_padding_references_leave_second_derivatives_finite_and_right(descriptor, train, test):
    """For ζ that is not an integer, powers of the kernel have infinite derivatives at zero."""
    model = TensorGPR(descriptor, species="O", zeta=1.5, regularisation=1e-3).fit(train[:3])
    predictor = model.learned.predictor("O", model.model.zeta)
    assert len(predictor.invariants) > model.bases["O"].size
    batch = environments(test[:1], float(descriptor.cutoff), model.model.descriptor.species, [oxygen(test[:1])[0][:1]])

    def moved(x):
        places = jnp.asarray(batch.positions).at[0, 0].add(x)
        return predictor(model.model.descriptor, with_positions(batch, places))[2, 1][0].sum()

    slope = jax.jit(jax.grad(moved))
    bend = jax.jit(jax.grad(jax.grad(moved)))(0.0)
    assert_allclose(bend, (slope(1e-4) - slope(-1e-4)) / 2e-4, rtol=1e-5)
