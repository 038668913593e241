"""The study of learning curves writes what it says, and goes on where it was stopped."""

import csv
import importlib.util
import json
import sys
from pathlib import Path

import pytest

import efg_jax as ej

SCRIPT = Path(__file__).parents[2] / "experiments" / "learning_curves" / "run.py"


@pytest.mark.slow
def test_study_runs_quickly_and_resumes(monkeypatch, tmp_path, capsys):
    specification = importlib.util.spec_from_file_location("learning_curves_study", SCRIPT)
    study = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(study)
    monkeypatch.setattr(study, "SPECIES", ("O",))
    out = tmp_path / "deep" / "results"
    monkeypatch.setattr(sys, "argv", ["run.py", "--quick", "--out", str(out)])
    study.main()
    printed = capsys.readouterr().out
    assert "1/8 tensor, 2 structures, repeat 1" in printed
    whole = json.loads((out / "curve.json").read_text(encoding="utf-8"))
    slopes = {(s["species"], s["model"], s["metric"]): s["slope"] for s in whole["slopes"]}
    assert (out / "curve-O.png").stat().st_size > 10_000
    assert slopes["O", "tensor", "rmse_percent"] < 0
    with (out / "curve.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["species"], row["model"]) for row in rows} == {("O", "tensor"), ("O", "scalar")}
    tables = (out / "tables.md").read_text(encoding="utf-8")
    assert len({line.count("|") for line in tables.splitlines() if line.startswith("|")}) == 1
    first = (out / "curve.csv").read_bytes()

    def refuse(*_):
        raise AssertionError("fitted again")

    monkeypatch.setattr(ej.TensorGPR, "fit", refuse)
    monkeypatch.setattr(ej.ScalarGPR, "fit", refuse)
    study.main()
    assert (out / "curve.csv").read_bytes() == first
