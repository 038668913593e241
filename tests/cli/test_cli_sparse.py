"""`efg-jax train` of sparse models."""

import numpy as np
import pytest

from efg_jax import load
from efg_jax.gp import tensor_gpr

SMALL = ("--species", "O", "--nmax", "2", "--lmax", "2", "--cutoff", "4", "--test", "0.25")


def test_sparse_model_is_trained_saved_and_predicts(trained, efg_jax_command, tensors_of, tmp_path):
    model, out = tmp_path / "sparse.npz", tmp_path / "out.extxyz"
    result = efg_jax_command("train", trained.data, *SMALL, "--inducing", "8", "--selection", "cur", "--out", model)
    assert result.exit_code == 0, result.stderr
    assert "O efg" in result.stderr
    assert "%RMSE" in result.stdout
    assert not (tmp_path / "sparse.cache").exists()
    assert load(model).bases["O"].size == 8
    assert efg_jax_command("predict", model, trained.data, "--variance", "--out", out).exit_code == 0
    assert np.isfinite(tensors_of(out)[:, 0, 0]).sum() == 32


def test_primal_model_with_contracted_channels(trained, efg_jax_command, tmp_path):
    model = tmp_path / "primal.npz"
    result = efg_jax_command(
        "train", trained.data, *SMALL, "--primal", "--zeta", "1", "--contract", "3", "--out", model
    )
    assert result.exit_code == 0, result.stderr
    options = load(model).model
    assert options.primal
    assert options.descriptor.contraction.shape[1] == 3


def test_who_interrupts_is_told_how_to_go_on(trained, efg_jax_command, tmp_path, monkeypatch):
    model = tmp_path / "sparse.npz"
    plain = tensor_gpr.fit_sparse

    def interrupted(*arguments):
        *others, tell = arguments

        def stop(done, chunks, name):
            tell(done, chunks, name)
            if done == 2:
                raise KeyboardInterrupt

        return plain(*others, stop)

    command = ("train", trained.data, *SMALL, "--inducing", "8", "--out", model)
    monkeypatch.setattr(tensor_gpr, "fit_sparse", interrupted)
    result = efg_jax_command(*command)
    assert result.exit_code == 130
    assert "stopped after 2 of 5 steps; the same command with --resume continues from there" in result.stderr
    assert not model.exists()
    assert len(list((tmp_path / "sparse.cache").glob("*fold*"))) == 2
    monkeypatch.setattr(tensor_gpr, "fit_sparse", plain)
    result = efg_jax_command(*command, "--resume")
    assert result.exit_code == 0
    assert "[3/5]" in result.stderr
    assert "[2/5]" not in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--resume",), "give --inducing N"),
        (("--distributed",), "give --inducing N"),
        (("--inducing", "0"), "inducing must be a positive integer"),
        (("--inducing", "8", "--model", "scalar"), "--inducing is an option of tensor models; leave it out"),
        (("--selection", "cur", "--model", "scalar"), "--selection is an option of tensor models"),
        (("--inducing", "8", "--primal", "--zeta", "1"), "leave out either"),
        (("--primal",), "give zeta = 1"),
    ],
)
def test_options_that_make_no_sense(trained, efg_jax_command, tmp_path, options, says):
    result = efg_jax_command("train", trained.data, *SMALL, *options, "--out", tmp_path / "m.npz")
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
