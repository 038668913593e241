"""`efg-jax tune --model network`, and `efg-jax train` with what it found."""

import json
from types import SimpleNamespace

import pytest

from efg_jax import load
from efg_jax.network import Architecture
from efg_jax.network import trainer as training_module
from efg_jax.tuning import read_hyperparameters

pytest.importorskip("optuna")

START = ("--layers", "1", "--channels", "2", "--cutoff", "3", "--epochs", "2", "--validation", "0.3")
DESCRIPTOR = {"cutoff": 4.0, "nmax": 2, "lmax": 2, "sigma": 0.4, "cutoff_width": 0.5, "species": ["O", "Si"]}
MOVED = ("--parameters", "learning_rate,batch_edges", "--bounds", "batch_edges=500:5000")
NETWORK = ("--model", "network", "--target", "efg", "--species", "O", *START, *MOVED)


@pytest.fixture(scope="module")
def no_training():
    """Networks are not trained in earnest: the loss is what the learning rate says."""

    def validated(self, state, still, epoch, training_loss):
        loss = 1.0 + abs(self._options.learning_rate - 0.02)
        return {"epoch": epoch, "learning_rate": 0.0, "training_loss": 1.0, "validation_loss": loss, "efg_2": 1.0}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(training_module.Trainer, "_epoch", lambda self, state, *_: (state, 1.0))
        patched.setattr(training_module.Trainer, "_validated", validated)
        yield


@pytest.fixture(scope="module")
def tuned(no_training, trained, efg_jax_command, tmp_path_factory):
    """Files that `efg-jax tune --model network` leaves behind."""
    folder = tmp_path_factory.mktemp("tuned")
    files = SimpleNamespace(best=folder / "best.json", csv=folder / "history.csv", plots=folder / "figures")
    files.result = efg_jax_command(
        "tune", trained.data, *NETWORK, "--budget", "3", "--out", files.best, "--csv", files.csv,
        "--plots", files.plots,
    )  # fmt: skip
    assert files.result.exit_code == 0, files.result.stderr
    return files


def test_tune_says_what_it_gained_and_writes_what_it_did(tuned):
    assert "lower) in 3 evaluations" in tuned.result.stdout
    assert "0 of them pruned, 0 failed, 6 epochs in all" in tuned.result.stdout
    assert "learning_rate" in tuned.result.stdout
    assert "tuning" in tuned.result.stderr.splitlines()
    assert "[3/3] trial 2: " in tuned.result.stderr
    found = read_hyperparameters(tuned.best).model()
    assert found.architecture == Architecture(cutoff=3.0, layers=1, channels=2)
    assert (found.training.epochs, found.training.validation, found.species) == (2, 0.3, ("O",))
    assert 500 <= found.training.batch_edges <= 5000
    search = json.loads(tuned.best.read_text())["search"]
    assert search["best_loss"] == min(trial["loss"] for trial in search["history"])
    assert search["bounds"]["batch_edges"] == [500, 5000]
    assert len(tuned.csv.read_text().splitlines()) == 4
    assert sorted(path.name for path in tuned.plots.iterdir()) == ["tuning-history.png", "tuning-hyperparameters.png"]


def test_resume_goes_on(tuned, trained, efg_jax_command, tmp_path):
    (journal,) = tuned.best.with_suffix(".cache").glob("*.jsonl")
    before = journal.read_text().splitlines()
    assert len(before) == 4
    more = ("--budget", "4", "--resume", "--cache", journal.parent, "--out", tmp_path / "more.json", "--quiet")
    result = efg_jax_command("tune", trained.data, *NETWORK, *more)
    assert result.exit_code == 0, result.stderr
    assert journal.read_text().splitlines()[:-1] == before


def test_train_takes_the_hyperparameters(tuned, trained, efg_jax_command, tmp_path):
    model = tmp_path / "network.npz"
    options = ("--hyperparameters", tuned.best, "--test", "0", "--epochs", "1", "--validation", "0.3", "--out", model)
    command = ("train", trained.data, "--species", "O", "--model", "network", *options)
    result = efg_jax_command(*command)
    assert result.exit_code == 0, result.stderr
    found, fitted = read_hyperparameters(tuned.best).model(), load(model).model
    for name in ("cutoff", "layers", "channels", "lmax"):
        assert getattr(fitted.architecture, name) == getattr(found.architecture, name)
    assert fitted.training.learning_rate == found.training.learning_rate
    assert fitted.training.batch_edges == found.training.batch_edges
    assert fitted.training.epochs == 1


def test_files_of_the_other_kind_are_refused(tuned, trained, efg_jax_command, tmp_path):
    kernel = tmp_path / "kernel.json"
    kernel.write_text(
        json.dumps(
            {
                "format": "efg_jax hyperparameters", "version": 1, "model": "tensor", "target": "efg", "species": None,
                "hyperparameters": {"descriptor": DESCRIPTOR, "zeta": 2.0, "regularisation": "auto"},
            }
        )
    )  # fmt: skip
    for command, options, says in (
        ("train", ("--hyperparameters", tuned.best), "are those of a network"),
        ("train", ("--model", "network", "--hyperparameters", kernel), "are those of a kernel model"),
        ("tune", ("--hyperparameters", tuned.best), "are those of a network"),
        ("tune", ("--model", "network", "--hyperparameters", kernel), "are those of a kernel model"),
        ("train", ("--model", "network", "--hyperparameters", tuned.best, "--layers", "2"), "--layers is also in"),
        ("tune", ("--model", "network", "--hyperparameters", tuned.best, "--cutoff", "4"), "--cutoff is also in"),
        (
            "train",
            ("--model", "network", "--hyperparameters", tuned.best, "--from", tuned.best),
            "--hyperparameters is also in --from",
        ),
    ):
        result = efg_jax_command(command, trained.data, *options, "--out", tmp_path / "out")
        assert (result.exit_code, (tmp_path / "out").exists()) == (2, False), result.output
        assert says in " ".join(result.stderr.split())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--model", "network", "--method", "gradient"), "networks are searched by 'bayes'"),
        (("--model", "network", "--folds", "3"), "--folds is an option of tensor and scalar models; leave it out"),
        (("--model", "network", "--weight", "O=2"), "--weight is an option of tensor and scalar models"),
        (
            ("--model", "network", "--loss", "rmse"),
            "--loss rmse is for kernel models; networks are trained by irreps or observables",
        ),
        (("--model", "network", "--parameters", "sigma"), "cannot tune sigma; choose among learning_rate"),
        (("--model", "network", "--bounds", "lmax=1:9"), "beyond its limits 0 and 4"),
        (("--channels", "4"), "--channels is an option of network models; leave it out, or use --model network"),
        (("--no-prune",), "--no-prune is an option of network models"),
        (("--target", "efg,ms"), "a kernel model learns one target"),
    ],
)
def test_options_that_make_no_sense(trained, efg_jax_command, tmp_path, options, says):
    result = efg_jax_command("tune", trained.data, *options, "--out", tmp_path / "best.json", "--quiet")
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.stderr.split())
    assert not (tmp_path / "best.json").exists()
