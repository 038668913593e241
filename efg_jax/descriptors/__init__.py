"""Equivariant descriptors of atomic environments."""

from efg_jax.descriptors.contraction import principal_contraction
from efg_jax.descriptors.lambda_soap import LambdaSOAP
from efg_jax.descriptors.power_spectrum import power_spectrum
from efg_jax.tensors.irreps import INVARIANT, Irrep

__all__ = ["INVARIANT", "Irrep", "LambdaSOAP", "power_spectrum", "principal_contraction"]
