"""Relaxation by a calculator of ASE."""

import numpy as np
import pytest
from ase.build import bulk
from ase.calculators.emt import EMT

import efg_jax as ej
from efg_jax.disorder import relaxed


def test_a_rattled_crystal_goes_back_and_the_start_is_left_alone():
    crystal = bulk("Cu", cubic=True)
    rattled = crystal.copy()
    rattled.rattle(0.05, seed=0)
    start = rattled.positions.copy()
    found = relaxed(rattled, EMT(), force=1e-3)
    assert np.ptp(found.positions - crystal.positions, axis=0).max() < 1e-3
    assert (rattled.positions == start).all()
    assert found.calc is None
    strained = rattled.copy()
    strained.set_cell(1.03 * strained.cell.array, scale_atoms=True)
    assert abs(relaxed(strained, EMT(), force=1e-3, cell=True).cell.volume / 4 - 11.6) < 0.3


def test_what_does_not_relax_is_refused():
    rattled = bulk("Cu", cubic=True)
    rattled.rattle(0.2, seed=0)
    with pytest.raises(ej.InputError, match="not relaxed in 2 steps: a force of"):
        relaxed(rattled, EMT(), force=1e-4, steps=2)
