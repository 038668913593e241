"""`efg-jax order`, what other commands say of disordered crystals, and options that are given more than once."""

import json
import re

import numpy as np
import pytest
from ase.io import read

from efg_jax import load
from efg_jax.structures import check_frames

CIF = """data_test
_cell_length_a 5.0
_cell_length_b 5.0
_cell_length_c 5.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt 'P 1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
Si1 Si 0.0 0.0 0.0 0.7
O1 O 0.32 0.0 0.0 1.0
O2 O 0.0 0.32 0.0 1.0
Al1 Al 0.0 0.0 0.0 0.3
"""


@pytest.fixture
def mixed(tmp_path):
    (tmp_path / "mixed.cif").write_text(CIF)
    return tmp_path / "mixed.cif"


def test_cells_are_enumerated_and_drawn(efg_jax_command, mixed, tmp_path):
    out = tmp_path / "cells.extxyz"
    options = ("--supercell", "1,2,5", "--charges", "Si=4.3", "--charges", "Al=3.3,O=-2", "--out", out)
    result = efg_jax_command("order", mixed, *options)
    assert result.exit_code == 0, result.output
    assert "8 ordered cells of 120 arrangements" in result.stdout
    assert "Si 0.7, Al 0.3" in result.stdout
    cells = check_frames(read(out, ":"))
    assert sum(cell.info["multiplicity"] for cell in cells) == 120
    assert sum(cell.info["weight"] for cell in cells) == pytest.approx(1)
    assert [cell.info["ewald_energy"] for cell in cells] == sorted(cell.info["ewald_energy"] for cell in cells)
    assert {str(cell.symbols.formula.format("hill")) for cell in cells} == {"Al3O20Si7"}
    drawn = ("order", mixed, "--supercell", "2", "--count", "3", "--seed", "5", "-q", "--out")
    for name in ("first", "second"):
        result = efg_jax_command(*drawn, tmp_path / f"{name}.extxyz")
        assert result.exit_code == 0, result.output
    assert (tmp_path / "first.extxyz").read_text() == (tmp_path / "second.extxyz").read_text()
    assert len(read(tmp_path / "first.extxyz", ":")) == 3


def test_a_composition_that_is_off_is_told(efg_jax_command, mixed, tmp_path):
    result = efg_jax_command("order", mixed, "--supercell", "1,2,2", "--out", tmp_path / "cells.extxyz")
    assert result.exit_code == 0
    told = (
        "warning: Si 0.7, Al 0.3 on 4 sites (of atom 0) can only be Si 0.75, Al 0.25; the smallest supercell that has "
    )
    assert told + "it exactly has 10 cells, as 1 × 2 × 5" in result.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), r"mixed.cif, frame 0: Si 0.7, Al 0.3 on 1 site .* smallest supercell within 0.05 has 3 cells"),
        (("--supercell", "2,2"), "--supercell 2,2: expected one whole number or three"),
        (("--charges", "O"), "--charges O is not of the form O=-2"),
        (("--index", "7"), "no frame 7"),
        (("--out", "cells.magres"), "extended XYZ"),
    ],
)
def test_what_cannot_be_ordered(efg_jax_command, mixed, tmp_path, options, says):
    out = tmp_path / "cells.extxyz"
    result = efg_jax_command("order", mixed, "--out", out, *options, "-q")
    assert result.exit_code == 2
    assert re.search(says, result.stderr), result.stderr
    assert not out.exists()


def test_commands_refuse_disordered_crystals(efg_jax_command, trained, mixed, tmp_path):
    out = ("--out", tmp_path / "out.extxyz")
    for words in (
        ("train", mixed, "--out", tmp_path / "model.npz"),
        ("predict", trained.model, mixed, *out),
        ("observables", mixed),
        ("convert", mixed, *out),
        ("spectrum", mixed, "--field", "9.4", "--isotope", "17O", "--shift", "0", "--plot", tmp_path / "x.png"),
        ("average", mixed),
        ("average", mixed, "--model", trained.model),
        ("sensitivity", trained.model, mixed, "--atom", "1"),
    ):
        result = efg_jax_command(*words, "-q")
        assert result.exit_code == 2, (words, result.output)
        assert "atom 0 (Si 0.7, Al 0.3); build ordered cells first, with `efg-jax order" in result.stderr, result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mixed.cif"]


def test_a_structures_target_of_any_name_is_said_to_be_a_sum_or_a_mean(efg_jax_command, structures, save, tmp_path):
    for number, atoms in enumerate(structures):
        atoms.info["gap"] = 5.0 + number / 10
    command = ("train", save(structures), "--target", "gap", "--test", "0", "--nmax", "1", "--lmax", "0", "-q")
    command = (*command, "--out", tmp_path / "gap.npz")
    refused = efg_jax_command(*command)
    assert refused.exit_code == 2
    assert "--extensive or --intensive" in refused.stderr
    for option, factor in (("--intensive", 1), ("--extensive", 2)):
        result = efg_jax_command(*command, option)
        assert result.exit_code == 0, result.output
        fitted = load(tmp_path / "gap.npz")
        one, two = fitted.predict([structures[0], structures[0].repeat((1, 1, 2))])
        assert two == pytest.approx(factor * one)


def test_an_option_that_is_repeated_keeps_all_its_values(efg_jax_command, silica, save, tmp_path):
    """References of two elements; cyclopts would pass the last alone to an option that is no tuple."""
    frames = [silica[0].copy()]
    frames[0].arrays["ms"] = np.tile(np.eye(3).ravel() * 100.0, (len(frames[0]), 1))
    out = tmp_path / "sites.json"
    words = ("--reference", "O=150", "--reference", "Si=250", "--tensor", "ms")
    result = efg_jax_command("observables", save(frames), *words, "--json", out, "-q")
    assert result.exit_code == 0, result.output
    assert {"50.0", "150.0"} <= set(re.findall(r"\d+\.0", json.dumps(json.loads(out.read_text()))))
