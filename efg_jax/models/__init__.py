"""Models of tensors and scalars: fit, predict, evaluate, save, load."""

from efg_jax.gp.packing import load
from efg_jax.gp.scalar_gpr import ScalarGPR
from efg_jax.gp.tensor_gpr import TensorGPR

__all__ = ["ScalarGPR", "TensorGPR", "load"]
