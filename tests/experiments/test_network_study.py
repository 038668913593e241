"""The study of networks runs, draws and reports what it was asked for, and repeats nothing that is finished."""

import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from experiments.network import judge, report
from experiments.network.__main__ import folder_of, study
from experiments.network.subject import Subject
from experiments.network.variants import DEEP, VARIANTS

SUBJECT = Subject("silica-efg", "O", "efg")


@pytest.mark.slow
def test_the_study_runs_quickly_and_keeps_what_is_finished(tmp_path):
    said = []
    chosen = {name: VARIANTS[name] for name in ("irreps", DEEP)}
    study(tmp_path, SUBJECT, chosen, 0, 2, True, said.append)
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    for name in ("errors", "parity", "curve/curve"):
        assert f"]({name}.png)" in report
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000
    kernel, network = (judge.read(tmp_path / name) for name in ("kernel", folder_of("irreps")))
    assert kernel["quantities"]["λ = 2"]["rmse_percent"] < network["quantities"]["λ = 2"]["rmse_percent"]
    assert f"| λ-SOAP | {kernel['quantities']['λ = 2']['rmse_percent']:.2f} |" in report
    curve = json.loads((tmp_path / "curve" / "curve.json").read_text(encoding="utf-8"))
    assert list(curve["settings"]["models"]) == ["λ-SOAP", "irreps", DEEP]
    assert {row["model"] for row in curve["rows"]} == {"λ-SOAP", "irreps", DEEP}
    assert "| irreps, λ = 2 | " in report
    before = len(said)
    study(tmp_path, SUBJECT, chosen, 0, 2, True, said.append)
    assert all(line.endswith("done before") for line in said[before:])


def test_every_variant_has_a_folder_of_its_own():
    assert len({folder_of(name) for name in VARIANTS}) == len(VARIANTS)


def test_each_part_of_a_shielding_has_its_verdict():
    rng = np.random.default_rng(0)
    truth, off = rng.normal(size=(2, 30, 3, 3))
    results = {"λ-SOAP": judge.scores(truth, truth + 0.2 * off), "irreps": judge.scores(truth, truth + 0.1 * off)}
    sentences = report.verdict(results).split(" times more.")[:-1]
    assert [sentence.strip()[:5] for sentence in sentences] == ["λ = 0", "λ = 1", "λ = 2"]
    assert all("best network (*irreps*)" in sentence and sentence.endswith("2.00") for sentence in sentences)


def test_scores_are_those_of_the_tensors():
    rng = np.random.default_rng(0)
    truth = rng.normal(size=(30, 3, 3))
    found = judge.scores(truth, truth)["quantities"]
    assert list(found) == ["λ = 0", "λ = 1", "λ = 2", "iso", "ζ", "η", "Ω", "κ", "α", "β", "γ"]
    assert max(entry["rmse_percent"] for entry in found.values()) < 1e-10
    scaled = judge.scores(truth, 1.1 * truth)["quantities"]
    for name in ("η", "κ", "α", "β", "γ"):
        assert scaled[name]["rmse_percent"] < 1e-8
    truth_iso = np.trace(truth, axis1=1, axis2=2) / 3.0
    assert_allclose(scaled["iso"]["rmse"], 0.1 * np.sqrt(np.mean(truth_iso**2)))
    traceless = truth + truth.swapaxes(1, 2)
    traceless -= np.trace(traceless, axis1=1, axis2=2)[:, None, None] / 3.0 * np.eye(3)
    assert list(judge.scores(traceless, truth)["quantities"])[:2] == ["λ = 2", "ζ"]
    found = judge.invariants(np.concatenate([np.full((1, 3, 3), np.nan), np.diag([1.0, 2.0, -3.0])[None]]))
    assert_allclose(found["v_zz"], [np.nan, -3.0])
    assert_allclose(found["c_q"], [np.nan, 3.0])
