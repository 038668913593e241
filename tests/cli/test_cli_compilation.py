"""Compiled programs that a command leaves for the next: it compiles nothing, whatever state the folder is in."""

import os
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import pytest

import efg_jax
from efg_jax import compilation

VARIABLES = ("EFG_JAX_CACHE", "JAX_COMPILATION_CACHE_DIR", "TF_CPP_MIN_LOG_LEVEL")

# The command, and how many programs JAX asked the folder for and found there.
COUNTED = """
import atexit, sys
from efg_jax.compilation import use_environment
use_environment()
import jax
from efg_jax.cli import main
seen = []
jax.monitoring.register_event_listener(lambda event, **_: seen.append(event.rpartition("/")[2]))
atexit.register(lambda: print(seen.count("compile_requests_use_cache"), seen.count("cache_hits")))
main()
"""


@pytest.fixture(scope="module")
def predict(trained, tmp_path_factory):
    """Run `efg-jax predict` in a process of its own, with a folder of compiled programs."""
    out = tmp_path_factory.mktemp("predicted") / "out.extxyz"

    def run(folder):
        arguments = ("predict", trained.model, trained.data, "--out", out, "--quiet")
        done = subprocess.run(
            [sys.executable, "-c", COUNTED, *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment(EFG_JAX_CACHE=str(folder)),
            timeout=300,
        )
        asked, found = map(int, done.stdout.split())
        return SimpleNamespace(code=done.returncode, err=done.stderr, asked=asked, found=found, out=out.read_text())

    return run


def environment(**values) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in VARIABLES} | values


def test_the_second_process_compiles_nothing_but_what_is_damaged(predict, tmp_path):
    folder = tmp_path / "compiled"
    cold = predict(folder)
    entries = sorted(folder.glob("*-cache"))
    entries[0].write_bytes(entries[0].read_bytes()[:50])
    entries[1].write_bytes(b"")
    warm = predict(folder)
    assert len(entries) == cold.asked - cold.found > 2  # a program that is asked for twice is found the second time
    assert 2 <= warm.asked - warm.found <= 2 + cold.found
    for run in (cold, warm):
        assert (run.code, run.err, run.asked) == (0, "", cold.asked)
        assert run.out == cold.out


@pytest.fixture
def in_a_command(monkeypatch):
    """What a command sets in its environment for JAX to read."""

    def use(**values):
        for name in (*VARIABLES, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))
        before = dict(os.environ)
        compilation.use_environment()
        changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
        for name in changed:
            monkeypatch.setenv(name, changed[name])  # so that it is taken back
        return changed

    return use


def test_the_folder_is_in_the_cache_of_the_user(in_a_command, monkeypatch, tmp_path):
    monkeypatch.setattr(compilation.platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / name)
    assert in_a_command()["JAX_COMPILATION_CACHE_DIR"] == str(tmp_path / "efg_jax" / "compiled")
    assert (tmp_path / "efg_jax" / "compiled").stat().st_mode & 0o077 == 0


def test_it_can_be_switched_off_or_left_to_jax(in_a_command, tmp_path):
    assert in_a_command(EFG_JAX_CACHE="off") == {}
    assert in_a_command(EFG_JAX_CACHE=tmp_path / "ours", JAX_COMPILATION_CACHE_DIR=tmp_path / "theirs") == {}
    assert not (tmp_path / "ours").exists()


def test_a_folder_that_cannot_be_written_to_is_done_without(in_a_command, tmp_path):
    (tmp_path / "file").write_text("")
    assert in_a_command(EFG_JAX_CACHE=tmp_path / "file" / "below") == {}
    assert efg_jax.compilation_cache(tmp_path / "file" / "below") is None


def test_what_nobody_used_for_long_is_removed(in_a_command, monkeypatch, tmp_path):
    monkeypatch.setattr(compilation.platformdirs, "user_cache_path", lambda name, appauthor: tmp_path)
    folder = tmp_path / "compiled"
    folder.mkdir()
    for name, days in (("old-cache", 40), ("new-cache", 20), ("notes.txt", 40)):
        (folder / name).write_text("")
        os.utime(folder / name, (time.time() - days * 86400,) * 2)
    in_a_command()
    assert sorted(path.name for path in folder.iterdir()) == ["new-cache", "notes.txt"]


def test_a_notebook_asks_for_it_and_an_import_does_not(tmp_path):
    code = """
import sys, efg_jax, jax
efg_jax.LambdaSOAP, efg_jax.load
assert jax.config.jax_compilation_cache_dir is None
efg_jax.compilation_cache(sys.argv[1])
print(jax.config.jax_compilation_cache_dir)
jax.numpy.arange(3.0) @ jax.numpy.arange(3.0)
"""
    folder = tmp_path / "compiled"
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, env=environment(), timeout=120
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, str(folder), "")
    assert list(folder.glob("*-cache"))


@pytest.mark.parametrize("own", [None, "--xla_backend_optimization_level=0"])
def test_commands_compile_quickly_where_no_flags_are_set(own):
    """XLA ends the process at a flag that it does not know."""
    script = (
        "from efg_jax.compilation import use_environment; use_environment(); import os, jax; "
        "print(jax.numpy.ones(2).sum(), os.environ.get('XLA_FLAGS'))"
    )
    variables = environment(EFG_JAX_CACHE="off")
    variables.pop("XLA_FLAGS", None)
    if own:
        variables["XLA_FLAGS"] = own
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=variables, check=True)
    quicker = "--xla_cpu_use_fusion_emitters=false" if version("jaxlib").startswith("0.10.") else "None"
    assert done.stdout.split() == ["2.0", own or quicker]


def test_programs_are_dropped_where_there_are_too_many():
    compiled = jax.jit(lambda x: 2.0 * x)
    compiled(jnp.ones(2))
    assert not compilation.drop_programs(most=10**6)
    assert compiled._cache_size() == 1
    assert compilation.drop_programs(most=0) == Path("/proc/self/maps").exists()
    assert compiled._cache_size() == (not Path("/proc/self/maps").exists())
