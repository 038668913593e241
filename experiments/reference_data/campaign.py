"""Workers that go through a list of structures: each result is a file of its own, written whole or not at all.

Any number of workers may share a folder, and join or leave at any time: each takes the first structure that nobody
else works on. One that is killed loses its current structure only, and the same command goes on.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import ase.io
from ase import Atoms

from experiments.reference_data.compute import Unconverged, compute
from experiments.reference_data.molecules.structures import KIND as MOLECULES

STOP = "STOP"
"""A file of this name in the folder of results ends every worker after its current structure."""


def label(atoms: Atoms) -> str:
    """Name of a structure's files."""
    return f"{atoms.info['kind']}-{atoms.info['parent']}-{atoms.info['index']:04d}"


def work(todo: list[Atoms], folder: Path, setups: Path | None = None) -> None:
    """Compute every structure that has no result and no other worker: crystals with GPAW, molecules with PySCF.

    A structure that does not converge, or fails otherwise, is recorded in ``NAME.failed`` with the reason, and passed
    over from then on; delete that file to try again.

    Raises:
        ValueError: crystals, and no ``setups`` to compute them with.
        ImportError: this Python lacks the code that a structure needs.
    """
    if setups is None and any(atoms.info["kind"] != MOLECULES for atoms in todo):
        raise ValueError("crystals are computed with PAW datasets: name their folder with --setups")

    def one(atoms: Atoms) -> Atoms:
        if atoms.info["kind"] == MOLECULES:
            from experiments.reference_data.molecules.nmr import compute_molecule

            return compute_molecule(atoms)
        return compute(atoms, setups, folder / f"gpaw-{os.getpid()}.log", folder / "densities")

    go_through(todo, folder, one)


def go_through(todo: list[Atoms], folder: Path, one: Callable[[Atoms], Atoms]) -> None:
    """Compute structures one after another, each into its own file.

    Structures that have a file, have failed, or are being computed are left alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number, atoms in enumerate(todo, start=1):
        if (folder / STOP).exists():
            print(f"{folder / STOP} is there: stopping; delete it to go on")
            return
        name, start = label(atoms), time.monotonic()
        with _taken(folder, name) as mine:
            if not mine:
                continue
            outcome = _outcome(atoms, folder, one)
        seconds = time.monotonic() - start
        print(f"{time.strftime('%H:%M:%S')} {number}/{len(todo)} {name}: {outcome}, {seconds:.0f} s", flush=True)


def _outcome(atoms: Atoms, folder: Path, one: Callable[[Atoms], Atoms]) -> str:
    """Compute a structure and write what came of it; in words."""
    try:
        done = one(atoms)
    except (FileNotFoundError, ImportError):
        raise
    except Exception as error:  # one bad structure must not end a run of days
        outcome = str(error) if isinstance(error, Unconverged) else repr(error)
        _write_whole(folder / f"{label(atoms)}.failed", lambda path: path.write_text(f"{outcome}\n"))
        return outcome
    _write_whole(folder / f"{label(atoms)}.extxyz", lambda path: ase.io.write(path, done, format="extxyz"))
    return f"{done.info['iterations']} iterations"


@contextmanager
def _taken(folder: Path, name: str) -> Iterator[bool]:
    """Whether this worker may compute the structure: it is not done, and nobody else is at it until the context ends.

    The system gives back the lock of a process that dies.
    """
    path = folder / f".{name}.lock"
    with open(path, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            # Looked at under the lock: another worker may have ended in the meantime.
            yield not any((folder / f"{name}{suffix}").exists() for suffix in (".extxyz", ".failed"))
        finally:
            path.unlink(missing_ok=True)


def _write_whole(path: Path, write) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    write(aside)
    aside.replace(path)
