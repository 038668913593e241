"""Networks learn; an interrupted training resumes with the same result; a failed one says where and keeps its state."""

import json
from dataclasses import replace

import equinox as eqx
import jax
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from oracles.small_networks import SMALLEST, with_scalars

from efg_jax import InputError
from efg_jax.network import EquivariantNetwork, History, Loss, Training, starts
from efg_jax.network import trainer as training_module
from efg_jax.network.starts import random_networks
from efg_jax.network.training_figure import training_figure
from efg_jax.network.training_sets import TrainingData
from efg_jax.plots import BLACK, save
from efg_jax.storage.plain_values import from_plain, to_plain

QUICK = Training(epochs=4, learning_rate=0.01, batch_edges=200, validation=0.25)
MODEL = EquivariantNetwork(SMALLEST, target="iso", training=QUICK)


@pytest.fixture(scope="module")
def scalars(to_learn):
    return with_scalars(to_learn[:12])


class Stopped(Exception):
    """Stands for whatever ends a training."""


def stopping_after(epochs: int, seen: list | None = None):
    """A progress that ends the training, and keeps the numbers of the epochs that it saw."""

    def progress(done, _, what):
        assert "iso λ=0" in what
        if seen is not None:
            seen.append(done)
        if done >= epochs:
            raise Stopped

    return progress


def rms(values) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_crystals_that_were_held_out_are_predicted_better_than_by_the_mean(oxygen, to_learn, held_out):
    (target,) = oxygen.targets.values()
    data = TrainingData({"efg": target}, dict(enumerate(to_learn)), {})
    untrained = replace(oxygen, committee=random_networks(oxygen.model.architecture, data, ("O",), 1, 0))
    chosen = [np.asarray(atoms.symbols) == "O" for atoms in held_out]
    truth = np.concatenate([atoms.arrays["efg"][own] for atoms, own in zip(held_out, chosen, strict=True)])
    mean = np.mean([tensor for a in to_learn for tensor in a.arrays["efg"][np.asarray(a.symbols) == "O"]], axis=0)
    errors = {}
    for name, model in {"trained": oxygen, "untrained": untrained}.items():
        found = model.predict(held_out)
        assert all(np.isnan(values[~own]).all() for values, own in zip(found, chosen, strict=True))
        errors[name] = rms(np.concatenate([v[own] for v, own in zip(found, chosen, strict=True)]) - truth)
    assert errors["trained"] < 0.7 * rms(truth - mean)
    assert errors["trained"] < 0.7 * errors["untrained"]
    (history,) = oxygen.histories
    assert history.rows[history.best]["efg_2"] < 50.0 < history.rows[0]["efg_2"]


def test_a_committee_that_was_stopped_goes_on_to_the_same_bits(scalars, tmp_path):
    model, folder = replace(MODEL, members=2), tmp_path / "states"
    whole = model.fit(scalars).committee
    with pytest.raises(Stopped):
        model.fit(scalars, checkpoint=folder, progress=stopping_after(6))  # in the middle of the second network
    seen = []
    resumed = model.fit(scalars, checkpoint=folder, progress=lambda done, *_: seen.append(done)).committee
    assert seen == [7, 8]
    for ours, theirs in zip(jax.tree.leaves(resumed.networks), jax.tree.leaves(whole.networks), strict=True):
        assert_array_equal(ours, theirs)
    assert resumed.histories == whole.histories
    assert not folder.exists()


def test_a_machine_that_rounds_otherwise_goes_on_in_the_units_that_were_kept(scalars, tmp_path, monkeypatch):
    whole = MODEL.fit(scalars).committee
    with pytest.raises(Stopped):
        MODEL.fit(scalars, checkpoint=tmp_path, progress=stopping_after(1))
    plain = starts._calibrated

    def rounded(*arguments):
        found = plain(*arguments)
        return eqx.tree_at(lambda network: network.units, found, [(1.0 + 1e-6) * sizes for sizes in found.units])

    monkeypatch.setattr(starts, "_calibrated", rounded)
    seen = []
    resumed = MODEL.fit(scalars, checkpoint=tmp_path, progress=lambda done, *_: seen.append(done)).committee
    assert seen[0] == 2
    for ours, theirs in zip(jax.tree.leaves(resumed.networks), jax.tree.leaves(whole.networks), strict=True):
        assert_array_equal(ours, theirs)


def test_who_watches_a_training_sees_each_row_once_and_may_end_it(scalars, tmp_path):
    seen = []

    def until_two(row):
        seen.append(row)
        if len(seen) == 2:
            raise Stopped

    with pytest.raises(Stopped):
        MODEL.fit(scalars, checkpoint=tmp_path, watch=until_two)
    fitted = MODEL.fit(scalars, checkpoint=tmp_path, watch=seen.append)
    assert tuple(seen) == fitted.histories[0].rows


def test_only_a_training_of_the_same_data_and_options_is_gone_on_with(scalars, tmp_path, monkeypatch, caplog):
    # What an epoch does is of no concern here.
    row = {"epoch": 0, "learning_rate": 0.0, "training_loss": 1.0, "validation_loss": 1.0, "iso_0": 100.0}
    monkeypatch.setattr(training_module.Trainer, "_epoch", lambda self, state, still, epoch, seed: (state, 1.0))
    monkeypatch.setattr(training_module.Trainer, "_validated", lambda *_: row)

    def first_epoch(model, frames, last=1, **options):
        """Number of the first epoch of a fit that is stopped after so many: 1, or after what it found."""
        seen = []
        with pytest.raises(Stopped):
            model.fit(frames, checkpoint=tmp_path, progress=stopping_after(last, seen), **options)
        return seen[0]

    assert first_epoch(MODEL, scalars, last=2) == 1
    assert first_epoch(replace(MODEL, training=replace(QUICK, learning_rate=0.001)), scalars) == 1
    moved = [atoms.copy() for atoms in scalars]
    moved[0].positions[0] += 1e-9
    assert first_epoch(MODEL, moved) == 1
    relabelled = [atoms.copy() for atoms in scalars]
    relabelled[0].arrays["iso"][0] += 1e-9
    assert first_epoch(MODEL, relabelled) == 1
    assert "with other data, architecture or options only" in caplog.text
    caplog.clear()
    assert first_epoch(MODEL, scalars) == 3  # nobody touched what belongs to it
    assert not caplog.text
    assert first_epoch(MODEL, scalars, resume=False) == 1


def test_a_step_too_far_is_said_and_the_last_good_state_kept(scalars, tmp_path):
    training = replace(QUICK, learning_rate=1e25, batch_edges=10**6, epochs=10)
    with pytest.raises(
        training_module.TrainingFailed,
        match=r"loss is (nan|inf).* epoch [1-9].*\(frames? \d.*lower the learning rate.*kept in the checkpoint",
    ):
        replace(MODEL, training=training).fit(scalars, checkpoint=tmp_path)
    (state,) = tmp_path.iterdir()
    with np.load(state) as arrays:
        assert len(arrays["history/epoch"]) >= 1
        assert all(np.isfinite(values).all() for values in arrays.values())


def test_the_structure_whose_loss_is_no_number_is_named(scalars, tmp_path, monkeypatch):
    frames = [atoms.copy() for atoms in scalars]
    for number, atoms in enumerate(frames):
        atoms.info |= {"source_file": "run.extxyz", "source_frame": 10 + number}
    plain = training_module.joined

    def spoiled(together, *others):
        together = [
            sample._replace(labels={"iso": {(0, 1): 0.0 * sample.labels["iso"][0, 1] + np.inf}})
            if sample.place["frame"] == 15
            else sample
            for sample in together
        ]
        return plain(together, *others)

    monkeypatch.setattr(training_module, "joined", spoiled)
    with pytest.raises(InputError, match=r"loss is inf.*\(run.extxyz, frame 15\).*\(0.01\)$"):
        MODEL.fit(frames[:8], validation=frames[8:])


def test_training_ends_when_patience_does_and_the_best_weights_are_kept(scalars):
    training = replace(QUICK, epochs=40, learning_rate=0.3, patience=2, average=0.0)
    model = replace(MODEL, training=training).fit(scalars[:8], validation=scalars[8:])
    (history,) = model.histories
    losses = [row["validation_loss"] for row in history.rows]
    assert len(losses) == np.argmin(losses) + 3 <= 40
    found = np.concatenate(model.predict(scalars[8:], dtype="float64"))
    truth = np.concatenate([atoms.arrays["iso"] for atoms in scalars[8:]])
    scale = model.committee.standards["iso"].scale[0, 1][np.concatenate([[2, 1, 1, 0, 2]] * 4)]
    assert np.isclose(np.mean(((found - truth) / scale) ** 2), min(losses), rtol=1e-4)


def test_a_small_training_set_is_passed_through_as_often_as_its_steps_take(scalars):
    asked = replace(QUICK, epochs=2, steps=7, patience=2, learning_rate=1e-6, batch_edges=1)
    (history,) = replace(MODEL, training=asked).fit(scalars[:4], validation=scalars[8:]).histories
    assert len(history.rows) == 4  # of two batches each
    assert history.rows[-1]["learning_rate"] < 1.1e-8


def test_the_picture_of_a_training_has_what_the_history_has(tmp_path):
    rows = [{"epoch": e, "learning_rate": 0.1, "training_loss": 3.0 - e, "validation_loss": loss, "v_zz_0": 50.0 + e}
            for e, loss in enumerate((2.0, 1.0, 1.5))]  # fmt: skip
    figure = training_figure([History(tuple(rows)), History(tuple(rows[:2]))])
    losses, errors = figure.axes
    validation = [line for line in losses.lines if line.get_color() == BLACK]
    np.testing.assert_array_equal(validation[0].get_ydata(), [2.0, 1.0, 1.5])
    assert validation[1].get_xydata().tolist() == [[1.0, 1.0]]  # the best epoch
    assert [text.get_text() for text in errors.get_legend().get_texts()] == ["v_zz λ = 0"]
    save(figure, tmp_path / "training.png")
    with pytest.raises(InputError, match="no epochs"):
        training_figure([])


def test_histories_go_to_a_table_and_back(tmp_path):
    history = History(({"epoch": 0, "learning_rate": 0.1, "training_loss": 1.0, "validation_loss": 2.0, "ms_1": 7.5},))
    assert History.from_arrays(history.arrays()) == history
    assert "validation ms λ=1 7.5 % (loss 2, training 1)" in history.describe()
    history.to_csv(tmp_path / "log.csv")
    assert (tmp_path / "log.csv").read_text().splitlines() == [",".join(history.rows[0]), "0,0.1,1.0,2.0,7.5"]


def test_an_invariant_network_learns_numbers(to_learn, held_out):
    training = Training(epochs=60, learning_rate=0.02, batch_edges=1500)
    architecture = replace(SMALLEST, cutoff=3.5, channels=8, bessels=4, radial_width=8)
    frames, others = with_scalars(to_learn), with_scalars(held_out)
    model = EquivariantNetwork(architecture, species="O", target="iso", training=training)
    fitted = model.fit(frames, validation=others)
    assert min(row["iso_0"] for row in fitted.histories[0].rows) < 75.0
    assert fitted.predict(others[0]).shape == (5,)
    with pytest.raises(InputError, match=r"'efg' has a part of order 2 .* lmax = 0 do not make; take a higher lmax"):
        replace(model, target="efg").fit(frames)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"epochs": 0}, "epochs must be positive, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate must be positive, got nan"),
        ({"validation": 1.0}, "validation must be at least 0 and below 1, got 1.0"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
        ({"steps": -1}, "steps must be 0 or more, got -1"),
    ],
)
def test_options_that_cannot_be(options, says):
    with pytest.raises(InputError, match=says):
        Training(**options)


def test_options_survive_json():
    training = replace(QUICK, loss=Loss("observables", {"efg": 2.0}, {2: 0.5}, {"O": 3.0}, 0.1))
    assert from_plain(Training, json.loads(json.dumps(to_plain(training)))) == training
    assert Training(loss="observables", learning_rate=0.25) == Training(loss=Loss("observables"), learning_rate=0.25)
