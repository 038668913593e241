"""Two real processes over loopback, one of which is killed at first; and what can be said of one."""

import json
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase.io import read

from efg_jax import parallel
from efg_jax.errors import InputError

PARTS = 3
SLURM_PORTS = range(61440, 65536)  # JAX makes the port of the number of the job
VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def free_port(ports: Sequence[int] = (0,)) -> int:
    """One of these; 0: any."""
    for port in random.sample(ports, len(ports)):
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return listener.getsockname()[1]
    raise OSError("no port is free")


def by_hand(port: int, rank: int) -> dict[str, str]:
    return dict(zip(VARIABLES, (f"127.0.0.1:{port}", "2", str(rank)), strict=True))


def as_slurm(port: int, rank: int) -> dict[str, str]:
    """What srun sets."""
    return {
        "SLURM_JOB_ID": str(port - SLURM_PORTS.start),
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
    }


def run_two(launcher: Callable[[int, int], dict[str, str]], cache: Path, *arguments) -> list[SimpleNamespace]:
    """Both processes with the same arguments, run to their ends."""
    port = free_port(SLURM_PORTS)
    running = [
        subprocess.Popen(
            [sys.executable, Path(__file__).with_name("two_processes.py"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "JAX_PLATFORMS": "cpu",
                "JAX_COMPILATION_CACHE_DIR": str(cache),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                **launcher(port, rank),
            },
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=240) for process in running]
    finally:
        for process in running:
            process.kill()
    return [
        SimpleNamespace(code=process.returncode, out=out, err=err)
        for process, (out, err) in zip(running, outputs, strict=True)
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Rank 1 is killed while it writes; then the same again, undisturbed, and started as Slurm does."""
    out, cache = tmp_path_factory.mktemp("two") / "out.extxyz", tmp_path_factory.mktemp("compiled")
    killed = run_two(by_hand, cache, out, PARTS, 1)
    left = {path.name: path.stat().st_mtime_ns for path in out.parent.glob("out*")}
    again = run_two(as_slurm, cache, out, PARTS)
    assert [process.code for process in again] == [0, 0], again
    return SimpleNamespace(out=out, killed=killed, left=left, again=[json.loads(p.out.splitlines()[-1]) for p in again])


def test_when_one_process_dies_the_other_ends_with_an_error_and_no_output(runs):
    survivor, victim = runs.killed
    assert victim.code == -9
    assert survivor.code not in (0, -9)  # -9: it hung, and was killed by the test
    assert "Task 1 heartbeat timeout" in survivor.err or "tasks are unhealthy" in survivor.err
    assert sorted(runs.left) == ["out.part-0001-of-0003.extxyz", "out.part-0002-of-0003.extxyz"]


def test_a_rerun_does_what_is_missing_and_joins(runs):
    assert [process["mine"] for process in runs.again] == [[2], []]
    assert [path.name for path in runs.out.parent.glob("out*")] == ["out.extxyz"]
    frames = read(runs.out, ":")
    assert len(frames) == 7
    predictions = np.concatenate([atoms.arrays["prediction"] for atoms in frames])
    assert np.isclose(predictions.sum(), runs.again[0]["sum"], atol=1e-6)  # eight digits in the file


def test_sums_over_processes_are_those_of_one(runs):
    assert [process["count"] for process in runs.again] == [2, 2]
    assert [process["share"] for process in runs.again] == ["slice(0, 4, None)", "slice(4, 7, None)"]
    assert runs.again[0]["difference"] < 1e-12
    assert runs.again[0]["sum"] == runs.again[1]["sum"]  # bit for bit
    assert all(process["twice"] == [[0, 11, 22]] * 2 for process in runs.again)
    assert all(process["dtype"] == "float64" for process in runs.again)
    assert all(process["sent"] == [[0, 1, 2, 3, 4], True] for process in runs.again)


@pytest.mark.parametrize(("size", "parts"), [(10, 3), (2, 5), (0, 2), (8, 4)])
def test_shares_cover_everything_once_in_order(size, parts):
    pieces = [list(range(size))[parallel.share(size, part, parts)] for part in range(parts)]
    assert list(chain(*pieces)) == list(range(size))
    lengths = [len(piece) for piece in pieces]
    assert max(lengths) - min(lengths) <= 1


def test_one_process_needs_no_others():
    assert (parallel.rank(), parallel.count()) == (0, 1)
    assert parallel.my_share(5) == slice(0, 5)
    parallel.barrier("alone", timeout=1)
    assert parallel.first(lambda: "done") == "done"
    assert np.array_equal(parallel.total({"a": np.arange(3.0)})["a"], np.arange(3.0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("node001", None, None), "HOST:PORT"),
        (("node001:1234", "two", None), "must be integers"),
        (("127.0.0.1:{port}", "2", "1"), "rank 0 does not answer"),
    ],
)
def test_bad_addresses_are_refused(monkeypatch, values, message):
    for name, value in zip(VARIABLES, values, strict=True):
        if value is not None:
            monkeypatch.setenv(name, value.format(port=free_port()))
    with pytest.raises(InputError, match=message):
        parallel.initialise(start=1)


def test_without_a_launcher_one_is_asked_for():
    """In a process of its own, as JAX here has computed already."""
    code = "from efg_jax import parallel; parallel.initialise(start=1)"
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX", "SLURM", "OMPI"))}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert "InputError" in done.stderr
    assert "srun" in done.stderr.splitlines()[-1]


def test_shards_are_named_after_their_output(tmp_path):
    shards = parallel.Shards(tmp_path / "a.b.extxyz.gz", 8, key="1f2e")
    assert shards.path(2).name == "a.b.part-0003-of-0008-1f2e.extxyz.gz"
    assert parallel.Shards(tmp_path / "plain", 2).path(0).name == "plain.part-0001-of-0002"


def test_what_is_missing_is_not_joined(tmp_path):
    shards = parallel.Shards(tmp_path / "out.extxyz", 2)
    assert shards.mine() == [0, 1]
    shards.path(1).write_text("second\n")
    assert shards.mine() == [0]
    with pytest.raises(InputError, match=r"1 of 2 parts are missing .*part-0001-of-0002"):
        shards.join()
    assert not shards.out.exists()
    shards.path(0).write_text("first\n")
    shards.join()
    assert shards.out.read_text() == "first\nsecond\n"
    assert [path.name for path in tmp_path.iterdir()] == ["out.extxyz"]
