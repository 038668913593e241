"""Trajectories: tensors averaged before they are diagonalised, with errors, correlations, relaxation and distributions,
in one pass.
"""

from efg_jax.trajectories.alignment_echo import alignment_echo, jump_echo
from efg_jax.trajectories.autocorrelation import Autocorrelation
from efg_jax.trajectories.average import average, predicted
from efg_jax.trajectories.blocks import BlockSums, Errors
from efg_jax.trajectories.continuity import JUMP
from efg_jax.trajectories.correlator import Correlator
from efg_jax.trajectories.distributions import Density, Reservoir, kernel_density
from efg_jax.trajectories.echo_decay import Decay
from efg_jax.trajectories.echo_result import AlignmentEcho
from efg_jax.trajectories.jump_model import stationary_populations, two_time_echo
from efg_jax.trajectories.redfield import Exponentials, QuadrupolarRates, quadrupolar_rates
from efg_jax.trajectories.relaxation import Relaxation, quadrupolar_t1, relaxation
from efg_jax.trajectories.site_averages import Estimate, SiteAverage
from efg_jax.trajectories.spectral_density import SpectralDensities, running_integral, spectral_densities
from efg_jax.trajectories.trajectory_average import TrajectoryAverage

__all__ = [
    "JUMP",
    "AlignmentEcho",
    "Autocorrelation",
    "BlockSums",
    "Correlator",
    "Decay",
    "Density",
    "Errors",
    "Estimate",
    "Exponentials",
    "QuadrupolarRates",
    "Relaxation",
    "Reservoir",
    "SiteAverage",
    "SpectralDensities",
    "TrajectoryAverage",
    "alignment_echo",
    "average",
    "jump_echo",
    "kernel_density",
    "predicted",
    "quadrupolar_rates",
    "quadrupolar_t1",
    "relaxation",
    "running_integral",
    "spectral_densities",
    "stationary_populations",
    "two_time_echo",
]
