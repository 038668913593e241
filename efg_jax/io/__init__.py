"""Files to `ase.Atoms` with checked tensors, and back. One module a format."""

from efg_jax.io.atomic import atomic_write
from efg_jax.io.checks import check_frames
from efg_jax.io.reading import iread, read
from efg_jax.io.writing import write

__all__ = ["atomic_write", "check_frames", "iread", "read", "write"]
