"""Equivariant message-passing networks for tensors of atoms (Ben Mahmoud et al. 2024)."""

from efg_jax.network.architecture import Architecture
from efg_jax.network.history import History
from efg_jax.network.loss import Loss
from efg_jax.network.model import EquivariantNetwork
from efg_jax.network.training import Training

__all__ = ["Architecture", "EquivariantNetwork", "History", "Loss", "Training"]
