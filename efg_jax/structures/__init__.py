"""From `ase.Atoms` to arrays: checks, targets, selection, neighbours and environments. NumPy on the host."""

from efg_jax.structures.checks import check_frames
from efg_jax.structures.crystal_frame import crystal_axes, field_direction
from efg_jax.structures.environments import Environments, Neighbours, environments, with_positions, with_strain
from efg_jax.structures.splits import folds, split
from efg_jax.structures.targets import Target, target_of

__all__ = [
    "Environments",
    "Neighbours",
    "Target",
    "check_frames",
    "crystal_axes",
    "environments",
    "field_direction",
    "folds",
    "split",
    "target_of",
    "with_positions",
    "with_strain",
]
