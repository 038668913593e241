"""The README's examples run as they are written (on fewer structures)."""

import re
from pathlib import Path

import numpy as np
import pytest

import efg_jax as ej

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_python_examples_run(monkeypatch, tmp_path, capsys):
    examples = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    frames = [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) <= 9][:12]
    monkeypatch.setattr(ej.datasets, "load", lambda name: frames)
    monkeypatch.chdir(tmp_path)
    names = {}
    for example in examples:
        exec(compile(example, "README.md", "exec"), names)
    assert "η" in capsys.readouterr().out
    predicted = names["atoms"].arrays["efg"]
    oxygen = np.asarray(names["atoms"].symbols) == "O"
    assert np.isfinite(predicted[oxygen]).all()
    assert np.isnan(predicted[~oxygen]).all()


def test_what_the_readme_shows_is_there():
    root = Path(__file__).parents[1]
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (root / target).is_file(), target
