"""The silica study writes what it says, from the command that `make demo` runs."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import efg_jax as ej

SCRIPT = Path(__file__).parents[2] / "experiments" / "silica" / "run.py"


@pytest.mark.slow
def test_study_runs_on_a_part_of_the_data(monkeypatch, tmp_path, capsys):
    specification = importlib.util.spec_from_file_location("silica_study", SCRIPT)
    study = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(study)
    frames = [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) <= 9][:20]
    monkeypatch.setattr(ej.datasets, "load", lambda name: frames)
    small = ej.LambdaSOAP(cutoff=4.0, nmax=3, lmax=2)
    monkeypatch.setattr(ej, "LambdaSOAP", lambda: small)
    monkeypatch.setattr(sys, "argv", ["run.py", "--out", str(tmp_path / "results")])
    study.main()
    printed = capsys.readouterr().out
    report = json.loads((tmp_path / "results" / "report.json").read_text(encoding="utf-8"))
    for species in ("O", "Si"):
        for figure in ("parity", "frequency"):
            assert (tmp_path / "results" / f"{figure}-{species}.png").stat().st_size > 10_000
        z_axis = {kind: report[species][kind]["z_axis_deg"]["mean"] for kind in ("scalar", "tensor")}
        assert z_axis["tensor"] < z_axis["scalar"]
        assert report[species]["headline"] in " ".join(printed.split())
