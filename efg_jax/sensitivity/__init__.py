"""Which atoms, bonds and angles a quadrupolar coupling or a shift depends on: exact derivatives of a model's
predictions.
"""

from efg_jax.sensitivity.derivatives import TensorDerivatives, tensor_derivatives
from efg_jax.sensitivity.differentiation import Differentiated, differentiable, differentiate
from efg_jax.sensitivity.gradient import BOND_SCALE, gradient
from efg_jax.sensitivity.internal_coordinates import Cluster, Internal, internal_coordinates
from efg_jax.sensitivity.sensitivity_result import Sensitivity

__all__ = [
    "BOND_SCALE",
    "Cluster",
    "Differentiated",
    "Internal",
    "Sensitivity",
    "TensorDerivatives",
    "differentiable",
    "differentiate",
    "gradient",
    "internal_coordinates",
    "tensor_derivatives",
]
