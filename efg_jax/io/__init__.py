"""Files to `ase.Atoms` with checked tensors, and back. One module a format."""

from efg_jax.io.chemiscope_json import view
from efg_jax.io.reading import iread, read
from efg_jax.io.writing import write

__all__ = ["iread", "read", "view", "write"]
