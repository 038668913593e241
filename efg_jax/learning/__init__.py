"""Learning curves: how the error on unseen structures falls with the number of structures that a model was trained on."""

from efg_jax.learning.curve import Fit, default_sizes, learning_curve
from efg_jax.learning.points import Point, Row, Slope
from efg_jax.learning.result import LearningCurve

__all__ = ["Fit", "LearningCurve", "Point", "Row", "Slope", "default_sizes", "learning_curve"]
