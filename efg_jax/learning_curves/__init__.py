"""Learning curves: the error on unseen structures against the number of training structures."""

from efg_jax.learning_curves.curve_plan import default_sizes
from efg_jax.learning_curves.curve_result import LearningCurve
from efg_jax.learning_curves.curve_statistics import Point, Row, Slope
from efg_jax.learning_curves.learning_curve import Fit, learning_curve

__all__ = ["Fit", "LearningCurve", "Point", "Row", "Slope", "default_sizes", "learning_curve"]
