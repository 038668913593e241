"""What every kind of model must say for a search, and a file of its hyperparameters."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.small_networks import TINY

import efg_jax as ej
from efg_jax.network import Training
from efg_jax.tuning import METHODS, Hyperparameters, read_hyperparameters, write_hyperparameters
from efg_jax.tuning.space import space_of

TRAINING = Training(epochs=3, validation=0.3)


def models(descriptor):
    hard = replace(descriptor, cutoff_width=None, scaling_exponent=0.0)
    return {
        "tensor": ej.TensorGPR(descriptor, species="Si", regularisation=1e-3),
        "primal": ej.TensorGPR(hard, species="Si", regularisation=1e-3, zeta=1.0, primal=True),
        "scalar": ej.ScalarGPR(descriptor, species="Si", regularisation=1e-3),
        "network": ej.EquivariantNetwork(replace(TINY, species=("O", "Si")), species="Si", training=TRAINING),
        "products": ej.EquivariantNetwork(
            replace(TINY, species=("O", "Si"), decomposition="products", products=16),
            training=replace(TRAINING, weight_decay=0.0),
        ),
    }


@pytest.fixture(params=["tensor", "primal", "scalar", "network", "products"])
def model(request, descriptor):
    return models(descriptor)[request.param]


def test_a_problem_describes_all_that_may_move(model, frames):
    problem = model.tuning_problem(frames)
    assert set(problem.methods) <= set(METHODS)
    assert set(problem.parameters) <= set(problem.start)
    assert not set(problem.parameters) & set(problem.fixed)
    assert set(problem.usual) <= set(problem.parameters)
    space = space_of(problem)  # the usual bounds are possible and hold the start
    for name, (low, high) in space.bounds.items():
        assert np.all(low <= problem.start[name])
        assert np.all(problem.start[name] <= high)
        assert len(space.parameters[name].labels) == np.size(problem.start[name]) * (np.ndim(problem.start[name]) > 0)
    for name, reason in problem.fixed.items():
        with pytest.raises(ej.InputError, match=f"cannot tune {name}: {reason[:20]}"):
            space_of(problem, parameters=(name,))
    assert problem.model_at(problem.start).hyperparameters() == model.hyperparameters()


def test_a_sampler_finds_the_start_where_it_is(model, frames):
    problem = model.tuning_problem(frames)
    space = space_of(problem)
    known = space.suggestion(problem.start)

    class Asked:
        suggest_float = suggest_int = staticmethod(lambda name, low, high, log=False: known[name])

    found = space.suggested(Asked(), problem.start)
    for name, value in problem.start.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-12, err_msg=name)


def test_hyperparameters_survive_their_file(model, tmp_path):
    path = tmp_path / "best.json"
    write_hyperparameters(path, Hyperparameters.of(model))
    read = read_hyperparameters(path)
    assert read.model().hyperparameters() == model.hyperparameters()
    assert (read.model().kind, read.model().species, read.model().targets) == (model.kind, model.species, model.targets)
    changed = read.apply(type(model)(target="ms"))
    assert changed.hyperparameters() == model.hyperparameters() or model.kind == "network"
    assert changed.targets == ("ms",)


def test_options_of_other_kinds_are_refused(model, frames):
    with pytest.raises(ej.InputError, match="colour = 'red' is no option"):
        model.tuning_problem(frames, colour="red")
