"""Differentiable learning of the tensors behind solid-state NMR: from structures to EFG and shielding, and what a spectrometer sees.

Nothing here changes JAX's configuration: `fit`, `predict`, `evaluate` and `tune` compute in float64 by themselves (see
`efg_jax.precision`).
"""

from efg_jax import datasets, io, metrics, structures, tensors
from efg_jax.crystal_frame import crystal_axes, field_direction
from efg_jax.descriptors import LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.models import ScalarGPR, TensorGPR, load
from efg_jax.precision import enable_x64, float64
from efg_jax.report import Report, TargetReport, comparison_table
from efg_jax.splits import folds, split
from efg_jax.structures import Environments, environments
from efg_jax.targets import Target, target_of
from efg_jax.tuning import tune

__version__ = "0.1.0"

__all__ = [
    "Environments",
    "InputError",
    "LambdaSOAP",
    "Report",
    "ScalarGPR",
    "Target",
    "TargetReport",
    "TensorGPR",
    "comparison_table",
    "crystal_axes",
    "datasets",
    "enable_x64",
    "environments",
    "field_direction",
    "float64",
    "folds",
    "io",
    "load",
    "metrics",
    "split",
    "structures",
    "target_of",
    "tensors",
    "tune",
]
