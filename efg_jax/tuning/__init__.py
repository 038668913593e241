"""Tuning of hyperparameters: cross-validated losses, and searches by gradient, by Box–Behnken designs and by Bayesian optimisation."""

from efg_jax.tuning.cross_validation import cross_validated_loss, held_out_predictions, held_out_problems
from efg_jax.tuning.history import Trial
from efg_jax.tuning.hyperparameters import (
    Hyperparameters,
    NetworkHyperparameters,
    read_hyperparameters,
    write_hyperparameters,
)
from efg_jax.tuning.network_space import NetworkSpace, network_bounds
from efg_jax.tuning.networks import NetworkSearch, NetworkTrial
from efg_jax.tuning.objective import Objective
from efg_jax.tuning.search import METHODS, Search, search, tune
from efg_jax.tuning.space import Space, default_bounds, values_of

__all__ = [
    "METHODS",
    "Hyperparameters",
    "NetworkHyperparameters",
    "NetworkSearch",
    "NetworkSpace",
    "NetworkTrial",
    "Objective",
    "Search",
    "Space",
    "Trial",
    "cross_validated_loss",
    "default_bounds",
    "held_out_predictions",
    "held_out_problems",
    "network_bounds",
    "read_hyperparameters",
    "search",
    "tune",
    "values_of",
    "write_hyperparameters",
]
