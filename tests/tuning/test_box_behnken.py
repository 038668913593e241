"""Designs and response surfaces on functions whose minimum is known."""

import json

import numpy as np
import pytest

import efg_jax as ej
from efg_jax.models.tuning_problem import Evaluation, Parameter, TuningProblem
from efg_jax.tuning import Bayes, BoxBehnken, Space
from efg_jax.tuning.box_behnken import Surface, design, terms
from efg_jax.tuning.trials import Recorder

PARAMETERS = {
    "cutoff": Parameter((3.0, 7.0), importance=1),
    "sigma": Parameter((0.1, 1.1), importance=2),
    "regularisation": Parameter((1e-8, 1.0), logarithmic=True, importance=3),
}
START = {name: np.asarray(value) for name, value in {"cutoff": 5.0, "sigma": 0.5, "regularisation": 1e-4}.items()}


class Known(TuningProblem):
    """A function of the place in the cube, in the guise of a problem."""

    workers, start = 2, START

    def __init__(self, function, space):
        self.function, self.space, self.seen = function, space, []

    def evaluate(self, points, report=None, watch=None):
        self.seen += points
        return [Evaluation(p, float(self.function(self.space.to_cube(p))), 1.0, 1.0) for p in points]

    def model_at(self, values):
        return None

    def identity(self, search):
        return {}


def search(function, budget):
    space = Space(PARAMETERS)
    recorder = Recorder(budget)
    details = BoxBehnken().run(Known(function, space), space, recorder, 0)
    return space, recorder, [Surface.from_dict(entry) for entry in details["surfaces"]], details


def test_design_is_box_and_behnkens():
    plan = design(4)
    levels = np.abs(plan).sum(axis=1)
    assert sorted(levels) == [0.0] + [2.0] * 24
    assert set(np.unique(plan)) == {-1.0, 0.0, 1.0}
    information = terms(plan).T @ terms(plan)
    assert np.linalg.matrix_rank(information) == terms(plan).shape[1]
    np.testing.assert_allclose(
        information[1:5, 1:5], 12 * np.eye(4), atol=1e-12
    )  # 12 runs off the middle of each factor


def test_a_quadratic_is_found_exactly_in_one_round():
    target, matrix = np.array([0.55, 0.4, 0.6]), np.array([[3.0, 0.5, 0.0], [0.5, 2.0, -0.4], [0.0, -0.4, 1.0]])

    def quadratic(cube):
        return 1.0 + (cube - target) @ matrix @ (cube - target)

    space, recorder, surfaces, _ = search(quadratic, 15)
    assert len(recorder.trials) == 15
    first = surfaces[0]
    assert first.lack_of_fit < 1e-10
    assert first.r_squared == pytest.approx(1.0)
    np.testing.assert_allclose(first.centre + first.minimum * first.half_width, target, atol=1e-6)
    np.testing.assert_allclose(space.to_cube(recorder.best.values), target, atol=1e-6)
    assert first.predicted == pytest.approx(first.evaluated, abs=1e-10)
    x = np.random.default_rng(0).uniform(-1, 1, (5, 3))
    np.testing.assert_allclose(
        first(x), [quadratic(first.centre + row * first.half_width) for row in x], rtol=0, atol=1e-9
    )


def test_boxes_move_and_shrink_onto_a_minimum_far_from_the_start():
    target = np.array([0.9, 0.1, 0.8])

    def valley(cube):
        return 0.1 + np.sum(1.0 - np.exp(-3.0 * (cube - target) ** 2))

    space, recorder, surfaces, details = search(valley, 150)
    assert details["converged"]
    assert np.abs(space.to_cube(recorder.best.values) - target).max() < 0.02
    assert surfaces[0].lack_of_fit > 10 * surfaces[-1].lack_of_fit
    assert (surfaces[-1].half_width < surfaces[0].half_width).all()
    cubes = np.array([space.to_cube(trial.values) for trial in recorder.trials])
    assert (cubes > -1e-9).all()
    assert (cubes < 1 + 1e-9).all()


def test_the_minimum_that_is_kept_is_one_that_was_evaluated():
    """Where the surface is wrong, the best run wins over what it promises."""
    _, recorder, surfaces, _ = search(lambda cube: np.abs(np.sin(9.0 * cube)).sum() + cube[0], 15)
    assert recorder.best.loss == min(*surfaces[0].losses, surfaces[0].evaluated, recorder.trials[0].loss)
    assert surfaces[0].predicted != pytest.approx(surfaces[0].evaluated, rel=0.01)


@pytest.mark.parametrize("lowest", [1.0, 0.0, -5.0])
def test_points_that_fail_do_not_stop_a_round(lowest):
    """Whatever the sign of the losses, as those of a log likelihood; and the search can be written and read."""

    def partly(cube):
        return np.inf if cube[2] < 0.3 else lowest + np.sum((cube - 0.6) ** 2)

    space, recorder, surfaces, details = search(partly, 60)
    assert np.abs(space.to_cube(recorder.best.values) - 0.6).max() < 0.15
    assert np.isinf(surfaces[0].losses).any()
    assert (surfaces[0](surfaces[0].points) < lowest + 3.0).all()
    read = [Surface.from_dict(entry) for entry in json.loads(json.dumps(details, allow_nan=False))["surfaces"]]
    for ours, theirs in zip(surfaces, read, strict=True):
        np.testing.assert_array_equal(ours.losses, theirs.losses)
        assert ours.evaluated == theirs.evaluated


def test_budgets_and_boxes_that_hold_no_design_are_refused():
    with pytest.raises(ej.InputError, match="raise the budget to 15"):
        search(lambda cube: cube.sum(), 14)
    two = Space(PARAMETERS).of(("cutoff", "sigma"))
    with pytest.raises(ej.InputError, match="takes 3 to 12 hyperparameters, not 2"):
        BoxBehnken().run(Known(np.sum, two), two, Recorder(40), 0)


def test_as_many_hyperparameters_are_taken_as_two_rounds_allow():
    weights = Parameter((0.1, 10.0), logarithmic=True, importance=9, labels=("O", "Si"))
    space = Space({**PARAMETERS, "zeta": Parameter((1.0, 4.0), importance=6), "species_weights": weights})

    def affordable(budget):
        return list(BoxBehnken().affordable(Known(np.sum, space), space, budget).bounds)

    assert affordable(40) == list(PARAMETERS)
    assert affordable(53) == [*PARAMETERS, "zeta"]
    assert affordable(500) == list(space.bounds)


def test_bayes_gets_close_to_the_minimum_and_is_seeded():
    pytest.importorskip("optuna")
    space = Space(PARAMETERS)

    def run(seed):
        recorder = Recorder(60)
        problem = Known(lambda cube: np.sum((cube - [0.7, 0.3, 0.6]) ** 2), space)
        Bayes().run(problem, space, recorder, seed)
        return recorder

    first, again, other = run(0), run(0), run(1)
    losses = [[trial.loss for trial in recorder.trials] for recorder in (first, again, other)]
    assert losses[0] == losses[1] != losses[2]
    assert first.trials[0].values is START
    assert first.best.loss < 0.3 * first.trials[0].loss
