"""mrsimulator's objects and file, read back by mrsimulator itself."""

import os
import sys

import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax import InputError
from efg_jax.spectra import bridge
from efg_jax.tensors.nuclei import isotope


@pytest.mark.parametrize("name", ["17O", "103Rh"])
def test_a_file_gives_the_same_spectrum(molecule, tmp_path, name):
    """¹⁰³Rh is none of mrsimulator's nuclei: the file brings it along."""
    mrsimulator = bridge.mrsimulator()
    atoms = molecule.copy()
    atoms.symbols[:2] = isotope(name).symbol
    options = {"isotope": name, "field": 14.1, "reference": 287.5, "points": 1024}
    ej.spectra.write_mrsim(tmp_path / "o.mrsim", atoms, **options)
    simulator, processors, notes = mrsimulator.load(str(tmp_path / "o.mrsim"))
    simulator.run()
    theirs = processors[0].apply_operations(simulator.methods[0].simulation).y[0].components[0].real
    ours = ej.spectra.spectrum(atoms, **options)
    # Shifts in Hz follow the reference's frequency, which differs from γB/2π by up to 0.1 %: less than a point here.
    difference = np.abs(theirs / theirs.sum() - ours.total / ours.total.sum()).sum()
    assert difference < 0.03
    assert notes["efg_jax"]["reference_ppm"] == 287.5
    assert len(simulator.spin_systems) == 2


def test_spin_systems(molecule):
    systems = ej.spectra.to_mrsimulator(molecule, "17O", reference=287.5)
    sites = list(ej.spectra.sites(molecule, "17O", reference=287.5))
    for system, site in zip(systems, sites, strict=True):
        (theirs,) = system.sites
        assert theirs.isotope.symbol == "17O"
        assert_allclose(theirs.quadrupolar.Cq, site.c_q)
        assert_allclose(theirs.shielding_symmetric.zeta, site.zeta)
        assert_allclose(theirs.isotropic_chemical_shift, site.shift)
        assert_allclose(system.abundance, 50.0)


def test_importing_mrsimulator_leaves_the_environment_alone(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for name in [name for name in sys.modules if name == "mrsimulator"]:
        monkeypatch.delitem(sys.modules, name)
    bridge.mrsimulator()
    assert "OMP_NUM_THREADS" not in os.environ


def test_without_mrsimulator_the_extra_is_named(molecule, monkeypatch):
    monkeypatch.setitem(sys.modules, "mrsimulator", None)
    with pytest.raises(InputError, match=r"efg-jax\[spectra\]"):
        ej.spectra.spectrum(molecule, isotope="17O", field=9.4, shift=0.0)


def test_nothing_half_written(molecule, tmp_path, monkeypatch):
    path = tmp_path / "o.mrsim"
    monkeypatch.setattr(bridge.mrsimulator(), "save", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ej.spectra.write_mrsim(path, molecule, isotope="17O", shift=0.0)
    assert list(tmp_path.iterdir()) == []
