"""Completion by the shell: what the Tab key offers, as quickly as `--help`."""

import subprocess
import sys

import pytest

COMPLETE = """
import sys
from efg_jax.cli import main
sys.argv = ["efg-jax"]
try:
    main()
finally:
    print("imported:", *(name for name in ("jax", "equinox", "ase", "matplotlib") if name in sys.modules), file=sys.stderr)
"""


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("efg-jax le", ["learning-curve"]),
        ("efg-jax train --reg", ["--regularisation"]),
        ("efg-jax train data.extxyz --per ", ["atom", "structure"]),
    ],
)
def test_what_bash_is_offered(words, offered):
    done = subprocess.run(
        [sys.executable, "-c", COMPLETE],
        env={
            "_EFG_JAX_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
            "EFG_JAX_CACHE": "off",
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == offered
    assert done.stderr.split() == ["imported:"]


def test_help_says_how_to_install_it(efg_jax_command):
    assert "--install-completion" in efg_jax_command("--help").stdout
