"""Prediction as users do it: long trajectories, many files, a choice of atoms.

Stopped at any moment, and gone on with.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from ase.io import read

from efg_jax import InputError, io, load
from efg_jax.cli.parsing import parse_indices
from efg_jax.io.extended_xyz import FrameWriter
from efg_jax.models.annotation import annotated
from efg_jax.prediction_files import predict_to_file


@pytest.fixture
def trajectory(silica, save):
    """Forty frames, of which no two are alike."""
    frames = [silica[number % 8].copy() for number in range(40)]
    for number, atoms in enumerate(frames):
        atoms.rattle(0.02, seed=number)
        atoms.info["step"] = number
    return save(frames, "md.extxyz")


def predict(command, trained, *arguments):
    return command("predict", trained.model, *arguments)


@pytest.fixture
def stopped(monkeypatch):
    """Make the writer stop a run, as Ctrl-C would, when it was given so many frames; each is on disk at once."""

    def after(frames: int):
        append = FrameWriter.append

        def some(self, atoms, position):
            if self.frames == frames:
                raise KeyboardInterrupt
            append(self, atoms, position)

        monkeypatch.setattr(FrameWriter, "append", some)
        monkeypatch.setattr("efg_jax.io.extended_xyz.SYNC_SECONDS", 0.0)

    yield after
    monkeypatch.undo()


@pytest.mark.parametrize("name", ["out.extxyz", "out.extxyz.gz"])
def test_a_stopped_run_goes_on_and_ends_with_the_same_file(
    trained, trajectory, efg_jax_command, tmp_path, stopped, monkeypatch, name
):
    whole, out = tmp_path / f"whole-{name}", tmp_path / name
    assert predict(efg_jax_command, trained, trajectory, "--chunk", "16", "--out", whole).exit_code == 0
    stopped(17)
    result = predict(efg_jax_command, trained, trajectory, "--chunk", "16", "--out", out)
    assert result.exit_code == 130
    assert "stopped after 17 frames; the same command with --resume continues from there" in result.stderr
    assert not out.exists()
    with (tmp_path / f"{name}.partial").open("ab") as stream:
        stream.write(b"6\nLattice=half a frame")  # killed while it wrote
    monkeypatch.undo()
    result = predict(efg_jax_command, trained, trajectory, "--chunk", "16", "--out", out, "--resume")
    assert result.exit_code == 0, result.stderr
    assert "17 frames are there already" in result.stderr
    assert f"wrote {out} (40 structures)" in result.stderr
    expected, found = read(whole, ":"), read(out, ":")
    assert [atoms.info["step"] for atoms in found] == list(range(40))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.positions, other.positions)
        np.testing.assert_allclose(one.arrays["efg"], other.arrays["efg"], atol=2e-8)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted([name, whole.name])


def test_only_the_frames_that_are_missing_are_predicted(
    trained, trajectory, efg_jax_command, tmp_path, stopped, monkeypatch
):
    from efg_jax.models import FittedModel

    out = tmp_path / "out.extxyz"
    stopped(30)
    predict(efg_jax_command, trained, trajectory, "--out", out)
    monkeypatch.undo()
    seen, stream = [], FittedModel.predict_targets
    monkeypatch.setattr(
        FittedModel,
        "predict_targets",
        lambda self, frames, **o: stream(self, (seen.append(a.info["step"]) or a for a in frames), **o),
    )
    assert predict(efg_jax_command, trained, trajectory, "--out", out, "--resume").exit_code == 0
    assert seen == list(range(30, 40))


def test_resuming_in_the_second_of_two_files(
    trained, trajectory, efg_jax_command, silica, save, tmp_path, stopped, monkeypatch
):
    second, out = save(silica[:3], "more.extxyz"), tmp_path / "out.extxyz"
    stopped(41)
    predict(efg_jax_command, trained, trajectory, second, "--out", out)
    monkeypatch.undo()
    assert predict(efg_jax_command, trained, trajectory, second, "--out", out, "--resume").exit_code == 0
    frames = read(out, ":")
    assert len(frames) == 43
    np.testing.assert_allclose(frames[42].positions, silica[2].positions, atol=1e-7)


@pytest.mark.parametrize("change", ["--variance", "--dtype", "structures", "model"])
def test_what_was_left_by_another_run_is_refused(
    trained, trajectory, efg_jax_command, tmp_path, stopped, monkeypatch, change
):
    out, model = tmp_path / "out.extxyz", tmp_path / "model.npz"
    model.write_bytes(trained.model.read_bytes())
    stopped(10)
    efg_jax_command("predict", model, trajectory, "--out", out)
    monkeypatch.undo()
    option = {"--variance": ["--variance"], "--dtype": ["--dtype", "float32"]}.get(change, [])
    if change == "structures":
        io.write(trajectory, io.read(trajectory, target=None)[:39])
    if change == "model":
        replace(load(model).model, regularisation=1e-3).fit(io.read(trained.data)).save(model)
    left = sorted(tmp_path.iterdir())
    result = efg_jax_command("predict", model, trajectory, "--out", out, "--resume", *option)
    assert result.exit_code == 2
    assert f"10 frames here, made with other {change.removeprefix('--')}" in result.stderr
    assert sorted(tmp_path.iterdir()) == left
    assert efg_jax_command("predict", trained.model, trajectory, "--out", out, *option).exit_code == 0  # begins again


def test_a_damaged_note_is_refused(trained, trajectory, efg_jax_command, tmp_path, stopped, monkeypatch):
    out = tmp_path / "out.extxyz"
    stopped(10)
    predict(efg_jax_command, trained, trajectory, "--out", out)
    monkeypatch.undo()
    note = tmp_path / "out.extxyz.partial.json"
    assert json.loads(note.read_text())["frames"] == 10
    note.write_text(note.read_text()[:50])
    result = predict(efg_jax_command, trained, trajectory, "--out", out, "--resume")
    assert result.exit_code == 2
    assert "is damaged; leave --resume out" in result.stderr


def test_a_chosen_element_and_chosen_atoms(trained, trajectory, efg_jax_command, tmp_path):
    out, some = tmp_path / "all.extxyz", tmp_path / "some.extxyz"
    assert predict(efg_jax_command, trained, trajectory, "--out", out).exit_code == 0
    options = ("--species", "O", "--indices", "0,2-3")
    result = predict(efg_jax_command, trained, trajectory, *options, "--out", some)
    assert result.exit_code == 0, result.stderr
    for one, other in zip(read(out, ":"), read(some, ":"), strict=True):
        chosen = np.array([index in (0, 2, 3) and one.symbols[index] == "O" for index in range(6)])
        np.testing.assert_allclose(other.arrays["efg"][chosen], one.arrays["efg"][chosen], atol=2e-8)
        assert np.isnan(other.arrays["efg"][~chosen]).all()
        assert np.isnan(other.arrays["c_q"][~chosen]).all()
        assert chosen.sum() == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--species", "Si"), ("predicts nothing for Si", "O")),
        (("--indices", "6"), ("frame 0", "has no atom 6", "6 atoms")),
        (("--indices", "0"), ("nothing to predict",)),
        (("--indices", "3-1"), ("--indices 3-1", "0,5,10-20")),
        (("--indices", "-1"), ("--indices", "0,5,10-20")),
        (("--chunk", "none"), ("--chunk none", "auto")),
        (("--chunk", "0"), ("chunk = 0", "auto")),
    ],
)
def test_impossible_choices_leave_nothing_behind(trained, trajectory, efg_jax_command, tmp_path, options, says):
    result = predict(efg_jax_command, trained, trajectory, *options, "--out", tmp_path / "out.extxyz")
    assert result.exit_code == 2
    for text in says:
        assert text in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_damaged_frame_is_named_and_what_was_there_is_kept(trained, trajectory, efg_jax_command, tmp_path):
    lines = trajectory.read_text().splitlines(keepends=True)
    trajectory.write_text("".join(lines[:-1]))
    result = predict(efg_jax_command, trained, trajectory, "--chunk", "16", "--out", tmp_path / "out.extxyz")
    assert result.exit_code == 2
    assert "md.extxyz" in result.stderr
    assert not (tmp_path / "out.extxyz").exists()


def test_frames_with_impossible_atoms_are_named_by_their_number(trained, trajectory, efg_jax_command, tmp_path):
    frames = read(trajectory, ":")
    frames[31].positions[1] = frames[31].positions[0]
    io.write(trajectory, frames)
    result = predict(efg_jax_command, trained, trajectory, "--out", tmp_path / "out.extxyz")
    assert result.exit_code == 2
    assert "frame 31, atom 1" in result.stderr


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0,5,10-12", [0, 5, 10, 11, 12]), (" 7 , 3 - 4 ", [3, 4, 7]), ("2,2,1-2", [1, 2])],
)
def test_indices_are_numbers_and_ranges(text, numbers):
    assert parse_indices(text) == numbers


@pytest.mark.parametrize("text", ["", "1,", "a", "1-", "-3", "1.5", "2-1"])
def test_what_is_neither_is_refused(text):
    with pytest.raises(InputError, match="neither a number"):
        parse_indices(text)


def test_the_same_from_python(trained, trajectory, efg_jax_command, tensors_of, tmp_path):
    """The command is a thin caller: the same file, and the same frames one by one."""
    fitted, out, by_command = load(trained.model), tmp_path / "a.extxyz", tmp_path / "b.extxyz"
    told = []
    options = {"species": "O", "indices": np.array([2, 3]), "isotopes": {"O": "17O"}, "chunk": 16}
    assert predict_to_file(fitted, [trajectory], out, progress=told.append, **options) == 40
    assert told == list(range(1, 41))
    words = ("--species", "O", "--indices", "2,3", "--isotope", "17O", "--chunk", "16")
    assert predict(efg_jax_command, trained, trajectory, *words, "--out", by_command).exit_code == 0
    assert out.read_text() == by_command.read_text()
    frames = io.read(trajectory)
    choice = {"species": "O", "indices": [2, 3], "isotopes": {"O": "17O"}, "variance": True}
    for one, atoms in zip(annotated(load(trained.model, variance=True), frames, **choice), frames, strict=True):
        assert one is atoms
        assert {"efg", "efg_std", "c_q", "eta"} <= set(atoms.arrays)
    values = np.concatenate([atoms.arrays["efg"] for atoms in frames])
    np.testing.assert_allclose(values, tensors_of(out), atol=2e-8)
    with pytest.raises(InputError, match="unknown option 'precision'"):
        predict_to_file(fitted, trajectory, out, precision="float64")


def test_a_run_from_python_resumes_one_of_the_command(
    trained, trajectory, efg_jax_command, tmp_path, stopped, monkeypatch
):
    out, told = tmp_path / "out.extxyz", []
    stopped(17)
    predict(efg_jax_command, trained, trajectory, "--out", out)
    monkeypatch.undo()
    assert predict_to_file(load(trained.model), str(trajectory), out, resume=True, progress=told.append) == 40
    assert told[0] == 17
