"""The README's examples run as they are written (on fewer structures, with a smaller descriptor and in fewer steps)."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

import efg_jax as ej
from efg_jax.cli import app

ROOT = Path(__file__).parents[1]
SMALL = {"cutoff": 4.0, "nmax": 2, "lmax": 2}
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_python_examples_run(monkeypatch, tmp_path, capsys):
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    frames = [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) == 6][:10]
    monkeypatch.setattr(ej.datasets, "load", lambda name: frames)
    descriptor = ej.LambdaSOAP
    monkeypatch.setattr(ej, "LambdaSOAP", lambda **options: descriptor(**options | SMALL))
    tune = ej.tune
    monkeypatch.setattr(ej, "tune", lambda *given, **options: tune(*given, **options | {"budget": 4}))
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
    assert "η" in capsys.readouterr().out
    predicted = names["atoms"].arrays["efg"]
    oxygen = np.asarray(names["atoms"].symbols) == "O"
    assert np.isfinite(predicted[oxygen]).all()
    assert np.isnan(predicted[~oxygen]).all()


@pytest.mark.parametrize("page", ["README.md", "docs/clusters.md"])
def test_commands_are_understood(page):
    text = "\n".join(re.findall(r"^```\w*\n(.*?)^```$", (ROOT / page).read_text(encoding="utf-8"), flags=re.M | re.S))
    # Behind a launcher or variables of the environment a command stands later in its line; "..." is left to the reader.
    lines = [found for found in re.findall(r"^[^#\n]*?\befg-jax (.+)$", text, flags=re.M) if "..." not in found]
    assert len(lines) >= 2
    for line in lines:
        words = shlex.split(line, comments=True)
        app.parse_args(words, exit_on_error=False, print_error=False)  # a usage error names what is wrong


def test_what_the_readme_shows_is_there():
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / target).is_file(), target


def test_the_readme_is_short():
    lines = README.splitlines()
    assert len(lines) < 130
    assert max(map(len, lines)) <= 120
