"""Train, evaluate, predict: from files to files."""

import json
import logging

import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.io import read

import efg_jax
from efg_jax import InputError, load
from efg_jax.models.annotation import add_couplings
from efg_jax.tensors import coupling_constant, isotope, principal_axes

SCORES = ("c_q_tilde", "eta_tilde", "eta", "c_q_mhz", "nu_q_khz", "theta", "phi")


def test_train_prints_a_table_and_writes_model_report_and_plots(trained):
    assert "¹⁷O" in trained.result.stdout
    assert "angle between z axes" in trained.result.stdout
    assert [path.name for path in trained.plots.iterdir()] == ["O-tensor.png"]
    assert load(trained.model).species == ["O"]
    assert not [path for path in trained.model.parent.iterdir() if path.name.startswith(".")]


def test_json_has_the_schema_that_was_promised(trained):
    report = json.loads(trained.json.read_text())
    assert list(report) == ["O"]
    entry = report["O"]
    assert entry["n"] == 8  # two structures of four oxygens
    for key in ("rmse_percent", "mae_vij"):
        assert isinstance(entry[key], float)
    for key in SCORES:
        assert set(entry[key]) >= {"mae", "r"}, key
    for key in ("q_tilde", "z_axis_deg"):
        assert isinstance(entry[key]["mean"], float)


def test_progress_goes_to_stderr_and_quiet_silences_it(trained, efg_jax_command, tmp_path):
    stages = trained.result.stderr.splitlines()
    assert any(line.startswith("training on 6 structures") for line in stages)
    assert any("fitting λ = 2 to 24 targets" in line for line in stages)
    assert stages[-1].startswith("wrote ")
    result = efg_jax_command("predict", trained.model, trained.data, "--out", tmp_path / "p.extxyz", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    logger = logging.getLogger("efg_jax")
    assert not logger.handlers
    assert logger.level == logging.NOTSET


def test_evaluate_repeats_what_train_reported(trained, efg_jax_command, silica, save, tmp_path):
    _, held_out = efg_jax.split(silica, 0.25, 0)
    data, report = save(held_out), tmp_path / "report.json"
    result = efg_jax_command("evaluate", trained.model, data, "--json", report)
    assert result.exit_code == 0
    assert "2 structures · ¹⁷O · 8 tensors" in result.stdout
    ours, theirs = json.loads(report.read_text())["O"], json.loads(trained.json.read_text())["O"]
    assert np.isclose(ours["rmse_percent"], theirs["rmse_percent"], rtol=1e-6)


def test_some_structures_of_a_file(trained, efg_jax_command, silica, save):
    result = efg_jax_command("evaluate", trained.model, save(silica), "--index", "::3", "--quiet")
    assert result.exit_code == 0
    assert "3 structures" in result.stdout


def test_labels_under_another_name(trained, efg_jax_command, structures, save, tmp_path):
    for atoms in structures:
        atoms.arrays["V"] = atoms.arrays.pop("efg")
    data, report = save(structures), tmp_path / "report.json"
    result = efg_jax_command("evaluate", trained.model, data, "--array", "V", "--json", report)
    assert result.exit_code == 0, result.stderr
    assert json.loads(report.read_text())["O"]["n"] == 32


def test_another_nucleus_changes_frequencies_only(trained, efg_jax_command, tmp_path):
    entries = []
    for name in ("17O", "O=17O"):
        path = tmp_path / f"{name}.json"
        efg_jax_command("evaluate", trained.model, trained.data, "--isotope", name, "--json", path)
        entries.append(json.loads(path.read_text())["O"])
    assert entries[0] == entries[1]
    assert entries[0]["isotope"] == "17O"


def test_predict_writes_tensors_couplings_and_how_sure_it_is(trained, efg_jax_command, tensors_of, tmp_path):
    out = tmp_path / "predicted.extxyz.gz"
    result = efg_jax_command("predict", trained.model, trained.data, "--variance", "--out", out)
    assert result.exit_code == 0, result.stderr
    assert result.stdout == ""
    frames = read(out, ":")
    symbols = np.concatenate([np.asarray(atoms.symbols) for atoms in frames])
    columns = {name: np.concatenate([a.arrays[name] for a in frames]) for name in ("efg", "c_q", "eta", "efg_std")}
    oxygen = symbols == "O"
    for values in columns.values():
        assert np.isfinite(values[oxygen]).all()
        assert np.isnan(values[~oxygen]).all()  # the model is for oxygen
    tensors = columns["efg"][oxygen].reshape(-1, 3, 3)
    truth = tensors_of(trained.data)[oxygen]
    assert np.sqrt(np.mean((tensors - truth) ** 2)) < 0.2 * np.sqrt(np.mean(truth**2))
    values = np.array([np.linalg.eigvalsh(tensor) for tensor in tensors])
    largest = values[np.arange(len(values)), np.abs(values).argmax(axis=1)]
    np.testing.assert_allclose(columns["c_q"][oxygen], 2.4179892421e-3 * -25.58 * largest, rtol=1e-6)
    assert ((columns["eta"][oxygen] >= 0) & (columns["eta"][oxygen] <= 1)).all()
    assert (columns["efg_std"][oxygen] >= 0).all()


def test_single_precision_is_close(trained, efg_jax_command, tensors_of, tmp_path):
    outs = {dtype: tmp_path / f"{dtype}.extxyz" for dtype in ("float32", "float64")}
    for dtype, out in outs.items():
        assert efg_jax_command("predict", trained.model, trained.data, "--dtype", dtype, "--out", out).exit_code == 0
    single, double = (tensors_of(outs[dtype]) for dtype in ("float32", "float64"))
    assert np.nanmax(np.abs(single - double)) < 1e-3 * np.nanmax(np.abs(double))


def test_predict_refuses_to_overwrite_what_it_reads(trained, efg_jax_command):
    before = trained.data.read_bytes()
    result = efg_jax_command("predict", trained.model, trained.data, "--out", trained.data)
    assert result.exit_code == 2
    assert "overwrite" in result.stderr
    assert trained.data.read_bytes() == before


def test_scalar_models_are_evaluated_and_predict(trained, trained_scalars, efg_jax_command, tmp_path):
    report, out = tmp_path / "scalar.json", tmp_path / "scalar.extxyz"
    result = efg_jax_command("evaluate", trained_scalars, trained.data, "--json", report)
    assert result.exit_code == 0, result.stderr
    entry = json.loads(report.read_text())["O"]
    assert entry["rmse_percent"] is None
    assert entry["c_q_tilde"]["mae"] >= 0
    assert efg_jax_command("predict", trained_scalars, trained.data, "--out", out).exit_code == 0
    atoms = read(out, 0)
    for name in ("c_q_tilde", "eta_tilde", "theta", "phi", "v_nn"):
        assert np.isfinite(atoms.arrays[name][np.asarray(atoms.symbols) == "O"]).all()
    assert atoms.arrays["z_axis"].shape == (6, 3)


def test_scalar_models_have_no_variance_and_no_single_precision(trained, trained_scalars, efg_jax_command, tmp_path):
    for option in (("--variance",), ("--dtype", "float32")):
        result = efg_jax_command("predict", trained_scalars, trained.data, "--out", tmp_path / "p.extxyz", *option)
        assert result.exit_code == 2
        assert option[0].removeprefix("--") in result.stderr
    assert not list(tmp_path.iterdir())


def test_targets_of_structures(efg_jax_command, structures, save, tmp_path):
    for atoms in structures:
        atoms.info["dipole"] = atoms.positions[2] - atoms.positions[0]
        del atoms.arrays["efg"]
    model, out = tmp_path / "dipole.npz", tmp_path / "out.extxyz"
    result = efg_jax_command(
        "train", save(structures), "--target", "dipole", "--species", "O", "--per", "structure", "--nmax", "2",
        "--lmax", "2",
        "--regularisation", "1e-3", "--test", "0", "--out", model,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    result = efg_jax_command("predict", model, save(structures), "--variance", "--out", out)
    assert result.exit_code == 0, result.stderr
    atoms = read(out, 0)
    predicted = atoms.info.get("dipole", getattr(atoms.calc, "results", {}).get("dipole"))
    assert np.shape(predicted) == (3,)
    assert atoms.info["dipole_std"] >= 0
    assert "c_q" not in atoms.arrays


def test_couplings_follow_the_isotope():
    # C_Q goes with Q: 302 mb for ⁴⁷Ti, 247 mb for ⁴⁹Ti.
    tensors = np.array([np.diag([-1.0, -2.0, 3.0]), np.full((3, 3), np.nan), np.diag([-1.0, -2.0, 3.0])])
    atoms = Atoms("TiOSi", positions=np.eye(3))
    add_couplings(tensors, atoms, {})
    usual = atoms.arrays["c_q"]
    values = principal_axes(jnp.asarray(tensors[0])).values
    assert np.isclose(usual[0], float(coupling_constant(values[2], isotope("47Ti"))) / 1e6)
    assert np.isnan(usual[1:]).all()  # no prediction; no quadrupole moment
    np.testing.assert_allclose(atoms.arrays["eta"], [1 / 3, np.nan, 1 / 3])
    add_couplings(tensors, atoms, {"Ti": isotope("49Ti")})
    assert np.isclose(atoms.arrays["c_q"][0] / usual[0], 247 / 302)


def test_data_are_no_model(trained):
    with pytest.raises(InputError):
        load(trained.data)
