"""What is written is read back; what cannot be read is refused in one line that names the file."""

import gzip
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_allclose, assert_array_equal

from efg_jax.errors import InputError
from efg_jax.io import read, write


def labelled(seed=0, name="efg"):
    rng = np.random.default_rng(seed)
    atoms = bulk("MgO", "rocksalt", a=4.2, cubic=True)
    atoms.rattle(0.05, rng=rng)
    v = rng.normal(size=(len(atoms), 3, 3)) * 20
    v = v + v.swapaxes(1, 2)
    atoms.arrays[name] = v - np.trace(v, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    return atoms


def write_flat(path, frames):
    """As ASE itself would write them."""
    for atoms in frames:
        for name, value in atoms.arrays.items():
            if value.ndim == 3:
                atoms.arrays[name] = value.reshape(len(value), 9)
    ase.io.write(path, frames, format="extxyz")


# ---- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.extxyz", "a.xyz", "a.extxyz.gz"])
def test_frames_come_back_as_they_were_written(tmp_path, name):
    frames = [labelled(seed) for seed in range(3)]
    frames[1].arrays["efg"][2] = np.nan
    frames[1].pbc = [True, False, True]
    frames[2].arrays["ms"] = np.random.default_rng(0).normal(size=(8, 3, 3))
    write(tmp_path / name, frames)
    back = read(tmp_path / name)
    for i, (one, other) in enumerate(zip(frames, back, strict=True)):
        assert_array_equal(one.numbers, other.numbers)
        assert_array_equal(one.pbc, other.pbc)
        assert_allclose(np.asarray(one.cell), np.asarray(other.cell), rtol=1e-15)
        assert_allclose(one.positions, other.positions, atol=1e-8)
        assert other.arrays["efg"].shape == (8, 3, 3)
        assert_allclose(one.arrays["efg"], other.arrays["efg"], atol=2e-8)
        assert other.info["source_file"] == str(tmp_path / name)
        assert other.info["source_frame"] == i
    assert_allclose(frames[2].arrays["ms"], back[2].arrays["ms"], atol=1e-8)


def test_everything_else_survives_too_or_is_left_out(tmp_path):
    atoms = labelled()
    atoms.calc = SinglePointCalculator(atoms, energy=-3.5, forces=np.ones((8, 3)), stress=np.arange(6.0))
    atoms.info.update(
        dipole=np.array([1.0, 2.0, 3.0]),
        polarizability=np.arange(9.0).reshape(3, 3) + np.arange(9.0).reshape(3, 3).T,
        comment="two\nlines",
        nested={"a": [1, 2]},
        unwritable=object(),
        number=np.float32(2.5),
        word="text with 'quotes'",
    )
    atoms.arrays.update(
        site=np.array(["a b", "", *"cdefgh"]),
        pairs=np.array([[1], [1, 2]] * 4, dtype=object),
        count=np.arange(8, dtype=np.uint8),
        flag=np.arange(8) > 3,
    )
    write(tmp_path / "a.extxyz", [atoms])
    back = read(tmp_path / "a.extxyz")[0]
    assert back.get_potential_energy() == -3.5
    assert_array_equal(back.get_forces(), np.ones((8, 3)))
    assert_allclose(back.get_stress(), np.arange(6.0))
    assert_array_equal(back.info["polarizability"], atoms.info["polarizability"])
    assert back.info["comment"] == "two lines"
    assert back.info["nested"] == {"a": [1, 2]}
    assert back.info["number"] == 2.5
    assert back.info["word"] == "text with 'quotes'"
    assert back.arrays["site"].tolist() == ["ab", "-", *"cdefgh"]
    assert back.arrays["count"].tolist() == list(range(8))
    assert back.arrays["flag"].tolist() == [False] * 4 + [True] * 4
    assert "unwritable" not in back.info
    assert "pairs" not in back.arrays
    # The structure that was written is still what it was.
    assert atoms.arrays["efg"].shape == (8, 3, 3)
    assert "unwritable" in atoms.info


def test_targets_of_structures_are_read_and_written_again(tmp_path):
    atoms = molecule("H2O")
    atoms.info.update(dipole=np.array([0.0, 0.1, 0.4]), polarizability=np.diag([1.0, 2.0, 3.0]))
    write(tmp_path / "a.extxyz", [atoms, atoms])
    for target in ("dipole", "polarizability"):
        frames = read(tmp_path / "a.extxyz", target=target)
        assert_array_equal(frames[1].info[target], atoms.info[target])
        write(tmp_path / "b.extxyz", frames)
        assert_array_equal(read(tmp_path / "b.extxyz", target=target)[1].info[target], atoms.info[target])


def test_nothing_is_written_when_there_is_nothing_or_it_fails(tmp_path):
    with pytest.raises(InputError, match=r"a\.extxyz: there are no structures"):
        write(tmp_path / "a.extxyz", [])
    broken = labelled()
    broken.arrays["efg1"] = np.ones(8)  # clashes with a column of efg, which ASE cannot write
    with pytest.raises(ValueError, match="efg1"):
        write(tmp_path / "a.extxyz", [labelled(), broken])
    assert list(tmp_path.iterdir()) == []


# ---- selection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("index", "expected"),
    [(":", [0, 1, 2, 3, 4]), ("-1", [4]), (0, [0]), (-2, [3]), ("1::2", [1, 3]), ("::-2", [4, 2, 0]), ("-2:", [3, 4])],
)
def test_frames_keep_their_number_in_the_file(tmp_path, index, expected):
    frames = [labelled(seed) for seed in range(5)]
    for i, atoms in enumerate(frames):
        atoms.info["mark"] = i
    write(tmp_path / "a.extxyz", frames)
    chosen = read(tmp_path / "a.extxyz", index=index)
    assert [atoms.info["source_frame"] for atoms in chosen] == expected
    assert [atoms.info["mark"] for atoms in chosen] == expected


@pytest.mark.parametrize("index", ["7", "9:", -8, 7])
def test_an_empty_selection_is_refused(tmp_path, index):
    write(tmp_path / "a.extxyz", [labelled()])
    with pytest.raises(InputError, match=r"a\.extxyz: holds no frame"):
        read(tmp_path / "a.extxyz", index=index)


@pytest.mark.parametrize("index", ["all", "::0", "1.5"])
def test_a_selection_that_is_none_is_refused(tmp_path, index):
    write(tmp_path / "a.extxyz", [labelled()])
    with pytest.raises(InputError, match="selects no frames"):
        read(tmp_path / "a.extxyz", index=index)


def test_several_files_in_their_order(tmp_path):
    write(tmp_path / "a.extxyz", [labelled(0), labelled(1)])
    write(tmp_path / "b@1.extxyz", [labelled(2)])
    frames = read([tmp_path / "b@1.extxyz", str(tmp_path / "a.extxyz")])
    places = [(Path(atoms.info["source_file"]).name, atoms.info["source_frame"]) for atoms in frames]
    assert places == [("b@1.extxyz", 0), ("a.extxyz", 0), ("a.extxyz", 1)]


# ---- targets ---------------------------------------------------------------------------------------------------------


def test_flat_arrays_under_another_name(tmp_path):
    write_flat(tmp_path / "a.extxyz", [labelled(name="V_tensor")])
    frames = read(tmp_path / "a.extxyz", array="V_tensor")
    assert_allclose(frames[0].arrays["efg"], labelled().arrays["efg"], atol=2e-8)
    with pytest.raises(InputError, match=r"a\.extxyz, frame 0: no 'efg' here; .*V_tensor.*--array V_tensor"):
        read(tmp_path / "a.extxyz")


def test_structures_for_prediction_need_no_target(tmp_path):
    atoms = bulk("MgO", "rocksalt", a=4.2)
    for name in ("a.cif", "POSCAR", "a.extxyz", "a.traj"):
        ase.io.write(tmp_path / name, atoms)
        (back,) = read(tmp_path / name, target=None)
        assert sorted(back.symbols) == ["Mg", "O"]
        assert back.info["source_frame"] == 0


def test_a_check_that_fails_names_file_frame_and_atom(tmp_path):
    frames = [labelled(), labelled()]
    frames[1].arrays["efg"][3] += np.eye(3)
    write(tmp_path / "a.extxyz", frames)
    with pytest.raises(InputError, match=r"a\.extxyz, frame 1, atom 3 \(O\): the trace of 'efg' is 3 V/Å²"):
        read(tmp_path / "a.extxyz")
    frames[0].positions[2] = np.nan
    write(tmp_path / "a.extxyz", frames)
    with pytest.raises(InputError, match=r"a\.extxyz, frame 0, atom 2 \(Mg\): position \[nan nan nan\]"):
        read(tmp_path / "a.extxyz", target=None)


# ---- files that are none ---------------------------------------------------------------------------------------------


def refused(path, match):
    with pytest.raises(InputError, match=match) as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_files_that_are_not_there_or_hold_nothing(tmp_path):
    refused(tmp_path / "no.extxyz", "does not exist; check the name")
    refused(tmp_path, r"is a folder; pass the files in it, for example .*\*\.magres")
    (tmp_path / "empty.extxyz").touch()
    refused(tmp_path / "empty.extxyz", "is empty")
    with gzip.open(tmp_path / "empty.extxyz.gz", "wb"):
        pass
    refused(tmp_path / "empty.extxyz.gz", "is empty")
    with pytest.raises(InputError, match="no files given"):
        read([])


def test_files_that_are_damaged(tmp_path):
    write(tmp_path / "a.extxyz", [labelled(), labelled()])
    lines = (tmp_path / "a.extxyz").read_text().splitlines()
    (tmp_path / "short.extxyz").write_text("\n".join(lines[:-3]))
    refused(tmp_path / "short.extxyz", "ASE could not read it .*damaged, cut short")
    (tmp_path / "word.extxyz").write_text("\n".join(lines).replace("O ", "O x", 1))
    refused(tmp_path / "word.extxyz", "ASE could not read it")
    (tmp_path / "noise.bin").write_bytes(bytes(range(256)) * 10)
    refused(tmp_path / "noise.bin", "in no format that ASE knows")
    whole = gzip.compress("\n".join(lines).encode())
    (tmp_path / "half.extxyz.gz").write_bytes(whole[: len(whole) // 2])
    refused(tmp_path / "half.extxyz.gz", "ASE could not read it")
    (tmp_path / "no.extxyz.gz").write_bytes(b"plain text")
    refused(tmp_path / "no.extxyz.gz", "ASE could not read it")


# ---- shapes and units ------------------------------------------------------------------------------------------------


def test_all_tensors_are_there_as_matrices_whatever_is_asked_for(tmp_path):
    atoms = labelled()
    atoms.arrays["ms"] = np.random.default_rng(0).normal(size=(8, 3, 3))
    atoms.arrays["other"] = np.ones((8, 9))
    write(tmp_path / "a.extxyz", [atoms])
    for target in (None, "efg", "ms"):
        (back,) = read(tmp_path / "a.extxyz", target=target)
        assert_allclose(back.arrays["efg"], atoms.arrays["efg"], atol=2e-8)
        assert_allclose(back.arrays["ms"], atoms.arrays["ms"], atol=1e-8)
        assert back.arrays["other"].shape == (8, 9)


def test_six_numbers_have_no_order_that_one_could_know(tmp_path):
    atoms = labelled()
    atoms.arrays["efg"] = atoms.arrays["efg"].reshape(8, 9)[:, [0, 4, 8, 1, 2, 5]]
    ase.io.write(tmp_path / "a.extxyz", atoms, format="extxyz")
    refused(tmp_path / "a.extxyz", r"'efg' has shape \(8, 6\) .* give nine numbers, a 3×3 matrix row by row")


@pytest.mark.parametrize(
    ("note", "match"),
    [
        (
            {"efg_units": "au"},
            r"'efg' is in au by what the file says; convert it to V/Å² \(1 a\.u\. = 97\.173624424 V/Å²\)",
        ),
        ({"efg_unit": "V/m^2"}, "1 V/m² = 1e-20 V/Å²"),
        ({"magres_units": {"ms": "ppm", "efg": "au"}}, "'efg' is in au by what the file says"),
        ({"efg_units": "10^21 V/m^2"}, "10²¹ V/m² = 10 V/Å²"),
        ({"ms_units": "percent"}, None),
    ],
)
def test_units_that_the_file_names_are_heeded(tmp_path, note, match):
    atoms = labelled()
    atoms.info.update(note)
    write(tmp_path / "a.extxyz", [labelled(), atoms])
    if match is None:
        assert len(read(tmp_path / "a.extxyz")) == 2  # of a tensor that is not there
    else:
        refused(tmp_path / "a.extxyz", rf"a\.extxyz, frame 1: .*{match}")


@pytest.mark.parametrize("unit", ["V/Å²", "V/A^2", "V/Ang**2", "v/angstrom^2", "V / A2"])
def test_the_right_unit_may_be_written_as_one_likes(tmp_path, unit):
    atoms = labelled()
    atoms.info["efg_units"] = unit
    write(tmp_path / "a.extxyz", [atoms])
    assert len(read(tmp_path / "a.extxyz")) == 1


def test_field_gradients_in_volt_per_square_metre_are_refused(tmp_path):
    atoms = labelled()
    atoms.arrays["efg"] *= 1e20
    write(tmp_path / "a.extxyz", [atoms])
    refused(
        tmp_path / "a.extxyz",
        r"frame 0, atom \d \(\w+\): 'efg' of .* is no field gradient of an atom; in V/m² it must be",
    )
