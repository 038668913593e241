"""Hyperparameters by the exact gradient of a cross-validated loss."""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import optax
from ase import Atoms

from efg_jax.descriptors.lambda_soap import settled
from efg_jax.errors import InputError
from efg_jax.io import check_frames
from efg_jax.models import TensorGPR
from efg_jax.precision import float64
from efg_jax.targets import target_of
from efg_jax.tuning.cross_validation import LOSSES, cross_validated_loss, held_out_problems
from efg_jax.tuning.parameters import Bounds, constrain, default_bounds, unconstrain, values_of, with_values

logger = logging.getLogger(__name__)

Callback = Callable[[int, float, Mapping[str, np.ndarray]], None]

_START_REGULARISATION = 1e-4  # where the model says "auto"


def tune(
    model: TensorGPR,
    structures: Atoms | Iterable[Atoms],
    loss: str = "observables",
    *,
    steps: int = 25,
    learning_rate: float = 0.15,
    folds: int = 5,
    environments: int | None = 250,
    bounds: Bounds | None = None,
    seed: int = 0,
    callback: Callback | None = None,
) -> TensorGPR:
    """Follow the gradient of the cross-validated loss in all continuous hyperparameters at once, then fit on all structures.

    Adam on smoothly bounded hyperparameters; the best point that was seen is kept. The regularisation that is found belongs to the
    subset it was found on, so that a model with ``regularisation="auto"`` finds its own again in the final fit.

    Args:
        model: where to start from (fitted or not).
        structures: the training set; the held-out structures of each fold come from it.
        loss: "observables" (C̃_Q, η̃ and orientation), "vij" or "rmse".
        steps: optimiser steps, each one gradient.
        learning_rate: of Adam, in units of the logit of a hyperparameter's place in its interval.
        folds: number of cross-validation folds, by structure.
        environments: about how many environments of each species the gradient is taken on, drawn as whole structures; None: all.
        bounds: interval by name for the hyperparameters to tune; None: all, in wide intervals (`tuning.parameters.default_bounds`).
        seed: of folds and subset.
        callback: called after each evaluation with the step, the loss and the hyperparameters.

    Returns:
        The fitted model with tuned hyperparameters.

    Raises:
        InputError: an unknown loss, a target that is no EFG, or bad structures.
    """
    if loss not in LOSSES:
        raise InputError(f"unknown loss {loss!r}; choose among {', '.join(LOSSES)}")
    structures = [structures] if isinstance(structures, Atoms) else list(structures)
    checked = check_frames(structures, model.target, array=model.array, per=model.per)
    target = target_of(model.target, checked, model.per)
    descriptor = settled(model.descriptor)
    if descriptor.species is None:
        descriptor = descriptor.with_species(sorted({symbol for atoms in checked for symbol in atoms.symbols}))
    start = replace(model, descriptor=descriptor)
    bounds = dict(default_bounds(start) if bounds is None else bounds)
    initial = values_of(start, _START_REGULARISATION if model.regularisation == "auto" else float(model.regularisation))
    if unknown := sorted(set(bounds) - {name for name, value in initial.items() if value is not None}):
        raise InputError(f"cannot tune {', '.join(unknown)}; choose among {', '.join(default_bounds(start))}")
    for name, (low, high) in bounds.items():
        if not low < high:
            raise InputError(f"bounds of {name} are ({low}, {high}); give the lower one first")
        if name == "cutoff" and descriptor.cutoff_width is None:
            raise InputError(
                "a hard cutoff has no gradient to tune it by; set cutoff_width, or leave cutoff out of the bounds"
            )
    if len(checked) < folds:
        raise InputError(
            f"{len(checked)} structures cannot fill {folds} folds; give more structures, or folds={len(checked)}"
        )
    reach = max(float(descriptor.cutoff), bounds.get("cutoff", (0.0, 0.0))[1])
    with float64():
        problems = held_out_problems(checked, target, model.species, descriptor, reach, folds, seed, environments)
        best = _descend(descriptor, initial, bounds, problems, loss, steps, learning_rate, callback)
    tuned = settled(with_values(descriptor, best))
    zeta = np.asarray(best["zeta"], dtype=np.float64)
    regularisation = "auto" if model.regularisation == "auto" else float(best["regularisation"])
    return replace(model, descriptor=tuned, zeta=zeta, regularisation=regularisation, fitted=None).fit(structures)


def _descend(descriptor, initial, bounds, problems, loss, steps, learning_rate, callback):
    """Adam from the initial values; returns the best values that were evaluated, fixed ones included."""
    fixed = {name: jnp.asarray(value) for name, value in initial.items() if value is not None}

    def loss_of(values, problems):
        return cross_validated_loss(
            with_values(descriptor, values), values["zeta"], values["regularisation"], problems, loss
        )

    def objective(free, problems):
        return loss_of(fixed | constrain(free, bounds), problems)

    gradient = jax.jit(jax.value_and_grad(objective))
    optimiser = optax.adam(learning_rate)
    free = unconstrain(initial, bounds)
    state = optimiser.init(free)
    # The start itself, which the transform to the bounds may have moved a little, is the one to beat.
    best, lowest = fixed, float(jax.jit(loss_of)(fixed, problems))
    if not np.isfinite(lowest):
        raise InputError("the cross-validated loss is not finite at the start; raise the regularisation")
    for step in range(steps + 1):
        value, slope = gradient(free, problems)
        value = float(value)
        values = {name: np.asarray(v) for name, v in (fixed | constrain(free, bounds)).items()}
        logger.info("step %d of %d: %s loss %.5f (best %.5f)", step, steps, loss, value, min(value, lowest))
        if callback is not None:
            callback(step, value, values)
        if value < lowest:
            best, lowest = fixed | constrain(free, bounds), value
        if not all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves((value, slope))):
            logger.warning("the loss or its gradient is not finite at step %d; stopping at the best point so far", step)
            break
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its step count with floats
            updates, state = optimiser.update(slope, state, free)
            free = optax.apply_updates(free, updates)
    return best
