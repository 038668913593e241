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
from efg_jax.metrics import observable_loss
from efg_jax.network import Loss
from efg_jax.network.batches import common_shape, joined, samples
from efg_jax.network.rows import kinds_of_atoms
from efg_jax.network.training_loss import Objective
from efg_jax.network.training_sets import TrainingData, atomic_target
from efg_jax.structures.targets import from_irreps

TARGETS, WEIGHT = ("efg", "ms"), 2.0


class Case:
    """A batch with gaps in float64, predictions for it, and what an objective is made of."""

    def __init__(self, frames, names=TARGETS):
        self.targets = {name: atomic_target(name, frames) for name in names}
        data = TrainingData(self.targets, dict(enumerate(frames)), {})
        self.species = ("H", "O", "Si")
        self.standards = data.standards(self.species, None)
        self.scales = data.scales(self.standards, self.species)
        architecture = replace(TINY, species=self.species)
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
        return np.asarray(kinds_of_atoms(self.batch.environments))


def compiled(objective):
    """(predictions, batch) → the loss and its gradient."""
    return jax.jit(jax.value_and_grad(lambda predicted, batch: objective(predicted, batch)))


@pytest.fixture(scope="module")
def case(to_learn):
    return Case(with_gaps(to_learn[:6]))


@pytest.fixture(scope="module")
def observables(to_learn):
    """The same for the EFG of oxygen alone, and a loss on observables with its gradient, compiled."""
    frames = [atoms.copy() for atoms in to_learn[:3]]
    for atoms in frames:
        atoms.arrays["efg"][atoms.numbers != 8] = np.nan
    found = Case(frames, ("efg",))
    found.of_loss = compiled(found.objective(Loss("observables", observables=WEIGHT)))
    return found


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


def test_what_has_no_label_has_no_say(case, observables):
    for each, of_loss in ((case, compiled(case.objective())), (observables, observables.of_loss)):
        value, gradient = of_loss(each.predicted, each.batch)
        wild = {
            name: {irrep: np.where(each.batch.labelled[name][:, None] > 0, v, 1e3) for irrep, v in parts.items()}
            for name, parts in each.batch.labels.items()
        }
        assert of_loss(each.predicted, replace(each.batch, labels=wild))[0] == value
        for name, parts in gradient.items():
            unlabelled = each.batch.labelled[name] == 0
            assert unlabelled.sum() > 6  # gaps, and padding
            for values in parts.values():
                assert np.isfinite(values).all()
                assert not np.asarray(values)[unlabelled].any()
                assert np.abs(values).max() > 0


def test_derivatives_of_observables_are_those_of_differences(observables):
    way = jax.tree.map(lambda values: np.random.default_rng(1).normal(size=values.shape), observables.predicted)

    def along(t):
        moved = jax.tree.map(lambda values, step: values + t * step, observables.predicted, way)
        return observables.of_loss(moved, observables.batch)

    slope = sum(np.sum(g * w) for g, w in zip(*map(jax.tree.leaves, (along(0.0)[1], way)), strict=True))
    assert_allclose(slope, directional(lambda t: along(t)[0], 1e-5), rtol=1e-6)


def test_observables_count_on_top_of_irreps(observables):
    (target,), (standard,) = observables.targets.values(), observables.standards.values()
    there = np.flatnonzero(observables.batch.labelled["efg"])
    reference, predicted = (
        from_irreps(
            target,
            standard.restored({irrep: np.asarray(v)[there] for irrep, v in parts.items()}, np.ones(len(there), int)),
        )
        for parts in (observables.batch.labels["efg"], observables.predicted["efg"])
    )
    expected = observable_loss(jnp.asarray(reference), jnp.asarray(predicted), observables.scales["efg"]["O"])
    value, _ = observables.of_loss(observables.predicted, observables.batch)
    assert_allclose(value - observables.value(), WEIGHT * expected, rtol=1e-9)


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


def only_oxygen(frames):
    changed = [atoms.copy() for atoms in frames]
    for atoms in changed:
        atoms.arrays["efg"][np.array(atoms.symbols) != "O"] = np.nan
    return changed


def test_losses_that_cannot_be(to_learn):
    with pytest.raises(InputError, match="the weight of O in the loss must be 0 or more, got -1"):
        Loss(targets={"O": 1.0}, species={"O": -1.0})
    scalar = Case(with_scalars(to_learn[:2]), ("iso",))
    for nothing in (
        Loss(orders={0: 0.0}),
        Loss(targets={"iso": 0.0}),
        Loss(species=dict.fromkeys(("H", "O", "Si"), 0.0)),
    ):
        with pytest.raises(InputError, match="every term of the loss has weight 0"):
            scalar.objective(nothing)
    bare = Case(only_oxygen(to_learn[:2]), ("efg",))
    with pytest.raises(InputError, match="the element Si, which is not learned; there are O"):
        bare.objective(Loss(species={"Si": 5.0}))
    with pytest.raises(InputError, match="no target is one"):
        Case(with_scalars(to_learn[:2]), ("iso",)).objective(Loss("observables"))
    alike = [atoms.copy() for atoms in to_learn[:2]]
    for atoms in alike:
        atoms.arrays["efg"] = np.where((atoms.numbers == 8)[:, None, None], np.diag([-1.0, -2.0, 3.0]), np.nan)
    with pytest.raises(InputError, match=r"all \|V_zz\| of O are the same"):
        Case(alike, ("efg",)).objective(Loss("observables"))
