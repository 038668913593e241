"""Which quadrupole moments turn a field gradient into a frequency."""

import json

import numpy as np
import pytest
from ase import Atoms

import efg_jax as ej
from efg_jax.tensors import isotope

Q_2008, Q_2018 = -81.65, -81.12  # ³⁵Cl, mb


@pytest.fixture
def chloride(tmp_path):
    atoms = Atoms("Cl", cell=[5.0] * 3, pbc=True)
    atoms.arrays["efg"] = np.diag([-40.0, -60.0, 100.0])[None]
    ej.io.write(tmp_path / "chloride.extxyz", atoms)
    return tmp_path / "chloride.extxyz"


@pytest.mark.parametrize("isotope_first", [True, False])
def test_another_compilation_for_one_command(efg_jax_command, chloride, tmp_path, isotope_first):
    """Wherever the option stands; the next command has the default again."""
    chosen = [("--isotope", "35Cl"), ("--moments", "pyykko2018")]
    words = [word for pair in (chosen if isotope_first else chosen[::-1]) for word in pair]
    shown = efg_jax_command("observables", chloride, *words, "--json", tmp_path / "sites.json")
    assert "35Cl -81.12 mb (P. Pyykkö, Mol. Phys. 116 (2018) 1328)" in " ".join(shown.stdout.split())
    found = json.loads((tmp_path / "sites.json").read_text())
    assert found["isotopes"]["35Cl"]["quadrupole_moment_mb"] == Q_2018
    again = efg_jax_command("observables", chloride, "--json", tmp_path / "again.json")
    assert "Mol. Phys. 106 (2008) 1965" in " ".join(again.stdout.split())
    before = json.loads((tmp_path / "again.json").read_text())["sites"][0]["c_q_mhz"]
    assert found["sites"][0]["c_q_mhz"] / before == pytest.approx(Q_2018 / Q_2008, rel=1e-12)


def test_formats_of_other_programs_have_them_too(efg_jax_command, chloride, tmp_path):
    def coupling(*words):
        done = efg_jax_command("convert", chloride, "--out", tmp_path / "cl.spinsys", *words)
        assert done.exit_code == 0, done.stderr
        (line,) = [line for line in (tmp_path / "cl.spinsys").read_text().splitlines() if "quadrupole" in line]
        return float(line.split()[3])

    assert coupling("--moments", "pyykko2018") / coupling() == pytest.approx(Q_2018 / Q_2008, rel=1e-9)


def test_unknown_compilations_are_refused(efg_jax_command, chloride):
    refused = efg_jax_command("observables", chloride, "--moments", "stone")
    assert refused.exit_code == 2
    assert "pyykko2018" in refused.stderr
    assert isotope("35Cl").quadrupole_moment == Q_2008
