"""The tuning study runs every method, draws them, and does not repeat what is finished."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "tuning" / "run.py"


@pytest.fixture
def study(monkeypatch):
    """The script, whose methods run in this process, where they share compilations; the first in its own as usual."""
    specification = importlib.util.spec_from_file_location("tuning_study", SCRIPT)
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)

    def run(command, check):
        if command[command.index("--method") + 1] == "default":
            return subprocess.run(command, check=check)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", command[1:])
            return script.run_method(script.parse_arguments())

    monkeypatch.setattr(script, "subprocess", SimpleNamespace(run=run))
    return script


@pytest.mark.slow
def test_study_runs_quickly_and_keeps_what_is_finished(study, tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna")
    methods = ("gradient", "box-behnken", "bayes")  # a contraction is a gradient too, and has tests of its own
    arguments = ["--quick", "--species", "Si", "--budget", "15", "--methods", ",".join(methods), "--out", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    study.main()
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["Si"]
    assert list(summary) == ["default", *methods]
    for name in methods:
        assert summary[name]["best_loss"] < summary[name]["start_loss"]
        assert summary[name]["start_loss"] == pytest.approx(summary["gradient"]["start_loss"], rel=1e-9)
        assert summary[name]["peak_gib"] > 0.1
    for figure in ("history", "path", "slices"):
        assert (tmp_path / f"Si-{figure}.png").stat().st_size > 10_000
    assert "| gradient |" in (tmp_path / "tables.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.count("...") == 4
    study.main()
    assert "..." not in capsys.readouterr().out  # no method was started
