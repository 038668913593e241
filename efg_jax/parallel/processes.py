"""Several processes, on one machine or many, through `jax.distributed`: ranks, shares of the work, sums over all.

Without `initialise` there is one process, of rank 0. All processes run the same program, and meet in the same order at
`barrier`, `total`, `first` and `from_first`. When one dies, the others end with an error: at once if it was rank 0,
otherwise after the time of silence given to `initialise`.
"""

import io
import logging
import os
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import jax
import numpy as np
from jax._src import distributed
from jax.experimental.multihost_utils import broadcast_one_to_all, process_allgather

from efg_jax.errors import InputError
from efg_jax.precision import x64

logger = logging.getLogger(__name__)

# JAX has no public barrier with a timeout, and no public rank that leaves devices alone.
_state = distributed.global_state

Result = TypeVar("Result")

START, SILENCE, LONGEST_WAIT = 300, 60, 24 * 3600  # seconds
_VARIABLES = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")


def initialise(
    coordinator: str | None = None,
    processes: int | None = None,
    rank: int | None = None,
    *,
    start: int = START,
    silence: int = SILENCE,
) -> None:
    """Join the other processes; call this before JAX computes anything.

    Under Slurm, Open MPI and other launchers that JAX knows, no arguments are needed. Elsewhere give all three, or set
    the variables JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Args:
        coordinator: HOST:PORT of rank 0, with a port that is free there.
        processes: number of processes.
        rank: number of this process, from 0.
        start: seconds within which all processes must start.
        silence: seconds without a sign of life after which a process counts as dead, and the others end.

    Raises:
        InputError: there is neither a launcher nor the three arguments; they are wrong; or rank 0 does not answer.
    """
    given = _given(coordinator, processes, rank)
    if None not in given and given[2] > 0:
        _require_answer(given[0], start)
    logger.info("waiting for the other processes")
    # This service would catch the SIGTERM with which a scheduler ends a process.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            *given, initialization_timeout=start, heartbeat_timeout_seconds=silence, shutdown_timeout_seconds=silence
        )
        jax.local_devices()  # the processes exchange what they have, best done while all are here
    except (ValueError, TypeError) as error:
        raise InputError(
            f"cannot join the other processes ({error}); start with srun or mpirun, or set {', '.join(_VARIABLES)}"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        raise InputError(
            f"not all processes started within {start} s ({_first_line(error)}); see their logs"
        ) from error


def rank() -> int:
    """Number of this process, from 0."""
    return _state.process_id


def count() -> int:
    """Number of processes."""
    return _state.num_processes


def share(size: int, part: int, parts: int) -> slice:
    """Piece number ``part`` when ``size`` items are cut into ``parts`` contiguous pieces that differ by one at most."""
    each, left = divmod(size, parts)
    start = part * each + min(part, left)
    return slice(start, start + each + (part < left))


def my_share(size: int) -> slice:
    """The piece of ``size`` items that belongs to this process."""
    return share(size, rank(), count())


def barrier(name: str, timeout: int = LONGEST_WAIT) -> None:
    """Wait until all processes are here.

    Args:
        name: the same in all processes.
        timeout: seconds; a process that has died is noticed sooner.

    Raises:
        InputError: a process has ended, or did not come in time.
    """
    if count() == 1:
        return
    try:
        _state.client.wait_at_barrier(name, 1000 * timeout)
    except jax.errors.JaxRuntimeError as error:
        raise InputError(
            f"another process has ended, or did not come to '{name}' within {timeout} s ({_first_line(error)}); "
            "its own output says why. Written files are complete: run the same command again to resume"
        ) from error


def total(tree: Any) -> Any:
    """Sum a PyTree of host arrays over processes, in the order of ranks, so that all get the same result.

    Args:
        tree: arrays of the same shapes everywhere; float64 stays float64.

    Returns:
        NumPy arrays.

    Raises:
        InputError: another process has ended.
    """
    tree = jax.tree.map(np.asarray, tree)
    if count() == 1:
        return tree
    barrier("total")  # collectives themselves wait only half a minute
    try:
        with x64():
            return jax.tree.map(lambda leaf: np.add.reduce(process_allgather(leaf), axis=0, dtype=leaf.dtype), tree)
    except jax.errors.JaxRuntimeError as error:
        raise InputError(f"another process has ended ({_first_line(error)}); its own output says why") from error


def first(function: Callable[[], Result]) -> Result | None:
    """Call a function on rank 0 while the others wait; these return None.

    Raises:
        InputError: rank 0 has ended.
    """
    result = function() if rank() == 0 else None
    barrier("first")
    return result


def from_first(function: Callable[[], Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Named arrays that rank 0 computes, on all processes to the last bit.

    For choices that hang on rounding, such as pivots: processors of different kinds would choose differently.

    Raises:
        InputError: another process has ended.
    """
    arrays = first(function)
    if count() == 1:
        return dict(arrays)
    stream = io.BytesIO()
    if arrays is not None:
        np.savez(stream, **arrays)
    content = np.frombuffer(stream.getvalue(), np.uint8)
    try:
        size = int(broadcast_one_to_all(np.int32(len(content))))
        sent = broadcast_one_to_all(content if len(content) else np.zeros(size, np.uint8))
    except jax.errors.JaxRuntimeError as error:
        raise InputError(f"another process has ended ({_first_line(error)}); its own output says why") from error
    with np.load(io.BytesIO(np.asarray(sent).tobytes()), allow_pickle=False) as stored:
        return {name: stored[name] for name in stored.files}


def _given(
    coordinator: str | None, processes: int | None, rank: int | None
) -> tuple[str | None, int | None, int | None]:
    """The arguments, or else the variables, or else None, which leaves them to JAX."""
    texts = [os.environ.get(name) for name in _VARIABLES]
    try:
        numbers = [None if text is None else int(text) for text in texts[1:]]
    except ValueError:
        raise InputError(f"{' and '.join(_VARIABLES[1:])} must be integers") from None
    coordinator = texts[0] if coordinator is None else coordinator
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise InputError(f"the coordinator must be HOST:PORT, such as node001:29400, got {coordinator!r}")
    return coordinator, numbers[0] if processes is None else processes, numbers[1] if rank is None else rank


def _require_answer(coordinator: str, timeout: int) -> None:
    """Wait for rank 0 to answer, because JAX itself would end this process if it does not."""
    host, _, port = coordinator.rpartition(":")
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise InputError(
                    f"rank 0 does not answer at {coordinator} within {timeout} s ({error}); "
                    "start it, and check the address"
                ) from error
            time.sleep(0.2)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
