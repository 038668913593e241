"""The table of the formats that are read, and the functions that read them."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.io.ase_formats import iread_ase, read_ase, selected_frames
from efg_jax.io.joining import Part, joined
from efg_jax.io.magres import is_magres, read_magres
from efg_jax.io.pymatgen_dicts import is_pymatgen_dicts, read_pymatgen_dicts
from efg_jax.io.vasp_outcar import is_outcar, read_outcar
from efg_jax.structures.checks import check_frames, checked
from efg_jax.structures.declared_units import check_units
from efg_jax.structures.targets import KNOWN


class Reader(NamedTuple):
    """A format that this library reads itself, each file as a whole.

    Attributes:
        recognises: whether a file is of this format.
        read: all structures of a file.
    """

    recognises: Callable[[Path], bool]
    read: Callable[[Path], list[Atoms]]


# Files of any other format go to ASE.
READERS = (
    Reader(is_magres, read_magres),
    Reader(is_outcar, read_outcar),
    Reader(is_pymatgen_dicts, read_pymatgen_dicts),
)


def read(
    paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    target: str | None = "efg",
    array: str | None = None,
    index: int | slice | str = ":",
) -> list[Atoms]:
    """Read structures, with or without the tensors to learn, and check them.

    Args:
        paths: one file or several: magres, VASP's OUTCAR, JSON of pymatgen dictionaries, or any format that ASE reads.
        target: what to learn. It is checked and stored as ``atoms.arrays[target]`` (per atom: (n, 3, 3), EFG in V/Å²,
            shielding in ppm) or ``atoms.info[target]`` (per structure). None reads structures with whatever they carry.
        array: name of the array in the files, if it differs from `target`.
        index: frames to read from each file, in ASE's notation.

    Returns:
        All frames, file by file, with their origin in ``info["source_file"]`` and ``info["source_frame"]``. Two files
        of one structure (x.efg.magres, x.nmr.magres) are one frame: see `efg_jax.io.joining.joined`. Frames carry all
        tensors that the file names: ``efg`` in V/Å² with the sign of +∂²V/∂x_i∂x_j, the shielding ``ms`` in ppm with
        the induced field as its first index, both (n, 3, 3), and the columns of extended XYZ under their own names.
        See the module of each format.

    Raises:
        InputError: a file is missing, empty or unreadable; a frame fails a check of `efg_jax.structures.check_frames`,
            or declares other units for its tensors.
    """
    listed = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not listed:
        raise InputError("no files given; pass at least one")
    frames = joined([read_part(Path(path), index) for path in listed])
    for position, atoms in enumerate(frames):
        check_units(atoms, position)
    return check_frames(frames, target, array)


def iread(path: str | os.PathLike[str], start: int = 0) -> Iterator[Atoms]:
    """Read structures for prediction one by one from a file of any length; each is checked when its turn comes.

    Args:
        path: one file, as for `read`. Extended XYZ and ASE's trajectories are read frame by frame, magres, OUTCAR and
            pymatgen's JSON as a whole.
        start: number of the first frame to read.

    Yields:
        Frames, with their origin in ``info["source_file"]`` and ``info["source_frame"]``.

    Raises:
        InputError: as `read`; for a damaged frame when its turn comes.
    """
    path = Path(path)
    require_readable(path)
    frames = _whole_file(path)
    numbered = iread_ase(path, start) if frames is None else list(enumerate(frames))[start:]
    return checked(_in_our_units(_placed(atoms, path, number)) for number, atoms in numbered)


def require_readable(path: Path) -> None:
    """Check that there is a file with something in it.

    Raises:
        InputError: it is a folder, is empty, does not exist, or may not be read.
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


def read_part(path: Path, index: int | slice | str = ":") -> Part:
    """The structures of one file as they stand there, with nothing checked.

    Args:
        path: file.
        index: frames to read, in ASE's notation.

    Raises:
        InputError: the file is missing, empty or unreadable.
    """
    require_readable(path)
    frames = _whole_file(path)
    numbered = read_ase(path, index) if frames is None else selected_frames(frames, index, path)
    placed = [_placed(atoms, path, number) for number, atoms in numbered]
    for atoms in placed:
        _as_matrices(atoms)
    return Part(placed, frames is not None and len(frames) == 1)


def _whole_file(path: Path) -> list[Atoms] | None:
    """All structures of a file in a format of our own; None where ASE reads it."""
    reader = next((one for one in READERS if one.recognises(path)), None)
    return None if reader is None else reader.read(path)


def _placed(atoms: Atoms, path: Path, number: int) -> Atoms:
    atoms.info["source_file"], atoms.info["source_frame"] = str(path), number
    return atoms


def _in_our_units(atoms: Atoms) -> Atoms:
    check_units(atoms, 0)
    return atoms


def _as_matrices(atoms: Atoms) -> None:
    """Turn nine columns of a known per-atom tensor into 3×3 matrices."""
    for name, known in KNOWN.items():
        if known.per == "atom" and name in atoms.arrays and atoms.arrays[name].shape[1:] == (9,):
            atoms.arrays[name] = atoms.arrays[name].reshape(-1, *known.shape)
