"""Bad input, end to end: one line that says where, what and how to mend it, exit status 2, and no file left behind."""

import json
import os
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms

from efg_jax.storage.model_files import checksum

SMALL = ("--nmax", "2", "--lmax", "2", "--cutoff", "4")


@pytest.fixture
def refused(efg_jax_command, tmp_path):
    """Run a command that must be refused, and check how it is."""

    def run(*arguments, says=()):
        before = _files(tmp_path)
        result = efg_jax_command(*arguments, "--quiet")
        assert result.exit_code == 2, result.output
        assert result.stdout == ""
        assert re.fullmatch(r"efg-jax: error: [^\n]+\n", result.stderr), result.stderr
        for words in says:
            assert words in result.stderr
        assert _files(tmp_path) == before
        return result.stderr

    return run


def _files(folder):
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.fixture
def out(tmp_path):
    """Options of a training that is to fail."""
    return (*SMALL, "--out", tmp_path / "model.npz", "--json", tmp_path / "report.json", "--plots", tmp_path / "plots")


def without_tensors(frames):
    del frames[2].arrays["efg"]


def two_columns(frames):
    for atoms in frames:
        atoms.arrays["efg"] = atoms.arrays["efg"][:, :2]


def asymmetric(frames):
    frames[2].arrays["efg"][3, 1] += 20.0


def with_a_trace(frames):
    frames[2].arrays["efg"][3, [0, 4, 8]] += 20.0


def nan_position(frames):
    frames[2].positions[3, 1] = np.nan


def overlapping(frames):
    frames[2].positions[4] = frames[2].positions[3] + 0.01


def partly_nan(frames):
    frames[2].arrays["efg"][3, 5] = np.nan


def other_target(frames):
    frames[2].arrays["ms"] = frames[2].arrays.pop("efg")


def flat_cell(frames):
    frames[2].cell[2] = frames[2].cell[0] + frames[2].cell[1]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without_tensors, ("frame 2", "no 'efg'", "add the tensors")),
        (two_columns, ("frame 0", "shape (6, 2)", "nine numbers", "--array NAME")),
        (asymmetric, ("frame 2, atom 3 (", "asymmetry", "check the order")),
        (with_a_trace, ("frame 2, atom 3 (", "trace", "check")),
        (nan_position, ("frame 2, atom 3 (", "not finite", "correct")),
        (overlapping, ("frame 2, atom 4 (", "Å from atom 3", "remove one")),
        (partly_nan, ("frame 2, atom 3 (", "partly NaN", "all NaN where there is no label")),
        (other_target, ("frame 2", "carries 'ms' but no 'efg'", "one target at a time")),
        (flat_cell, ("frame 2", "not independent", "correct the cell")),
    ],
)
def test_bad_structures_name_file_frame_and_atom(spoil, says, structures, save, refused, out):
    spoil(structures)
    file = save(structures)
    refused("train", file, *out, says=(str(file), *says))


def test_different_targets_in_different_files(structures, save, refused, out):
    first, second = save(structures[:3], "a.extxyz"), structures[3:]
    for atoms in second:
        atoms.arrays["ms"] = atoms.arrays.pop("efg")
    file = save(second, "b.extxyz")
    refused("train", first, file, *out, says=(str(first), str(file), "'ms'", "'efg'"))


def test_missing_target_of_structures(structures, save, refused, out):
    file = save(structures)
    refused("train", file, "--target", "dipole", *out, says=(str(file), "frame 0", "no 'dipole'", "--target efg"))
    refused("train", file, "--per", "structure", *out, says=("'efg' is given per atom", "--per"))


def test_empty_selections(structures, save, refused, out):
    file = save(structures)
    refused("train", file, "--species", "Al", *out, says=("Al", "O, Si"))
    refused("train", file, "--species", "O,,Si", *out, says=("--species",))
    for atoms in structures:
        atoms.arrays["efg"][np.asarray(atoms.symbols) == "O"] = np.nan
    refused("train", save(structures), "--species", "O", *out, says=("O", "efg"))
    for atoms in structures:
        atoms.arrays["efg"][:] = np.nan
    refused("train", save(structures), *out, says=("efg",))


def test_held_out_structures_that_cannot_judge(structures, save, refused, out):
    structures[5].symbols[2] = "S"  # seed 0 holds out two of eight, whichever they are
    for seed in range(20):
        result = _train_split(structures, seed)
        if 5 in result:
            refused("train", save(structures), "--seed", seed, "--test", "0.25", *out, says=("frame 5, atom 2 (S)",))
            break
    else:
        pytest.fail("no seed holds out frame 5")


def _train_split(frames, seed):
    from efg_jax import split

    return split(range(len(frames)), 0.25, seed)[1]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--cutoff", "-1"), ("cutoff",)),
        (("--cutoff", "nan"), ("cutoff",)),
        (("--cutoff", "inf"), ("cutoff",)),
        (("--cutoff-width", "-0.5"), ("cutoff_width",)),
        (("--sigma", "0"), ("sigma",)),
        (("--nmax", "0"), ("nmax",)),
        (("--nmax", "40"), ("nmax",)),
        (("--cutoff", "0.5"), ("neighbour", "cutoff")),
        (("--lmax", "-1"), ("lmax",)),
        (("--lmax", "0"), ("lmax", "λ = 2")),
        (("--scaling-rate", "-1"), ("scaling_rate",)),
        (("--scaling-radius", "0"), ("scaling_radius",)),
        (("--zeta", "0.5"), ("zeta",)),
        (("--test", "1.5"), ("test",)),
        (("--test", "nan"), ("test",)),
        (("--seed", "-1"), ("seed",)),
        (("--regularisation", "-1e-3"), ("regularisation",)),
        (("--regularisation", "much"), ("--regularisation", "'auto'")),
        (("--isotope", "99O"), ("isotope", "17O")),
        (("--isotope", "O=27Al"), ("--isotope", "Al=27Al")),
        (("--model", "scalar", "--per", "structure"), ("--per",)),
        (("--test", "0"), ("--json", "--plots", "--test")),
    ],
)
def test_nonsense_options(options, says, trained, refused, out):
    refused("train", trained.data, "--species", "O", *out, *options, says=says)


def test_a_kernel_that_is_not_positive_definite(structures, save, refused, out):
    # The same cell time and again: a kernel of rank one cell.
    file = save([structures[0]] * 6)
    options = ("--species", "O", "--regularisation", "1e-30")
    refused("train", file, *out, *options, says=("not positive definite", "raise it", "auto"))


def test_too_few_structures_to_split(structures, save, refused, out):
    refused("train", save(structures[:1]), *out, says=("1 structure",))


def test_files_that_are_no_structures(tmp_path, structures, save, refused, out):
    refused("train", tmp_path / "none.extxyz", *out, says=("none.extxyz", "does not exist"))
    refused("train", "silica", *out, says=("'silica'", "silica-efg"))
    refused("train", tmp_path, *out, says=(str(tmp_path), "folder"))
    file = save(structures)
    refused("train", file, file, *out, says=(str(file), "twice"))
    refused("train", file, *out, "--index", "50:", says=(str(file), "holds no frame 50:"))
    refused("train", "silica-efg", *out, "--index", "9000:", says=("silica-efg", "holds no frame 9000:"))
    text = file.read_text()
    file.write_text(text[: len(text) // 2])
    refused("train", file, *out, says=(str(file), "damaged"))
    file.write_text("")
    refused("train", file, *out, says=(str(file), "empty"))


def test_outputs_are_checked_before_the_work(tmp_path, trained, refused, monkeypatch):
    monkeypatch.setattr("efg_jax.datasets.sources.read_structures", None)  # nothing is read
    base, model = ("train", trained.data, "--out"), tmp_path / "m.npz"
    refused(*base, tmp_path / "no" / "m.npz", says=("no/m.npz", "does not exist"))
    refused(*base, tmp_path, says=("is a folder",))
    refused(*base, trained.data, says=("--out would overwrite",))
    refused(*base, model, "--json", model, says=("--out and --json", "same file"))
    refused(*base, model, "--json", tmp_path / "no" / "r.json", says=("r.json",))
    refused(*base, model, "--plots", trained.data, says=("is a file, no folder",))
    refused(*base, model, "--plots", trained.data / "plots", says=("is a file, no folder",))


@pytest.mark.skipif(os.getuid() == 0, reason="root writes everywhere")
def test_a_folder_that_may_not_be_written_to(tmp_path, trained, refused):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    refused("train", trained.data, "--out", closed / "m.npz", says=("cannot write",))
    refused("train", trained.data, "--out", tmp_path / "m.npz", "--plots", closed / "p", says=("cannot write",))


def _cut_short(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def _flipped(path):
    content = bytearray(path.read_bytes())
    for start in range(100, len(content) // 2, 997):
        content[start : start + 64] = bytes(byte ^ 0xFF for byte in content[start : start + 64])
    path.write_bytes(bytes(content))


def _text(path):
    path.write_text("no model\n")


def _emptied(path):
    path.write_bytes(b"")


def _foreign(path):
    np.savez(path, a=np.zeros(3))


def _array(path):
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _pickled(path):
    np.savez(path, header=np.array([{"a": 1}], dtype=object))


def _with_header(path, **changes):
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files}
    header = json.loads(bytes(arrays["header"])) | changes
    for name in [name for name, value in changes.items() if value is ...]:
        del header[name]
    del arrays["header"], header["digest"]
    signed = header | {"digest": checksum(header, arrays)}
    np.savez(path, header=np.frombuffer(json.dumps(signed).encode(), dtype=np.uint8), **arrays)


def _newer(path):
    _with_header(path, version=99)


def _without_version(path):
    _with_header(path, version=...)


def _without_a_part(path):
    _with_header(path, options=...)


def _of_another_kind(path):
    _with_header(path, kind="Oracle")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_cut_short, ("damaged",)),
        (_flipped, ("damaged",)),
        (_text, ("no readable efg_jax model",)),
        (_emptied, ("model",)),
        (_foreign, ("model",)),
        (_array, ("model",)),
        (_pickled, ("model",)),
        (_newer, ("newer efg_jax", "99", "upgrade")),
        (_without_version, ("model",)),
        (_without_a_part, ("model", "missing or unknown parts")),
        (_of_another_kind, ("model", "Oracle")),
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_bad_model_files(spoil, says, command, trained, refused, tmp_path):
    model = tmp_path / "model.npz"
    shutil.copy(trained.model, model)
    spoil(model)
    option = {"evaluate": "--json", "predict": "--out"}[command]
    refused(command, model, trained.data, option, tmp_path / "result", says=(str(model), *says))


def test_missing_model(trained, refused, tmp_path):
    refused("evaluate", tmp_path / "none.npz", trained.data, says=("none.npz", "no such model file"))


def test_structures_that_the_model_does_not_know(structures, save, trained, refused, tmp_path):
    structures[1].symbols[4] = "Ge"
    file, result = save(structures), tmp_path / "result"
    for command in (("evaluate", "--json"), ("predict", "--out")):
        refused(
            command[0], trained.model, file, command[1], result, says=(str(file), "frame 1", "atom 4 (Ge)", "O, Si")
        )


def test_nothing_to_predict_or_to_evaluate(structures, save, trained, refused, tmp_path):
    silicon = save([Atoms("Si2", positions=[[0, 0, 0], [0, 0, 2.3]])])
    refused("predict", trained.model, silicon, "--out", tmp_path / "p.extxyz", says=("nothing to predict", "O", "Si"))
    for atoms in structures:
        atoms.arrays["efg"][np.asarray(atoms.symbols) == "O"] = np.nan
    refused("evaluate", trained.model, save(structures), says=("no atom of O", "efg", "labels"))


def test_evaluate_without_tensors(structures, save, trained, refused):
    for atoms in structures:
        del atoms.arrays["efg"]
    file = save(structures)
    refused("evaluate", trained.model, file, says=(str(file), "frame 0", "no 'efg'"))


def test_a_real_process_fails_without_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "from efg_jax.cli import main; main()", "evaluate", "none.npz", "silica-efg"],
        capture_output=True, text=True, cwd=tmp_path, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("efg-jax: error: none.npz: ")
    assert "Traceback" not in done.stderr
