"""Which atoms, bonds and angles make a quadrupolar coupling or a shift what it is: exact derivatives of a model's predictions."""

from efg_jax.sensitivity.derivatives import TensorDerivatives, tensor_derivatives
from efg_jax.sensitivity.gradient import BOND_SCALE, gradient
from efg_jax.sensitivity.internal import Cluster, Internal, internal_coordinates
from efg_jax.sensitivity.quantities import Quantity, efg_quantity, shielding_quantity
from efg_jax.sensitivity.result import Sensitivity

__all__ = [
    "BOND_SCALE",
    "Cluster",
    "Internal",
    "Quantity",
    "Sensitivity",
    "TensorDerivatives",
    "efg_quantity",
    "gradient",
    "internal_coordinates",
    "shielding_quantity",
    "tensor_derivatives",
]
