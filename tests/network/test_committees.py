"""Committees, several targets at once, and what becomes of a fitted model: predicted, saved, fine-tuned."""

import json
from dataclasses import replace

import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.small_networks import TINY, with_scalars
from scipy.spatial.transform import Rotation
from strategies import turned

from efg_jax import InputError, TensorCalculator, load
from efg_jax.network import EquivariantNetwork, Training
from efg_jax.network.equivariant_network import FittedNetwork
from efg_jax.network.starts import known_networks
from efg_jax.network.training_sets import TrainingData
from efg_jax.storage.model_files import read_model, write_model


def weights(network) -> np.ndarray:
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(network)])


def alone(model, member: int):
    """The model with one member of its committee only."""
    return replace(model, committee=replace(model.committee, networks=model.committee.networks[member : member + 1]))


def test_members_differ_and_their_mean_is_predicted_with_their_spread(both, held_out):
    ours, theirs = (alone(both, member).predict(held_out[0], target="ms") for member in (0, 1))
    mean, variance = both.predict(held_out[0], target="ms", variance=True)
    assert np.abs(ours - theirs).max() > 1e-3 * np.abs(mean).max()
    assert_allclose(mean, (ours + theirs) / 2, rtol=1e-12)
    assert_allclose(variance, ((ours - theirs) ** 2).sum(axis=(1, 2)) / 2, rtol=1e-9)  # over n − 1
    _, isotropic = both.predict(held_out[0], target="ms", variance="isotropic")
    assert_allclose(isotropic, np.trace(ours - theirs, axis1=1, axis2=2) ** 2 / 9 / 2, rtol=1e-9)
    with pytest.raises(InputError, match="'efg' has no isotropic part"):
        both.predict(held_out[0], target="efg", variance="isotropic")
    with pytest.raises(InputError, match="one network has no spread; train a committee"):
        alone(both, 0).predict(held_out[0], target="ms", variance=True)


def test_the_variance_does_not_depend_on_the_frame(both, held_out):
    rotation = Rotation.random(rng=np.random.default_rng(5)).as_matrix()
    options = {"target": "ms", "dtype": "float64", "variance": True}
    (values, variance), (others, same) = (
        both.predict(atoms, **options) for atoms in (held_out[0], turned(held_out[0], rotation))
    )
    assert_allclose(same, variance, rtol=1e-8)
    assert_allclose(others, rotation @ values @ rotation.T, rtol=0, atol=1e-9 * np.abs(values).max())


def test_targets_share_all_layers_and_are_predicted_at_once(both, held_out):
    for network in both.committee.networks:
        assert set(network.heads) == {"efg", "ms"}
    together = list(both.predict_targets(held_out))
    for name in ("efg", "ms"):
        for found, expected in zip(together, both.predict(held_out, target=name), strict=True):
            assert_array_equal(found[name].values, expected)
    for history in both.histories:
        assert {"efg_2", "ms_0", "ms_1", "ms_2"} <= set(history.rows[0])
    with pytest.raises(InputError, match=r"predicts efg and ms; choose one with target='efg'"):
        both.predict(held_out)
    with pytest.raises(InputError, match="predicts efg and ms, not 'dipole'"):
        both.predict(held_out, target="dipole")


def test_a_calculator_gives_every_target(both, held_out):
    calculator = TensorCalculator(both, variance=True)
    assert calculator.implemented_properties == ["efg", "efg_std", "ms", "ms_std"]
    atoms = calculator.annotate(held_out[0].copy())
    for name in ("efg", "ms"):
        values, variance = both.predict(held_out[0], target=name, variance=True)
        assert_array_equal(atoms.arrays[name], values)
        assert_array_equal(atoms.arrays[f"{name}_std"], np.sqrt(variance))
    with pytest.raises(InputError, match="chunk must be a positive number of atoms or 'auto', got 0"):
        TensorCalculator(both, chunk=0)


def test_a_calculator_of_one_network_has_no_variance(oxygen):
    with pytest.raises(InputError, match="one network has no spread"):
        TensorCalculator(oxygen, variance=True)


def test_each_target_is_evaluated_where_it_is_known(both, held_out):
    frames = [atoms.copy() for atoms in held_out]
    del frames[0].arrays["ms"]
    counts = [both.evaluate(known, target="ms").to_dict()["O"]["n"] for known in (held_out, frames)]
    assert counts == [12, 10]
    for atoms in frames:
        atoms.arrays.pop("ms", None)
    with pytest.raises(InputError, match="no structure carries 'ms'"):
        both.evaluate(frames, target="ms")


def test_only_what_was_learned_is_predicted(oxygen, held_out):
    assert oxygen.species == ["O"]
    with pytest.raises(InputError, match="the model predicts nothing for Si; it was trained for O"):
        oxygen.predict(held_out, species="Si")
    other = held_out[1].copy()
    other.symbols[0] = "Al"
    with pytest.raises(InputError, match=r"frame 1, atom 0 \(Al\): element Al is not among those"):
        oxygen.predict([held_out[0], other])
    bare = held_out[0][held_out[0].numbers != 8]
    with pytest.raises(InputError, match="nothing to predict: the model is for O"):
        oxygen.predict(bare)
    (chosen,) = np.flatnonzero(np.isfinite(oxygen.predict(held_out[0], indices=[0, 2])[:, 0, 0]))
    assert chosen == 2


def test_a_saved_model_predicts_the_same_bits(both, held_out, tmp_path):
    both.save(tmp_path / "model.npz")
    loaded = load(tmp_path / "model.npz")
    for name in ("efg", "ms"):
        ours, theirs = (model.predict(held_out, target=name, variance=True) for model in (both, loaded))
        for a, b in zip((*ours[0], *ours[1]), (*theirs[0], *theirs[1]), strict=True):
            assert_array_equal(a, b)
    reports = [model.evaluate(held_out, target="ms").to_dict() for model in (both, loaded)]
    assert json.dumps(reports[0]) == json.dumps(reports[1])
    assert loaded.histories == both.histories
    assert loaded.model == both.model
    with pytest.raises(InputError, match="not fitted"):
        EquivariantNetwork(TINY).save(tmp_path / "none.npz")
    assert not (tmp_path / "none.npz").exists()


def test_files_that_do_not_fit_together(oxygen, tmp_path):
    path = tmp_path / "model.npz"
    oxygen.save(path)
    header, arrays = read_model(path)
    options = header["options"]
    wider = {**header, "options": {**options, "architecture": {**options["architecture"], "channels": 5}}}
    write_model(tmp_path / "wider.npz", wider, arrays)
    with pytest.raises(InputError, match=r"wider.npz: .*the weights are those of another architecture"):
        load(tmp_path / "wider.npz")
    write_model(tmp_path / "less.npz", header, {name: values for name, values in arrays.items() if "/0/3" not in name})
    with pytest.raises(InputError, match=r"less.npz: .*has missing or unknown parts"):
        load(tmp_path / "less.npz")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "spoiled.npz").write_bytes(content)
    with pytest.raises(InputError, match=r"spoiled.npz"):
        load(tmp_path / "spoiled.npz")


def test_a_new_target_on_frozen_layers_gets_a_head_and_changes_nothing_else(both, to_learn):
    training = Training(epochs=3, learning_rate=0.05, batch_edges=600, validation=0.3)
    tuned = both.finetune(with_scalars(to_learn[:6]), target="iso", frozen=True, training=training)
    for before, after in zip(both.committee.networks, tuned.committee.networks, strict=True):
        assert_array_equal(weights(after.interactions), weights(before.interactions))
        assert_array_equal(after.embedding, before.embedding)
        assert set(after.heads) == {"iso"}
    start = known_networks(both.committee, _data(tuned.model, with_scalars(to_learn[:6])), None, training.seed)
    assert (weights(start.networks[0].heads) != weights(tuned.committee.networks[0].heads)).any()
    assert tuned.predict(to_learn[0]).shape == (5,)


def test_what_a_model_knows_keeps_its_units_and_the_rest_gets_its_own(oxygen, to_learn):
    model = replace(oxygen.model, species=("O", "Si"), target=("efg", "iso"))
    begun = known_networks(oxygen.committee, _data(model, with_scalars(to_learn[6:12])), model.species, 0)
    known, now = oxygen.committee.standards["efg"], begun.standards["efg"]
    assert now.labelled == (False, True, True)
    assert now.scale[2, 1][1] == known.scale[2, 1][1]
    assert begun.scales["efg"]["O"] == oxygen.committee.scales["efg"]["O"]
    assert "Si" in begun.scales["efg"]
    ours, theirs = begun.networks[0], oxygen.committee.networks[0]
    assert_array_equal(weights(ours.interactions), weights(theirs.interactions))
    assert_array_equal(weights(ours.heads["efg"]), weights(theirs.heads["efg"]))


def test_fine_tuning_that_cannot_be(oxygen, to_learn):
    with pytest.raises(InputError, match=r"'ms' has a part of order 1 .*train a network for both"):
        oxygen.finetune(to_learn[:4], target="ms", species=("O", "H"))
    other = [atoms.copy() for atoms in to_learn[:4]]
    other[2].symbols[3] = "N"
    with pytest.raises(InputError, match=r"frame 2, atom 3 \(N\): element N is not among those"):
        oxygen.finetune(other)
    numbers = [atoms.copy() for atoms in to_learn[:4]]
    for atoms in numbers:
        atoms.arrays["q"] = np.arange(5.0)
    tensors = replace(oxygen.committee, targets={"q": replace(oxygen.committee.targets["efg"], name="q")})
    with pytest.raises(InputError, match="'q' is a scalar in these structures, and the model knows it as a matrix"):
        FittedNetwork(replace(oxygen.model, target="q"), tensors).finetune(numbers)
    symmetric = replace(oxygen.committee, targets={"ms": replace(oxygen.committee.targets["efg"], name="ms")})
    with pytest.raises(InputError, match="'ms' has a part of order 0 in these structures"):
        FittedNetwork(replace(oxygen.model, target="ms"), symmetric).finetune(to_learn[:4])
    with pytest.raises(InputError, match="not fitted"):
        EquivariantNetwork(TINY).finetune(to_learn)


def _data(model, frames) -> TrainingData:
    return TrainingData.of(model.targets, None, frames[2:], frames[:2], 0.0, 0, model.species)
