"""Trajectories: tensors averaged before they are diagonalised, with errors, correlations, relaxation and distributions,
in one pass.
"""

from efg_jax.trajectories.autocorrelation import Autocorrelation
from efg_jax.trajectories.average import average, predicted
from efg_jax.trajectories.blocks import BlockSums, Errors
from efg_jax.trajectories.continuity import JUMP
from efg_jax.trajectories.correlator import Correlator
from efg_jax.trajectories.distributions import Density, Reservoir, kernel_density
from efg_jax.trajectories.relaxation import Relaxation, quadrupolar_t1, relaxation, running_integral
from efg_jax.trajectories.site_averages import Estimate, SiteAverage
from efg_jax.trajectories.trajectory_average import TrajectoryAverage

__all__ = [
    "JUMP",
    "Autocorrelation",
    "BlockSums",
    "Correlator",
    "Density",
    "Errors",
    "Estimate",
    "Relaxation",
    "Reservoir",
    "SiteAverage",
    "TrajectoryAverage",
    "average",
    "kernel_density",
    "predicted",
    "quadrupolar_t1",
    "relaxation",
    "running_integral",
]
