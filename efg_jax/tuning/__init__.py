"""Tuning of hyperparameters by the gradient of a cross-validated loss."""

from efg_jax.tuning.cross_validation import cross_validated_loss, held_out_problems
from efg_jax.tuning.gradient import tune

__all__ = ["cross_validated_loss", "held_out_problems", "tune"]
