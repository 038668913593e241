"""Many devices, one code: rows over the devices of a process, work over processes, one file a part of the work.

Within a process a mesh of its devices shares out the rows of a batch (`sharded`, `summed`); between processes each takes its share
of the structures (`my_share`) and sums go over all of them (`total`). A single device in a single process takes the same path, and
pays nothing for it.
"""

from efg_jax.parallel.devices import data_mesh, replicated, sharded, summed
from efg_jax.parallel.processes import barrier, count, first, initialise, my_share, rank, share, total
from efg_jax.parallel.shards import Shards

__all__ = [
    "Shards",
    "barrier",
    "count",
    "data_mesh",
    "first",
    "initialise",
    "my_share",
    "rank",
    "replicated",
    "sharded",
    "share",
    "summed",
    "total",
]
