"""Frames one by one: the same as all at once, from any frame on, with one of them in memory."""

import gzip
import weakref

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from numpy.testing import assert_array_equal

from efg_jax import InputError, io

FRAMES = 12


@pytest.fixture
def frames():
    return [Atoms("SiO", positions=[[0, 0, 0], [0, 0, 1.5 + 0.1 * n]], cell=[5, 5, 5], pbc=True) for n in range(FRAMES)]


def files(folder, frames):
    """The same frames in several formats."""
    for name in ("a.extxyz", "a.extxyz.gz", "a.traj", "a.xyz"):
        write(folder / name, frames)
        yield folder / name


@pytest.mark.parametrize("start", [0, 5, FRAMES])
def test_frames_from_any_number_on(tmp_path, frames, start):
    for path in files(tmp_path, frames):
        expected, found = io.read(path, target=None)[start:], list(io.iread(path, start))
        assert len(found) == FRAMES - start
        for one, other in zip(found, expected, strict=True):
            assert_array_equal(one.positions, other.positions)
            assert one.info["source_file"] == str(path)
            assert one.info["source_frame"] == other.info["source_frame"]


def test_one_frame_is_in_memory_at_a_time(tmp_path, frames):
    for path in files(tmp_path, frames):
        given, most = [], 0
        for atoms in io.iread(path):
            given.append(weakref.ref(atoms))
            most = max(most, sum(reference() is not None for reference in given))
        assert most <= 2, path


@pytest.mark.parametrize("form", ["POSCAR", "a.cif", "a.magres"])
def test_formats_of_one_structure(tmp_path, frames, form):
    path = tmp_path / form
    write(path, frames[0])
    assert len(list(io.iread(path))) == 1
    assert list(io.iread(path, 1)) == []
    for index in (1, "1:"):
        with pytest.raises(InputError, match=f"holds no frame {index}"):
            io.read(path, target=None, index=index)


def misplaced(frames):
    frames[3].positions[1] = np.nan


def in_atomic_units(frames):
    for atoms in frames:
        atoms.arrays["efg"] = np.zeros((2, 9))
    frames[3].info["efg_units"] = "au"


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (misplaced, r"frame 3, atom 1 \(O\): position"),
        (in_atomic_units, "frame 3: 'efg' is in au by what the file says"),
    ],
)
def test_a_bad_frame_is_named_when_its_turn_comes(tmp_path, frames, spoil, says):
    spoil(frames)
    write(tmp_path / "a.extxyz", frames)
    found = io.iread(tmp_path / "a.extxyz")
    for _ in range(3):
        next(found)
    with pytest.raises(InputError, match=rf"a\.extxyz, {says}"):
        next(found)


def test_what_is_no_structure_file_is_refused(tmp_path, frames):
    with pytest.raises(InputError, match="does not exist"):
        io.iread(tmp_path / "none.extxyz")
    (tmp_path / "text.extxyz").write_text("no structure\n")
    with pytest.raises(InputError, match="could not read it"):
        list(io.iread(tmp_path / "text.extxyz"))
    write(tmp_path / "a.extxyz", frames)
    (tmp_path / "cut.extxyz.gz").write_bytes(gzip.compress((tmp_path / "a.extxyz").read_bytes())[:-20])
    with pytest.raises(InputError, match="could not read it"):
        list(io.iread(tmp_path / "cut.extxyz.gz"))
