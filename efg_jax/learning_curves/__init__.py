"""Learning curves: how the error on unseen structures falls with the number of structures that a model was trained on."""

from efg_jax.learning_curves.curve import Fit, default_sizes, learning_curve
from efg_jax.learning_curves.curve_result import LearningCurve
from efg_jax.learning_curves.points import Point, Row, Slope

__all__ = ["Fit", "LearningCurve", "Point", "Row", "Slope", "default_sizes", "learning_curve"]
