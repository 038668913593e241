"""`efg-jax alignment-echo`: the numbers of the library, in files; bad input in one line."""

import csv
import json

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

from efg_jax import io, trajectories


@pytest.fixture
def trajectory(save):
    """Six lithium ions that hop between two sites at random."""
    generator, efgs = np.random.default_rng(0), np.array([np.diag([-1.0, -1.0, 2.0]), np.diag([3.0, -1.0, -2.0])])
    frames, at = [], generator.integers(2, size=6)
    for _ in range(60):
        at = np.where(generator.random(6) < 0.2, 1 - at, at)
        atoms = Atoms("Li6", 3.0 * np.arange(18).reshape(6, 3), cell=[60, 60, 60], pbc=True)
        atoms.arrays["efg"] = efgs[at].reshape(6, 9)
        frames.append(atoms)
    return save(frames, "kmc.extxyz")


def test_the_echo_of_a_trajectory_in_a_file(trajectory, efg_jax_command, tmp_path):
    names = [tmp_path / name for name in ("f2.csv", "f2.json")]
    asked = ("--preparation", "1e-5", "--preparation", "4e-5", "--timestep", "1e9", "--species", "Li")
    for name in names:
        result = efg_jax_command(
            "alignment-echo", trajectory, *asked, "--directions", "50", "--out", name, "--plot", tmp_path / "f2.png"
        )
        assert result.exit_code == 0, result.stderr
    expected = trajectories.alignment_echo(io.iread(trajectory), [1e-5, 4e-5], timestep=1e9, directions=50)
    rows = list(csv.DictReader(names[0].read_text().splitlines()))
    assert_allclose([float(row["echo"]) for row in rows], expected.values.ravel(), rtol=1e-6)
    assert_allclose([float(row["echo_error"]) for row in rows], expected.errors.ravel(), rtol=1e-6)
    assert_allclose([float(row["mixing"]) for row in rows[: len(expected.mixing)]], expected.mixing)
    entry = json.loads(names[1].read_text())
    assert_allclose(entry["plateau"], expected.plateau)
    assert_allclose(entry["decays"][0]["time"], expected.decays[0].time)
    assert (tmp_path / "f2.png").read_bytes().startswith(b"\x89PNG")
    assert "6 atoms, 60 frames, 60.0 µs" in result.stdout
    assert "f2.json" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--preparation", "0", "--timestep", "1"), "0: expected positive times in seconds"),
        (("--preparation", "1e-5", "--timestep", "-1"), "time step of -1"),
        (("--preparation", "1e-5"), "--timestep is missing"),
        (("--timestep", "1"), "--preparation is missing"),
        (("--preparation", "1e-5", "--timestep", "1", "--out", "a.png"), "is no file of echoes"),
        (("--preparation", "1e-5", "--timestep", "1", "--species", "Na"), "contains no Na"),
        (("--preparation", "1e-5", "--timestep", "1", "--window", "40"), "make 1 windows of 40"),
        (("--preparation", "1e-5", "--timestep", "1", "--model", "absent.npz"), "absent.npz"),
    ],
)
def test_echoes_that_cannot_be(trajectory, efg_jax_command, arguments, message):
    result = efg_jax_command("alignment-echo", trajectory, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("efg-jax: error: ")
