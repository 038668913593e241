"""Searches over networks: they gain, prune, and come to the same trials wherever they were interrupted."""

import json
import warnings
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from oracles.labelled_crystals import crystals
from oracles.small_networks import SMALLEST, TINY, with_scalars

import efg_jax as ej
from efg_jax.network import EquivariantNetwork, Training
from efg_jax.network import trainer as training_module
from efg_jax.network.backbone import check_makes
from efg_jax.network.network_parameters import narrowed, network_parameters, with_network_values
from efg_jax.tuning import Space, read_hyperparameters

pytest.importorskip("optuna")

TRAINING = Training(epochs=6, learning_rate=1e-6, batch_edges=200, validation=0.25, patience=6)
MODEL = EquivariantNetwork(SMALLEST, target="iso", training=TRAINING)
STEPS = {"bounds": {"learning_rate": (1e-6, 1.0)}, "parameters": ("learning_rate", "weight_decay", "batch_edges")}
PRODUCTS = EquivariantNetwork(replace(TINY, decomposition="products", products=16))


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def frames():
    return with_scalars(crystals(8, seed=0))


@contextmanager
def costing_nothing():
    """Trainings whose loss falls with the epochs to a floor that is lowest at a learning rate of 1e-3.

    Above 0.01 the loss is infinite. Gives the list of all epochs that were trained, by learning rate.
    """
    trained = []

    def epoch(self, state, still, number, seed):
        if self._options.learning_rate > 0.01 and number == 1:
            raise training_module.TrainingFailed("training failed: the loss is inf")
        trained.append((self._options.learning_rate, number))
        return state, 1.0

    def validated(self, state, still, number, training_loss):
        floor = abs(np.log10(self._options.learning_rate) + 3.0) + self._options.weight_decay
        loss = float(floor + 1.0 / (1 + number))
        return {"epoch": number, "learning_rate": 0.0, "training_loss": 1.0, "validation_loss": loss, "iso_0": 1.0}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training_module.Trainer, "_epoch", epoch)
        patched.setattr(training_module.Trainer, "_validated", validated)
        yield trained


@pytest.fixture
def landscape():
    with costing_nothing() as trained:
        yield trained


@pytest.fixture(scope="module")
def whole(frames):
    """A search that ran to its end, and the epochs that were trained."""
    with costing_nothing() as trained:
        return ej.tune(MODEL, frames, budget=10, **STEPS), sorted(trained)


def without_times(found):
    return [(t.number, t.stage, t.values, t.state, t.loss, t.best, t.losses) for t in found.trials]


def test_a_step_that_learns_is_found_from_one_that_does_not(frames):
    model = replace(MODEL, training=replace(TRAINING, epochs=3), members=2)
    told = []
    found = ej.tune(
        model,
        frames,
        budget=2,
        bounds={"learning_rate": (1e-6, 100.0)},
        watch=lambda n, row: told.append((n, row["epoch"])),
    )
    assert told == [(trial, epoch) for trial in range(2) for epoch in range(3)]
    assert found.start.loss > 1.02 * found.best.loss
    assert found.start.values["learning_rate"] == 1e-6
    assert found.model.training == replace(model.training, learning_rate=found.best.values["learning_rate"])
    assert (found.model.architecture, found.model.members) == (SMALLEST, 2)


def test_tune_fits_what_the_search_finds(whole, frames, landscape):
    found = min(whole[0].trials[:2], key=lambda trial: trial.loss)
    tuned = ej.tune(MODEL, frames, budget=2, **STEPS).fit(frames)
    assert tuned.model.training.learning_rate == found.values["learning_rate"] != TRAINING.learning_rate
    assert tuned.histories[0].rows


def test_what_promises_nothing_is_pruned_and_the_start_is_not(whole, frames, landscape):
    found, epochs = whole
    states = [trial.state for trial in found.trials]
    assert states[0] == "complete"
    assert set(states) == {"complete", "pruned", "failed"}
    assert found.details["pruned"] == states.count("pruned")
    assert found.details["epochs"] == len(epochs)
    losses = np.array([trial.losses for trial in found.trials if trial.state == "complete"])
    for trial in found.trials:
        if trial.state == "complete":
            assert len(trial.losses) == 6
            assert trial.loss == min(trial.losses)
        if trial.state == "pruned":
            assert len(trial.losses) < 6
            assert trial.loss > losses[:, len(trial.losses) - 1].min()
        if trial.state == "failed":
            assert (trial.loss, len(trial.losses)) == (np.inf, 1)
    assert found.best.state == "complete"
    assert found.best.loss == min(trial.loss for trial in found.trials)
    assert [trial.best for trial in found.trials] == list(np.minimum.accumulate([t.loss for t in found.trials]))
    first = states.index("pruned")
    unpruned = ej.tune(MODEL, frames, budget=first + 1, prune=False, **STEPS)
    assert unpruned.trials[first].values == found.trials[first].values
    assert (unpruned.trials[first].state, len(unpruned.trials[first].losses)) == ("complete", 6)


def test_a_search_that_was_stopped_goes_on_to_the_same_trials(whole, frames, landscape, tmp_path):
    reference, epochs = whole
    states = [trial.state for trial in reference.trials]
    pruned, failed = states.index("pruned"), states.index("failed")
    stops = [(0, 0), (pruned, 0), (pruned, len(reference.trials[pruned].losses) - 1), (failed, None)]
    for number, epoch in stops:

        def watch(trial, row, number=number, epoch=epoch):
            if (trial, row["epoch"]) == (number, epoch):
                raise Stopped

        def callback(trial, number=number):
            if trial.number == number:
                raise Stopped

        own = {"callback": callback} if epoch is None else {"watch": watch}
        with pytest.raises(Stopped):
            ej.tune(MODEL, frames, budget=10, cache=tmp_path, **own, **STEPS)
    found = ej.tune(MODEL, frames, budget=10, cache=tmp_path, **STEPS)
    assert without_times(found) == without_times(reference)
    # What was stopped at the epoch that it would have been pruned at trains one more.
    rate = reference.trials[pruned].values["learning_rate"]
    assert sorted(landscape) == sorted([*epochs, (rate, len(reference.trials[pruned].losses))])
    assert [path.suffix for path in tmp_path.glob("[!.]*")] == [".jsonl"]


def test_a_cache_serves_the_same_search_with_a_larger_budget_and_no_other(frames, landscape, tmp_path, caplog):
    ej.tune(MODEL, frames, budget=1, cache=tmp_path, **STEPS)
    landscape.clear()
    larger = ej.tune(MODEL, frames, budget=2, cache=tmp_path, **STEPS)
    assert {rate for rate, _ in landscape} == {larger.trials[1].values["learning_rate"]}
    landscape.clear()
    with caplog.at_level("WARNING", logger="efg_jax"):
        ej.tune(MODEL, frames, budget=1, cache=tmp_path, seed=1, **STEPS)
    assert "other data or settings" in caplog.text
    ej.tune(MODEL, frames, budget=1, cache=tmp_path, resume=False, **STEPS)
    assert len(landscape) == 12


def test_nothing_that_learns_is_an_error(frames, landscape):
    with pytest.raises(ej.InputError, match=r"finite in no trial; lower the learning rate"):
        ej.tune(replace(MODEL, training=replace(TRAINING, learning_rate=0.05)), frames, budget=1)


class Sampler:
    """Asks for random points, as a trial of optuna does."""

    def __init__(self, seed):
        self._generator = np.random.default_rng(seed)

    def suggest_int(self, _, low, high, log=False):
        return int(self._generator.integers(low, high + 1))

    def suggest_float(self, _, low, high, log=False):
        return float(self._generator.uniform(low, high))


@pytest.mark.parametrize(
    ("model", "lowest"),
    [
        (EquivariantNetwork(TINY), {"lmax": 2, "layers": 1}),
        (EquivariantNetwork(TINY, target="ms"), {"lmax": 2, "layers": 2}),
        (EquivariantNetwork(TINY, target="iso"), {"lmax": 0, "layers": 1}),
        (PRODUCTS, {"lmax": 1, "layers": 1, "product_order": 1}),
    ],
)
def test_no_network_is_trained_that_cannot_make_the_target(model, lowest):
    irreps = {"efg": ((2, 1),), "ms": ((0, 1), (1, -1), (2, 1)), "iso": ((0, 1),)}[model.target]
    outputs = {model.target: irreps}
    space = Space(narrowed(network_parameters(model), model, outputs))
    assert {name: space.bounds[name][0] for name in lowest} == lowest
    sampler, start = Sampler(0), dict.fromkeys(space.bounds, 0)
    for _ in range(50):
        values = space.suggested(sampler, start)
        check_makes(with_network_values(model, values).architecture, outputs)


def test_a_search_survives_its_files(whole, tmp_path):
    found, _ = whole
    found.save(tmp_path / "best.json")
    read = read_hyperparameters(tmp_path / "best.json")
    assert read.model() == found.model
    own = EquivariantNetwork(TINY, target="other", training=Training(epochs=2, patience=1, seed=3))
    applied = read.apply(own)
    assert (applied.target, applied.architecture) == ("other", SMALLEST)
    rates = {name: getattr(found.model.training, name) for name in ("learning_rate", "weight_decay", "batch_edges")}
    assert applied.training == replace(own.training, **rates)
    with pytest.raises(ej.InputError, match="are those of a network"):
        read.apply(ej.TensorGPR())
    content = json.loads((tmp_path / "best.json").read_text())
    history = content["search"]["history"]
    assert [entry["loss"] for entry in history] == [t.loss if np.isfinite(t.loss) else None for t in found.trials]
    assert [entry["losses"] for entry in history] == [list(trial.losses) for trial in found.trials]
    content["hyperparameters"]["architecture"]["lmax"] = 9
    (tmp_path / "spoiled.json").write_text(json.dumps(content))
    with pytest.raises(ej.InputError, match=r"spoiled.json: lmax must be 0 to 4, got 9"):
        read_hyperparameters(tmp_path / "spoiled.json")
    found.to_csv(tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("method,number,stage,state,loss,best,epochs,cpu_s,wall_s,gradient,learning_rate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = found.plot()
        assert all(figure._repr_png_()[:4] == b"\x89PNG" for figure in figures)
    history, parameters = figures
    marked = {text.get_text() for text in history.legends[0].get_texts()}
    assert marked == {"best", *(trial.state for trial in found.trials)}
    assert [ax.get_title() for ax in parameters.axes] == ["learning rate", "weight decay", "batch edges"]


def test_hyperparameters_of_kernels_are_refused():
    kernel = ej.tuning.Hyperparameters.of(ej.TensorGPR())
    with pytest.raises(ej.InputError, match=r"those of a kernel model.*tune --model network"):
        kernel.apply(EquivariantNetwork())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"method": "gradient"}, "networks are searched by 'bayes'"),
        ({"loss": "rmse"}, "loss = 'rmse' is no option for tuning networks"),
        ({"folds": 3}, "folds = 3 is no option for tuning networks"),
        ({"workers": 1}, "workers = 1 is no option for tuning networks"),
        ({"budget": 0}, "budget = 0 is below 1"),
        ({"seed": -1}, "got seed=-1"),
        ({"parameters": ()}, "nothing to tune"),
        ({"parameters": ("sigma",)}, "cannot tune sigma; choose among learning_rate, channels"),
        ({"parameters": ("products",)}, "makes no products"),
        ({"bounds": {"lmax": (0, 7)}}, "lmax are .0, 7., beyond its limits 0 and 4"),
        ({"bounds": {"learning_rate": (0.0, 0.1)}}, "beyond or on its limits 0 and inf"),
        ({"bounds": {"channels": (8, 4)}}, "an empty box"),
        ({"bounds": {"channels": (1.5, 4)}}, "give whole numbers"),
        ({"bounds": {"learning_rate": (0.01, 0.1)}}, "the start learning_rate = 1e-06 lies outside"),
    ],
)
def test_bad_options_are_refused(frames, options, says):
    with pytest.raises(ej.InputError, match=says):
        ej.tune(MODEL, frames, **options)


def test_what_cannot_be_trained_is_refused_before_the_first_trial(frames):
    still = replace(MODEL, training=replace(TRAINING, weight_decay=0.0))
    assert "weight_decay" not in network_parameters(still)
    with pytest.raises(ej.InputError, match="weight_decay: it starts from zero"):
        ej.tune(still, frames, parameters=("weight_decay",))
    with pytest.raises(ej.InputError, match="the validation set is empty"):
        ej.tune(replace(MODEL, training=replace(TRAINING, validation=0.0)), frames)
    with pytest.raises(ej.InputError, match="steps = 9: a search compares trainings by epoch"):
        ej.tune(replace(MODEL, training=replace(TRAINING, steps=9)), frames)
    with pytest.raises(ej.InputError, match=r"'efg' has a part of order 2 .* take a higher lmax"):
        ej.tune(replace(MODEL, target="efg"), frames)
