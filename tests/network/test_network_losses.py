"""What is minimised: whose error counts, how much, and with which derivative."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.differences import directional
from oracles.small_networks import TINY, with_gaps, with_scalars

from efg_jax import InputError
from efg_jax.network import Loss
from efg_jax.network.batches import common_shape, joined, samples
from efg_jax.network.data import TrainingData, atomic_target
from efg_jax.network.loss import Objective

TARGETS = ("efg", "ms")


class Case:
    """A batch with gaps in float64, predictions for it, and what an objective is made of."""

    def __init__(self, frames, names=TARGETS):
        self.targets = {name: atomic_target(name, frames) for name in names}
        data = TrainingData(self.targets, dict(enumerate(frames)), {})
        self.species = ("H", "O", "Si")
        self.standards = data.standards(self.species, None)
        self.scales = data.scales(self.standards, self.species)
        architecture = replace(TINY, species=self.species, neighbours=10.0)
        found = samples(data.training, architecture, list(self.targets.values()), self.standards)
        self.batch = joined(found, common_shape(found, 10**6), np.dtype(np.float64))
        generator = np.random.default_rng(0)
        self.predicted = {
            name: {irrep: jnp.asarray(generator.normal(size=np.shape(values))) for irrep, values in parts.items()}
            for name, parts in self.batch.labels.items()
        }

    def objective(self, loss=None):
        scales = self.scales if loss is not None and loss.kind == "observables" else {}
        return Objective(loss or Loss(), list(self.targets.values()), self.standards, scales, self.species)

    def value(self, loss=None, predicted=None, batch=None) -> float:
        return float(self.objective(loss)(predicted or self.predicted, batch or self.batch))

    def kinds(self):
        return np.asarray(self.batch.environments.centre_species)


@pytest.fixture(scope="module")
def case(to_learn):
    return Case(with_gaps(to_learn[:6]))


def brute_force(case, weigh=lambda target, order, symbol: 1.0) -> float:
    """The weighted mean, atom by atom."""
    total = 0.0
    for name, parts in case.predicted.items():
        labelled, errors = case.batch.labelled[name], 0.0
        for atom in np.flatnonzero(labelled):
            symbol = case.species[case.kinds()[atom]]
            for (order, _), values in parts.items():
                error = np.mean((np.asarray(values[atom]) - case.batch.labels[name][order, _][atom]) ** 2)
                errors += weigh(name, order, symbol) * error
        total += errors / labelled.sum()
    return total


def test_the_loss_is_the_mean_over_labelled_atoms(case):
    assert_allclose(case.value(), brute_force(case), rtol=1e-12)


@pytest.mark.parametrize(
    ("loss", "weigh"),
    [
        (Loss(targets={"ms": 3.0}), lambda target, order, symbol: 3.0 if target == "ms" else 1.0),
        (Loss(orders={2: 0.5, 1: 0.0}), lambda target, order, symbol: {0: 1.0, 1: 0.0, 2: 0.5}[order]),
        (Loss(species={"O": 7.0}), lambda target, order, symbol: 7.0 if symbol == "O" else 1.0),
    ],
)
def test_targets_orders_and_elements_are_weighed(case, loss, weigh):
    assert_allclose(case.value(loss), brute_force(case, weigh), rtol=1e-12)
    assert not np.isclose(case.value(loss), case.value())


@pytest.mark.parametrize("kind", ["irreps", "observables"])
def test_what_has_no_label_has_no_say(case, kind):
    loss = Loss(kind)
    wild = {
        name: {irrep: np.where(case.batch.labelled[name][:, None] > 0, values, 1e3) for irrep, values in parts.items()}
        for name, parts in case.batch.labels.items()
    }
    changed = replace(case.batch, labels=wild)
    assert case.value(loss, batch=changed) == case.value(loss)
    gradient = jax.grad(lambda predicted: case.objective(loss)(predicted, case.batch))(case.predicted)
    for name, parts in gradient.items():
        unlabelled = case.batch.labelled[name] == 0
        assert unlabelled.sum() > 6  # gaps, and padding
        for values in parts.values():
            assert np.isfinite(values).all()
            assert not np.asarray(values)[unlabelled].any()
            assert np.abs(values).max() > 0


def test_derivatives_of_observables_are_those_of_differences(case):
    objective = case.objective(Loss("observables", observables=2.0))
    way = jax.tree.map(lambda values: np.random.default_rng(1).normal(size=values.shape), case.predicted)

    @jax.jit
    def along(t):
        return objective(jax.tree.map(lambda values, step: values + t * step, case.predicted, way), case.batch)

    assert_allclose(jax.grad(along)(0.0), directional(along, 1e-5), rtol=1e-6)


def test_observables_count_on_top_of_irreps(case):
    plain, one, two = (case.value(Loss("observables", observables=weight)) for weight in (0.0, 1.0, 2.0))
    assert_allclose(plain, case.value(), rtol=1e-12)
    assert one > plain
    assert_allclose(two - one, one - plain, rtol=1e-9)
    perfect = case.value(Loss("observables"), predicted=jax.tree.map(jnp.asarray, case.batch.labels))
    assert 0.0 <= perfect < 0.1 * (one - plain)


@pytest.mark.parametrize(
    ("loss", "says"),
    [
        (Loss(targets={"dipole": 1.0}), "the target dipole, which is not learned; there are efg, ms"),
        (Loss(orders={4: 1.0}), "the order 4, which is not learned; there are 0, 1, 2"),
        (Loss(species={"N": 1.0}), "the element N, which is not learned; there are H, O, Si"),
    ],
)
def test_weights_of_what_is_not_there(case, loss, says):
    with pytest.raises(InputError, match=says):
        case.objective(loss)


def test_losses_that_cannot_be(to_learn):
    with pytest.raises(InputError, match="the weight of O in the loss is -1"):
        Loss(targets={"O": 1.0}, species={"O": -1.0})
    with pytest.raises(InputError, match="no target is one"):
        Case(with_scalars(to_learn[:2]), ("iso",)).objective(Loss("observables"))
    alike = [atoms.copy() for atoms in to_learn[:2]]
    for atoms in alike:
        atoms.arrays["efg"] = np.where((atoms.numbers == 8)[:, None, None], np.diag([-1.0, -2.0, 3.0]), np.nan)
    with pytest.raises(InputError, match=r"all \|V_zz\| of O are the same"):
        Case(alike, ("efg",)).objective(Loss("observables"))
