"""Many files: a status line names the first and their number; two of one structure are one."""

import csv

import numpy as np
import pytest
from ase import Atoms

from efg_jax import io
from efg_jax.cli.progress import listed


def written(folder, name, atoms):
    io.write(folder / name, atoms)
    return folder / name


@pytest.fixture
def cell():
    atoms = Atoms("OO", positions=[[0, 0, 0], [2.0, 0.3, 0]], cell=[5, 5, 6], pbc=True)
    atoms.arrays["efg"] = np.stack([np.diag([1.0, 2.0, -3.0])] * 2) * 20
    atoms.arrays["ms"] = np.stack([np.diag([200.0, 210.0, 250.0])] * 2)
    return atoms


def test_few_are_named_and_many_are_counted():
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed([f"{i}.magres" for i in range(531)]) == "0.magres and 530 more files"


@pytest.mark.parametrize(
    "command",
    [
        ("observables",),
        ("convert", "--out", "OUT.extxyz"),
        ("average", "--out", "OUT.csv"),
        ("spectrum", "--isotope", "17O", "--field", "14.1", "--reference", "O=287.5", "--out", "OUT.csv"),
        ("train", "--out", "OUT.npz", "--nmax", "1", "--lmax", "1"),
        ("tune", "--out", "OUT.json"),
        ("learning-curve", "--out", "OUT.json"),
    ],
)
def test_no_command_prints_all_names(efg_jax_command, cell, tmp_path, command):
    (tmp_path / "long").mkdir()
    paths = [written(tmp_path / "long", f"cell-{number:03d}.magres", cell) for number in range(5)]
    paths[-1].write_text("no magres\n")  # so that each ends when it has read
    arguments = [str(tmp_path / word) if word.startswith("OUT") else word for word in command[1:]]
    result = efg_jax_command(command[0], *paths, *arguments)
    assert result.exit_code == 2
    assert "cell-000.magres and 4 more files" in result.stderr
    assert "cell-002.magres" not in result.stderr


def test_two_files_of_one_structure_are_one_row_an_atom(efg_jax_command, cell, tmp_path):
    paths = []
    for name, other in (("x.efg.magres", "ms"), ("x.nmr.magres", "efg")):
        half = cell.copy()
        del half.arrays[other]
        paths.append(written(tmp_path, name, half))
    result = efg_jax_command("observables", *paths, "--csv", tmp_path / "a.csv")
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["v_zz"]) for row in rows] == pytest.approx([-60.0] * 2)
    assert [float(row["sigma_iso_ppm"]) for row in rows] == pytest.approx([220.0] * 2)
