"""Two files of one structure become one structure with both tensors; nothing else does."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal
from oracles.outcar import outcar

from efg_jax import site_observables
from efg_jax.datasets.sources import read_structures
from efg_jax.io import read, write

EXTERNAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "external"
external = pytest.mark.skipif(not EXTERNAL.is_dir(), reason=f"{EXTERNAL} is not here (published data, not shipped)")


def cell(*names, moved=0.0, factor=1.0):
    atoms = Atoms("AlO", positions=[[0, 0, 0], [1.7, 0.1 + moved, 0]], cell=[5, 5, 6], pbc=True)
    tensors = {"efg": np.diag([1.0, 2.0, -3.0]), "ms": np.diag([200.0, 210.0, 250.0])}
    for name in names:
        atoms.arrays[name] = np.stack([tensors[name]] * 2) * factor
    return atoms


@pytest.fixture
def save(tmp_path):
    def make(name, atoms):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        if path.name == "OUTCAR":
            tables = {"efg": [atoms.arrays["efg"]]} if "efg" in atoms.arrays else {}
            if "ms" in atoms.arrays:
                tables = {"shift": -atoms.arrays["ms"], "g0": np.zeros((3, 3)), "core": {"Al": -700.0, "O": -270.0}}
            path.write_text(outcar(atoms, **tables))
        else:
            write(path, atoms)
        return path

    return make


@pytest.mark.parametrize(
    "names",
    [("x.efg.magres", "x.nmr.magres"), ("x_efg.magres", "x_ms.magres"), ("x.magres", "x-NMR.magres"),
     ("efg/x.magres", "nmr/x.magres"), ("efg/OUTCAR", "nmr/OUTCAR")],
)  # fmt: skip
def test_two_files_of_one_structure(save, names):
    one, two = save(names[0], cell("efg")), save(names[1], cell("ms", moved=2e-5))
    other = save("other.magres", cell("efg", "ms", moved=0.1))
    for paths, number in (((one, two, other), 0), ((other, two, one), 1), ((two, other, one), 0)):
        for frames in (read(paths), read(paths, target="ms"), read_structures([str(path) for path in paths])):
            assert len(frames) == 2
            found = frames[number]
            assert {"efg", "ms"} <= set(found.arrays)
            assert_allclose(found.arrays["efg"], cell("efg").arrays["efg"], atol=1e-9)
            both = sorted([str(one), str(two)], key=[str(path) for path in paths].index)
            assert found.info["source_file"] == " + ".join(both)
            assert found.info["source_frame"] == 0
    assert len(read([one, two], index="-1")) == 1


@pytest.mark.parametrize(
    ("first", "second", "says"),
    [
        (("x.efg.magres", cell("efg")), ("y.nmr.magres", cell("ms")), None),
        (("a/x.efg.magres", cell("efg")), ("b/x.nmr.magres", cell("ms")), None),
        (("x.efg.magres", cell("efg")), ("x.nmr.magres", cell("ms", moved=1e-3)), "their atoms differ by 0.001 Å"),
        (("x.efg.magres", cell("efg")), ("x.nmr.magres", cell("efg", factor=2.0)), "each has its own 'efg'"),
        (("x.efg.magres", cell("efg")), ("x.nmr.magres", cell("ms") * (2, 1, 1)), "AlO is not AlOAlO"),
        (("x.efg.extxyz", cell("efg")), ("x.nmr.extxyz", cell("ms")), None),
    ],
)
def test_other_files_stay_apart(save, caplog, first, second, says):
    paths = [save(*first), save(*second)]
    frames = read(paths, target=None)
    assert [atoms.info["source_file"] for atoms in frames] == [str(path) for path in paths]
    assert ["ms" in atoms.arrays for atoms in frames] == [False, "ms" in second[1].arrays]
    assert (f"stay two structures, though their names are those of one: {says}" in caplog.text) == bool(says)


def test_frames_of_trajectories_stay_apart(save, tmp_path):
    for name, array in (("t.efg.extxyz", "efg"), ("t.ms.extxyz", "ms")):
        write(tmp_path / name, [cell(array)] * 3)
    for folder, table in (("efg", {"efg": [cell("efg").arrays["efg"]] * 2}), ("nmr", {})):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "OUTCAR").write_text(outcar(cell(), frames=2, **table))
    assert len(read([tmp_path / "t.efg.extxyz", tmp_path / "t.ms.extxyz"], target=None)) == 6
    assert len(read([tmp_path / "efg" / "OUTCAR", tmp_path / "nmr" / "OUTCAR"], target=None)) == 4


@external
def test_quantum_espresso_s_quartz():
    """Silicon has a twofold axis in α-quartz, oxygen none; all three Si are equivalent, and all six O."""
    (atoms,) = read([EXTERNAL / "magres" / f"qe_quartz.{kind}.magres" for kind in ("efg", "nmr")])
    table = site_observables(atoms)
    assert len(table) == 9
    for symbol in ("Si", "O"):
        own = table["element"] == symbol
        for column, error in (("v_zz", 0.1), ("eta_q", 5e-3), ("iso_ppm", 2e-2), ("span_ppm", 0.1)):
            assert np.ptp(table[column][own]) < error
    oxygen = table["element"] == "O"
    assert_allclose(np.abs(table["c_q_mhz"][oxygen]), 5.6, atol=0.3)  # LAPW 5.60, measured 5.19
    ms = atoms.arrays["ms"]
    turning = np.linalg.norm(ms - ms.swapaxes(1, 2), axis=(1, 2))[oxygen]
    assert_allclose(turning, turning[0], atol=2e-2)
    assert_array_equal(read(EXTERNAL / "magres" / "qe_quartz.nmr.magres", target="ms")[0].arrays["ms"], ms)


def test_many_pairs_that_do_not_fit_make_one_line(save, caplog):
    paths = [save(f"{i}.{kind}.magres", cell(name, moved=moved)) for i in range(4)
             for kind, name, moved in (("efg", "efg", 0.0), ("nmr", "ms", 0.01))]  # fmt: skip
    assert len(read(paths, target=None)) == 8
    assert len(caplog.records) == 1
    assert "0.nmr.magres stay two" in caplog.text
    assert "(and 3 more pairs)" in caplog.text
