"""Equivariant message-passing networks for tensors of atoms (Ben Mahmoud et al. 2024)."""

from efg_jax.network.architecture import Architecture
from efg_jax.network.equivariant_network import EquivariantNetwork
from efg_jax.network.trainer import Training
from efg_jax.network.training_history import History
from efg_jax.network.training_loss import Loss

__all__ = ["Architecture", "EquivariantNetwork", "History", "Loss", "Training"]
