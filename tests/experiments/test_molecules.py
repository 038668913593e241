"""Reference data of molecules: structures, checks, and the tensors themselves where a Python here has PySCF."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from scipy.spatial.transform import Rotation

import efg_jax as ej
from experiments.reference_data import campaign
from experiments.reference_data.build import build
from experiments.reference_data.collect import collect
from experiments.reference_data.compute import Unconverged
from experiments.reference_data.molecules.parents import SHARES, molecules
from experiments.reference_data.molecules.structures import CLOSEST, RATTLE
from experiments.reference_data.provenance import provenance

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def frames():
    return build("molecules", 420)


def test_structures_are_fixed_for_good(frames):
    """Places of two of them as they were when the set was computed: another release of a library must not move them."""
    assert [(a.info["parent"], a.info["index"]) for a in build("molecules", 50)] == [
        (a.info["parent"], a.info["index"]) for a in frames[:50]
    ]
    np.testing.assert_allclose(frames[0].positions[0], [-0.10683782, 0.33313795, 0.13904419], atol=1e-8)
    assert frames[0].info["sigma"] == 0.07784


def test_four_hundred_different_structures_of_every_molecule_with_no_atoms_too_close(frames):
    assert Counter(atoms.info["parent"] for atoms in frames) == {name: 10 * share for name, share in SHARES.items()}
    parents = molecules()
    for atoms in frames:
        rest = parents[atoms.info["parent"]].atoms
        assert (atoms.numbers == rest.numbers).all()
        assert not atoms.pbc.any()
        assert not atoms.cell.array.any()
        assert (atoms.get_all_distances() >= CLOSEST * rest.get_all_distances() - 1e-12).all()
        assert RATTLE[0] <= atoms.info["sigma"] <= RATTLE[1]
    shapes = {tuple(np.sort(atoms.get_all_distances(), axis=None).round(6)) for atoms in frames}
    assert len(shapes) == len(frames)


def test_molecules_at_rest_are_as_measured():
    """Angles that the Z-matrices do not hold themselves, in degrees, and the hydrogen bonds (Å)."""
    rest = {name: molecule.atoms for name, molecule in molecules().items()}
    angles = {("ammonia", 2, 0, 3): 106.7, ("methylamine", 2, 0, 3): 107.1, ("silicon_tetrafluoride", 3, 0, 4): 109.47}
    for (name, *atoms), angle in angles.items():
        assert rest[name].get_angle(*atoms) == pytest.approx(angle, abs=0.1)
    for name, shared, heavy, distance in [
        ("water_dimer", 1, 3, 2.95),
        ("ammonia_water", 1, 3, 2.98),
        ("hydrogen_fluoride_water", 1, 2, 2.66),
        ("water_trimer", 1, 3, 2.85),
        ("water_tetramer", 1, 3, 2.79),
    ]:
        assert rest[name].get_distance(0, heavy) == pytest.approx(distance, abs=1e-9)
        assert rest[name].get_angle(0, shared, heavy) == pytest.approx(180, abs=1e-4)
    for name, molecule in molecules().items():
        assert sum(molecule.sizes) == len(molecule.atoms), name
        oxygens = [n for n, symbol in enumerate(molecule.atoms.symbols) if symbol == "O" and name.startswith("water")]
        for oxygen in oxygens:
            assert molecule.atoms.get_angle(oxygen + 1, oxygen, oxygen + 2) == pytest.approx(104.52, abs=1e-6)


def computed(atoms: Atoms, *_) -> Atoms:
    """Stands for a first-principles run: a result of the right form."""
    result = atoms.copy()
    result.info.update(provenance(atoms, code="PySCF 2.14.0"), iterations=9, cpu_seconds=2.0, gap_eV=6.0)
    rng = np.random.default_rng(atoms.info["index"])
    tensors = rng.normal(size=(len(atoms), 3, 3))
    result.arrays["ms"] = 100 * tensors.reshape(-1, 9)
    tensors = tensors + tensors.transpose(0, 2, 1)
    tensors -= np.trace(tensors, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3
    result.arrays["efg"] = tensors.reshape(-1, 9)
    forces = rng.normal(size=(len(atoms), 3))
    energy = -13.0 * int(atoms.numbers.sum())
    result.calc = SinglePointCalculator(result, energy=energy, forces=forces - forces.mean(axis=0))
    return result


def test_workers_compute_molecules_without_paw_datasets(frames, tmp_path, monkeypatch):
    from experiments.reference_data.molecules import nmr

    def one(atoms):
        if atoms.info["parent"] == "water_dimer":
            raise Unconverged("not converged in 80 iterations")
        return computed(atoms)

    monkeypatch.setattr(nmr, "compute_molecule", one)
    campaign.work(frames[1:14:2], tmp_path)
    campaign.work(frames[:14], tmp_path)
    failed = sorted(path.name for path in tmp_path.glob("*.failed"))
    assert failed == [f"molecules-water_dimer-{n:04d}.failed" for n in range(4)]
    collected = collect([tmp_path])
    kept = [atoms.info for atoms in frames[:14] if atoms.info["parent"] != "water_dimer"]
    assert [(a.info["parent"], a.info["index"]) for a in collected] == [(i["parent"], i["index"]) for i in kept]
    ase.io.write(tmp_path / "set.extxyz.gz", collected, format="extxyz")
    read = ej.io.read(tmp_path / "set.extxyz.gz")
    tetramer = next(atoms for atoms in read if atoms.info["parent"] == "water_tetramer")
    expected = computed(next(a for a in frames if a.info["parent"] == "water_tetramer"))
    np.testing.assert_allclose(tetramer.arrays["ms"], expected.arrays["ms"].reshape(-1, 3, 3), atol=1e-7)
    np.testing.assert_allclose(tetramer.arrays["efg"], expected.arrays["efg"].reshape(-1, 3, 3), atol=1e-7)


def test_crystals_among_them_need_paw_datasets(frames, tmp_path):
    crystal = frames[0].copy()
    crystal.info["kind"] = "silica"
    with pytest.raises(ValueError, match="name their folder with --setups"):
        campaign.work([frames[0], crystal], tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_pyscf_nothing_is_recorded_as_failed(frames, tmp_path):
    """A Python that lacks the code is no fault of a structure."""
    ase.io.write(tmp_path / "todo.extxyz", frames[:2])
    blocked = (
        "import sys; sys.modules['pyscf'] = None; "
        "from experiments.reference_data.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", blocked, "run", tmp_path / "todo.extxyz", "--out", tmp_path / "results"],
        cwd=ROOT,
        env={**os.environ, **started_again()},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "pyscf" in done.stderr
    assert not list((tmp_path / "results").iterdir())


def started_again() -> dict[str, str]:
    """All that a worker would start itself again for is set."""
    from experiments.reference_data.speed import environment

    return environment()


def unshielded(atoms):
    del atoms.arrays["ms"]


def unfinished(atoms):
    atoms.arrays["ms"][0, 0] = np.nan


def asymmetric(atoms):
    atoms.arrays["efg"][0, 1] += 0.1


def other_basis(atoms):
    atoms.info["basis"] = "def2-SVP"


def moved(atoms):
    atoms.positions[0] += 0.01


def elsewhere(atoms):
    atoms.calc.results["energy"] += 3.0 * len(atoms)


def stranger(atoms):
    atoms.info["parent"] = "benzene"


def twice(atoms):
    atoms.info["index"] = 0


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (unshielded, "it carries no efg or ms"),
        (unfinished, "ms is not finite"),
        (asymmetric, "efg is asymmetric by 1.0e-01"),
        (other_basis, "another level of theory: basis = def2-SVP, not aug-pcSseg-1"),
        (moved, "atoms lie 1.0e-02 Å from where parent and index put them"),
        (elsewhere, "an energy of -40.333 eV per atom, where -43.333 is usual"),
        (stranger, "molecules has no parent 'benzene'"),
        (twice, "are the same structure"),
    ],
)
def test_bad_results_are_refused(frames, tmp_path, spoil, message):
    """Three waters and a molecule of silicon, whose energy is another and no fault."""
    results = [computed(atoms) for atoms in [*frames[:3], frames[15]]]
    spoil(results[1])
    for number, atoms in enumerate(results):
        ase.io.write(tmp_path / f"{number}.extxyz", atoms, format="extxyz")
    with pytest.raises(ValueError, match=message):
        collect([tmp_path])


@pytest.fixture(scope="module")
def pyscf():
    """A Python with PySCF: this one, or the one that PYSCF_PYTHON names."""
    for python in (os.environ.get("PYSCF_PYTHON"), sys.executable):
        if python and subprocess.run([python, "-c", "import pyscf.prop.nmr"], capture_output=True).returncode == 0:
            return lambda *arguments: (
                subprocess.run(
                    [python, *map(str, arguments)],
                    cwd=ROOT,
                    env={**os.environ, **started_again(), "PYTHONPATH": str(ROOT)},
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )
    pytest.skip("no Python here has PySCF and pyscf-properties (name one that has with PYSCF_PYTHON)")


@pytest.mark.slow
def test_tensors_turn_with_the_molecule_and_do_not_see_where_it_is(pyscf, frames, tmp_path):
    """Gauge-including orbitals: no origin is special; shielding turns whole, antisymmetric part included."""
    atoms = frames[0]
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    turned = atoms.copy()
    turned.info["index"] = 9999
    turned.positions = atoms.positions @ turn.T + [3.0, -7.0, 11.0]
    ase.io.write(tmp_path / "todo.extxyz", [atoms, turned], format="extxyz")
    pyscf("-m", "experiments.reference_data", "run", tmp_path / "todo.extxyz", "--out", tmp_path)
    first, second = (ase.io.read(tmp_path / f"molecules-water-{n:04d}.extxyz") for n in (0, 9999))
    for name, tolerance in (("ms", 0.02), ("efg", 0.02)):
        here, there = (a.arrays[name].reshape(-1, 3, 3) for a in (first, second))
        np.testing.assert_allclose(there, turn @ here @ turn.T, atol=tolerance)
    shielding = first.arrays["ms"].reshape(-1, 3, 3)
    assert np.abs(shielding - shielding.transpose(0, 2, 1)).max() > 0.5
    np.testing.assert_allclose(second.get_potential_energy(), first.get_potential_energy(), atol=1e-3)


@pytest.mark.slow
def test_first_index_of_the_shielding_is_the_induced_field(pyscf, tmp_path):
    """Nitroxyl, whose shielding is far from symmetric, against the field of the induced current at its nuclei."""
    nitroxyl = Atoms("NOH", positions=[[0, 0, 0], [1.209, 0, 0.1], [-0.33, 1.0, 0.15]])
    ase.io.write(tmp_path / "nitroxyl.extxyz", nitroxyl, format="extxyz")
    (result,) = json.loads(pyscf("tests/oracles/induced_field.py", tmp_path / "nitroxyl.extxyz", "aug-pcSseg-1"))
    definition, ours = np.array(result["definition"]), np.array(result["set"])
    assert np.linalg.norm(ours - definition) < 0.02 * np.linalg.norm(definition)
    antisymmetric = [(tensors - tensors.transpose(0, 2, 1)) / 2 for tensors in (definition, ours)]
    assert np.linalg.norm(antisymmetric[0]) > 10
    assert np.linalg.norm(antisymmetric[1] - antisymmetric[0]) < 0.1 * np.linalg.norm(antisymmetric[0])
