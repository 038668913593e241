"""Checks of an audit that need no model: what cannot be read, labels by themselves, units, signs, levels of theory."""

import json
import shutil

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from test_superposition import moved

import efg_jax as ej
from efg_jax import cli, datasets
from efg_jax.auditing.duplicates import duplicate_findings
from efg_jax.auditing.findings import AuditResult, Finding, summarised
from efg_jax.auditing.label_checks import label_findings
from efg_jax.auditing.priors import index_order_findings, sign_findings, unit_findings
from efg_jax.auditing.sources import Entry, read_entries
from efg_jax.auditing.structure_checks import structure_findings
from efg_jax.auditing.superposition import superpositions
from efg_jax.auditing.theory import theory_findings
from efg_jax.errors import InputError
from efg_jax.io import write
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT as AU

NAMES = {"efg": "efg", "ms": "ms"}


def entries_of(frames):
    return [Entry(atoms, None, number, False) for number, atoms in enumerate(frames)]


@pytest.fixture
def cells():
    """A few cells of silica without notes."""
    frames = [atoms for atoms in datasets.load("silica-efg") if len(atoms) == 6][:6]
    for atoms in frames:
        atoms.calc, atoms.info = None, {}
    return frames


@pytest.fixture(scope="module")
def sets():
    """Frames of each shipped set, and of its labels the arrays."""
    frames = {name: datasets.load(name)[::25] for name in ("silica-efg", "molecules-nmr")} | {
        "lto-efg": datasets.load("lto-efg")[::8]
    }
    return {name: (entries_of(own), label_findings(entries_of(own), NAMES)[1]) for name, own in frames.items()}


def of_set(entries, labels, target):
    own = entries, labels[target], target
    found = unit_findings(*own) + sign_findings(*own)
    return found + (index_order_findings(*own) if target == "ms" else [])


@pytest.mark.parametrize(
    ("name", "target"),
    [("silica-efg", "efg"), ("lto-efg", "efg"), ("molecules-nmr", "efg"), ("molecules-nmr", "ms")],
)
def test_units_and_signs_of_whole_sets(sets, name, target):
    """Nothing in the sets as they are; each of the usual mistakes is an error of its own kind."""
    entries, labels = sets[name]
    assert of_set(entries, labels, target) == []
    ppm = {
        "δ": lambda v: 300.0 * np.eye(3) - v,
        "fraction": lambda v: 1e-6 * v,
        "transposed": lambda v: v.swapaxes(1, 2),
    }
    mistakes = (
        ppm if target == "ms" else {"au": lambda v: v / AU, "twice": lambda v: AU * v, "V/m²": lambda v: 1e20 * v}
    )
    for mistake, function in (mistakes | {"−": lambda v: -v}).items():
        found = of_set(entries, labels | {target: [function(rows) for rows in labels[target]]}, target)
        kinds = {one.kind for one in found if one.severity == "error"}
        expected = {"−": "sign", "δ": "sign", "transposed": "transposed"}.get(mistake, "units")
        assert expected in kinds, (mistake, found)


def test_labels_are_looked_at_one_by_one(cells):
    rows = [atoms.arrays["efg"] for atoms in cells]
    rows[0][2, 0, 1] += 0.5 * np.linalg.norm(rows[0][2])  # asymmetric
    rows[1][1] += np.eye(3) * 10.0  # not traceless
    rows[2][3] = np.nan  # no label
    rows[3][4, 0, 0] = np.inf
    rows[4][:] = 0.0
    del cells[5].arrays["efg"]
    found, labels = label_findings(entries_of(cells), NAMES)
    seen = {(one.frame, one.atom, one.kind, one.severity) for one in found}
    assert seen == {
        (0, 2, "asymmetric", "error"),
        (1, 1, "traced", "error"),
        (2, 3, "unlabelled", "warning"),
        (3, 4, "damaged", "error"),
        (4, None, "unlabelled", "error"),
        (5, None, "unlabelled", "warning"),
    }
    assert np.isnan(labels["efg"][0][2]).all()
    assert labels["efg"][5] is None
    cells[1].arrays["efg"] = cells[0].arrays["efg"].copy()
    assert ("copied", 1) in {(one.kind, one.frame) for one in label_findings(entries_of(cells[:3]), NAMES)[0]}


def test_disorder_is_found(cells):
    cells[0].info["occupancy"] = {"0": {"Si": 0.7, "Al": 0.3}} | {str(i): {"O": 1.0} for i in range(1, 6)}
    cells[0].arrays["spacegroup_kinds"] = np.arange(6)
    split = cells[1].copy()
    split.append("O")
    split.positions[-1] = split.positions[-2] + [0.4, 0.2, 0.0]
    del cells[2][5]
    same = [cells[3].copy() for _ in range(12)]  # siblings of the cell with a vacancy
    lone = same[0].copy()
    del lone[5]
    found, usable = structure_findings(entries_of([cells[0], split, *same, lone]))
    seen = {(one.frame, one.atom, one.kind, one.severity) for one in found}
    assert (0, 0, "occupancy", "error") in seen
    assert (1, 5, "disorder", "error") in seen
    assert (14, None, "disorder", "warning") in seen
    assert usable == [False] + 14 * [True]
    assert structure_findings(entries_of([molecule(name) for name in ("N2", "O2", "H2", "C2H2", "CO2", "F2")]))[0] == []


def test_whatever_can_be_read_is(cells, tmp_path):
    """Of a damaged file the good frames; of the others a finding each."""
    write(tmp_path / "good.extxyz", cells)
    lines = (tmp_path / "good.extxyz").read_text().splitlines()
    lines[8 + 3] = "Qq" + lines[8 + 3][2:]  # in frame 1
    (tmp_path / "damaged.extxyz").write_text("\n".join(lines) + "\n")
    (tmp_path / "noise.magres").write_text("nonsense")
    write(tmp_path / "contradicting.magres", cells[:1])  # read by ASE it would have other units
    line = next(
        line for line in (tmp_path / "contradicting.magres").read_text().splitlines() if line.split()[:1] == ["efg"]
    )
    with (tmp_path / "contradicting.magres").open("a") as stream:
        stream.write(f"[magres]\nunits efg au\n{' '.join(line.split()[:3])} {'7.5 ' * 9}\n[/magres]\n")
    names = ["damaged.extxyz", "noise.magres", "contradicting.magres"]
    entries, found = read_entries([tmp_path / name for name in names])
    assert [entry.frame for entry in entries] == [0, 2, 3, 4, 5]
    assert {(one.file, one.frame) for one in found} == {
        (str(tmp_path / "damaged.extxyz"), 1),
        (str(tmp_path / "noise.magres"), None),
        (str(tmp_path / "contradicting.magres"), None),
    }
    assert {(one.kind, one.severity) for one in found} == {("unreadable", "error")}
    with pytest.raises(InputError, match="neither a file nor a data set"):
        read_entries("silica-egf")


def test_levels_of_theory_are_read_from_notes(cells):
    for number, atoms in enumerate(cells):
        atoms.info |= {"xc": "PBE" if number else "SCAN", "kpts": [number, 1, 1], "code": "GPAW"}
    (found,) = theory_findings(entries_of(cells), {}, set())
    assert found.frame == 0
    assert "xc" in found.evidence


def test_duplicates_are_found_wherever_they_are(cells):
    """Turned and in another order, with the same tensors and with others; across sets it is a leak."""
    quartz = cells[0]
    quartz.arrays["id"] = np.arange(6)
    copy = moved(quartz)
    order = copy.arrays["id"]
    turn = np.linalg.lstsq(quartz.cell.array, np.linalg.inv([[1, 1, 0], [0, 1, 0], [0, -1, 1]]) @ copy.cell.array)[0].T
    right = turn @ quartz.arrays["efg"][order] @ turn.T
    prints = np.arange(3.0)[:, None] * np.ones((3, 4)) + 1.0
    prints[2] = prints[0]
    for test, wrong, kinds in (
        (False, 1.0, {"duplicate"}),
        (True, 1.0, {"leak"}),
        (False, -1.0, {"duplicate", "contradiction"}),
    ):
        entries = [*entries_of([quartz, cells[1]]), Entry(copy, None, 2, test)]
        labels = {"efg": [quartz.arrays["efg"], cells[1].arrays["efg"], wrong * right]}
        found = duplicate_findings(entries, labels, prints)
        assert {one.kind for one in found} == kinds
        assert {one.frame for one in found} == {2}


def test_many_findings_become_few():
    many = [Finding("units", "error", "e", "r", "a", frame, atom) for frame in range(9) for atom in range(5)]
    (one,) = summarised(many, {"a": 10})
    assert (one.frame, one.atom) == (None, None)
    assert "9 of 10 frames" in one.evidence
    assert len(summarised(many[:10], {"a": 10})) == 2
    result = AuditResult(tuple(many), 10, 50, files={"a": 10})
    assert len(result.summary()) == 1
    assert [(one["frame"], one["atom"]) for one in result.to_dict()["findings"]] == [
        (f, a) for f in range(9) for a in range(5)
    ]


def test_single_atoms_in_boxes_of_any_size_are_no_copies():
    frames = [Atoms("Xe", cell=cell, pbc=pbc) for cell, pbc in ((None, False), ([9] * 3, True), ([11] * 3, True))]
    for atoms in frames:
        atoms.arrays["ms"] = 5642.0 * np.eye(3)[None]
    assert label_findings(entries_of(frames), {"ms": "ms"})[0] == []
    assert len(superpositions(frames[0], frames[0], 0.01)) == 1


def test_labels_in_a_wrong_unit_are_not_looked_at_further(cells):
    cells[0].info["efg_units"] = "au"
    found, labels = label_findings(entries_of(cells), NAMES)
    assert [(one.kind, one.frame) for one in found] == [("units", 0)]
    assert labels["efg"][0] is None
    assert labels["efg"][1] is not None


def test_the_command_writes_findings_and_says_so_by_its_status(cells, tmp_path, capsys):
    write(tmp_path / "cells.extxyz", cells)
    cells[2].arrays["efg"] *= -AU
    write(tmp_path / "wrong.extxyz", cells[2:3])
    out = tmp_path / "findings.json"
    assert cli.run(["audit", str(tmp_path / "cells.extxyz"), "--quiet", "--json", str(out)]) == 0
    assert json.loads(out.read_text()) == {"findings": []}
    assert cli.run(["audit", str(tmp_path / "wrong.extxyz"), "--quiet", "--json", str(out)]) == 1
    printed = capsys.readouterr().out
    findings = json.loads(out.read_text())["findings"]
    assert set(findings[0]) == {"file", "frame", "atom", "kind", "severity", "evidence", "remedy"}
    assert findings[0]["file"] == str(tmp_path / "wrong.extxyz")
    assert {one["kind"] for one in findings} >= {"units"}
    assert "how sure" in printed
    assert cli.run(["audit", "silica-egf"]) == 2
    assert cli.run(["audit", str(tmp_path / "cells.extxyz"), "--json", str(tmp_path / "cells.extxyz")]) == 2
    shutil.copy(tmp_path / "cells.extxyz", tmp_path / "test.extxyz")
    found = ej.audit(tmp_path / "cells.extxyz", tmp_path / "test.extxyz")
    assert {(one.kind, one.severity) for one in found.findings} == {("leak", "error")}
    assert ej.audit(Atoms("H2", positions=[[0, 0, 0], [0, 0, 0.75]])).exit_status == 0
