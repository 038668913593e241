"""A handful of small silica cells, a model of them, and commands run in this process."""

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from ase.io import read, write

from efg_jax import cli, datasets

SMALL = ("--nmax", "2", "--lmax", "2", "--cutoff", "4")


@pytest.fixture(scope="session")
def efg_jax_command():
    """Run a command; a bug in it is raised here."""

    def run(*arguments):
        stdout, stderr = StringIO(), StringIO()
        with redirect_stdout(stdout), redirect_stderr(stderr):
            status = cli.run([str(argument) for argument in arguments])
        said = {"stdout": stdout.getvalue(), "stderr": stderr.getvalue()}
        return SimpleNamespace(exit_code=status, **said, output="".join(said.values()))

    return run


@pytest.fixture(scope="session")
def silica():
    """Eight cells of six atoms with EFG tensors of all of them, nine columns as in a file."""
    frames = [atoms for atoms in datasets.load("silica-efg") if len(atoms) == 6][:8]
    for atoms in frames:
        atoms.calc = None
        atoms.info = {}
        atoms.arrays["efg"] = atoms.arrays["efg"].reshape(-1, 9)
    return frames


@pytest.fixture
def structures(silica):
    """The same, to be spoiled."""
    return [atoms.copy() for atoms in silica]


@pytest.fixture
def save(tmp_path):
    """Write frames to a file below a folder for inputs."""

    def to_file(frames, name="data.extxyz"):
        path = tmp_path / "in" / name
        path.parent.mkdir(exist_ok=True)
        write(path, frames, format="extxyz")
        return path

    return to_file


@pytest.fixture(scope="session")
def trained(silica, efg_jax_command, tmp_path_factory):
    """What `efg-jax train` leaves behind, reports and all."""
    folder = tmp_path_factory.mktemp("trained")
    files = SimpleNamespace(
        data=folder / "silica.extxyz", model=folder / "o17.npz", json=folder / "r.json", plots=folder / "deep" / "plots"
    )
    write(files.data, silica, format="extxyz")
    result = efg_jax_command(
        "train", files.data, "--species", "O", *SMALL, "--test", "0.25",
        "--out", files.model, "--json", files.json, "--plots", files.plots,
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    files.result = result
    return files


@pytest.fixture(scope="session")
def trained_scalars(trained, efg_jax_command, tmp_path_factory):
    """The file of a scalar model, trained on everything."""
    model = tmp_path_factory.mktemp("scalars") / "scalar.npz"
    result = efg_jax_command(
        "train", trained.data, "--species", "O", *SMALL, "--model", "scalar", "--regularisation", "1e-6", "--test", "0",
        "--out", model, "--quiet",
    )  # fmt: skip
    assert (result.exit_code, result.output) == (0, "")
    return model


@pytest.fixture(scope="session")
def tensors_of():
    """Tensors of all atoms in a file, (n, 3, 3)."""

    def read_them(path, name="efg"):
        return np.concatenate([atoms.arrays[name].reshape(-1, 3, 3) for atoms in read(path, ":")])

    return read_them
