"""The cross-validated loss is that of models refitted without each fold, and its gradient is exact."""

from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import efg_jax as ej
from efg_jax.gp.cross_validation import (
    HeldOutScalars,
    cross_validated_loss,
    held_out_predictions,
    held_out_problems,
)
from efg_jax.gp.held_out_losses import TENSOR_LOSSES, parse_loss
from efg_jax.gp.kernel_parameters import kernel_parameters, values_of, with_values
from efg_jax.gp.target_kernels import training_kernel
from efg_jax.metrics import mae_vij, observable_loss, soft_abs, tilt_loss
from efg_jax.structures.splits import folds
from efg_jax.structures.targets import labels, target_of
from efg_jax.tensors.irreps import to_spherical
from efg_jax.tuning import Space

ALL = {"observables": 1.0, "tilt": 0.5, "mae-vij": 0.02, "rmse": 0.01, "lml": 0.05}


@eqx.filter_jit
def closed_form(descriptor, values, problem, names=()):
    """Held-out predictions and losses by name, compiled together."""
    predicted = held_out_predictions(with_values(descriptor, values), values["zeta"], values["regularisation"], problem)
    losses = {name: cross_validated_loss(descriptor, values, [problem], {name: 1.0}) for name in names}
    return predicted, losses


def refitted(model, frames, symbol, k):
    """Predictions of models fitted without each fold; with the noise of the whole set, as the closed form has it."""
    noise = model.fit(frames).regressions[symbol,][2, 1].noise
    owner = np.repeat(np.arange(len(frames)), [atoms.symbols.count(symbol) for atoms in frames])
    fold = owner if k is None else folds(owner, k, 0)
    predicted = np.empty((len(owner), 3, 3))
    for number in np.unique(fold):
        held_out = sorted({int(i) for i in owner[fold == number]})
        kept = [frames[i] for i in range(len(frames)) if i not in held_out]
        probe = model.fit(kept).regressions[symbol,][2, 1]
        again = replace(model, regularisation=model.regularisation * noise / probe.noise).fit(kept)
        parts = again.predict([frames[i] for i in held_out])
        rows = [part[np.asarray(frames[i].symbols) == symbol] for part, i in zip(parts, held_out, strict=True)]
        predicted[fold == number] = np.concatenate(rows)
    return jnp.asarray(labels(frames, target_of("efg", frames), symbol)), jnp.asarray(predicted)


@pytest.mark.parametrize(("k", "count"), [(3, 10), (None, 6)])
def test_losses_are_those_of_models_refitted_without_each_fold(frames, model, k, count):
    frames = frames[:count]
    (problem,) = held_out_problems(frames, target_of("efg", frames), ("Si",), model.descriptor, 4.2, k=k, seed=0)
    reference, expected = refitted(model, frames, "Si", k)
    by_hand = {
        "observables": jax.jit(observable_loss)(reference, expected, problem.scale),
        "tilt": jax.jit(tilt_loss)(reference, expected, problem.scale),
        "mae-vij": mae_vij(reference, expected),
        "rmse": jnp.sqrt(jnp.mean((reference - expected) ** 2)),
    }
    found, losses = closed_form(model.descriptor, values_of(model), problem, tuple(by_hand))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10 * float(jnp.abs(reference).max()))
    for name, value in by_hand.items():
        np.testing.assert_allclose(losses[name], value, rtol=1e-9, err_msg=name)


def test_likelihood_is_that_of_a_normal_distribution(frames, model):
    (problem,) = held_out_problems(frames, target_of("efg", frames), ("Si",), model.descriptor, 4.2, k=2, seed=0)
    fitted = model.fit(frames)
    kernel = np.asarray(training_kernel({"Si": fitted.bases["Si"]}, (2, 1), 2.0, problem.count))
    kernel = kernel.reshape(5 * problem.count, -1)
    y = np.asarray(to_spherical(jnp.asarray(problem.reference), 2)).ravel()
    y = y / np.sqrt(np.mean(y**2))
    covariance = kernel + 1e-3 * np.mean(np.diag(kernel)) * np.eye(len(y))
    amplitude = y @ np.linalg.solve(covariance, y) / len(y)
    expected = -multivariate_normal(cov=amplitude * covariance, allow_singular=True).logpdf(y) / len(y)
    _, found = closed_form(model.descriptor, values_of(model), problem, ("lml",))
    np.testing.assert_allclose(found["lml"], expected, rtol=1e-7)


def test_species_count_by_their_weights_and_not_by_their_atoms(frames, model, descriptor):
    target, weights = target_of("efg", frames), {"Si": 3.0}
    both = held_out_problems(frames, target, ("O", "Si"), descriptor, 4.2, k=3, seed=0, weights=weights)

    @jax.jit
    def values(hyperparameters):
        groups = ([both[0]], [both[1]], both)
        return [cross_validated_loss(descriptor, hyperparameters, problems, {"rmse": 1.0}) for problems in groups]

    one, three, together = values(values_of(model))
    np.testing.assert_allclose(together, (one + 3.0 * three) / 4.0, rtol=1e-12)


def test_gradient_of_every_loss_in_every_hyperparameter(frames, model):
    """All losses in one sum; also in the contraction of the channels."""
    mixing = np.random.default_rng(0).normal(size=(3, 4, 6))
    model = replace(model, descriptor=replace(model.descriptor, contraction=mixing))
    problems = held_out_problems(frames, target_of("efg", frames), ("Si",), model.descriptor, 4.2, k=3, seed=0)
    check_gradient(model, problems, ALL)


def test_gradient_of_scalar_losses(frames, descriptor):
    model = ej.ScalarGPR(descriptor, species="Si", regularisation=1e-2)
    target = target_of("efg", frames)
    problems = held_out_problems(frames, target, ("Si",), descriptor, 4.2, k=3, seed=0, learned=HeldOutScalars)
    check_gradient(model, problems, {"observables": 1.0, "c_q_tilde": 0.5, "v_nn": 0.1, "lml": 0.1})


def check_gradient(model, problems, terms):
    space = Space(kernel_parameters(model))
    free = space.unconstrain(values_of(model))

    @jax.jit
    @jax.value_and_grad
    def objective(free):
        values = values_of(model) | space.constrain(free)
        return cross_validated_loss(with_values(model.descriptor, values), values, problems, terms)

    _, slope = objective(free)
    assert set(slope) == set(space.parameters)
    rng = np.random.default_rng(1)
    for name, value in free.items():
        direction = rng.normal(size=value.shape)
        step = 1e-4

        def along(t, name=name, value=value, direction=direction):
            return float(objective(free | {name: value + t * direction})[0])

        # Fourth-order central difference: losses are piecewise smooth, and their kinks are met with probability zero.
        difference = (8 * (along(step) - along(-step)) - (along(2 * step) - along(-2 * step))) / (12 * step)
        found = float(jnp.sum(slope[name] * direction))
        np.testing.assert_allclose(found, difference, rtol=1e-6, atol=1e-9, err_msg=name)


def test_scalar_predictions_are_those_of_models_refitted_without_each_fold(frames, descriptor):
    """By linear algebra on the model's own λ = 0 features, structure after structure."""
    model = ej.ScalarGPR(descriptor, species="Si", regularisation=1e-2, zeta=1.5)
    target = target_of("efg", frames)
    (problem,) = held_out_problems(frames, target, ("Si",), descriptor, 4.2, k=None, seed=0, learned=HeldOutScalars)
    found, losses = closed_form(descriptor, values_of(model), problem, ("theta",))
    invariants = model.fit(frames).by_species["Si"].basis.invariants
    kernel = (invariants @ invariants.T) ** 1.5
    owner = np.repeat(np.arange(len(frames)), [atoms.symbols.count("Si") for atoms in frames])
    mean = problem.reference.mean(axis=0)
    expected = np.empty_like(problem.reference)
    for number in range(len(frames)):
        out, rest = owner == number, owner != number
        noisy = kernel[np.ix_(rest, rest)] + 1e-2 * np.mean(np.diag(kernel)) * np.eye(rest.sum())
        expected[out] = mean + kernel[np.ix_(out, rest)] @ np.linalg.solve(noisy, problem.reference[rest] - mean)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)
    errors = np.abs(expected - problem.reference)[:, 2]
    rounded = soft_abs(jnp.asarray(errors), float(0.01 * problem.reference[:, 2].std()))
    np.testing.assert_allclose(losses["theta"], jnp.mean(rounded), rtol=1e-8)


def test_shielding_is_held_out_in_all_its_irreps(frames, model, descriptor):
    """σ = V + its antisymmetric and isotropic relatives: the λ = 2 part is predicted as the EFG itself is."""
    shielded = [atoms.copy() for atoms in frames]
    rng = np.random.default_rng(0)
    for atoms in shielded:
        noise = rng.normal(size=(len(atoms), 3, 3))
        atoms.arrays["ms"] = atoms.arrays["efg"].reshape(-1, 3, 3) + noise - np.swapaxes(noise, 1, 2) + 400 * np.eye(3)
    (efg,) = held_out_problems(frames, target_of("efg", frames), ("Si",), descriptor, 4.0, k=3, seed=0)
    (ms,) = held_out_problems(shielded, target_of("ms", shielded), ("Si",), descriptor, 4.0, k=3, seed=0)
    (expected, _), (found, _) = (closed_form(descriptor, values_of(model), problem) for problem in (efg, ms))
    symmetric = 0.5 * (found + jnp.swapaxes(found, 1, 2))
    trace = jnp.trace(found, axis1=1, axis2=2)
    np.testing.assert_allclose(trace, 1200.0, rtol=1e-9)
    deviator = symmetric - trace[:, None, None] / 3.0 * jnp.eye(3)[None]
    np.testing.assert_allclose(deviator, expected, rtol=0, atol=1e-8)


def test_subsets_are_whole_structures_and_nested(frames, model):
    target = target_of("efg", frames)

    def of(limit):
        (part,) = held_out_problems(frames, target, ("Si",), model.descriptor, 4.2, k=2, seed=1, limit=limit)
        return part.reference

    small, large = of(7), of(12)
    assert 7 <= len(small) < 7 + 3
    assert {value.tobytes() for value in small} < {value.tobytes() for value in large}


def test_bad_losses_and_weights_are_refused(frames, descriptor):
    assert parse_loss("observables + 0.1*lml+1e+1*lml") == {"observables": 1.0, "lml": 10.1}
    assert parse_loss("rmse+lml") == {"rmse": 1.0, "lml": 1.0}
    for text in ("energy", "0*observables", "x*lml", "", "-1*lml"):
        with pytest.raises(ej.InputError):
            parse_loss(text)
    with pytest.raises(ej.InputError, match="choose among mae-vij, rmse, lml"):
        parse_loss("observables", TENSOR_LOSSES)
    with pytest.raises(ej.InputError, match="weight is given for Al"):
        held_out_problems(frames, target_of("efg", frames), None, descriptor, 4.2, 3, 0, weights={"Al": 1.0})
    with pytest.raises(ej.InputError, match="give a positive number"):
        held_out_problems(frames, target_of("efg", frames), None, descriptor, 4.2, 3, 0, weights={"O": 0.0})


def test_a_fold_without_a_labelled_atom_is_refused(frames, descriptor):
    few = [atoms.copy() for atoms in frames]
    for atoms in few[2:]:
        atoms.arrays["efg"] = np.full_like(atoms.arrays["efg"], np.nan)
    with pytest.raises(ej.InputError, match="no labelled atom"):
        held_out_problems(few, target_of("efg", few), ("Si",), descriptor, 4.2, k=3, seed=0)


def test_space_is_kept_and_inverted(model):
    space, values = Space(kernel_parameters(model)), values_of(model)
    found = space.constrain(space.unconstrain(values))
    cube = space.to_cube(values)
    back = space.from_cube(cube, values)
    assert len(cube) == len(space.coordinates)
    for name, (low, high) in space.bounds.items():
        np.testing.assert_allclose(found[name], values[name], rtol=1e-9)
        np.testing.assert_allclose(back[name], values[name], rtol=1e-12)
        for extreme in (-50.0, 50.0):
            value = float(space.of((name,)).constrain({name: jnp.asarray(extreme)})[name])
            assert low * (1 - 1e-12) <= value <= high * (1 + 1e-12)
