"""Partitions are by structure, whole, seeded, and as even as they can be."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from efg_jax.errors import InputError
from efg_jax.structures.splits import folds, split


@given(st.integers(2, 60), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_a_split_holds_every_structure_once(n, test, seed):
    train, held_out = split(list(range(n)), test=test, seed=seed)
    assert sorted(train + held_out) == list(range(n))
    assert len(held_out) == np.clip(np.floor(test * n + 0.5), 1, n - 1)
    assert train == sorted(train)
    assert held_out == sorted(held_out)
    assert (train, held_out) == split(list(range(n)), test=test, seed=seed)


def test_the_seed_decides_and_the_numbers_stay_what_they_are():
    # Recorded once: a published split must come back on every machine and with every numpy.
    assert split(range(10), test=0.3, seed=0)[1] == [2, 4, 6]
    assert split(range(10), test=0.3, seed=1)[1] != [2, 4, 6]


def test_frames_are_handed_on_themselves():
    frames = [object() for _ in range(5)]
    train, test = split(frames)
    assert {id(frame) for frame in (*train, *test)} == {id(frame) for frame in frames}


@pytest.mark.parametrize("test", [0.0, 1.0, -0.1, 5.0, float("nan")])
def test_a_part_outside_0_and_1_is_refused(test):
    with pytest.raises(InputError, match="between 0 and 1"):
        split(list(range(10)), test=test)


def test_too_few_structures_and_negative_seeds_are_refused():
    with pytest.raises(InputError, match="at least 2"):
        split([1])
    with pytest.raises(InputError, match="seed=-1"):
        split([1, 2, 3], seed=-1)
    with pytest.raises(InputError, match=r"3 structure.* k=5"):
        folds(3)
    with pytest.raises(InputError, match="k=1"):
        folds(10, k=1)


@given(st.integers(5, 80), st.integers(2, 5), st.integers(0, 2**32))
def test_folds_are_even_and_reproducible(n, k, seed):
    label = folds(n, k=k, seed=seed)
    assert label.shape == (n,)
    counts = np.bincount(label, minlength=k)
    assert counts.max() - counts.min() <= 1
    np.testing.assert_array_equal(label, folds(n, k=k, seed=seed))


@given(st.lists(st.sampled_from("abcdefgh"), min_size=8, max_size=60), st.integers(0, 100))
def test_no_group_is_divided(groups, seed):
    groups = list("abcdefgh") + groups
    label = folds(groups, k=4, seed=seed)
    assert set(label.tolist()) == {0, 1, 2, 3}
    for group in set(groups):
        assert len({label[i] for i in range(len(groups)) if groups[i] == group}) == 1


def test_atoms_of_a_structure_stay_together():
    structure = np.repeat(np.arange(20), 9)
    label = folds(structure, k=5)
    assert np.bincount(label).tolist() == [36] * 5
    assert all(len(set(label[structure == s].tolist())) == 1 for s in range(20))
