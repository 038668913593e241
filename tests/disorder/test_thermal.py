"""Displacements of a Debye solid."""

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax.disorder import debye_displacement, thermally_displaced


def test_limits_of_the_debye_model():
    """Classically ⟨u²⟩ = 3ħ²T/(m k Θ²), which is 145.525 T/(M Θ²) Å²; at rest a quarter of 145.525/(M Θ)."""
    classical = 145.525 * 5000.0 / (16.0 * 400.0**2)
    assert_allclose(debye_displacement(16.0, 5000.0, 400.0) ** 2, classical, rtol=1e-3)
    assert_allclose(debye_displacement(16.0, 0.0, 400.0) ** 2, 0.25 * 145.525 / (16.0 * 400.0), rtol=1e-4)
    assert_allclose(debye_displacement(16.0, 1e-3, 400.0), debye_displacement(16.0, 0.0, 400.0), rtol=1e-6)


def test_light_atoms_move_more():
    atoms = Atoms("Li500Ti500", positions=np.zeros((1000, 3)), cell=np.eye(3), pbc=True)
    moved = thermally_displaced(atoms, 300.0, seed=0)
    for symbol, mass in (("Li", 6.94), ("Ti", 47.867)):
        spread = moved.positions[np.asarray(atoms.symbols) == symbol].std()
        assert_allclose(spread, debye_displacement(mass, 300.0), rtol=0.08)
    assert (thermally_displaced(atoms, 300.0, seed=0).positions == moved.positions).all()
    assert (atoms.positions == 0).all()


@pytest.mark.parametrize(("temperature", "debye"), [(-1.0, 300.0), (300.0, 0.0), (np.nan, 300.0)])
def test_senseless_temperatures_are_refused(temperature, debye):
    with pytest.raises(ej.InputError, match="make no sense"):
        debye_displacement(16.0, temperature, debye)
