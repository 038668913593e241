"""The same code on one device or many: rows over the devices of a process, structures over processes, a file per part.

Within a process a mesh of its devices shares the rows of a batch (`sharded`, `summed`). Each of several processes takes
its share of the structures (`my_share`), and sums go over all of them (`total`). A single device in a single process
takes the same path at no cost.
"""

from efg_jax.parallel.devices import data_mesh, replicated, sharded, summed
from efg_jax.parallel.processes import barrier, count, first, from_first, initialise, my_share, rank, share, total
from efg_jax.parallel.shards import Shards

__all__ = [
    "Shards",
    "barrier",
    "count",
    "data_mesh",
    "first",
    "from_first",
    "initialise",
    "my_share",
    "rank",
    "replicated",
    "sharded",
    "share",
    "summed",
    "total",
]
