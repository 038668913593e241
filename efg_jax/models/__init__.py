"""What a model is, which kinds there are, how a fitted one is read from a file, and predictions in structures and
files.
"""

from efg_jax.models.annotation import annotated
from efg_jax.models.predicted import Predicted
from efg_jax.models.prediction_files import predict_to_file
from efg_jax.models.protocol import FittedModel, Model, NotFittedError
from efg_jax.models.registry import KINDS, load, model_class

__all__ = [
    "KINDS",
    "FittedModel",
    "Model",
    "NotFittedError",
    "Predicted",
    "annotated",
    "load",
    "model_class",
    "predict_to_file",
]
