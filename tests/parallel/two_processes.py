"""One of several processes: predicts its shards of a trajectory, adds up, and prints the result as a last line of JSON.

python two_processes.py OUT PARTS [VICTIM]: the process of that rank is killed while it writes its first shard.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

import jax
import numpy as np
from batches import DESCRIPTOR, difference, frames, neighbours, predict, predictor, sums_of

from efg_jax import io, parallel
from efg_jax.storage import atomic_write

out, parts = Path(sys.argv[1]), int(sys.argv[2])
victim = int(sys.argv[3]) if len(sys.argv) > 3 else None
structures = frames(7)
parallel.initialise(start=60, silence=10)
mesh = parallel.data_mesh()
shards = parallel.Shards(out, parts)
found = {"rank": parallel.rank(), "count": parallel.count(), "share": str(parallel.my_share(len(structures)))}
with jax.enable_x64(True):
    model = parallel.replicated(predictor(neighbours(structures)), mesh)
    compiled = parallel.sharded(predict, mesh)

    def prediction(own) -> dict:
        """Frame by frame, so that a single shape is compiled."""
        each = [jax.tree.map(np.asarray, compiled(model, DESCRIPTOR, neighbours([atoms]))) for atoms in own]
        return jax.tree.map(lambda *rows: np.concatenate(rows), *each)

    found["mine"] = shards.mine()
    for part in found["mine"]:
        own = structures[parallel.share(len(structures), part, parts)]
        values = prediction(own)[2, 1]
        for atoms, tensors in zip(own, values.reshape(len(own), 8, 5), strict=True):
            atoms.arrays["prediction"] = tensors
        if victim == parallel.rank():
            with atomic_write(shards.path(part)) as temporary:
                temporary.write_text("8\nhalf a frame")
                os.kill(os.getpid(), signal.SIGKILL)
        io.write(shards.path(part), own)
    if parallel.rank() == 1:
        time.sleep(2)  # the others wait
    parallel.barrier("predicted", timeout=60)
    parallel.first(shards.join)
    added = parallel.total(sums_of(prediction(structures[parallel.my_share(len(structures))])))
    found["whole"] = sums_of(prediction(structures)) if parallel.rank() == 0 else None
found["difference"] = difference(added, found.pop("whole") or added)
found["twice"] = [parallel.total({"n": np.arange(3) * 10 ** parallel.rank()})["n"].tolist() for _ in range(2)]
sent = parallel.from_first(lambda: {"chosen": np.arange(5) + parallel.rank(), "factor": np.eye(3) / 3})
found["sent"] = [sent["chosen"].tolist(), bool((sent["factor"] == np.eye(3) / 3).all())]
found["dtype"] = str(added["gram"].dtype)
found["sum"] = float(added["sum"].sum())
print(json.dumps(found), flush=True)
