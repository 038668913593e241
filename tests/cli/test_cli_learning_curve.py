"""`efg-jax learning-curve`: from a file of structures to table, CSV, JSON and figure, and on from where it was
stopped.
"""

import csv
import json
import re
from types import SimpleNamespace

import numpy as np
import pytest
from ase.io import write

import efg_jax
from efg_jax import LambdaSOAP, TensorGPR
from efg_jax.network import Architecture, EquivariantNetwork, Training
from efg_jax.storage.plain_values import from_plain
from efg_jax.tuning import Hyperparameters, write_hyperparameters

BASE = ("learning-curve", "--species", "O", "--test", "0.25")
DESCRIPTOR = ("--nmax", "2", "--lmax", "2", "--cutoff", "4")  # compiles fast
CURVE = (*BASE, *DESCRIPTOR, "--sizes", "6,2", "--repeats", "2")
WHOLE = (*BASE, *DESCRIPTOR, "--sizes", "6")
SMALL = ("--layers", "1", "--channels", "2", "--epochs", "2", "--validation", "0.3")


@pytest.fixture(scope="module")
def drawn(silica, efg_jax_command, tmp_path_factory):
    """What a run leaves behind."""
    folder = tmp_path_factory.mktemp("curve")
    names = {"data": "silica.extxyz", "out": "curve.csv", "json": "curve.json", "plot": "curve.png"}
    files = SimpleNamespace(folder=folder, **{key: folder / name for key, name in names.items()})
    write(files.data, silica, format="extxyz")
    result = efg_jax_command(
        *CURVE, files.data, "--out", files.out, "--json", files.json, "--plot", files.plot
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    files.result = result
    return files


def rows(path):
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_it_writes_table_rows_json_and_figure(drawn, silica):
    table = drawn.result.stdout
    for words in ("C̃_Q", "tensor", "scalar", "slope", "tested on 8 atoms of 2 structures"):
        assert words in table
    found = rows(drawn.out)
    assert list(found[0]) == ["model", "species", "metric", "repeat", "structures", "environments", "value"]
    assert {(row["structures"], row["environments"], row["repeat"]) for row in found} == {
        ("2", "8", "1"), ("6", "24", "1"), ("2", "8", "2"),
    }  # fmt: skip
    (of_whole,) = (
        float(row["value"]) for row in found
        if (row["model"], row["metric"], row["structures"]) == ("tensor", "rmse_percent", "6")
    )  # fmt: skip
    training, test = efg_jax.split(silica, 0.25, 0)
    by_hand = (
        TensorGPR(LambdaSOAP(cutoff=4.0, nmax=2, lmax=2), "O")
        .fit(training)
        .evaluate(test)
        .to_dict()["O"]["rmse_percent"]
    )
    assert np.isclose(of_whole, by_hand, rtol=1e-5)  # the file has eight digits
    whole = json.loads(drawn.json.read_text(encoding="utf-8"))
    assert set(whole) == {"settings", "rows", "summary", "slopes"}
    assert whole["settings"]["sizes"] == [2, 6]
    assert drawn.plot.read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in drawn.folder.iterdir()) == [
        "curve.cache", "curve.csv", "curve.json", "curve.png", "silica.extxyz",
    ]  # fmt: skip


def test_progress_is_one_line_a_fit(drawn):
    lines = [line for line in drawn.result.stderr.splitlines() if re.match(r"\[\d+/\d+\] ", line)]
    assert [line.split()[0] for line in lines] == [f"[{n}/6]" for n in range(1, 7)]
    assert lines[0].startswith("[1/6] tensor, 2 structures, repeat 1: O C̃_Q 0.")
    assert "fitting λ" not in drawn.result.stderr
    assert drawn.result.stderr.splitlines()[-1].startswith("wrote ")


def test_a_stopped_run_goes_on_with_resume(drawn, efg_jax_command, tmp_path, monkeypatch):
    out, calls, fit = tmp_path / "again.csv", [], TensorGPR.fit

    def interrupted(model, structures, **kept):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return fit(model, structures, **kept)

    monkeypatch.setattr(TensorGPR, "fit", interrupted)
    stopped = efg_jax_command(*CURVE, drawn.data, "--out", out)
    assert stopped.exit_code == 130
    assert "stopped after 2 of 6 fits; the same command with --resume" in stopped.stderr
    assert not out.exists()
    resumed = efg_jax_command(*CURVE, drawn.data, "--out", out, "--resume")
    assert resumed.exit_code == 0, resumed.stderr
    assert "2 of 6 fits are taken from" in resumed.stderr
    assert [line.split()[0] for line in resumed.stderr.splitlines() if line.startswith("[")] == [
        f"[{n}/6]" for n in range(3, 7)
    ]
    assert out.read_bytes() == drawn.out.read_bytes()
    assert len(calls) == 2 + 2
    # All is there: nothing is fitted again, and nothing is said.
    quiet = efg_jax_command(*CURVE, drawn.data, "--out", out, "--resume", "--quiet")
    assert (quiet.exit_code, quiet.stderr, quiet.stdout) == (0, "", drawn.result.stdout)
    assert len(calls) == 4
    # Without --resume it starts over.
    again = efg_jax_command(*CURVE, drawn.data, "--out", out, "--model", "tensor")
    assert "taken from" not in again.stderr
    assert len(calls) == 4 + 3
    assert {row["model"] for row in rows(out)} == {"tensor"}


def test_hyperparameters_from_a_file(drawn, silica, efg_jax_command, tmp_path):
    model = TensorGPR(LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, species=("O", "Si")), "O", zeta=1.5, regularisation=1e-3)
    write_hyperparameters(tmp_path / "best.json", Hyperparameters.of(model))
    command = (
        *BASE,
        drawn.data,
        "--sizes",
        "6",
        "--out",
        tmp_path / "curve.csv",
        "--model",
        "tensor",
        "--hyperparameters",
    )
    result = efg_jax_command(*command, tmp_path / "best.json")
    assert result.exit_code == 0, result.stderr
    (found,) = (float(row["value"]) for row in rows(tmp_path / "curve.csv") if row["metric"] == "rmse_percent")
    training, test = efg_jax.split(silica, 0.25, 0)
    by_hand = model.fit(training).evaluate(test).to_dict()["O"]["rmse_percent"]
    assert np.isclose(found, by_hand, rtol=1e-5)
    missing = efg_jax_command(*command, tmp_path / "none.json", "--quiet")
    assert (missing.exit_code, missing.stdout) == (2, "")
    assert "none.json" in missing.stderr


def test_networks_beside_kernel_models(drawn, efg_jax_command, tmp_path, monkeypatch):
    out, json_file = tmp_path / "both.csv", tmp_path / "both.json"
    command = (*WHOLE, drawn.data, "--model", "tensor,network", *SMALL, "--out", out, "--json", json_file)
    result = efg_jax_command(*command)
    assert result.exit_code == 0, result.stderr
    found = rows(out)
    of = {model: [row for row in found if row["model"] == model] for model in ("tensor", "network")}
    assert of["tensor"] == [row for row in rows(drawn.out) if row["model"] == "tensor" and row["structures"] == "6"]
    assert [row["metric"] for row in of["network"]] == [row["metric"] for row in of["tensor"]]
    assert {row["environments"] for row in of["network"]} == {"24"}
    assert [line[:36] for line in result.stderr.splitlines() if line.startswith("[")] == [
        "[1/2] tensor, 6 structures, repeat 1", "[2/2] network, 6 structures, repeat ",
    ]  # fmt: skip
    network = json.loads(json_file.read_text(encoding="utf-8"))["settings"]["models"]["network"]
    assert from_plain(Architecture, network["architecture"]) == Architecture(("O", "Si"), 4.0, channels=2, layers=1)
    assert from_plain(Training, network["training"]) == Training(epochs=2, validation=0.3)

    def refuse(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(EquivariantNetwork, "fit", refuse)
    again = efg_jax_command(*command, "--resume")
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    assert rows(out) == found


def test_who_interrupts_the_first_network_is_told_how_to_go_on(drawn, efg_jax_command, tmp_path, monkeypatch):
    def interrupted(model, structures, *, checkpoint, resume, progress):
        progress(1, 2, "validation efg")
        assert (checkpoint, resume) == (tmp_path / "curve.cache" / "states", False)
        raise KeyboardInterrupt

    monkeypatch.setattr(EquivariantNetwork, "fit", interrupted)
    result = efg_jax_command(*BASE, "--sizes", "6", drawn.data, "--model", "network", "--out", tmp_path / "curve.csv")
    assert result.exit_code == 130
    assert "stopped in the first fit; the same command with --resume continues from there" in result.stderr


def test_hyperparameters_go_to_the_models_that_they_are_of(drawn, efg_jax_command, tmp_path, monkeypatch):
    kernel, network, fitted = tmp_path / "kernel.json", tmp_path / "network.json", []

    def interrupted(model, *_, **__):
        fitted.append(model)
        raise KeyboardInterrupt

    monkeypatch.setattr(EquivariantNetwork, "fit", interrupted)
    monkeypatch.setattr(TensorGPR, "fit", interrupted)
    descriptor = LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, species=("O", "Si"))
    tuned = EquivariantNetwork(Architecture(channels=3), "O", training=Training(learning_rate=0.02))
    write_hyperparameters(network, Hyperparameters.of(tuned))
    write_hyperparameters(kernel, Hyperparameters.of(TensorGPR(descriptor, zeta=1.5)))
    command = (*BASE, "--sizes", "6", drawn.data, "--out", tmp_path / "curve.csv", "--hyperparameters")
    for kinds in ("network,tensor", "tensor,network"):
        result = efg_jax_command(*command, kernel, "--hyperparameters", network, "--model", kinds, "--epochs", "7")
        assert result.exit_code == 130, result.stderr
    first, second = fitted
    assert (first.architecture.channels, first.training.learning_rate, first.training.epochs) == (3, 0.02, 7)
    assert (float(second.zeta), float(second.descriptor.cutoff)) == (1.5, 3.5)
    for arguments, says in (
        ((kernel, "--model", "network"), "has hyperparameters of a kernel model, and no model in the curve takes them"),
        ((network, "--model", "tensor"), "has hyperparameters of a network"),
        ((network, "--hyperparameters", network, "--model", "network"), "has hyperparameters of a network"),
        ((network, "--model", "network", "--channels", "2"), "--channels is also in --hyperparameters"),
    ):
        result = efg_jax_command(*command, *arguments)
        assert result.exit_code == 2
        assert says in " ".join(result.stderr.split())


def test_what_is_no_field_gradient_is_learned_as_tensor(structures, save, efg_jax_command, tmp_path):
    for atoms in structures:
        atoms.arrays["sigma"] = atoms.arrays.pop("efg") + 40.0 * np.eye(3).ravel()
    result = efg_jax_command(
        "learning-curve", save(structures), "--target", "ms", "--array", "sigma", "--species", "O", *DESCRIPTOR,
        "--sizes", "3",
        "--repeats", "1", "--out", tmp_path / "ms.csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    found = rows(tmp_path / "ms.csv")
    assert {row["model"] for row in found} == {"tensor"}
    assert {"sigma_iso.mae", "by_order.2.rmse_percent"} <= {row["metric"] for row in found}
    assert "σ_iso" in result.stdout
    assert "λ = 2" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--sizes", "2,many"), ("--sizes 2,many", "10,20,40")),
        (("--sizes", "2,7"), ("size 7", "6 structures")),
        (("--sizes", "1"), ("size 1",)),
        (("--repeats", "0"), ("repeats",)),
        (("--test", "0"), ("test",)),
        (("--plot", "curve.gif"), ("curve.gif", ".png")),
        (("--per", "structure", "--model", "both"), ("--model tensor",)),
        (("--per", "structure", "--model", "tensor,network"), ("--model network", "use --model tensor")),
        (("--per", "atom", "--model", "network"), ("--per is an option of tensor models",)),
        (("--model", "tensor,forest"), ("--model forest", "network")),
        (("--layers", "1"), ("--layers is an option of network models", "--model network")),
        (("--zeta", "1", "--model", "network"), ("--zeta is an option of tensor and scalar models",)),
        (("--model", "network", "--layers", "9"), ("layers must be 1 to 4, got 9",)),
        (("--model", "network", "--lmax", "1"), ("order 2", "take a higher lmax")),
        (("--model", "network", "--validation", "0"), ("empty validation set",)),
        (("--species", "Al"), ("Al", "O, Si")),
        (("--json", "no/such/folder.json"), ("no/such",)),
    ],
)
def test_nonsense_is_refused_and_leaves_nothing(drawn, efg_jax_command, tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    descriptor = () if "network" in arguments else DESCRIPTOR
    command = [*BASE, *descriptor, *CURVE[-4:], drawn.data, "--out", "curve.csv"]
    if arguments[0] == "--species":
        command.remove("O")
        command.remove("--species")
    result = efg_jax_command(*command, *arguments, "--quiet")
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert re.fullmatch(r"efg-jax: error: [^\n]+\n", result.stderr), result.stderr
    for words in says:
        assert words in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_device_keeps_no_fits(drawn, efg_jax_command):
    result = efg_jax_command(*CURVE, drawn.data, "--out", "/dev/null", "--resume")
    assert result.exit_code == 2
    assert "--resume" in result.stderr


def test_help_says_what_it_does(efg_jax_command):
    assert "learning-curve" in efg_jax_command("--help").stdout
    assert "--resume" in efg_jax_command("learning-curve", "--help").stdout
