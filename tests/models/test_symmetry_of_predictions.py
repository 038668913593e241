"""A prediction has the symmetry of what it predicts, and its derivatives are those of differences."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.testing import assert_allclose
from oracles.differences import directional
from oracles.fixed_shape import fixed_shape
from scipy.spatial.transform import Rotation
from strategies import SPECIES, rotations, structures, turned

from efg_jax import ScalarGPR, TensorGPR
from efg_jax.structures.environments import environments

TURN = Rotation.random(rng=np.random.default_rng(2)).as_matrix()
UNIMODULAR = np.array([[1, 2, 0], [0, 1, 0], [-1, 0, 1]])

_tensors = eqx.filter_jit(lambda model, batch: model.tensors(batch))
fixtures_are_not_changed = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def conjugated(tensors, matrix):
    return np.einsum("ik,nkl,jl->nij", matrix, tensors, matrix)


def oxygen_tensors(model, atoms) -> np.ndarray:
    """The pure path, all atoms as if they were oxygens of a fixed shape: compiled once."""
    batch = fixed_shape(environments([atoms], 3.5, SPECIES, pad=False))
    return np.asarray(_tensors(model, batch))[: len(atoms)]


@fixtures_are_not_changed
@given(atoms=structures(), rotation=rotations())
def test_tensors_turn_with_random_structures(shielding_model, atoms, rotation):
    before = oxygen_tensors(shielding_model, atoms)
    after = oxygen_tensors(shielding_model, turned(atoms, rotation))
    assert_allclose(after, conjugated(before, rotation), rtol=0, atol=1e-10 * np.abs(before).max())
    assert_allclose(
        oxygen_tensors(shielding_model, turned(atoms, -np.eye(3))), before, atol=1e-10 * np.abs(before).max()
    )


@pytest.mark.parametrize("change", ["turned", "inverted", "permuted", "moved", "repeated", "another cell"])
def test_predicted_tensors_follow_the_structure(shielding_model, test, change):
    atoms, order = test[0], np.arange(len(test[0]))
    before = shielding_model.predict(atoms)
    if change == "turned":
        changed, expected = turned(atoms, TURN), conjugated(before, TURN)
    elif change == "inverted":
        changed, expected = turned(atoms, -np.eye(3)), before
    elif change == "permuted":
        order = np.random.default_rng(0).permutation(len(atoms))
        changed, expected = atoms[order], before[order]
    elif change == "moved":
        changed, expected = atoms.copy(), before
        changed.positions += [11.3, -7.1, 0.4]
        changed.positions[1] += [3, -1, 2] @ changed.cell.array
    elif change == "repeated":
        changed, expected = atoms.repeat((1, 2, 1)), np.concatenate([before, before])
    else:
        changed, expected = atoms.copy(), before
        changed.set_cell(UNIMODULAR @ atoms.cell.array)
    after, variance = shielding_model.predict(changed, variance=True)
    assert_allclose(after, expected, rtol=0, atol=1e-10 * np.abs(before).max())
    _, variance_before = shielding_model.predict(atoms, variance=True)
    assert_allclose(variance[: len(atoms)], variance_before[order], rtol=1e-7)


def test_predicted_dipoles_turn_and_change_sign(descriptor, train, test):
    model = TensorGPR(descriptor, target="dipole", regularisation=1e-5).fit(train)
    before = model.predict(test[0])
    assert_allclose(model.predict(turned(test[0], TURN)), TURN @ before, rtol=0, atol=1e-10 * np.abs(before).max())
    assert_allclose(model.predict(turned(test[0], -np.eye(3))), -before, rtol=0, atol=1e-10 * np.abs(before).max())


def test_scalar_models_are_blind_to_rotations_but_for_the_axis(descriptor, train, test):
    model = ScalarGPR(descriptor, species="O", regularisation=1e-5).fit(train)
    before, after = model.predict(test[0]), model.predict(turned(test[0], TURN))
    for name in ("c_q_tilde", "eta_tilde", "theta", "phi", "v_nn"):
        assert_allclose(after[name], before[name], rtol=1e-8, atol=1e-9, err_msg=name)
    dyads = [np.einsum("ni,nj->nij", p["z_axis"], p["z_axis"]) for p in (before, after)]  # an axis has no sign
    assert_allclose(dyads[1], conjugated(dyads[0], TURN), rtol=0, atol=1e-8)


def test_the_pure_path_gives_the_predictions(shielding_model, test):
    oxygens = np.flatnonzero(np.array(test[0].symbols) == "O")
    batch = shielding_model.environments_of(test[0], "O")
    found = np.asarray(_tensors(shielding_model, batch))[oxygens]
    assert_allclose(found, shielding_model.predict(test[0])[oxygens], rtol=1e-11, atol=1e-11)


def test_derivatives_by_positions_cells_and_hyperparameters(shielding_model, test):
    model = shielding_model
    batch = fixed_shape(environments([test[0]], 3.8, SPECIES, [np.array([1, 2])], pad=False))
    generator = np.random.default_rng(0)
    mixture = jnp.asarray(generator.normal(size=(2, 3, 3)))

    def number(positions, cells, soap, zeta, model, batch):
        moved = eqx.tree_at(lambda b: (b.positions, b.cells), batch, (positions, cells))
        return jnp.sum(
            mixture * replace(model, model=replace(model.model, descriptor=soap, zeta=zeta)).tensors(moved)[1:3]
        )

    at = (
        jnp.asarray(batch.positions),
        jnp.asarray(batch.cells),
        jax.tree.map(jnp.asarray, model.model.descriptor),
        jnp.asarray(model.model.zeta),
    )
    value = eqx.filter_jit(number)
    by = eqx.filter_jit(jax.grad(number, argnums=(0, 1, 2, 3)))(*at, model, batch)
    for which in (0, 1):
        for _ in range(3):
            direction = generator.normal(size=at[which].shape)
            if which == 0:
                direction[len(test[0]) :] = 0.0

            def along(t, which=which, direction=direction):
                moved = list(at)
                moved[which] = at[which] + t * direction
                return value(*moved, model, batch)

            expected = directional(along, 3e-4)
            assert float(np.sum(np.asarray(by[which]) * direction)) == pytest.approx(expected, rel=1e-6)
    for name in (
        "cutoff",
        "sigma",
        "cutoff_width",
        "scaling_rate",
        "scaling_radius",
        "scaling_exponent",
        "centre_weight",
    ):
        start = getattr(at[2], name)
        expected = directional(
            lambda t, name=name, start=start: value(*at[:2], replace(at[2], **{name: start + t}), at[3], model, batch),
            1e-3,
        )
        assert float(getattr(by[2], name)) == pytest.approx(expected, rel=1e-6, abs=1e-9), name
    expected = directional(lambda t: value(*at[:3], at[3] + t, model, batch), 1e-2)
    assert float(by[3]) == pytest.approx(expected, rel=1e-6)
