"""The cross-validated loss is that of models refitted without each fold, and its gradient is exact."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import efg_jax as ej
from efg_jax.metrics import observable_loss
from efg_jax.splits import folds
from efg_jax.targets import labels, target_of
from efg_jax.tuning import cross_validated_loss, held_out_problems
from efg_jax.tuning.parameters import constrain, default_bounds, unconstrain, values_of, with_values


@pytest.fixture(scope="module")
def frames():
    return [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) <= 9][:10]


@pytest.fixture(scope="module")
def model():
    return ej.TensorGPR(
        ej.LambdaSOAP(cutoff=3.5, nmax=3, lmax=2, species=("O", "Si")), species="Si", regularisation=1e-3
    )


@pytest.fixture(scope="module")
def problems(frames, model):
    target = target_of("efg", frames)
    return held_out_problems(frames, target, ("Si",), model.descriptor, 4.2, k=3, seed=0, limit=None)


def test_loss_is_that_of_models_refitted_without_each_fold(frames, model, problems):
    """The closed form keeps the scale and the noise of the whole set, so the refits are given both."""
    whole = model.fit(frames)
    noise = whole.fitted.regressions["Si",][2, 1].noise
    owner = np.repeat(np.arange(len(frames)), [atoms.symbols.count("Si") for atoms in frames])
    fold = folds(owner, 3, 0)
    predicted = np.empty((len(owner), 3, 3))
    for number in range(3):
        held_out = sorted({int(i) for i in owner[fold == number]})
        kept = [frames[i] for i in range(len(frames)) if i not in held_out]
        probe = model.fit(kept).fitted.regressions["Si",][2, 1]
        refitted = replace(model, regularisation=model.regularisation * noise / probe.noise).fit(kept)
        parts = refitted.predict([frames[i] for i in held_out])
        rows = [part[np.asarray(frames[i].symbols) == "Si"] for part, i in zip(parts, held_out, strict=True)]
        predicted[fold == number] = np.concatenate(rows)
    reference = jnp.asarray(labels(frames, target_of("efg", frames), "Si"))
    expected = observable_loss(reference, jnp.asarray(predicted), problems[0].scale)
    found = cross_validated_loss(model.descriptor, jnp.asarray(model.zeta), jnp.asarray(1e-3), problems)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


@pytest.mark.parametrize("loss", ["observables", "vij", "rmse"])
def test_gradient_in_every_hyperparameter(model, problems, loss):
    bounds = default_bounds(model)
    free = unconstrain(values_of(model, 1e-3), bounds)

    @jax.jit
    def objective(free):
        values = constrain(free, bounds)
        return cross_validated_loss(
            with_values(model.descriptor, values), values["zeta"], values["regularisation"], problems, loss
        )

    slope = jax.grad(objective)(free)
    assert set(slope) == set(bounds)
    for name, value in free.items():
        for place in np.ndindex(value.shape):
            step = 1e-4

            def along(t, name=name, value=value, place=place):
                return float(objective(free | {name: value.at[place].add(t)}))

            # Fourth-order central difference: V_ij is piecewise smooth, and its kinks are met with probability zero.
            difference = (8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))) / (12 * step)
            np.testing.assert_allclose(slope[name][place], difference, rtol=1e-6, atol=1e-9, err_msg=name)


def test_bounds_are_kept_and_inverted(model):
    bounds = default_bounds(model)
    values = values_of(model, 1e-4)
    found = constrain(unconstrain(values, bounds), bounds)
    for name, (low, high) in bounds.items():
        np.testing.assert_allclose(found[name], values[name], rtol=1e-9)
        extreme = constrain({name: jnp.asarray(50.0)}, {name: (low, high)})[name]
        assert low <= float(extreme) <= high * (1 + 1e-12)


def test_subset_takes_whole_structures(frames, model):
    target = target_of("efg", frames)
    (part,) = held_out_problems(frames, target, ("Si",), model.descriptor, 4.2, k=2, seed=1, limit=7)
    assert 7 <= len(part.targets) < 7 + 3


def test_tuning_lowers_the_loss_and_fits(frames, model):
    seen = []
    tuned = ej.tune(model, frames, steps=4, folds=3, environments=None, callback=lambda *entry: seen.append(entry))
    losses = [loss for _, loss, _ in seen]
    assert min(losses[1:]) < losses[0]
    best = seen[int(np.argmin(losses))][2]
    np.testing.assert_allclose(tuned.descriptor.sigma, best["sigma"])
    np.testing.assert_allclose(tuned.regularisation, best["regularisation"])
    assert np.isfinite(tuned.predict(frames[0])[np.asarray(frames[0].symbols) == "Si"]).all()


def test_bounds_choose_what_is_tuned(frames, model):
    tuned = ej.tune(model, frames, steps=2, folds=2, bounds={"sigma": (0.2, 0.8)})
    assert float(tuned.descriptor.sigma) != float(model.descriptor.sigma)
    assert float(tuned.descriptor.cutoff) == float(model.descriptor.cutoff)
    assert float(tuned.zeta) == float(model.zeta)


def test_bad_options_are_refused(frames, model):
    with pytest.raises(ej.InputError, match="choose among observables, vij, rmse"):
        ej.tune(model, frames, loss="energy")
    with pytest.raises(ej.InputError, match="cannot tune colour"):
        ej.tune(model, frames, bounds={"colour": (0.0, 1.0)})
