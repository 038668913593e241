"""One entry for all formats."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.io.ase_formats import iread_ase, numbered_selection, read_ase, selection
from efg_jax.io.magres import is_magres, read_magres
from efg_jax.io.pymatgen_dicts import is_pymatgen_dicts, read_pymatgen_dicts
from efg_jax.io.vasp_outcar import is_outcar, read_outcar
from efg_jax.structures.checks import check_frames, checked
from efg_jax.structures.targets import KNOWN
from efg_jax.structures.units import check_units


def read(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    target: str | None = "efg",
    array: str | None = None,
    index: int | slice | str = ":",
) -> list[Atoms]:
    """Read structures, with the tensors to learn or without them, and check them.

    Args:
        paths: one file or several: magres, VASP's OUTCAR, JSON of pymatgen's dictionaries, or any format that ASE reads.
        target: what to learn, checked and stored as ``atoms.arrays[target]`` (per atom: (n, 3, 3), EFG in V/Å²,
            shielding in ppm) or ``atoms.info[target]`` (per structure); None reads structures with whatever they carry, of
            which nothing is required.
        array: name of the array in the files, where that differs from `target`.
        index: frames to read from each file, in ASE's notation.

    Returns:
        All frames, file by file; ``info["source_file"]`` and ``info["source_frame"]`` say where each comes from. All tensors of the file
        are there: ``efg`` in V/Å² with the sign of +∂²V/∂x_i∂x_j and ``ms``, a shielding in ppm, as (n, 3, 3), where the file says
        which they are (the modules of the formats say how), and extended XYZ's columns under their names.

    Raises:
        InputError: a file is missing, empty or unreadable, a frame fails a check of `efg_jax.structures.checks`, or says itself that its
            tensors are in other units.
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not listed:
        raise InputError("no files given; pass at least one")
    frames = [atoms for path in listed for atoms in _read_file(Path(path), index)]
    for position, atoms in enumerate(frames):
        check_units(atoms, position)
        _shape(atoms)
    return check_frames(frames, target, array)


def iread(path: str | os.PathLike[str], start: int = 0) -> Iterator[Atoms]:
    """Read structures for prediction one by one, each checked when its turn comes, from a file of any length.

    Args:
        path: one file, as for `read`. An OUTCAR, a magres file and pymatgen's JSON are read as a whole, extended XYZ and ASE's
            trajectories frame by frame.
        start: number of the first frame to read.

    Yields:
        Frames; ``info["source_file"]`` and ``info["source_frame"]`` say where each comes from.

    Raises:
        InputError: as `read`, for a damaged frame when its turn comes.
    """
    path = Path(path)
    require_readable(path)
    if is_magres(path):
        numbered = [(0, read_magres(path))][start:]
    elif is_outcar(path):  # as a whole: its tensors may stand far from their structure
        numbered = [(number, atoms) for number, atoms in read_outcar(path) if number >= start]
    elif is_pymatgen_dicts(path):
        numbered = list(enumerate(read_pymatgen_dicts(path)))[start:]
    else:
        numbered = iread_ase(path, start)
    return checked(_in_our_units(_placed(atoms, path, number)) for number, atoms in numbered)


def _in_our_units(atoms: Atoms) -> Atoms:
    check_units(atoms, 0)
    return atoms


def _shape(atoms: Atoms) -> None:
    """Nine columns of the tensors of atoms that have a name here become 3×3 matrices."""
    for name, known in KNOWN.items():
        if known.per == "atom" and name in atoms.arrays and atoms.arrays[name].shape[1:] == (9,):
            atoms.arrays[name] = atoms.arrays[name].reshape(-1, *known.shape)


def _placed(atoms: Atoms, path: Path, number: int) -> Atoms:
    atoms.info["source_file"], atoms.info["source_frame"] = str(path), number
    return atoms


def _read_file(path: Path, index: int | slice | str) -> list[Atoms]:
    require_readable(path)
    if is_magres(path):
        chosen = selection(index)
        one = [(0, read_magres(path))]
        numbered = one[chosen] if isinstance(chosen, slice) else one * (chosen in (0, -1))
        if not numbered:
            raise InputError(f"holds no frame {index}; a magres file has one, frame 0", file=str(path))
    elif is_outcar(path):
        numbered = read_outcar(path, index)
    elif is_pymatgen_dicts(path):
        numbered = numbered_selection(list(enumerate(read_pymatgen_dicts(path))), index, path)
    else:
        numbered = read_ase(path, index)
    return [_placed(atoms, path, number) for number, atoms in numbered]


def require_readable(path: Path) -> None:
    """Refuse what is no file with something in it.

    Raises:
        InputError: a folder, an empty file, none at all, or one that may not be read.
    """
    try:
        if path.is_dir():
            raise InputError(f"is a folder; pass the files in it, for example {path / '*.magres'}", file=str(path))
        with path.open("rb") as file:
            if not file.read(1):
                raise InputError("is empty; write or copy it again", file=str(path))
    except FileNotFoundError as error:
        raise InputError("does not exist; check the name and the folder", file=str(path)) from error
    except OSError as error:
        raise InputError(f"cannot be read ({error.strerror}); check its permissions", file=str(path)) from error
