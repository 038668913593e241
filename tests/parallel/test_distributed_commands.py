"""`efg-jax train` and `predict` in two processes over loopback, against one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.io import read, write
from test_processes import SLURM_PORTS, as_slurm, free_port

from efg_jax import datasets

COMMAND = "from efg_jax.cli import main; main()"
TRAIN = ("--species", "O", "--nmax", "2", "--lmax", "1", "--cutoff", "3", "--inducing", "6", "--test", "0.25")


def run(cache: Path, *arguments, processes: int = 1) -> list[str]:
    """What each process says, when all have ended well."""
    port = free_port(SLURM_PORTS)
    running = [
        subprocess.Popen(
            [sys.executable, "-c", COMMAND, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "JAX_PLATFORMS": "cpu",
                "JAX_COMPILATION_CACHE_DIR": str(cache),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                **(as_slurm(port, rank) if processes > 1 else {}),
            },
        )
        for rank in range(processes)
    ]
    try:
        outputs = [process.communicate(timeout=240) for process in running]
    finally:
        for process in running:
            process.kill()
    assert [process.returncode for process in running] == [0] * processes, outputs
    return [out for out, _ in outputs]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model and predictions by one process, and by two."""
    path = tmp_path_factory.mktemp("distributed")
    frames = [atoms for atoms in datasets.load("silica-efg") if len(atoms) == 6][:9]
    for atoms in frames:
        atoms.calc, atoms.info = None, {}
        atoms.arrays["efg"] = atoms.arrays["efg"].reshape(-1, 9)
    write(path / "data.extxyz", frames, format="extxyz")
    for name, processes, extra in (("one", 1, ()), ("two", 2, ("--distributed",))):
        model = path / f"{name}.npz"
        said = run(path / "cache", "train", path / "data.extxyz", *TRAIN, *extra, "--out", model, processes=processes)
        (path / f"{name}.txt").write_text("".join(said))
        out = path / f"{name}.extxyz"
        run(
            path / "cache", "predict", path / "one.npz", path / "data.extxyz", *extra, "--out", out, processes=processes
        )
    return path


def test_training_is_that_of_one_process(folder):
    with np.load(folder / "one.npz") as one, np.load(folder / "two.npz") as two:
        assert set(one.files) == set(two.files)
        for name in one.files:
            if name != "header":
                np.testing.assert_allclose(two[name], one[name], rtol=1e-9, atol=1e-9 * np.abs(one[name]).max())


def test_one_process_alone_reports(folder):
    """XLA's collectives say on stdout that they are connected."""
    lines = (folder / "two.txt").read_text().splitlines()
    assert [line for line in lines if not line.startswith("[Gloo]")] == (folder / "one.txt").read_text().splitlines()


def test_predictions_are_those_of_one_process_in_order(folder):
    one, two = (read(folder / f"{name}.extxyz", ":") for name in ("one", "two"))
    assert len(one) == len(two) == 9
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left.numbers, right.numbers)
        np.testing.assert_allclose(left.arrays["efg"], right.arrays["efg"], atol=2e-8)


def test_no_part_is_left(folder):
    assert not [path.name for path in folder.iterdir() if "part" in path.name or path.suffix == ".cache"]
