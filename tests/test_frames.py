"""What is taken for structures, and atoms by their indices."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms

from efg_jax import InputError
from efg_jax.structures.site_selection import each, listed


def test_one_several_or_a_stream():
    atoms = Atoms("Li")
    assert list(each(atoms)) == list(each([atoms])) == list(each(iter([atoms]))) == [atoms]


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ("md.extxyz", r"md.extxyz: is a path.*efg_jax.io.read"),
        (Path("md.extxyz"), r"md.extxyz: is a path"),
        ([Atoms("Li"), "b.extxyz"], "frame 1: is a str; expected a structure"),
        ([[Atoms("Li")]], "frame 0: is a list; expected a structure"),
    ],
)
def test_what_is_no_structure(frames, says):
    with pytest.raises(InputError, match=says):
        list(each(frames))


def test_indices_are_numbers_and_no_mask():
    assert listed([3, 1, 3]).tolist() == listed(np.array([1, 3])).tolist() == [1, 3]
    assert listed([]).dtype.kind == "i"
    for wrong in ([True, False, False], [0.0, 1.0], ["0"], [[0, 1]]):
        with pytest.raises(InputError, match="flatnonzero"):
            listed(wrong)
