"""What is no trajectory, and what is asked of one that has it not: each an error that says where and what to do.

Memory.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from trajectories.conftest import traceless

from efg_jax import InputError, io
from efg_jax.trajectories import average

ATOMIC_UNIT = 97.173624424


@pytest.fixture
def frames(frame):
    """Twelve frames of three atoms, that come from a file."""

    def make(count=12):
        values = traceless(np.random.default_rng(0), count, 3)
        return [frame(v, ["Li", "Li", "O"], source_file="md.extxyz", source_frame=k) for k, v in enumerate(values)]

    return make


def test_atoms_of_two_elements_that_change_places(frames):
    some = frames()
    some[7] = some[7][[0, 2, 1]]
    with pytest.raises(
        InputError,
        match=r"md.extxyz, frame 7, atom 1 \(O\): is O here and Li in md.extxyz, frame 0: the atoms are permuted",
    ):
        average(some)


def test_atoms_of_one_element_that_change_places(frames):
    some = frames()
    some[7] = some[7][[1, 0, 2]]
    with pytest.raises(
        InputError, match=r"md.extxyz, frame 7, atom [01] \(Li\): moved by 3 Å.*changed places.*jump=None"
    ):
        average(some)
    assert average(some, jump=None).frames == 12
    assert average(some, jump=3.1).frames == 12


def test_a_step_across_the_boundary_is_no_jump(frames):
    some = frames()
    for k, atoms in enumerate(some):
        atoms.positions[0, 0] = 8.9 if k % 2 else 0.1
    assert average(some, jump=0.3).frames == 12


def test_a_step_in_a_skewed_cell_goes_the_shortest_way(frame):
    """In a cell this oblique rounding of fractional coordinates does not find the nearest image."""
    cell = np.array([[4.0, 0, 0], [3.6, 1.5, 0], [0, 0, 6.0]])
    some = []
    for k in range(6):
        atoms = Atoms("Li", [[0.1, 0.1, 0.1]], cell=cell, pbc=True)
        atoms.positions += (k % 2) * (cell[1] - cell[0] + [0.2, 0.1, 0.0])
        atoms.arrays["efg"] = traceless(np.random.default_rng(k), 1)
        some.append(atoms)
    assert average(some, jump=0.25).frames == 6


def test_frames_of_another_composition(frames):
    some = frames()
    del some[3][2]
    with pytest.raises(InputError, match=r"md.extxyz, frame 3: consists of Li2, and md.extxyz, frame 0 of Li2O"):
        average(some)


def test_a_cell_that_turned(frames):
    some = frames()
    some[5].rotate(20, "x", rotate_cell=True)
    with pytest.raises(InputError, match=r"md.extxyz, frame 5: the cell is turned by 20°.*frame='crystal'"):
        average(some, jump=None)


def test_a_frame_that_a_cell_would_carry_but_there_is_none(frames):
    some = frames()
    for atoms in some:
        atoms.pbc = [True, True, False]
    assert average(some).frames == 12
    with pytest.raises(InputError, match=r"md.extxyz, frame 0: is no crystal.*frame='fixed'"):
        average(some, frame="crystal")


def test_units_that_are_mixed(frames):
    some = frames()
    for atoms in some[6:]:
        atoms.arrays["efg"] = atoms.arrays["efg"] / ATOMIC_UNIT
    with pytest.raises(
        InputError, match=r"md.extxyz, frame 6: the EFG is 0.0\d+ times.*a.u. and V/Å².*97.17.*mixed units"
    ):
        average(some)
    assert average(some, check_units=False).frames == 12
    some[6].arrays["efg"] *= 1e20 * ATOMIC_UNIT
    with pytest.raises(InputError, match="V/m²"):
        average(some)


def test_an_ideal_crystal_to_begin_with_is_no_other_unit(frames):
    some = frames()
    some[0].arrays["efg"] = some[0].arrays["efg"] * 1e-12
    assert average(some).frames == 12


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda atoms: atoms.arrays.pop("efg"), r"frame 4: no 'efg' here"),
        (
            lambda atoms: atoms.arrays["efg"].__setitem__((1, 0, 0), np.nan),
            r"frame 4, atom 1 \(Li\): has no tensor 'efg' in this frame",
        ),
        (
            lambda atoms: atoms.arrays["efg"].__setitem__((1, 0, 1), 9.0),
            r"frame 4, atom 1 \(Li\): the asymmetry .* of 'efg'",
        ),
        (lambda atoms: atoms.arrays["efg"].__setitem__((2, 0, 0), 9.0), r"frame 4, atom 2 \(O\): the trace of 'efg'"),
        (lambda atoms: atoms.set_pbc([1, 1, 0]), r"frame 4: is periodic along other directions"),
    ],
)
def test_frames_that_lack_something(frames, spoil, message):
    some = frames()
    spoil(some[4])
    with pytest.raises(InputError, match=message):
        average(some)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"species": "Na"}, "frame 0: contains no Na, but Li, O"),
        ({"species": "Lithium"}, "'Lithium' is no element"),
        ({"species": ()}, "choose other species"),
        ({"indices": [3]}, "has no atom 3; its 3 atoms"),
        ({"indices": [True, False, True]}, "flatnonzero"),
        ({"indices": [2], "species": "Li"}, "no atom is left"),
        ({"label": "phase"}, "frame 0: has no label 'phase', neither in its info nor an atom; it has source_file"),
        ({"mask": "good"}, "has no mask 'good'"),
        ({"mask": lambda atoms: False}, "none of the 12 frames counts"),
        ({"mask": lambda atoms: "yes"}, "neither true nor false"),
        ({"label": lambda atoms: [1, 2]}, r"label function has shape \(2,\)"),
        ({"isotope": "29Si"}, "no quadrupole moment"),
        ({"isotope": "27Al"}, "27Al is no isotope of what is averaged"),
        ({"isotope": {"Li": "17O"}}, "17O is no isotope of Li"),
        ({"pool": True}, "not Li and O"),
        ({"direction": (0, 0, 0)}, "not all zero"),
        ({"timestep": 0}, "time step"),
        ({"target": "dipole"}, "neither an EFG nor a shielding"),
        ({"target": "ms"}, "no 'ms' here"),
    ],
)
def test_what_cannot_be_averaged(frames, options, message):
    with pytest.raises(InputError, match=message):
        average(frames(), **options)


def test_no_frames():
    with pytest.raises(InputError, match="no frames"):
        average(iter([]))


def test_no_tensor_at_all(frames):
    some = frames()
    for atoms in some:
        atoms.arrays["efg"][:] = np.nan
    with pytest.raises(InputError, match="no atom has a tensor"):
        average(some)


def test_what_a_result_does_not_have(frames):
    found = average(frames(), label="source_frame")
    for call, message in (
        (lambda: found.to_atoms("x"), "no label 'x'"),
        (lambda: found.distribution("eta"), "Li or O"),
        (lambda: found.distribution("nu_q", species="Li"), "direction="),
        (lambda: found.distribution("eta", species="Li", label="x"), "no Li has the label 'x'"),
        (lambda: found.autocorrelation("nu_q"), "direction"),
        (lambda: found.autocorrelation(atom=7), "atom 7 was not averaged"),
        (lambda: average(frames(), pool=True, species="Li").to_atoms(), "pooled"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_a_file_is_streamed(frames, tmp_path):
    io.write(tmp_path / "md.extxyz", frames())
    found = average(io.iread(tmp_path / "md.extxyz"), species="Li")
    assert found.frames == 12
    np.testing.assert_allclose(
        found.sites[0].tensor, np.mean([atoms.arrays["efg"][0] for atoms in frames()], axis=0), atol=1e-7
    )


MEMORY = """
import sys, tracemalloc
import numpy as np
sys.path.insert(0, {tests!r})
from trajectories.conftest import CELL, lattice, traceless
from ase import Atoms
from efg_jax.trajectories import average

def frames(count):
    generator = np.random.default_rng(0)
    for k in range(count):
        if k == 200:
            print(tracemalloc.get_traced_memory()[1])
        atoms = Atoms("Li9", lattice(9), cell=CELL, pbc=True, info={{"phase": "ab"[k % 2], "ballast": np.ones(2000)}})
        atoms.arrays["efg"] = traceless(generator, 9)
        yield atoms

choice = dict(label="phase", direction=(0, 0, 1), timestep=1.0, sample=500)
str(average(frames(100), **choice))  # compiles everything
tracemalloc.start()
average(frames(2000), **choice)
print(tracemalloc.get_traced_memory()[1])
"""


def test_memory_does_not_grow_with_the_frames():
    """1800 frames more would take 29 MB; log₂ 10 more levels of sums take a hundredth of that."""
    code = MEMORY.format(tests=str(Path(__file__).resolve().parents[1]))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    short, long = map(int, done.stdout.split())
    assert long - short < 0.015 * 1800 * 16_000
    assert long < 3_000_000
