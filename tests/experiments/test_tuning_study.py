"""The tuning study runs every method, draws them, and does not repeat what is finished."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "experiments" / "tuning" / "run.py"


@pytest.mark.slow
def test_study_runs_quickly_and_keeps_what_is_finished(tmp_path):
    pytest.importorskip("optuna")
    command = [sys.executable, str(SCRIPT), "--quick", "--species", "Si", "--budget", "15", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))["Si"]
    assert list(summary) == ["default", "gradient", "contraction", "box-behnken", "bayes"]
    for name in ("gradient", "box-behnken", "bayes"):
        assert summary[name]["best_loss"] < summary[name]["start_loss"]
        assert summary[name]["start_loss"] == pytest.approx(summary["gradient"]["start_loss"], rel=1e-9)
        assert summary[name]["peak_gib"] > 0.1
    for figure in ("history", "path", "slices"):
        assert (tmp_path / f"Si-{figure}.png").stat().st_size > 10_000
    assert "| gradient |" in (tmp_path / "tables.md").read_text(encoding="utf-8")
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert again.returncode == 0
    assert "..." not in again.stdout  # no method was started
