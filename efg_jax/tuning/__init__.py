"""Tuning of hyperparameters: by gradient, by Box–Behnken designs, and by Bayesian optimisation, for every kind of model."""

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
