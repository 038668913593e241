"""Durable files: written completely or not at all, and found again by an interrupted run."""

from efg_jax.storage.atomic_write import atomic_write
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.storage.journal import Journal

__all__ = ["Checkpoint", "Journal", "atomic_write"]
