"""Occupational disorder: ordered cells of disordered crystals, and Monte Carlo with an electrostatic lattice energy."""

from efg_jax.disorder.displacements import debye_displacement, relaxed, thermally_displaced
from efg_jax.disorder.lattice_gas import LatticeGas, enumerate_occupations, lattice_gas
from efg_jax.disorder.metropolis import Sampled, anneal, metropolis
from efg_jax.disorder.occupations import occupation_of, occupied
from efg_jax.disorder.ordering import OrderedCells, order
from efg_jax.disorder.spinel import build_lto
from efg_jax.disorder.wang_landau import DensityOfStates, wang_landau

__all__ = [
    "DensityOfStates",
    "LatticeGas",
    "OrderedCells",
    "Sampled",
    "anneal",
    "build_lto",
    "debye_displacement",
    "enumerate_occupations",
    "lattice_gas",
    "metropolis",
    "occupation_of",
    "occupied",
    "order",
    "relaxed",
    "thermally_displaced",
    "wang_landau",
]
