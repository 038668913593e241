"""Several processes, on one machine or many, through `jax.distributed`: who is who, shares of the work, sums over all.

Without `initialise` there is one process, of rank 0. All processes run the same program, and meet in the same order at `barrier`,
`total` and `first`. When one dies the others end with an error: at once where it was rank 0, else when it has been silent for as
long as `initialise` says.
"""

import logging
import os
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import numpy as np
from jax._src import distributed
from jax.experimental.multihost_utils import process_allgather

from efg_jax.errors import InputError
from efg_jax.precision import x64

logger = logging.getLogger(__name__)

# Not public: a barrier that has a timeout, and who is who without a device being touched.
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

    Under Slurm, Open MPI and the other launchers that JAX knows nothing need be given. Elsewhere all three arguments are, or the
    environment's JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID.

    Args:
        coordinator: HOST:PORT of rank 0, a free port there.
        processes: how many there are.
        rank: which of them this is, from 0.
        start: seconds in which all must have come.
        silence: seconds without a sign of life after which a process counts as dead, and the others end.

    Raises:
        InputError: there is neither a launcher nor the three arguments, they are wrong, or rank 0 does not answer.
    """
    given = _given(coordinator, processes, rank)
    if None not in given and given[2] > 0:
        _require_answer(given[0], start)
    logger.info("waiting for the other processes")
    # The service would swallow the SIGTERM by which a scheduler ends a process.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            *given, initialization_timeout=start, heartbeat_timeout_seconds=silence, shutdown_timeout_seconds=silence
        )
        jax.local_devices()  # they tell each other what they have, best done while all are here
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the processes cannot be joined ({error}); start them with srun or mpirun, or set {', '.join(_VARIABLES)}"
        ) from error
    except jax.errors.JaxRuntimeError as error:
        raise InputError(f"not all processes came within {start} s ({_first_line(error)}); see their logs") from error


def rank() -> int:
    """Number of this process, from 0."""
    return _state.process_id


def count() -> int:
    """Number of processes."""
    return _state.num_processes


def share(size: int, part: int, parts: int) -> slice:
    """The part-th of ``parts`` contiguous pieces of ``size`` things; all together cover them, and differ by one at most."""
    each, left = divmod(size, parts)
    start = part * each + min(part, left)
    return slice(start, start + each + (part < left))


def my_share(size: int) -> slice:
    """The piece of ``size`` things that is this process's."""
    return share(size, rank(), count())


def barrier(name: str, timeout: int = LONGEST_WAIT) -> None:
    """Wait until all processes are here.

    Args:
        name: the same in all.
        timeout: seconds; a process that has died is noticed sooner.

    Raises:
        InputError: one of them has ended, or did not come in time.
    """
    if count() == 1:
        return
    try:
        _state.client.wait_at_barrier(name, 1000 * timeout)
    except jax.errors.JaxRuntimeError as error:
        raise InputError(
            f"another process has ended, or did not come to '{name}' within {timeout} s ({_first_line(error)}); its own output "
            "says why. What is written is whole: run the same command again to go on"
        ) from error


def total(tree: Any) -> Any:
    """Sum over processes of a PyTree of host arrays of the same shapes everywhere; added up in the order of ranks, the same in all.

    Args:
        tree: arrays; floating-point ones travel as they are, float64 too.

    Returns:
        NumPy arrays.

    Raises:
        InputError: another process has ended.
    """
    tree = jax.tree.map(np.asarray, tree)
    if count() == 1:
        return tree
    barrier("total")  # collectives themselves wait for half a minute only
    try:
        with x64():
            return jax.tree.map(lambda leaf: np.add.reduce(process_allgather(leaf), axis=0, dtype=leaf.dtype), tree)
    except jax.errors.JaxRuntimeError as error:
        raise InputError(f"another process has ended ({_first_line(error)}); its own output says why") from error


def first(function: Callable[[], Result]) -> Result | None:
    """Let rank 0 do something while the others wait; they return None.

    Raises:
        InputError: rank 0 has ended.
    """
    result = function() if rank() == 0 else None
    barrier("first")
    return result


def _given(
    coordinator: str | None, processes: int | None, rank: int | None
) -> tuple[str | None, int | None, int | None]:
    """Arguments, else the environment, else None (which leaves them to JAX)."""
    texts = [os.environ.get(name) for name in _VARIABLES]
    try:
        numbers = [None if text is None else int(text) for text in texts[1:]]
    except ValueError:
        raise InputError(f"{' and '.join(_VARIABLES[1:])} must be whole numbers") from None
    coordinator = texts[0] if coordinator is None else coordinator
    if coordinator is not None and not coordinator.rpartition(":")[2].isdigit():
        raise InputError(f"the coordinator {coordinator!r} is not of the form HOST:PORT, such as node001:29400")
    return coordinator, numbers[0] if processes is None else processes, numbers[1] if rank is None else rank


def _require_answer(coordinator: str, timeout: int) -> None:
    """Make sure that rank 0 is there: JAX itself ends the process where it is not."""
    host, _, port = coordinator.rpartition(":")
    deadline = time.monotonic() + timeout
    while True:
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise InputError(
                    f"rank 0 does not answer at {coordinator} within {timeout} s ({error}); start it, and check the address"
                ) from error
            time.sleep(0.2)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200]
