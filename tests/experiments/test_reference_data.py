"""The pipeline of the reference data: structures, workers, checks; and GPAW itself where it is installed."""

import io
import subprocess
from collections import Counter
from itertools import combinations
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase.calculators.singlepoint import SinglePointCalculator
from ase.neighborlist import neighbor_list

import efg_jax as ej

pytest.importorskip("spglib", reason="structures are built with spglib")

from experiments.reference_data import campaign, elk
from experiments.reference_data.build import build, rattled, too_close
from experiments.reference_data.collect import collect, whole_frames
from experiments.reference_data.compute import Unconverged
from experiments.reference_data.materials import MATERIALS
from experiments.reference_data.parents import lto_configurations, lto_ideal, spinel_42
from experiments.reference_data.provenance import provenance

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def silica():
    return build("silica", 14)


def surroundings(atoms):
    """Formal charge over distance around every atom, summed within 7.5 Å: the same for equivalent crystals."""
    i, j, distance = neighbor_list("ijd", atoms, 7.5)
    charge = np.array([{"Li": 1.0, "Ti": 4.0, "O": -2.0}[symbol] for symbol in atoms.symbols])
    sums = np.zeros(len(atoms))
    np.add.at(sums, i, charge[i] * charge[j] / distance)
    return tuple(sorted(sums.round(4)))


def test_six_configurations_with_the_multiplicities_of_the_paper():
    cell = spinel_42()
    assert Counter(cell.symbols) == {"Li": 6, "Ti": 12, "O": 24}
    classes = lto_configurations()
    assert [len(pairs) for pairs in classes] == [3, 9, 9, 9, 18, 18]
    by_surroundings = {}
    titanium = np.flatnonzero(np.asarray(cell.symbols) == "Ti").tolist()
    for pair in combinations(titanium, 2):
        atoms = cell.copy()
        atoms.symbols[list(pair)] = "Li"
        by_surroundings.setdefault(surroundings(atoms), set()).add(pair)
    assert {frozenset(pairs) for pairs in classes} == {frozenset(pairs) for pairs in by_surroundings.values()}


def test_relaxed_configurations_are_the_ideal_ones_but_for_small_displacements():
    relaxed = MATERIALS["lto"].parents()
    ideal = {atoms.info["parent"]: atoms for atoms in lto_ideal()}
    assert list(relaxed) == list(ideal)
    for name, (_, atoms) in relaxed.items():
        assert (atoms.numbers == ideal[name].numbers).all()
        np.testing.assert_allclose(atoms.cell.array, ideal[name].cell.array, atol=1e-7)
        moved = np.linalg.norm(atoms.positions - ideal[name].positions, axis=1)
        assert 0.03 < moved.mean() < 0.2
        assert moved.max() < 0.4


@pytest.mark.parametrize(("kind", "name"), [("silica", "silica-efg"), ("lto", "lto-efg")])
def test_what_ships_is_what_is_built(kind, name):
    parents = MATERIALS[kind].parents()
    for shipped in ej.datasets.load(name):
        parent = shipped.info["parent"]
        own = rattled(MATERIALS[kind], parent, parents[parent][1], shipped.info["index"])
        assert (own.numbers == shipped.numbers).all()
        np.testing.assert_allclose(own.positions, shipped.positions, atol=1e-7)


def test_a_longer_list_begins_with_the_shorter(silica):
    assert [(a.info["parent"], a.info["index"]) for a in build("silica", 9)] == [
        (a.info["parent"], a.info["index"]) for a in silica[:9]
    ]
    assert Counter(a.info["parent"] for a in silica)["quartz"] == 3
    assert not any(too_close(atoms, MATERIALS["silica"]) for atoms in silica)


def computed(atoms, *_):
    """Stands for a first-principles run: a result of the right form."""
    result = atoms.copy()
    result.info.update(provenance(atoms), iterations=30)
    rng = np.random.default_rng(atoms.info["index"])
    tensors = rng.normal(size=(len(atoms), 3, 3))
    tensors += tensors.transpose(0, 2, 1)
    tensors -= np.trace(tensors, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3
    result.arrays["efg"] = tensors.reshape(-1, 9)
    forces = rng.normal(size=(len(atoms), 3))
    result.calc = SinglePointCalculator(result, energy=-7.0 * len(atoms), forces=forces - forces.mean(axis=0))
    return result


def test_workers_share_a_folder_and_do_only_what_nobody_else_does(silica, tmp_path, monkeypatch):
    calls = []

    def recorded(atoms, *rest):
        calls.append(campaign.label(atoms))
        if len(calls) == 1:  # while the first structure is computed, a second worker comes and does all others
            campaign.work(silica[:6], tmp_path, Path())
        if len(calls) == 2:
            raise Unconverged("not converged in 120 iterations")
        return computed(atoms, *rest)

    monkeypatch.setattr(campaign, "compute", recorded)
    campaign.work(silica[:6], tmp_path, Path())
    assert sorted(calls) == sorted(campaign.label(atoms) for atoms in silica[:6])
    failed = list(tmp_path.glob("*.failed"))
    assert [path.read_text() for path in failed] == ["not converged in 120 iterations\n"]
    assert len(collect([tmp_path])) == 5
    assert not list(tmp_path.glob(".*"))


def test_what_a_killed_worker_was_at_is_taken_up_by_another(silica, tmp_path, monkeypatch):
    (
        tmp_path / f".{campaign.label(silica[0])}.lock"
    ).touch()  # as a killed worker leaves it: there, and locked by nobody
    monkeypatch.setattr(campaign, "compute", computed)
    campaign.work(silica[:1], tmp_path, Path())
    assert len(collect([tmp_path])) == 1
    assert not list(tmp_path.glob(".*"))


def test_a_file_named_stop_ends_a_worker(silica, tmp_path, monkeypatch):
    def stopping(atoms, *rest):
        (tmp_path / campaign.STOP).touch()
        return computed(atoms, *rest)

    monkeypatch.setattr(campaign, "compute", stopping)
    campaign.work(silica, tmp_path, Path())
    assert len(list(tmp_path.glob("*.extxyz"))) == 1


def test_a_half_written_frame_is_dropped_with_a_warning(silica, tmp_path):
    text = io.StringIO()
    ase.io.write(text, [computed(atoms) for atoms in silica[:3]], format="extxyz")
    path = tmp_path / "killed.extxyz"
    path.write_text(text.getvalue()[:-40])
    with pytest.warns(UserWarning, match=r"killed\.extxyz: the last frame \(line 23\) is not whole"):
        frames = whole_frames(path)
    assert len(frames) == 2
    path.write_text("hello\n")
    with pytest.raises(ValueError, match=r"killed\.extxyz, line 1: expected a number of atoms, found 'hello'"):
        whole_frames(path)


def asymmetric(atoms):
    atoms.arrays["efg"][0, 1] += 0.1


def traced(atoms):
    atoms.arrays["efg"][0, [0, 4, 8]] += 0.1


def nameless(atoms):
    del atoms.info["parent"]


def unknown_level(atoms):
    del atoms.info["code"]


def other_level(atoms):
    atoms.info["ecut_eV"] = 400.0


def moved(atoms):
    atoms.positions[0] += 0.01


def pushed(atoms):
    atoms.calc.results["forces"][0] = 50.0


def unheld(atoms):
    atoms.calc.results["forces"][0] += 0.2


def elsewhere(atoms):
    atoms.calc.results["energy"] += 3.0 * len(atoms)


def twice(atoms):
    atoms.info["index"] = 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (asymmetric, "efg is asymmetric by 1.0e-01"),
        (traced, "efg has a trace of 3.0e-01"),
        (nameless, "its info lacks parent"),
        (unknown_level, "its info does not say code"),
        (other_level, r"another level of theory: ecut_eV = 400.0, not 700.0"),
        (moved, "atoms lie 1.0e-02 Å from where parent and index put them"),
        (pushed, "a force of 86.6 eV/Å"),
        (unheld, "forces add up to 0.200 eV/Å"),
        (elsewhere, "an energy of -4.000 eV per atom, where -7.000 is usual"),
        (twice, "are the same structure"),
    ],
)
def test_bad_results_are_refused(silica, tmp_path, spoil, message):
    frames = [computed(atoms) for atoms in silica[:3]]
    spoil(frames[1])
    for number, atoms in enumerate(frames):
        ase.io.write(tmp_path / f"{number}.extxyz", atoms, format="extxyz")
    with pytest.raises(ValueError, match=message):
        collect([tmp_path])


def test_elk_is_told_of_the_structure_and_its_tensors_come_back_in_its_order(silica, tmp_path):
    atoms = silica[0].copy()
    atoms = atoms[np.random.default_rng(1).permutation(len(atoms))]  # elements mixed: Elk sorts them
    tensors = computed(atoms).arrays["efg"].reshape(-1, 3, 3)
    atoms.arrays["efg"] = 1.05 * tensors
    words = elk.write_input(atoms, tmp_path).read_text().split()
    cell = np.array(words[words.index("avec") + 1 :][:9], dtype=float).reshape(3, 3)
    np.testing.assert_allclose(cell * 0.529177210903, atoms.cell.array, atol=1e-8)
    assert int(words[words.index("lmaxi") + 1]) >= 2  # or Elk ends without a gradient
    written, numbers = words[words.index("atoms") + 2 :], []
    places = []
    while written:
        symbol, count, written = written[0].strip("'").removesuffix(".in"), int(written[1]), written[2:]
        block, written = np.array(written[: 6 * count], dtype=float).reshape(count, 6), written[6 * count :]
        places.extend(block[:, :3])
        numbers += [symbol] * count
    order = [int(np.argmin(np.abs(atoms.get_scaled_positions() - place).max(axis=1))) for place in places]
    assert numbers == [atoms.symbols[atom] for atom in order]

    text = "(electric field gradient tensor is in Cartesian coordinates)\n"
    for atom in order:
        rows = "\n".join(" ".join(f"{x:.10E}" for x in row) for row in -tensors[atom] / 97.173624424)
        text += f"\n\nSpecies :    1 (X), atom :    1\n\n EFG tensor :\n{rows}\n trace :  0.0\n eigenvalues :\n 0 0 0\n"
    (tmp_path / "EFG.OUT").write_text(text)
    np.testing.assert_allclose(elk.read_gradients(atoms, tmp_path), tensors, atol=1e-7)
    assert "| 4.8 % | 0.952 |" in elk.comparison(atoms, tmp_path)
    with pytest.raises(ValueError, match=r"EFG\.OUT holds 9 tensors, where the structure has 8 atoms"):
        elk.read_gradients(atoms[:8], tmp_path)


def python_with_gpaw():
    for python in ("/usr/bin/python3", "python3"):
        try:
            if subprocess.run([python, "-c", "import gpaw"], capture_output=True).returncode == 0:
                return python
        except OSError:
            continue
    return None


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """The command line under the Python that has GPAW, and a folder with PAW datasets."""
    python = python_with_gpaw()
    if python is None:
        pytest.skip("no Python here has GPAW (on Debian: apt-get install gpaw gpaw-data)")
    setups = tmp_path_factory.mktemp("paw")

    def command(*arguments):
        return subprocess.run([python, "-m", "experiments.reference_data", *map(str, arguments)], cwd=ROOT, check=True)

    command("setups", setups)
    return command, setups


@pytest.mark.slow
def test_gpaw_gives_the_tensors_that_ship(pipeline, tmp_path):
    command, setups = pipeline
    shipped = next(a for a in ej.datasets.load("silica-efg") if a.info["parent"] == "stishovite")
    todo = next(a for a in build("silica", 14) if a.info["parent"] == "stishovite")
    assert todo.info["index"] == shipped.info["index"]
    ase.io.write(tmp_path / "todo.extxyz", todo)
    command("run", tmp_path / "todo.extxyz", "--out", tmp_path / "results", "--setups", setups)
    (result,) = collect([tmp_path / "results"])
    tensors = result.arrays["efg"].reshape(-1, 3, 3)
    assert np.linalg.norm(tensors - shipped.arrays["efg"]) < 1e-3 * np.linalg.norm(shipped.arrays["efg"])
    assert abs(result.get_potential_energy() - shipped.get_potential_energy()) < 1e-3


@pytest.mark.slow
def test_gpaw_relaxes_what_is_off_its_place(pipeline, tmp_path):
    command, setups = pipeline
    ideal = MATERIALS["silica"].parents()["stishovite"][1]
    ideal.info = {"kind": "silica", "parent": "stishovite"}
    moved = ideal.copy()
    moved.positions[0] += (0.1, -0.05, 0.08)
    ase.io.write(tmp_path / "moved.extxyz", moved)
    command("relax", tmp_path / "moved.extxyz", "--out", tmp_path / "relaxed", "--setups", setups)
    relaxed = ase.io.read(tmp_path / "relaxed" / "stishovite.extxyz")
    np.testing.assert_allclose(relaxed.cell.array, ideal.cell.array, atol=1e-7)
    distances = relaxed.get_all_distances(mic=True)
    assert np.abs(distances - ideal.get_all_distances(mic=True)).max() < 0.04
    assert np.abs(moved.get_all_distances(mic=True) - ideal.get_all_distances(mic=True)).max() > 0.1
