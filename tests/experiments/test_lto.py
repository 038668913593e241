"""Pieces of the Li4Ti5O12 study."""

import json
import re

import ase.io
import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax.datasets.dataset_figure import dataset_groups
from efg_jax.spectra.regions import find_regions
from experiments.lto import cells, dataset, sites
from experiments.stages import Stages


def test_a_stage_is_done_once_and_again_when_what_it_depends_on_changes(tmp_path):
    done, said = [], []

    def work(folder):
        done.append(folder.name)
        (folder / "result.txt").write_text(str(len(done)))

    stages = Stages(tmp_path, said.append)
    folder = stages.run("one", {"seed": 0}, work)
    assert (stages.run("one", {"seed": 0}, work) / "result.txt").read_text() == "1"
    first = stages.of(folder)
    stages.run("one", {"seed": 1}, work)
    assert stages.of(folder) != first
    assert (folder / "result.txt").read_text() == "2"
    assert said == ["one ...", "one: done before", "one ..."]


def test_a_stage_that_is_stopped_leaves_nothing_that_counts_and_keeps_its_cache(tmp_path):
    stages = Stages(tmp_path, lambda line: None)

    def stopped(folder):
        (folder / "cache").write_text("kept")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stages.run("one", {"seed": 0}, stopped)
    assert not (tmp_path / "one").exists()
    seen = []
    stages.run("one", {"seed": 0}, lambda folder: seen.append((folder / "cache").read_text()))
    assert seen == ["kept"]
    with pytest.raises(KeyboardInterrupt):
        stages.run("one", {"seed": 1}, stopped)
    stages.run("one", {"seed": 2}, lambda folder: seen.append((folder / "cache").exists()))
    assert seen == ["kept", False]


@pytest.fixture(scope="module")
def frames():
    return dataset.with_sites(ej.datasets.load("lto-efg"))


def test_sites_are_those_of_the_spinel(frames):
    """In the rattled cells Li on 8a still has four O around it, what is on 16d six."""
    from efg_jax.structures.neighbour_lists import neighbour_pairs

    for atoms in frames:
        symbols = np.asarray(atoms.symbols)
        assert set(symbols[atoms.arrays["site"] == "32e"]) == {"O"}
        pairs = neighbour_pairs(atoms, np.arange(42), dataset.BOND)
        oxygens = np.bincount(pairs.row, symbols[pairs.neighbour] == "O", 42)
        assert abs(oxygens[atoms.arrays["site"] == "8a"].mean() - 4) < 0.3
        assert abs(oxygens[atoms.arrays["site"] == "16d"].mean() - 6) < 0.3
    with pytest.raises(ValueError, match="is not a 42-atom cell as it was built"):
        dataset.with_sites([frames[0][::-1]])


def test_the_data_are_drawn_and_counted(frames, tmp_path):
    dataset.draw(frames, tmp_path / "dataset.png")
    assert (tmp_path / "dataset.png").read_bytes()[:4] == b"\x89PNG"
    table = dataset.table(frames)
    assert f"| Li 8a | {6 * len(frames)} |" in table
    assert f"| O 32e | {24 * len(frames)} |" in table
    lithium = dataset_groups(frames, "site")["Li 8a"]
    assert_allclose(np.median(lithium.bonds), 1.99, atol=0.1)


@pytest.fixture(scope="module")
def small_cells(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    cells.make_cells(cells.Sampling(cells=2, repeat=3, sweeps=5), folder)
    return folder


def test_cells_hold_what_they_should(small_cells):
    made = cells.read_cells(small_cells)
    summary = json.loads((small_cells / "summary.json").read_text())
    assert summary["lithium"] == 2 * 288
    assert [len(atoms) for atoms in made] == [1512, 1512]
    assert max(summary["best_eV"]) < summary["random_eV"]
    assert not np.allclose(made[0].positions, made[1].positions)
    assert (small_cells / "annealing.png").exists()


def test_sites_are_divided_into_regions_and_written(small_cells, tmp_path):
    made = cells.read_cells(small_cells)
    rng = np.random.default_rng(0)
    strength = rng.choice([0.2, 0.5, 0.9], 576) + rng.normal(0, 0.02, 576)
    tensors = strength[:, None, None] * np.diag([-0.5, -0.5, 1.0])
    own = np.concatenate([atoms.arrays["site"][np.asarray(atoms.symbols) == "Li"] for atoms in made])
    spread = rng.uniform(0.1, 0.2, 576)
    np.savez(
        tmp_path / "sites.npz",
        tensors=tensors,
        variance=spread,
        cell=np.repeat([0, 1], 288),
        site=own.astype(str),
        distance=spread,
        distance_held_out=spread[:50],
        variance_held_out=spread[:50],
    )
    sites.divide(tmp_path, made, tmp_path)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["sites"] == 576
    assert summary["unassigned"] + sum(row["sites"] for row in summary["regions"]) == 576
    for name in ("regions.png", "novelty.png", "cells.png", "cells.chemiscope.json.gz"):
        assert (tmp_path / name).stat().st_size > 1000
    written = ase.io.read(tmp_path / "regions.extxyz", ":")
    lithium = np.asarray(written[0].symbols) == "Li"
    assert (written[0].arrays["region"][~lithium] == -1).all()
    nu = np.concatenate([atoms.arrays["nu_q_khz"][np.asarray(atoms.symbols) == "Li"] for atoms in written])
    region = np.concatenate([atoms.arrays["region"][np.asarray(atoms.symbols) == "Li"] for atoms in written])
    expected = find_regions(np.abs(nu), sites.BINS, sites.PEAKS, sites.LEAST).assign(np.abs(nu))
    assert (region == expected).mean() > 0.99  # eight decimals in the file


@pytest.mark.slow
def test_the_study_runs_whole_and_goes_on_where_it_was(monkeypatch, tmp_path):
    """On structures with point-charge gradients for labels."""
    pytest.importorskip("spglib", reason="structures are built with spglib")
    from oracles.analytic_labels import field_gradients

    from experiments.lto.__main__ import study
    from experiments.reference_data.build import build

    frames = build("lto", 10)
    for atoms in frames:
        atoms.arrays["efg"] = field_gradients(atoms)
    monkeypatch.setattr(ej.datasets, "load", lambda name: [atoms.copy() for atoms in frames])
    said = []
    study(tmp_path, quick=True, seed=0, say=said.append, nuclei={"Li": "7Li"})
    report = (tmp_path / "report.md").read_text(encoding="utf-8")
    for figure in re.findall(r"!\[.*?\]\((.*?)\)", report):
        assert (tmp_path / figure).stat().st_size > 5000, figure
    assert "`lto-efg`: 10 rattled 42-atom cells of 6 configurations; 8 to train on, 2 held out" in report
    assert "| 7Li, tensor, Harper et al. | 0.06 | 0.04 | 0.15 | 0.22 | 4.7 |" in report
    assert "192 Li sites" in report
    states = json.loads((tmp_path / "states" / "summary.json").read_text())
    assert states["atoms"] == 168
    assert len(states["means"]) == 8
    assert sum(line.endswith("...") for line in said) == 8
    said.clear()
    study(tmp_path, quick=True, seed=0, say=said.append, nuclei={"Li": "7Li"})
    assert all(line.endswith("done before") for line in said)
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == report
