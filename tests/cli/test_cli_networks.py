"""Networks on the command line: trained, judged, fine-tuned, interrupted, and predicting."""

import csv
import json
from types import SimpleNamespace

import numpy as np
import pytest
from ase.io import read, write

from efg_jax import load, split
from efg_jax.network import committee_training

SMALL = ("--model", "network", "--layers", "1", "--channels", "2", "--cutoff", "3", "--epochs", "2", "--test", "0.25")


@pytest.fixture(scope="session")
def network(silica, efg_jax_command, tmp_path_factory):
    """A committee of two for the EFG and for an array of numbers, and what its training leaves behind."""
    folder = tmp_path_factory.mktemp("network")
    frames = [atoms.copy() for atoms in silica]
    for atoms in frames:
        atoms.arrays["size"] = np.linalg.norm(atoms.arrays["efg"], axis=1)
    del frames[0].arrays["size"]  # a structure may lack a target
    files = SimpleNamespace(
        data=folder / "silica.extxyz", model=folder / "network.npz", json=folder / "r.json", log=folder / "log.csv",
        plots=folder / "plots",
    )  # fmt: skip
    write(files.data, frames, format="extxyz")
    files.result = efg_jax_command(
        "train", files.data, *SMALL, "--target", "efg,size", "--members", "2", "--validation", "0.3",
        "--out", files.model, "--json", files.json, "--log", files.log, "--plots", files.plots,
    )  # fmt: skip
    assert files.result.exit_code == 0, files.result.stderr
    return files


def test_each_target_has_its_report(network):
    assert "efg, 2 held-out structures" in network.result.stdout
    assert "size, " in network.result.stdout
    report = json.loads(network.json.read_text())
    assert list(report) == ["efg", "size"]
    assert report["efg"]["O"]["n"] == 8
    assert set(report["size"]) == {"O", "Si"}
    assert (network.plots / "efg" / "O-tensor.png").exists()
    assert list((network.plots / "size").iterdir())
    assert (network.plots / "training.png").exists()


def test_epochs_are_told_and_logged(network):
    assert "[4/4] network 2 of 2: validation efg λ=2 " in network.result.stderr
    with network.log.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["network"], row["epoch"]) for row in rows] == [("1", "0"), ("1", "1"), ("2", "0"), ("2", "1")]
    assert all(float(row["validation_loss"]) > 0 and float(row["efg_2"]) > 0 for row in rows)
    assert not network.model.with_suffix(".cache").exists()


def test_the_model_is_what_was_asked_for(network):
    model = load(network.model).model
    assert (model.targets, model.members, model.architecture.lmax) == (("efg", "size"), 2, 2)
    assert (model.architecture.layers, model.architecture.channels, model.training.epochs) == (1, 2, 2)
    assert model.architecture.species == ("O", "Si")


def test_evaluate_repeats_what_train_reported(network, efg_jax_command, silica, save, tmp_path):
    import efg_jax

    _, held_out = efg_jax.split(read(network.data, ":"), 0.25, 0)
    report = tmp_path / "report.json"
    result = efg_jax_command("evaluate", network.model, save(held_out), "--json", report)
    assert result.exit_code == 0, result.stderr
    assert json.loads(report.read_text()) == json.loads(network.json.read_text())
    # Of what the structures do not carry there is no report, unless one insists.
    result = efg_jax_command("evaluate", network.model, save(silica), "--json", report)
    assert result.exit_code == 0, result.stderr
    assert list(json.loads(report.read_text())) == ["O", "Si"]
    result = efg_jax_command("evaluate", network.model, save(silica), "--target", "size")
    assert result.exit_code == 2
    assert "no structure carries 'size'" in result.stderr


def test_predict_writes_every_target_and_how_sure_it_is(network, efg_jax_command, silica, save, tmp_path):
    out = tmp_path / "predicted.extxyz"
    result = efg_jax_command("predict", network.model, save(silica), "--variance", "--out", out)
    assert result.exit_code == 0, result.stderr
    model = load(network.model)
    for atoms in read(out, ":"):
        values, variance = model.predict(atoms, target="efg", variance=True)
        close = {"rtol": 0, "atol": 1e-5 * np.abs(values).max()}  # float32, and structures are worked on together
        np.testing.assert_allclose(atoms.arrays["efg"].reshape(-1, 3, 3), values, **close)
        np.testing.assert_allclose(atoms.arrays["efg_std"], np.sqrt(variance), **close)
        np.testing.assert_allclose(atoms.arrays["size"], model.predict(atoms, target="size"), **close)
        assert {"size_std", "c_q", "eta"} <= set(atoms.arrays)
    chosen = tmp_path / "chosen.extxyz"
    result = efg_jax_command(
        "predict", network.model, save(silica), "--target", "size", "--species", "O", "--out", chosen
    )
    assert result.exit_code == 0, result.stderr
    atoms = read(chosen, 0)
    assert "c_q" not in atoms.arrays
    np.testing.assert_array_equal(np.isfinite(atoms.arrays["size"]), np.asarray(atoms.symbols) == "O")


def test_fine_tuning_begins_with_a_saved_model(network, efg_jax_command, silica, save, tmp_path):
    model = tmp_path / "tuned.npz"
    frames = [atoms.copy() for atoms in silica]
    for atoms in frames:
        atoms.arrays["half"] = atoms.arrays["efg"][:, 0] / 2
    result = efg_jax_command(
        "train", save(frames), "--model", "network", "--from", network.model, "--target", "half", "--freeze",
        "--epochs", "1",
        "--validation", "0.3", "--test", "0", "--out", model,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    before, after = load(network.model), load(model)
    assert list(after.targets) == ["half"]
    for ours, theirs in zip(after.committee.networks, before.committee.networks, strict=True):
        np.testing.assert_array_equal(ours.embedding, theirs.embedding)


def test_who_interrupts_is_told_how_to_go_on(efg_jax_command, trained, tmp_path, monkeypatch):
    model, plain = tmp_path / "network.npz", committee_training.Trainer.train

    def interrupted(self, network, seed, checkpoint, tell, *others):
        def stop(done, epochs, what):
            tell(done, epochs, what)
            raise KeyboardInterrupt

        return plain(self, network, seed, checkpoint, stop, *others)

    products = ("--decomposition", "products", "--products", "4", "--lmax", "2")
    command = ("train", trained.data, *SMALL, *products, "--species", "O", "--validation", "0.3", "--out", model)
    monkeypatch.setattr(committee_training.Trainer, "train", interrupted)
    result = efg_jax_command(*command)
    assert result.exit_code == 130
    assert "stopped after 1 of 2 steps; the same command with --resume continues from there" in result.stderr
    assert not model.exists()
    assert len(list((tmp_path / "network.cache").iterdir())) == 1
    monkeypatch.setattr(committee_training.Trainer, "train", plain)
    monkeypatch.setattr("efg_jax.models.FittedModel.evaluate_targets", interrupts)
    result = efg_jax_command(*command, "--resume")
    assert result.exit_code == 130
    assert "[2/2]" in result.stderr
    assert "[1/2]" not in result.stderr
    assert not (tmp_path / "network.cache").exists()
    assert load(model).species == ["O"]  # what was trained is not lost with the report on it


def interrupts(*_, **__):
    raise KeyboardInterrupt


def test_held_out_structures_must_tell_something_of_what_is_learned(structures, efg_jax_command, save, tmp_path):
    """Labels of other elements alone do not."""
    _, held_out = split(range(8), 0.25, 0)
    for number, atoms in enumerate(structures):
        atoms.arrays["efg"][np.array(atoms.symbols) != ("Si" if number in held_out else "O")] = np.nan
    for model in ("network", "gpr"):
        result = efg_jax_command(
            "train", save(structures), "--model", model, "--test", "0.25", "--out", tmp_path / "m.npz"
        )
        assert result.exit_code == 2, result.output
        assert "none of the 2 held-out structures carries labels of 'efg'" in " ".join(result.stderr.split())
    base, data = tmp_path / "base.npz", save(structures)
    result = efg_jax_command(
        "train", data, *SMALL[:-2], "--species", "O", "--validation", "0.5", "--test", "0", "--out", base
    )
    assert result.exit_code == 0, result.output
    result = efg_jax_command("train", data, *SMALL[:2], "--from", base, "--test", "0.25", "--out", tmp_path / "m.npz")
    assert result.exit_code == 2, result.output
    assert "none of the 2 held-out structures" in " ".join(result.stderr.split())
    assert "training on" not in result.stderr  # not after it


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ("--model", "network", "--zeta", "1"),
            "--zeta is an option of tensor and scalar models; leave it out, or use --model tensor",
        ),
        (("--model", "network", "--inducing", "8"), "--inducing is an option of tensor models"),
        (("--model", "network", "--per", "atom"), "--per is an option of tensor models"),
        (("--layers", "3"), "--layers is an option of network models; leave it out, or use --model network"),
        (("--model", "gpr", "--from", "m.npz"), "--from is an option of network models"),
        (("--model", "scalar", "--log", "l.csv"), "--log is an option of network models"),
        (("--model", "network", "--from", "m.npz", "--channels", "3"), "--channels is also in --from"),
        (("--model", "network", "--from", "m.npz"), "no such model file"),
        (("--model", "network", "--freeze"), "name it with --from"),
        (("--model", "network", "--epochs", "0"), "epochs must be positive, got 0"),
        (("--model", "network", "--lmax", "7"), "lmax must be 0 to 4, got 7"),
        (("--model", "network", "--lmax", "0"), "'efg' has a part of order 2"),
        (("--model", "network", "--target", "efg,ms", "--array", "V"), "--array names the array of one target"),
        (("--model", "network", "--validation", "0"), "the validation set is empty"),
        (("--target", "efg,ms"), "a kernel model learns one target"),
    ],
)
def test_options_that_make_no_sense(trained, efg_jax_command, tmp_path, options, says):
    result = efg_jax_command("train", trained.data, *options, "--out", tmp_path / "m.npz")
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_a_kernel_model_is_no_network(trained, network, efg_jax_command, tmp_path):
    out = tmp_path / "m.npz"
    result = efg_jax_command("train", trained.data, "--model", "network", "--from", trained.model, "--out", out)
    assert (result.exit_code, out.exists()) == (2, False)
    assert "holds a tensor model, and only networks are fine-tuned" in result.stderr
    for model, options, says in (
        (network.model, ("--chunk", "0"), "chunk must be a positive number of atoms"),
        (network.model, ("--target", "ms"), "the model predicts efg and size"),
        (trained.model, ("--target", "ms"), "the model predicts efg"),
    ):
        result = efg_jax_command("predict", model, trained.data, *options, "--out", tmp_path / "p.extxyz")
        assert result.exit_code == 2
        assert says in result.stderr
    assert not list(tmp_path.iterdir())
