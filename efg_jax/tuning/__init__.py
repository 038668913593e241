"""Tuning of hyperparameters of every kind of model: by gradient, Box–Behnken designs, or Bayesian optimisation."""

from efg_jax.tuning.bayes import Bayes
from efg_jax.tuning.box_behnken import BoxBehnken
from efg_jax.tuning.gradient import Gradient
from efg_jax.tuning.hyperparameters import Hyperparameters, read_hyperparameters, write_hyperparameters
from efg_jax.tuning.search import METHODS, Search, tune
from efg_jax.tuning.space import Space
from efg_jax.tuning.trials import Trial

__all__ = [
    "METHODS",
    "Bayes",
    "BoxBehnken",
    "Gradient",
    "Hyperparameters",
    "Search",
    "Space",
    "Trial",
    "read_hyperparameters",
    "tune",
    "write_hyperparameters",
]
