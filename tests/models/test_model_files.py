"""Model files: the same numbers after reading, only arrays and JSON inside, and one clear line for other files."""

import json
import zipfile

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from efg_jax import ScalarGPR, TensorGPR, load
from efg_jax.errors import InputError
from efg_jax.storage.model_files import checksum, read_model, write_model


@pytest.fixture(scope="module")
def saved(efg_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "efg.npz"
    efg_model.save(path)
    return path


def rewritten(saved, path, change):
    """A copy of a model file with its header changed."""
    header, arrays = read_model(saved)
    change(header)
    header["digest"] = checksum(header, arrays)
    encoded = np.frombuffer(json.dumps(header).encode(), dtype=np.uint8)
    np.savez(path, header=encoded, **arrays)
    return path


@pytest.mark.slow
def test_tensor_models_predict_the_same_bits(shielding_model, test, tmp_path):
    path = tmp_path / "model.npz"
    shielding_model.save(path)
    loaded = load(path, variance=True)
    for one, other in zip(
        shielding_model.predict(test, variance=True), loaded.predict(test, variance=True), strict=True
    ):
        for a, b in zip(one, other, strict=True):
            assert_array_equal(a, b)
    assert_array_equal(load(path).predict(test[0]), shielding_model.predict(test[0]))


def test_structure_models_predict_the_same_bits(descriptor, train, test, tmp_path):
    model = TensorGPR(descriptor, target="dipole", regularisation=1e-5).fit(train)
    model.save(tmp_path / "model.npz")
    assert_array_equal(load(tmp_path / "model.npz").predict(test[0]), model.predict(test[0]))


def test_scalar_models_predict_the_same_bits(descriptor, train, test, tmp_path):
    model = ScalarGPR(descriptor, species="O", regularisation=1e-5).fit(train)
    model.save(tmp_path / "model.npz")
    one, other = model.predict(test[0]), load(tmp_path / "model.npz").predict(test[0])
    assert one.keys() == other.keys()
    for name in one:
        assert_array_equal(one[name], other[name])
    with pytest.raises(InputError, match="nothing to predict: the model is for O, and the structures contain H, Si"):
        model.predict(Atoms("SiH", positions=[[0, 0, 0], [0, 0, 1.5]]))


def test_variance_needs_its_factors(saved, test):
    with pytest.raises(InputError, match="variance=True"):
        load(saved).predict(test[0], variance=True)


def test_the_file_is_arrays_and_json(saved):
    with np.load(saved, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    assert all(array.dtype.kind in "biuf" for array in arrays.values())
    header = json.loads(arrays["header"].tobytes().decode())
    assert header["format"] == "efg_jax model"
    assert header["kind"] == "tensor"
    assert header["version"] >= 1
    assert header["options"]["descriptor"]["cutoff"] == 3.5
    with zipfile.ZipFile(saved) as archive:
        assert all(name.endswith(".npy") for name in archive.namelist())


@pytest.mark.parametrize("length", [0, 1, 100, 2000, -200, -1])
def test_a_truncated_file(saved, tmp_path, length):
    whole = saved.read_bytes()
    path = tmp_path / "cut.npz"
    path.write_bytes(whole[:length])
    with pytest.raises(InputError, match=r"cut\.npz"):
        load(path)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 0.999), bits=st.integers(1, 255))
def test_a_damaged_byte_is_noticed_or_harmless(saved, tmp_path, place, bits):
    whole = bytearray(saved.read_bytes())
    whole[int(place * len(whole))] ^= bits
    path = tmp_path / "damaged.npz"
    path.write_bytes(whole)
    try:
        header, arrays = read_model(path)
    except InputError as caught:
        message = str(caught)
    else:  # a byte that means nothing, such as a time stamp
        expected_header, expected = read_model(saved)
        assert header == expected_header
        assert all(np.array_equal(arrays[name], expected[name]) for name in expected)
        return
    assert "damaged.npz" in message
    assert "\n" not in message


def test_garbage_other_archives_and_no_file(tmp_path):
    garbage, other, text = tmp_path / "garbage.npz", tmp_path / "other.npz", tmp_path / "text.npz"
    garbage.write_bytes(np.random.default_rng(0).bytes(5000))
    np.savez(other, positions=np.zeros((3, 3)))
    text.write_text("42\n")
    single = tmp_path / "array.npy"
    np.save(single, np.zeros(4))
    pickled = tmp_path / "pickle.npz"
    np.savez(pickled, header=np.array([{"format": "efg_jax model"}], dtype=object))
    for path in (garbage, other, text, single, pickled, tmp_path / "none.npz", tmp_path):
        with pytest.raises(InputError) as caught:
            load(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_damage_that_numpy_and_zipfile_report_with_other_errors(saved, tmp_path):
    """Found by flipping bytes at random: an entry marked as encrypted, and an array header that never ends."""
    encrypted, endless = tmp_path / "encrypted.npz", tmp_path / "endless.npz"
    whole = bytearray(saved.read_bytes())
    whole[whole.index(b"PK\x01\x02") + 8] |= 1  # the flag in the archive's directory
    encrypted.write_bytes(whole)
    with zipfile.ZipFile(endless, "w") as archive:
        text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (3, \n".ljust(118)
        archive.writestr("header.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"{}")
    for path in (encrypted, endless):
        with pytest.raises(InputError, match=path.name):
            load(path)


CHANGES = {
    "newer": lambda h: h.update(version=h["version"] + 1),
    "no version": lambda h: h.pop("version"),
    "version in words": lambda h: h.update(version="two"),
    "another format": lambda h: h.update(format="something else"),
    "another kind": lambda h: h.update(kind="NeuralNetwork"),
    "no kind": lambda h: h.pop("kind"),
    "no descriptor": lambda h: h["options"].pop("descriptor"),
    "unknown hyperparameter": lambda h: h["options"]["descriptor"].update(flavour=1.0),
    "no regressions": lambda h: h.pop("regressions"),
    "regression without a scale": lambda h: h["regressions"][0].pop("scale"),
    "a species without environments": lambda h: h["species"].append("Xe"),
    "no target": lambda h: h.pop("target"),
    "options of the wrong type": lambda h: h.update(options=3),
    "regressions that are numbers": lambda h: h.update(regressions=[1, 2]),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_header(saved, tmp_path, change):
    path = rewritten(saved, tmp_path / "changed.npz", CHANGES[change])
    with pytest.raises(InputError, match=r"changed\.npz") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    if change == "newer":
        assert "newer" in str(caught.value)


def test_arrays_that_were_changed_are_noticed(saved, tmp_path):
    header, arrays = read_model(saved)
    write_model(tmp_path / "changed.npz", header, arrays)
    with np.load(tmp_path / "changed.npz") as stored:
        changed = {name: stored[name] for name in stored.files}
    changed["weights/0"] = changed["weights/0"] * (1 + 1e-15)
    np.savez(tmp_path / "changed.npz", **changed)
    with pytest.raises(InputError, match=r"changed\.npz: is damaged or was changed by hand"):
        load(tmp_path / "changed.npz")


def test_a_failed_save_leaves_the_old_file(saved, tmp_path, monkeypatch):
    path = tmp_path / "model.npz"
    path.write_bytes(saved.read_bytes())

    def full(*_, **__):
        raise OSError("No space left on device")

    model = load(saved)
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(OSError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == saved.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["model.npz"]


def test_values_that_json_cannot_hold_leave_the_old_file(tmp_path):
    path = tmp_path / "model.npz"
    write_model(path, {"kind": "test"}, {"a": np.zeros(3)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"JSON compliant"):
        write_model(path, {"kind": "test", "value": float("nan")}, {"a": np.ones(3)})
    assert path.read_bytes() == before


def test_models_of_labels_that_are_all_zero_or_equal_can_be_saved(descriptor, train, test, tmp_path):
    """Sites of cubic symmetry have zero EFGs; a single isotropic label is its own mean."""
    zero = [atoms.copy() for atoms in train[:2]]
    for atoms in zero:
        atoms.arrays["efg"] = np.zeros((len(atoms), 3, 3))
    model = TensorGPR(descriptor, species="O", regularisation=1e-5).fit(zero)
    assert_array_equal(model.predict(test[0])[1], np.zeros((3, 3)))
    model.save(tmp_path / "zero.npz")
    assert_array_equal(load(tmp_path / "zero.npz").predict(test[0])[1], np.zeros((3, 3)))


def test_unfitted_models_cannot_be_saved(tmp_path):
    with pytest.raises(InputError, match="not fitted"):
        TensorGPR().save(tmp_path / "model.npz")
    assert not list(tmp_path.iterdir())
