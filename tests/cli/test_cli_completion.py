"""Completion by the shell: a script that offers commands, options and choices without starting Python."""

import shutil
import subprocess

import pytest

from efg_jax.cli import app


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    """The file for bash."""
    path = tmp_path_factory.mktemp("completion") / "efg-jax.bash"
    path.write_text(app.generate_completion(shell="bash", prog_name="efg-jax"))
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (("efg-jax", "le"), ["learning-curve"]),
        (("efg-jax", "train", "--reg"), ["--regularisation"]),
        (("efg-jax", "train", "data.extxyz", "--per", ""), ["atom", "structure"]),
    ],
)
def test_what_bash_is_offered(script, words, offered):
    code = f"""
source {script}
COMP_WORDS=({" ".join(f"'{word}'" for word in words)})
COMP_CWORD={len(words) - 1}
$(complete -p efg-jax | sed -n 's/.*-F \\([^ ]*\\).*/\\1/p')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == offered


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_scripts_of_other_shells_know_the_commands(shell):
    text = app.generate_completion(shell=shell, prog_name="efg-jax")
    assert all(word in text for word in ("learning-curve", "regularisation", "structure"))


def test_help_says_how_to_install_it(efg_jax_command):
    assert "--install-completion" in efg_jax_command("--help").stdout
