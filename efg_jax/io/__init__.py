"""Files to `ase.Atoms` with checked tensors, and back: one module per format.

To add a format, add its reader to ``READERS`` in `efg_jax.io.reading`, or its writer to ``FORMATS`` in
`efg_jax.io.writing`.
"""

from efg_jax.io.chemiscope_json import view
from efg_jax.io.reading import iread, read
from efg_jax.io.writing import write

__all__ = ["iread", "read", "view", "write"]
