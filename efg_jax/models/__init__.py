"""Models of tensors and scalars: fit, predict, evaluate, save, load."""

from efg_jax.models.packing import load
from efg_jax.models.scalar_gpr import ScalarGPR
from efg_jax.models.tensor_gpr import TensorGPR

__all__ = ["ScalarGPR", "TensorGPR", "load"]
