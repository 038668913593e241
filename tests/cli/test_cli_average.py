"""`average` as users call it: the numbers of the library, in files; bad input in one line.

With a model: tests/test_sensitivity.py.
"""

import csv
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from efg_jax import io, trajectories


@pytest.fixture
def trajectory(silica, save):
    """Forty frames of one structure whose atoms shake, with tensors that are no model's."""
    generator, frames = np.random.default_rng(0), []
    for number in range(40):
        atoms = silica[0].copy()
        atoms.positions += 0.03 * generator.normal(size=(6, 3))
        noise = generator.normal(size=(6, 3, 3))
        noise = noise + noise.swapaxes(1, 2) - 2 / 3 * np.trace(noise, axis1=1, axis2=2)[:, None, None] * np.eye(3)
        atoms.arrays["efg"] = atoms.arrays["efg"] + 5 * noise.reshape(-1, 9)
        atoms.info["phase"] = ("alpha", "beta")[number // 20]
        frames.append(atoms)
    return save(frames, "md.extxyz")


def test_an_average_of_tensors_in_a_file(trajectory, efg_jax_command, tmp_path):
    names = [tmp_path / name for name in ("a.csv", "a.json", "a.extxyz")]
    result = efg_jax_command(
        "average", trajectory, "--species", "O", "--isotope", "17O", "--timestep", "2", "--direction", "0,0,1",
        "--field", "14.1", "--plots", tmp_path / "deep" / "plots",
        *(part for name in names for part in ("--out", name)),
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    expected = trajectories.average(io.iread(trajectory), species="O", direction=(0, 0, 1), timestep=2, field=14.1)
    rows = list(csv.DictReader(names[0].read_text().splitlines()))
    assert [int(row["atom"]) for row in rows] == expected.tracked.tolist()
    for row, site in zip(rows, expected.sites, strict=True):
        for name in ("c_q", "eta", "mean_c_q", "mean_eta", "nu_q"):
            assert_allclose(float(row[name]), site.quantities[name].value, rtol=1e-12)
            assert_allclose(float(row[f"{name}_error"]), site.quantities[name].error, rtol=1e-12)
    entry = json.loads(names[1].read_text())
    assert entry["frames"] == 40
    assert entry["relaxation"]["O"]["isotope"] == "17O"
    for name in ("t1", "t2", "t2_central", "densities", "recovery"):
        assert_allclose(entry["relaxation"]["O"][name], getattr(expected.relaxation(), name))
    (mean,) = io.read(names[2])
    assert_allclose(mean.arrays["efg"][expected.tracked[0]], expected.sites[0].tensor, atol=1e-7)
    assert (tmp_path / "deep" / "plots" / "O-average.png").read_bytes().startswith(b"\x89PNG")
    assert "T₁ of ¹⁷O = " in result.stdout
    assert "of the central transition apart from the satellites" in " ".join(result.stdout.split())
    assert "C_Q(⟨V⟩)" in result.stdout
    assert "a.json" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--species", "Na"), "contains no Na"),
        (("--direction", "0,1"), "--direction 0,1 is not of the form 0,0,1"),
        (("--jump", "far"), "--jump far is neither a positive number nor 'any'"),
        (("--jump", "0.001"), "frame 1, atom"),
        (("--out", "a.png"), "is no file of averages that can be written; name it *.json or *.csv"),
        (
            ("--species", "O", "--pool", "--out", "mean.extxyz"),
            "holds structures, and pooled atoms have none; name it *.json or *.csv",
        ),
        (("--label", "where"), "has no label 'where'"),
        (("--target", "ms"), "no 'ms' here"),
        (("--isotope", "29Si"), "29Si has spin 0.5 and no quadrupole moment"),
        (("--model", "absent.npz"), "absent.npz"),
    ],
)
def test_averages_that_cannot_be(trajectory, efg_jax_command, arguments, message):
    result = efg_jax_command("average", trajectory, *arguments)
    assert result.exit_code == 2
    assert message in result.stderr
    assert result.stderr.splitlines()[-1].startswith("efg-jax: error: ")


def test_files_are_one_trajectory(trajectory, silica, save, efg_jax_command):
    other = save([silica[0][[2, 1, 0, 3, 4, 5]]], "other.extxyz")
    result = efg_jax_command("average", trajectory, other)
    assert result.exit_code == 2
    assert "other.extxyz, frame 0, atom 0" in result.stderr
    assert "permuted" in result.stderr
