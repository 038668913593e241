"""Electrostatic lattice sums."""

from efg_jax.electrostatics.ewald import COULOMB, ewald_matrix, ewald_potential

__all__ = ["COULOMB", "ewald_matrix", "ewald_potential"]
