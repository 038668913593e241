"""`efg-jax spectrum`: from files, and from what `predict` writes, to tables and pictures."""

import re

import numpy as np
import pytest

pytest.importorskip("mrsimulator", reason="needs the extra [spectra]")

O17 = ("--isotope", "17O", "--field", "14.1")


def table(path):
    lines = path.read_text().splitlines()
    notes = dict(line[2:].split(": ", 1) for line in lines if line.startswith("#"))
    rows = [line.split(",") for line in lines if not line.startswith("#")]
    return notes, rows[0], np.array(rows[1:], dtype=float)


def test_a_prediction_becomes_a_spectrum(trained, efg_jax_command, tmp_path):
    predicted, out, plot, mrsim = (tmp_path / name for name in ("p.extxyz", "o.csv", "o.png", "o.mrsim"))
    assert efg_jax_command("predict", trained.model, trained.data, "--out", predicted, "--quiet").exit_code == 0
    result = efg_jax_command(
        "spectrum", predicted, *O17, "--shift", "0", "--index", "0", "--spinning", "inf", "--broadening", "1 ppm",
        "--per-site",
        "--out", out, "--plot", plot, "--mrsim", mrsim,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    notes, header, values = table(out)
    assert notes["spinning_hz"] == "inf"
    assert header[:3] == ["frequency_hz", "shift_ppm", "total"]
    assert len(header) == 3 + int(notes["sites"])
    np.testing.assert_allclose(values[:, 3:].sum(axis=1), values[:, 2], rtol=1e-6, atol=1e-9)
    step = values[1, 0] - values[0, 0]
    np.testing.assert_allclose(values[:, 2].sum() * step, float(notes["nuclei"]), rtol=0.01)
    assert plot.read_bytes().startswith(b"\x89PNG")
    assert mrsim.exists()
    assert "o.csv" in result.stderr.replace("\n", "")


def test_two_dimensions(silica, save, efg_jax_command, tmp_path):
    path, out = save(silica[:1]), tmp_path / "mq.csv"
    result = efg_jax_command(
        "spectrum",
        path,
        *O17,
        "--shift",
        "0",
        "--mqmas",
        "3",
        "--merge",
        "--out",
        out,
        "--plot",
        tmp_path / "mq.png",
        "--quiet",
    )
    assert (result.exit_code, result.output) == (0, "")
    notes, header, values = table(out)
    assert notes["quanta"] == "3"
    assert values.shape[1] == len(header)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "no reference was given"),
        (("--shift", "0", "--field", "0"), "a field of 0 T"),
        (("--reference", "Si=330"), "is not for 17O"),
        (("--reference", "287.5"), "no 'ms' tensors"),
        (("--shift", "0", "--isotope", "29Si", "--mqmas", "3"), "spin 1/2"),
        (("--shift", "0", "--isotope", "27Al"), "no Al atoms"),
        (("--shift", "0", "--spinning", "fast"), "give Hz"),
        (("--shift", "0", "--mqmas", "3", "--spinning", "20000"), "does not go with --mqmas"),
        (("--shift", "0", "--mqmas", "3", "--spinning", "static"), "does not go with --mqmas"),
        (("--shift", "0", "--mqmas", "3", "--method", "exact"), "--method does not go with --mqmas"),
        (("--shift", "0", "--method", "exact", "--spinning", "inf"), "exact diagonalisation is for static samples"),
        (("--shift", "0", "--method", "exact", "--order", "1"), "method='exact' has all orders"),
        (("--shift", "0", "--method", "exact", "--mrsim", "a.mrsim"), "has no exact diagonalisation"),
        (("--shift", "0", "--broadening", "much"), "not understood"),
        (("--shift", "0", "--plot", "a.xyz"), "is no picture that can be written"),
    ],
)
def test_spectrum_refuses(silica, save, efg_jax_command, tmp_path, options, says):
    path, out = save(silica[:1]), tmp_path / "o.csv"
    result = efg_jax_command("spectrum", path, *O17, *options, "--out", out, "--quiet")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert re.fullmatch(r"efg-jax: error: [^\n]+\n", result.stderr), result.stderr
    assert says in result.stderr
    assert not out.exists()


def test_a_name_that_promises_another_format(silica, save, efg_jax_command, tmp_path):
    result = efg_jax_command("spectrum", save(silica[:1]), *O17, "--shift", "0", "--out", tmp_path / "a.xls")
    assert result.exit_code == 2
    assert "is no spectrum that can be written; name it *.csv" in result.stderr
    assert not (tmp_path / "a.xls").exists()


def test_a_file_of_mrsimulator_alone_takes_no_simulation(silica, save, efg_jax_command, tmp_path):
    result = efg_jax_command("spectrum", save(silica[:1]), *O17, "--shift", "0", "--mrsim", tmp_path / "a.mrsim")
    assert result.exit_code == 0, result.stderr
    assert "writing" in result.stderr
    assert "simulating" not in result.stderr
    assert (tmp_path / "a.mrsim").stat().st_size > 0


def test_exact_diagonalisation(silica, save, efg_jax_command, tmp_path):
    """In a field so low that ν_Q is a tenth of ν_L the two methods differ, and perturbation theory says so."""
    curves, path = {}, save(silica[:1])
    measured = ("--isotope", "17O", "--field", "0.9", "--shift", "0", "--indices", "5", "--broadening", "3000 ppm")
    for method in ("perturbation", "exact"):
        out = tmp_path / f"{method}.csv"
        window = ("--width", "4e6", "--offset", "0", "--points", "512")
        result = efg_jax_command("spectrum", path, *measured, *window, "--method", method, "--out", out)
        assert result.exit_code == 0, result.stderr
        assert ("outside its range" in result.stderr) == (method == "perturbation")
        notes, _, curves[method] = table(out)
        assert notes["method"] == method
    low, high = (curves[method][:, 1] @ curves[method][:, 2] for method in ("perturbation", "exact"))
    assert high > low + 0.01 * abs(low)


def test_nothing_to_write(silica, save, efg_jax_command):
    result = efg_jax_command("spectrum", save(silica[:1]), *O17, "--shift", "0")
    assert result.exit_code == 2
    assert "nothing to write" in result.stderr


def test_the_frames_of_a_trajectory_and_their_mean_structure_make_one_spectrum(silica, save, efg_jax_command, tmp_path):
    """Intermediate motion from the frames, and from what `average` writes of them."""
    frames = [silica[0].copy() for _ in range(4)]
    for number, atoms in enumerate(frames):
        atoms.arrays["efg"] = atoms.arrays["efg"].reshape(-1, 3, 3)
        if number % 2:
            atoms.arrays["efg"] = atoms.arrays["efg"][:, ::-1, ::-1]
        atoms.arrays["efg"] = atoms.arrays["efg"].reshape(-1, 9)
    path, mean = save(frames, "md.extxyz"), tmp_path / "mean.extxyz"
    asked = (*O17, "--shift", "0", "--spinning", "inf", "--points", "256", "--quiet", "--motion")
    result = efg_jax_command("average", path, "--species", "O", "--field", "14.1", "--out", mean)
    assert result.exit_code == 0, result.stderr
    assert "⟨δ_QIS⟩ ppm" in result.stdout
    tables = {}
    for file, motion in ((path, "intermediate"), (mean, "intermediate"), (path, "fast"), (path, "rigid")):
        out = tmp_path / "out.csv"
        assert efg_jax_command("spectrum", file, *asked, motion, "--out", out).exit_code == 0
        notes, _, tables[file, motion] = table(out)
        assert notes["motion"] == motion
    one, other, fast, rigid = tables.values()
    np.testing.assert_allclose(one[:, 2], other[:, 2], atol=1e-4 * one[:, 2].max())
    shifts = [(values[:, 1] * values[:, 2]).sum() / values[:, 2].sum() for values in (one, fast, rigid)]
    assert shifts[0] < shifts[1] < 0  # more of the second order is left
    np.testing.assert_allclose(shifts[0], shifts[2], rtol=0.02)  # the mean of the frames' centres of gravity
    result = efg_jax_command("spectrum", path, *asked, "intermediate", "--mrsim", tmp_path / "m.mrsim")
    assert result.exit_code == 2
    assert "mrsimulator, whose file this is, cannot average" in result.stderr
