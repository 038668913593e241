"""Units in which labels are learned, whose labels count, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.small_networks import SMALLEST, TINY, with_gaps, with_scalars
from scipy.spatial.transform import Rotation

from efg_jax import InputError
from efg_jax.network import Architecture, EquivariantNetwork, Training
from efg_jax.network.batches import samples
from efg_jax.network.standard_units import Standard
from efg_jax.network.training_sets import TrainingData, atomic_target
from efg_jax.storage.plain_values import to_plain
from efg_jax.structures.targets import labels, to_irreps

SPECIES = ("H", "O", "Si")


def standard(frames, name="ms", wanted=None):
    return Standard.of(atomic_target(name, frames), frames, SPECIES, wanted)


def parts_of(frames, name="ms"):
    target = atomic_target(name, frames)
    kinds = np.concatenate([[SPECIES.index(symbol) for symbol in atoms.symbols] for atoms in frames])
    return to_irreps(target, labels(frames, target)), kinds


def test_every_part_of_every_element_has_size_one_and_only_scalars_mean_zero(to_learn):
    parts, kinds = parts_of(to_learn)
    found = standard(to_learn).standardised(parts, kinds)
    for species in range(3):
        for irrep, values in found.items():
            own = values[kinds == species]
            assert np.isclose(np.mean(own**2), 1.0), irrep
            # A mean of each component would be zero as well.
            assert (np.abs(own.mean(axis=0)).max() < 1e-12) == (irrep == (0, 1)), irrep


def test_restoring_undoes_it(to_learn):
    parts, kinds = parts_of(to_learn)
    units = standard(to_learn)
    restored = units.restored(units.standardised(parts, kinds), kinds)
    for irrep, values in parts.items():
        assert_allclose(restored[irrep], values, rtol=1e-12, atol=1e-12)


def test_the_frame_of_the_labels_does_not_matter(to_learn):
    rotation = Rotation.random(rng=np.random.default_rng(3)).as_matrix()
    turned = [atoms.copy() for atoms in to_learn]
    for atoms in turned:
        atoms.arrays["ms"] = rotation @ atoms.arrays["ms"] @ rotation.T
    before, after = standard(to_learn), standard(turned)
    assert_allclose(after.mean, before.mean, rtol=1e-12)
    for irrep, scale in before.scale.items():
        assert_allclose(after.scale[irrep], scale, rtol=1e-12)


def test_what_is_there_by_rounding_is_not_blown_up(to_learn):
    frames = with_scalars(to_learn)
    for number, atoms in enumerate(frames):
        atoms.arrays["iso"] = np.where(atoms.numbers == 8, 287.5 + 1e-12 * number, atoms.arrays["iso"])
    assert standard(frames, "iso").scale[0, 1][1] == 1.0


def test_elements_without_labels_get_theirs_later(to_learn):
    ours, theirs = standard(to_learn[:4], wanted=("O",)), standard(to_learn[4:])
    assert ours.labelled == (False, True, False)
    both = ours.extended(theirs)
    assert both.labelled == (True, True, True)
    assert_allclose(both.scale[2, 1], [theirs.scale[2, 1][0], ours.scale[2, 1][1], theirs.scale[2, 1][2]])
    assert_allclose(both.mean, [theirs.mean[0], ours.mean[1], theirs.mean[2]])


def test_labels_that_are_missing_or_not_wanted_are_masked(to_learn):
    frames = with_gaps(to_learn[:3])
    targets = {name: atomic_target(name, frames) for name in ("efg", "ms")}
    data = TrainingData(targets, dict(enumerate(frames)), {})
    architecture = data.settled(TINY)
    standards = data.standards(architecture.species, None)
    found = samples(data.training, architecture, list(targets.values()), standards)
    for number, sample in enumerate(found):
        for name in targets:
            expected = np.array([False, True, True, True, True]) & (name in frames[number].arrays)
            np.testing.assert_array_equal(sample.labelled[name], expected)
            for values in sample.labels[name].values():
                assert np.isfinite(values).all()
                assert not values[~expected].any()
    (oxygen, *_) = samples(data.training, architecture, list(targets.values()), standards, ("O",))
    np.testing.assert_array_equal(oxygen.labelled["efg"], [False, True, True, False, False])


def frames_without(frames, name):
    changed = [atoms.copy() for atoms in frames]
    for atoms in changed:
        del atoms.arrays[name]
    return changed


def two_columns(frames):
    changed = frames_without(frames, "efg")
    for atoms in changed:
        atoms.arrays["efg"] = np.ones((5, 2))
    return changed


def one_without_any(frames):
    return [*frames[:3], frames_without(frames_without(frames[3:4], "efg"), "ms")[0], *frames[4:]]


def all_nan(frames):
    changed = [atoms.copy() for atoms in frames]
    for atoms in changed:
        atoms.arrays["efg"][:] = np.nan
    return changed


@pytest.mark.parametrize(
    ("spoil", "options", "says"),
    [
        (two_columns, {}, r"frame 0: 'efg' has shape \(5, 2\).*nine numbers"),
        (one_without_any, {"target": ("efg", "ms")}, "frame 3: no 'efg' here"),
        (all_nan, {}, "no structure of the training set carries labels of 'efg'"),
        (list, {"species": "Al"}, "contains Al; choose among H, O, Si"),
        (list, {"target": "frobnicity"}, "no 'frobnicity' here"),
        (list, {"target": "dipole"}, "'dipole' belongs to the whole structure"),
        (list, {"target": "polarizability"}, "'polarizability' belongs to the whole structure"),
        (list, {"architecture": replace(TINY, species=("O", "Si"))}, r"frame \d, atom 3 \(H\): element H is not among"),
        (list, {"training": Training(validation=0.0)}, "the validation set is empty"),
        (lambda frames: frames[:1], {}, "cannot split 1 structure"),
        (lambda frames: [], {}, "the training set is empty"),
    ],
)
def test_bad_training_sets(to_learn, spoil, options, says):
    model = EquivariantNetwork(**{"architecture": TINY, **options})
    with pytest.raises(InputError, match=says):
        model.fit(spoil(to_learn[:6]))


def test_bad_validation_sets(to_learn):
    model = EquivariantNetwork(TINY, species="O")
    with pytest.raises(InputError, match="the validation set is empty"):
        model.fit(to_learn[:2], validation=[])
    with pytest.raises(InputError, match="no structure of the validation set carries labels of O of 'efg'"):
        model.fit(to_learn[:2], validation=all_nan(to_learn[2:4]))
    other = to_learn[2].copy()
    other.symbols[0] = "N"
    with pytest.raises(InputError, match=r"frame 1, atom 0 \(N\): element N is not among those"):
        model.fit(to_learn[:2], validation=[to_learn[3], other])
    oxygens, silicons = (only(with_scalars(to_learn[:2]), symbol, "iso") for symbol in ("O", "Si"))
    with pytest.raises(InputError, match="no structure of the validation set carries labels of O of 'iso'"):
        EquivariantNetwork(SMALLEST, target="iso").fit(oxygens, validation=silicons)


def only(frames, symbol, name):
    """Frames that are labelled for one element."""
    for atoms in frames:
        atoms.arrays[name][np.array(atoms.symbols) != symbol] = np.nan
    return frames


def test_bad_models():
    for options, says in (
        ({"members": 0}, "members must be 1 or more, got 0"),
        ({"members": True}, "members must be an integer, got True"),
        ({"target": ("efg", "efg")}, "must name each target once"),
        ({"target": ()}, "at least one"),
        ({"target": ("efg", "ms"), "array": "V"}, "array is the name of one target"),
    ):
        with pytest.raises(InputError, match=says):
            EquivariantNetwork(SMALLEST, **options)
    for options, says in (
        ({"lmax": 5}, "lmax must be 0 to 4, got 5"),
        ({"layers": 0}, "layers must be 1 to 4, got 0"),
        ({"cutoff": 0.0}, "cutoff must be positive, got 0.0"),
        (
            {"decomposition": "products", "products": 5},
            "products must be a square number, such as 1, 64 or 4096, got 5",
        ),
        ({"decomposition": "products", "product_order": 3}, "product_order must be 1 to lmax = 2, got 3"),
        ({"species": ("O", "O")}, "name each element once"),
        ({"species": ("O", "Qq")}, "must be symbols of elements, got 'Qq'"),
    ):
        with pytest.raises(InputError, match=says):
            Architecture(**options)
    assert json.dumps(EquivariantNetwork(SMALLEST, members=np.int64(2)).members) == "2"
    assert to_plain(Architecture(species="Si"))["species"] == ["Si"]
    with pytest.raises(InputError, match="not fitted yet"):
        EquivariantNetwork(SMALLEST).predict([])
