"""Crystals with sites that are occupied in part or by several elements are refused wherever structures enter."""

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.calculators.singlepoint import SinglePointCalculator
from ase.io import read, write

import efg_jax as ej
from efg_jax import InputError, io
from efg_jax.structures import check_frames, environments
from efg_jax.structures.occupancy import occupancies
from efg_jax.trajectories import average

CIF = """data_test
_cell_length_a 5.0
_cell_length_b 5.0
_cell_length_c 5.0
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_space_group_name_H-M_alt '{group}'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
"""
HALF = "Si1 Si 0 0 0 1.0\nO1 O 0.32 0 0 1.0\nO2 O 0 0.32 0 0.5\nO3 O 0 0 0.32 0.5\n"
MIXED = "Si1 Si 0 0 0 0.7\nO1 O 0.32 0 0 1.0\nO2 O 0 0.32 0 1.0\nAl1 Al 0 0 0 0.3\n"


def crystal(tmp_path: Path, sites: str, group: str = "P 1") -> Atoms:
    """As ASE reads it."""
    path = tmp_path / "crystal.cif"
    path.write_text(CIF.format(group=group) + sites)
    return read(path)


def test_every_entrance_names_the_sites(tmp_path):
    """Models are in tests/models/test_protocol.py."""
    bad = crystal(tmp_path, HALF)
    bad.arrays["efg"] = np.zeros((4, 3, 3))
    for use in (
        lambda: check_frames(bad),
        lambda: environments([bad], 3.0, ("Si", "O")),
        lambda: ej.site_observables(bad),
        lambda: ej.spectra.spectrum(bad, field=9.4, isotope="17O", shift=0.0),
        lambda: average([bad], species="O"),
        lambda: io.write(tmp_path / "x.magres", bad),
        lambda: io.write(tmp_path / "x.extxyz", bad),
        lambda: io.read(tmp_path / "crystal.cif", target=None),
        lambda: list(io.iread(tmp_path / "crystal.cif")),
    ):
        with pytest.raises(InputError, match=r"atom 2 \(O 0.5\); atom 3 \(O 0.5\); build ordered cells"):
            use()
    assert [path.name for path in tmp_path.iterdir()] == ["crystal.cif"]


@pytest.mark.parametrize(
    ("sites", "said"),
    [
        (MIXED, r"atom 0 \(Si 0.7, Al 0.3\)"),
        (HALF.replace("0.5", "0.0", 1), r"atom 2 \(nothing\); atom 3 \(O 0.5\)"),
        (MIXED.replace("0.7", "0.9"), "occupied by Si 0.9, Al 0.3, more than 1"),
    ],
)
def test_what_is_disordered(tmp_path, sites, said):
    with pytest.raises(InputError, match=said):
        check_frames(crystal(tmp_path, sites))


def test_the_note_survives_extended_xyz(tmp_path):
    write(tmp_path / "x.extxyz", crystal(tmp_path, MIXED))
    with pytest.raises(InputError, match=r"x.extxyz, frame 0: .*atom 0 \(Si 0.7, Al 0.3\)"):
        io.read(tmp_path / "x.extxyz", target=None)


def test_whole_sites_are_accepted(tmp_path):
    """Occupancies of 1, of 0.9999, unknown ones, and the column of PDB files that know none."""
    whole = crystal(tmp_path, "Si1 Si 0 0 0 1.0\nO1 O 0.32 0 0 0.9999\nO2 O 0 0.32 0 ?\n")
    check_frames(whole)
    assert occupancies(whole)[0] == {"Si": 1.0}
    molecule = Atoms("OH", positions=[[0, 0, 0], [0, 0, 0.97]])
    molecule.arrays["occupancy"] = np.zeros(2)
    molecule.calc = SinglePointCalculator(molecule, energy=0.0)
    check_frames(molecule)
    molecule.arrays["occupancy"] = np.array([1.0, 0.5])
    with pytest.raises(InputError, match=r"atom 1 \(H 0.5\)"):
        check_frames(molecule)
