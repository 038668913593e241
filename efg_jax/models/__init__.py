"""What a model is, which kinds there are, and how a fitted one is read from a file."""

from efg_jax.models.annotation import annotated
from efg_jax.models.predicted import Predicted
from efg_jax.models.protocol import FittedModel, Model, NotFittedError
from efg_jax.models.registry import KINDS, load, model_class

__all__ = ["KINDS", "FittedModel", "Model", "NotFittedError", "Predicted", "annotated", "load", "model_class"]
