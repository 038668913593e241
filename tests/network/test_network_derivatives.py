"""Tensors of networks as pure functions: values, derivatives against differences, averages over frames."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from efg_jax import InputError
from efg_jax.structures.environments import with_positions
from efg_jax.trajectories import average, predicted


def test_derivatives_of_a_committee_are_those_of_its_predictions(both, held_out):
    atoms = held_out[0]
    environments = both.environments_of(atoms)

    @eqx.filter_jit
    def shift(model, positions, direction):
        return jax.jvp(lambda r: model.tensors(with_positions(environments, r), "ms"), (positions,), (direction,))

    rng = np.random.default_rng(0)
    positions = jnp.asarray(environments.positions)
    direction = np.zeros(positions.shape)
    direction[: len(atoms)] = rng.normal(size=(len(atoms), 3))
    tensors, slope = shift(both, positions, jnp.asarray(direction))
    assert_allclose(tensors[: len(atoms)], both.predict(atoms, target="ms", dtype="float64"), rtol=1e-12)
    step, ends = 1e-5, []
    for sign in (1.0, -1.0):
        moved = atoms.copy()
        moved.positions += sign * step * direction[: len(atoms)]
        ends.append(both.predict(moved, target="ms", dtype="float64"))
    assert_allclose(slope[: len(atoms)], (ends[0] - ends[1]) / (2.0 * step), rtol=1e-6, atol=1e-6)
    _, moved_together = shift(both, positions, jnp.ones_like(positions))
    assert np.abs(moved_together[: len(atoms)]).max() < 1e-10


def test_predictions_of_networks_are_averaged(both, oxygen, held_out):
    frames = [held_out[0].copy() for _ in range(3)]
    for number, atoms in enumerate(frames):
        atoms.rattle(0.01, rng=np.random.default_rng(number))
    found = average(predicted(both, frames, target="efg", dtype="float64"))
    truth = np.mean([both.predict(atoms, target="efg", dtype="float64") for atoms in frames], axis=0)
    assert_allclose([site.tensor for site in found.sites], truth, rtol=1e-9)
    assert {site.symbol for site in average(predicted(oxygen, frames)).sites} == {"O"}
    with pytest.raises(InputError, match="predicts efg and ms; choose one"):
        next(predicted(both, frames))
