"""The quick model of an audit, and faults planted into labels that it must find: experiments/audit has all of them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax.auditing.held_out_tensors import RATIOS, held_out
from experiments.audit.corruptions import CORRUPTIONS, exchanged_oxygen, quarter_turn, vacancy
from experiments.audit.corruptions import change as changed

SOLID_SOLUTION = (
    Path(__file__).resolve().parents[2].parent / "shared/data/external/solid-solution/la2-sn-zr-2o7-even.extxyz.gz"
)


def test_held_out_predictions_are_those_of_refitted_models():
    """And their variances: each group is left out, the ridge regression is solved again."""
    rng = np.random.default_rng(0)
    columns, group = rng.normal(size=(40, 3, 7)).astype(np.float32), np.repeat(np.arange(8), 5)
    targets = columns @ rng.normal(size=7) + 0.3 * rng.normal(size=(40, 3))
    learned = rng.random(40) > 0.2
    found = held_out(columns, targets, group, learned)

    def refitted(ratio):
        whole = columns[learned].reshape(-1, 7).astype(float)
        noise = ratio * np.trace(whole.T @ whole) / 7 * np.eye(7)
        predicted, spread = np.zeros((40, 3)), np.zeros(40)
        for own in range(8):
            rows = columns[learned & (group != own)].reshape(-1, 7).astype(float)
            inverse = np.linalg.inv(rows.T @ rows + noise)
            x = columns[group == own].astype(float)
            predicted[group == own] = x @ inverse @ rows.T @ targets[learned & (group != own)].ravel()
            spread[group == own] = np.sqrt(np.mean(1.0 + np.einsum("ncf,fg,ncg->nc", x, inverse, x), axis=1))
        return predicted, spread

    predicted, spread = min(
        (refitted(ratio) for ratio in RATIOS), key=lambda pair: abs(pair[0] - found.predicted).max()
    )
    assert_allclose(found.predicted, predicted, atol=1e-6)
    assert_allclose(found.spread, spread, rtol=1e-6)


def plain(frames):
    """Without notes, and one file."""
    for number, atoms in enumerate(frames):
        atoms.info = {"source_file": "set", "source_frame": number}
        atoms.calc = None
    return frames


def expect(result, planted):
    """Every fault is an error (an outlier a warning) in its frame, and nothing else is an error."""
    for frame, kinds in planted.items():
        seen = {one.kind for one in result.findings if one.frame == frame and one.severity != "info"}
        assert seen & kinds, (frame, kinds, seen)
    others = [one for one in result.findings if one.severity == "error" and one.frame not in planted]
    assert others == []


def test_faults_of_single_frames_are_named():
    """Field gradients of silica: seven faults in seven of 72 frames."""
    frames = plain([atoms for atoms in ej.datasets.load("silica-efg") if 8 < len(atoms) < 13][::3][:72])
    rng, faults = np.random.default_rng(1), {fault.name: fault for fault in CORRUPTIONS if fault.source == "silica"}
    names = (
        *("one frame turned", "one frame, axes x → y → z", "one frame with the opposite sign"),
        *("one frame in atomic units", "O shuffled in one frame", "two O exchanged", "two frames exchanged"),
    )
    planted = {}
    for start, name in zip(range(0, 70, 10), names, strict=True):
        done = faults[name].plant(frames[start : start + 10], rng)
        planted |= {start + number: set(faults[name].kinds) for number in done.frames}
    expect(ej.audit(frames), planted)


def test_faults_of_shieldings_are_named():
    frames = plain(
        [atoms for atoms in ej.datasets.load("molecules-nmr") if atoms.info["parent"].startswith("water")][:80]
    )
    rng = np.random.default_rng(1)
    faults = {fault.name: fault for fault in CORRUPTIONS if fault.source == "molecules"}
    planted = {}
    for start, name in ((0, "one σ transposed"), (20, "one frame with δ for σ"), (40, "two atoms without labels")):
        done = faults[name].plant(frames[start : start + 20], rng)
        planted |= {start + number: set(faults[name].kinds) for number in done.frames}
    expect(ej.audit(frames), planted)


@pytest.mark.skipif(
    not SOLID_SOLUTION.exists(), reason="the cells of the solid solution are not here (shared/data/external)"
)
def test_faults_of_a_solid_solution_are_named():
    frames = plain(ej.io.read(SOLID_SOLUTION, target=None, index="::20"))
    assert ej.audit([atoms.copy() for atoms in frames]).count("error") == 0
    rng = np.random.default_rng(2)
    changed(frames[2], lambda rows: quarter_turn(rows, rng))
    exchanged_oxygen(frames[5:6], rng)
    vacancy(frames[9:10], rng)
    expect(ej.audit(frames), {2: {"rotated", "symmetry"}, 5: {"permuted", "symmetry"}, 9: {"disorder"}})
