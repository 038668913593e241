"""The quick model of an audit, and faults planted into labels that it must find: experiments/audit has all of them."""

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax.auditing.held_out_tensors import RATIOS, held_out
from efg_jax.auditing.sources import Entry
from efg_jax.auditing.structure_checks import structure_findings
from efg_jax.auditing.superposition import superpositions
from efg_jax.auditing.symmetry import symmetry_findings
from experiments.audit.corruptions import CORRUPTIONS, quarter_turn, turned, vacancy
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
    """Field gradients of silica: five faults among 50 frames."""
    frames = plain([atoms for atoms in ej.datasets.load("silica-efg") if 8 < len(atoms) < 13][::3][:50])
    rng, faults = np.random.default_rng(1), {fault.name: fault for fault in CORRUPTIONS if fault.source == "silica"}
    names = (
        *("one frame turned", "one frame with the opposite sign", "one frame in atomic units"),
        *("two O exchanged", "two frames exchanged"),
    )
    planted = {}
    for start, name in zip(range(0, 50, 10), names, strict=True):
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


@pytest.mark.skipif(not SOLID_SOLUTION.exists(), reason="shared/data/external has no cells of the solid solution")
def test_faults_of_a_solid_solution_are_found_by_symmetry():
    """Without a model: nothing in clean cells, tensors turned by 90° or exchanged, and a vacancy."""
    frames = plain(ej.io.read(SOLID_SOLUTION, target=None, index="::30"))

    def seen():
        entries = [Entry(atoms, None, number, False) for number, atoms in enumerate(frames)]
        labels = {name: [atoms.arrays[name] for atoms in frames] for name in ("efg", "ms")}
        found = structure_findings(entries)[0] + symmetry_findings(entries, labels)
        return {(one.frame, one.kind) for one in found}

    assert seen() == set()
    symmetric = [i for i, atoms in enumerate(frames) if len(superpositions(atoms, atoms, 0.02)) > 1]
    rng = np.random.default_rng(2)
    changed(frames[symmetric[0]], lambda rows: quarter_turn(rows, rng))
    changed(frames[symmetric[1]], lambda rows: turned(rows, rng))
    vacancy(frames[9:10], rng)
    assert seen() >= {(symmetric[0], "symmetry"), (symmetric[1], "symmetry"), (9, "disorder")}
