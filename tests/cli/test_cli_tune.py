"""`efg-jax tune`, and `efg-jax train` with what it found."""

import json

import pytest

from efg_jax import load

OPTIONS = ("--species", "O", "--folds", "3", "--environments", "all", "--parameters", "sigma,regularisation,cutoff")


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A small descriptor to start from, written by hand."""
    path = tmp_path_factory.mktemp("start") / "start.json"
    descriptor = {"cutoff": 4.0, "nmax": 2, "lmax": 2, "sigma": 0.4, "cutoff_width": 0.5, "species": ["O", "Si"]}
    content = {
        "format": "efg_jax hyperparameters",
        "version": 1,
        "model": "tensor",
        "target": "efg",
        "species": ["O"],
        "hyperparameters": {"descriptor": descriptor, "zeta": 2.0, "regularisation": 1e-3},
    }
    path.write_text(json.dumps(content))
    return path


@pytest.fixture(scope="module")
def tuned(trained, start, efg_jax_command, tmp_path_factory):
    """Files that `efg-jax tune` leaves behind."""
    folder = tmp_path_factory.mktemp("tuned")
    result = efg_jax_command(
        "tune", trained.data, *OPTIONS, "--hyperparameters", start, "--budget", "4", "--out", folder / "best.json",
        "--csv", folder / "history.csv", "--plots", folder / "figures",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    return folder, result


def test_tune_says_what_it_gained_and_writes_what_it_did(tuned):
    folder, result = tuned
    assert "lower) in 4 evaluations" in result.stdout
    assert "sigma" in result.stdout
    assert "[4/4]" in result.stderr
    content = json.loads((folder / "best.json").read_text())
    assert content["search"]["best_loss"] <= content["search"]["start_loss"]
    assert len(content["search"]["history"]) == 4
    assert len((folder / "history.csv").read_text().splitlines()) == 5
    assert sorted(path.name for path in (folder / "figures").iterdir()) == [
        "tuning-history.png",
        "tuning-hyperparameters.png",
    ]


def test_the_same_command_gives_the_same_numbers(tuned, trained, start, efg_jax_command, tmp_path):
    again = tmp_path / "again.json"
    result = efg_jax_command(
        "tune", trained.data, *OPTIONS, "--hyperparameters", start, "--budget", "4", "--out", again, "--quiet"
    )
    assert result.exit_code == 0
    first, second = (json.loads(path.read_text()) for path in (tuned[0] / "best.json", again))
    assert [t["loss"] for t in first["search"]["history"]] == [t["loss"] for t in second["search"]["history"]]
    assert first["hyperparameters"] == second["hyperparameters"]


def test_resume_goes_on_and_without_it_the_search_begins_anew(tuned, trained, start, efg_jax_command):
    folder, _ = tuned
    command = ("tune", trained.data, *OPTIONS, "--hyperparameters", start, "--out", folder / "best.json", "--quiet")
    (journal,) = (folder / "best.cache").glob("*.jsonl")
    before = journal.read_text().splitlines()
    assert efg_jax_command(*command, "--budget", "5", "--resume").exit_code == 0
    after = journal.read_text().splitlines()
    assert after[:-1] == before
    assert efg_jax_command(*command, "--budget", "1").exit_code == 0
    assert len(journal.read_text().splitlines()) == 2


def test_train_takes_the_hyperparameters(tuned, trained, efg_jax_command, tmp_path):
    best, model = tuned[0] / "best.json", tmp_path / "tuned.npz"
    command = ("train", trained.data, "--species", "O", "--hyperparameters", best, "--test", "0", "--out", model)
    assert efg_jax_command(*command).exit_code == 0
    found = json.loads(best.read_text())["hyperparameters"]
    fitted = load(model).model
    assert float(fitted.descriptor.sigma) == found["descriptor"]["sigma"]
    assert fitted.descriptor.nmax == 2
    assert fitted.regularisation == found["regularisation"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("--cutoff", "5"), "--cutoff is also in --hyperparameters"),
        (("--regularisation", "auto"), "--regularisation is also in"),
    ],
)
def test_hyperparameters_given_twice_are_refused(tuned, trained, efg_jax_command, tmp_path, extra, message):
    result = efg_jax_command(
        "train", trained.data, "--hyperparameters", tuned[0] / "best.json", *extra, "--out", tmp_path / "m.npz"
    )
    assert result.exit_code == 2
    assert message in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--loss", "energy"), "unknown loss 'energy'"),
        (("--folds", "many"), "neither a whole number nor 'structures'"),
        (("--folds", "20"), "8 structures cannot fill 20 folds"),
        (("--environments", "some"), "neither a whole number nor 'all'"),
        (("--bounds", "sigma"), "not of the form sigma=0.2:0.8"),
        (("--bounds", "sigma=0.9:0.2"), "an empty box"),
        (("--bounds", "sigma=0.5:0.9"), "lies outside its bounds"),
        (("--weight", "O"), "not of the form O=2"),
        (("--weight", "Si=2"), "a weight is given for Si"),
        (("--parameters", "colour"), "cannot tune colour"),
        (("--method", "box-behnken", "--budget", "5"), "raise the budget to 15"),
        (("--contract", "0"), "channels must be from 1 to"),
        (("--hyperparameters", "nowhere.json"), "no such file of hyperparameters"),
        (("--target", "ms"), "ms"),
    ],
)
def test_bad_input_is_one_line(trained, efg_jax_command, tmp_path, options, message):
    result = efg_jax_command(
        "tune", trained.data, "--species", "O", "--out", tmp_path / "best.json", *options, "--quiet"
    )
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "best.json").exists()


def test_the_cache_of_other_data_is_left_alone(tuned, trained, start, efg_jax_command, tmp_path, save, silica):
    folder, _ = tuned
    files = {path: path.read_bytes() for path in (folder / "best.cache").glob("*.jsonl")}
    result = efg_jax_command(
        "tune", save(silica[::-1]), *OPTIONS, "--hyperparameters", start, "--budget", "1", "--resume",
        "--cache", folder / "best.cache", "--out", tmp_path / "best.json",
    )  # fmt: skip
    assert result.exit_code == 0
    assert "results of other data" in result.stderr
    assert all(path.read_bytes() == content for path, content in files.items())
