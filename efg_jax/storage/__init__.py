"""Durable files: written whole or not at all, found again after a run was stopped."""

from efg_jax.storage.atomic_write import atomic_write
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.storage.journal import Journal

__all__ = ["Checkpoint", "Journal", "atomic_write"]
