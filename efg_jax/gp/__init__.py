"""Gaussian-process regression with λ-SOAP kernels: whole tensors, or the scalars derived from them."""

from efg_jax.gp.scalar_gpr import ScalarGPR
from efg_jax.gp.tensor_gpr import TensorGPR

__all__ = ["ScalarGPR", "TensorGPR"]
