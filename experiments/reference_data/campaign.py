"""Workers that go through a list of structures: each result is a file of its own, written whole or not at all.

Any number of workers may share a folder; one that is killed loses its current structure only, and the same command goes on.
"""

import os
import time
from collections.abc import Callable
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


def work(todo: list[Atoms], folder: Path, setups: Path | None = None, worker: int = 0, workers: int = 1) -> None:
    """Compute every ``workers``-th structure, beginning with number ``worker``, that has no result yet: crystals with GPAW, molecules with PySCF.

    A structure that does not converge, or fails otherwise, is recorded in ``NAME.failed`` with the reason, and passed over from then on;
    delete that file to try again.

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
        return compute(atoms, setups, folder / f"gpaw-{worker}.log", folder / "densities")

    go_through(todo[worker::workers], folder, one)


def go_through(mine: list[Atoms], folder: Path, one: Callable[[Atoms], Atoms]) -> None:
    """Compute structures one after another, each into a file of its own; those that have one, or have failed, are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, atoms in enumerate(mine, start=1):
        name = label(atoms)
        result, failed = folder / f"{name}.extxyz", folder / f"{name}.failed"
        if (folder / STOP).exists():
            print(f"{folder / STOP} is there: stopping; delete it to go on")
            return
        if result.exists() or failed.exists():
            continue
        start = time.monotonic()
        try:
            done = one(atoms)
        except (FileNotFoundError, ImportError):
            raise
        except Exception as error:  # one bad structure must not end a run of days
            outcome = str(error) if isinstance(error, Unconverged) else repr(error)
            _write_whole(failed, lambda path, text=outcome: path.write_text(f"{text}\n"))
        else:
            outcome = f"{done.info['iterations']} iterations"
            _write_whole(result, lambda path, frame=done: ase.io.write(path, frame, format="extxyz"))
        print(
            f"{time.strftime('%H:%M:%S')} {number}/{len(mine)} {name}: {outcome}, {time.monotonic() - start:.0f} s",
            flush=True,
        )


def _write_whole(path: Path, write) -> None:
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    write(aside)
    aside.replace(path)
