"""Learning curves of networks and kernel models: the same structures for both, reuse of fits, and refusals."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.labelled_crystals import crystals
from oracles.small_networks import SMALLEST, TINY, with_scalars

import efg_jax as ej
from efg_jax.learning_curves.curve_plan import subsets
from efg_jax.network import EquivariantNetwork, Loss, Training

TEST, SEED = 0.2, 1
NETWORK = EquivariantNetwork(
    SMALLEST, target="iso", training=Training(epochs=2, learning_rate=0.05, batch_edges=600, validation=0.3)
)
KERNEL = ej.TensorGPR(ej.LambdaSOAP(cutoff=3.5, nmax=2, lmax=1, sigma=0.5), target="iso", regularisation=1e-4)
MODELS = {"tensor": KERNEL, "small": NETWORK}


class Stopped(Exception):
    """What a callback raises."""


@pytest.fixture(scope="module")
def structures():
    """Ten: eight to train on, two held out, of which one has an element that no other has."""
    frames = with_scalars(crystals(10, seed=3))
    _, (first, _) = ej.split(range(10), TEST, SEED)
    frames[first].symbols[3] = "C"
    return frames


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def curve(structures, cache):
    return ej.learning_curve(MODELS, structures, (4,), 1, TEST, SEED, cache)


@pytest.fixture
def fits_refused(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("fitted again")

    for kind in (EquivariantNetwork, ej.TensorGPR):
        monkeypatch.setattr(kind, "fit", refuse)


def of(curve, model):
    return {(row.species, row.metric): row.value for row in curve.rows if row.model == model}


def test_both_learn_from_the_same_structures_and_are_judged_on_the_same(curve, structures):
    training, test = ej.split(structures, TEST, SEED)
    few = [training[i] for i in subsets(8, (4,), 1, SEED)[0].indices]
    assert {row.environments for row in curve.rows if row.species == "O"} == {2 * 4}
    assert set(of(curve, "tensor")) == set(of(curve, "small"))
    # The network knows carbon, which the training set does not have; its neighbours are those of the training set.
    network = replace(NETWORK, architecture=replace(SMALLEST, species=("C", "H", "O", "Si")))
    for name, model in (("tensor", replace(KERNEL, descriptor=KERNEL.descriptor.with_species(("C", "H", "O", "Si")))),
                        ("small", network)):  # fmt: skip
        report = model.fit(few).evaluate(test).to_dict()
        assert list(report) == ["H", "O", "Si"]
        for species, entry in report.items():
            assert of(curve, name)[species, "mae"] == pytest.approx(entry["mae"], rel=1e-12)


def test_finished_fits_are_found_again(curve, structures, cache, fits_refused):
    again = ej.learning_curve(MODELS, structures, (4,), 1, TEST, SEED, cache)
    assert again == curve
    alone = ej.learning_curve(NETWORK, structures, (4,), 1, TEST, SEED, cache)
    assert alone.models == ["network"]
    assert of(alone, "network") == of(curve, "small")
    assert not (cache / "states").exists()


def test_a_curve_that_was_stopped_goes_on_in_the_middle_of_a_fit(curve, structures, tmp_path):
    told = []

    def stop(what):
        told.append(what)
        raise Stopped

    with pytest.raises(Stopped):
        ej.learning_curve(NETWORK, structures, (4,), 1, TEST, SEED, tmp_path, progress=stop)
    assert len(list((tmp_path / "states").iterdir())) == 1
    resumed = ej.learning_curve(NETWORK, structures, (4,), 1, TEST, SEED, tmp_path, progress=told.append)
    assert [what.partition(",")[0] for what in told] == ["network", "network"]
    for epoch, what in enumerate(told, start=1):
        assert what.startswith(f"network, 4 structures, repeat 1: step {epoch}/2, validation iso")
    assert of(resumed, "network") == of(curve, "small")
    assert not (tmp_path / "states").exists()


@pytest.mark.parametrize(
    "changed",
    [
        {"architecture": replace(SMALLEST, channels=3)},
        {"architecture": replace(SMALLEST, cutoff=4.0)},
        {"training": replace(NETWORK.training, epochs=3)},
        {"training": replace(NETWORK.training, loss=Loss(species={"O": 2.0}))},
        {"members": 2},
        {"species": ("O",)},
    ],
    ids=["channels", "cutoff", "epochs", "loss", "members", "species"],
)
def test_a_fit_of_another_network_is_another_fit(curve, structures, cache, fits_refused, changed):
    with pytest.raises(AssertionError, match="fitted again"):
        ej.learning_curve(replace(NETWORK, **changed), structures, (4,), 1, TEST, SEED, cache)


def test_settings_say_what_was_trained(curve):
    found = curve.settings["models"]["small"]
    network = replace(NETWORK, architecture=replace(SMALLEST, species=("C", "H", "O", "Si")))
    assert found == {"kind": "network", **network.to_dict()}
    assert EquivariantNetwork.from_dict({name: found[name] for name in found if name != "kind"}) == network


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (replace(NETWORK, target=("efg", "ms")), "model 'network' learns efg and ms, and a learning curve is of one"),
        (replace(NETWORK, target="dipole"), "'dipole' belongs to whole structures; take a tensor model"),
        (replace(NETWORK, training=Training(validation=0.0)), "validation=0.1"),
        (
            replace(NETWORK, architecture=replace(TINY, species=("O", "Si"))),
            "model 'network': the network knows O, Si.* also contain C, H",
        ),
        (replace(NETWORK, target="efg"), "'efg' has a part of order 2 .* take a higher lmax"),
        ({"tensor": KERNEL, "network": replace(NETWORK, target="ms")}, "iso and ms"),
    ],
    ids=["targets", "structures", "validation", "elements", "order", "others"],
)
def test_what_no_network_can_learn_is_refused(structures, tmp_path, fits_refused, model, says):
    with pytest.raises(ej.InputError, match=says):
        ej.learning_curve(model, structures, (4,), 1, TEST, SEED, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_training_sets_that_cannot_be_divided_name_size_and_repeat(structures, fits_refused):
    """Labels of oxygen in one structure of the training set: either it is trained on, or it is watched."""
    indices = subsets(8, (4,), 1, SEED)[0].indices
    moving, watched = ej.split(indices.tolist(), NETWORK.training.validation, NETWORK.training.seed)
    training = ej.split(range(10), TEST, SEED)[0]
    for labelled, says in ((watched[0], "all structures with O labels are held out for validation"),
                           (moving[0], "no structure that is held out for validation has labels")):  # fmt: skip
        frames = [atoms.copy() for atoms in structures]
        for position in set(training) - {training[labelled]}:
            frames[position].arrays["iso"] = np.full(len(frames[position]), np.nan)
        model = {"small": replace(NETWORK, species="O")}
        with pytest.raises(
            ej.InputError, match=rf"the 4 training structures of repeat 1 cannot train model 'small': {says}"
        ):
            ej.learning_curve(model, frames, (4,), 1, TEST, SEED)
