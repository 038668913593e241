"""The table of the formats that are written, and the one function that writes them."""

import inspect
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.io.chemiscope_json import chemiscope_content, write_chemiscope
from efg_jax.io.extended_xyz import write_extxyz
from efg_jax.io.magres import write_magres
from efg_jax.io.simpson import write_simpson
from efg_jax.observables import site_observables
from efg_jax.spectra import write_mrsim
from efg_jax.structures.occupancy import check_occupancy


class Format(NamedTuple):
    """A format that is written.

    Attributes:
        suffixes: endings of file names, without compression.
        compressions: further endings under which the writer compresses.
        writer: called with the path, the frames and the options as keywords.
        options: function whose keyword-only parameters are the options; None: the writer itself.
    """

    suffixes: tuple[str, ...]
    compressions: tuple[str, ...]
    writer: Callable[..., None]
    options: Callable[..., Any] | None = None

    @property
    def option_names(self) -> list[str]:
        """Names of the options."""
        parameters = inspect.signature(self.options or self.writer).parameters.values()
        return [one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]


def _write_csv(path: str | os.PathLike[str], frames: Sequence[Atoms], **options: Any) -> None:
    site_observables(frames, **options).to_csv(path)


COMPRESSIONS = (".gz", ".bz2", ".xz")
FORMATS = {
    "extxyz": Format((".extxyz", ".xyz"), COMPRESSIONS, write_extxyz),
    "magres": Format((".magres",), (".gz",), write_magres),
    "simpson": Format((".spinsys", ".in"), (), write_simpson),
    "chemiscope": Format((".json",), (".gz",), write_chemiscope, options=chemiscope_content),
    "csv": Format((".csv",), (), _write_csv, options=site_observables),
    "mrsim": Format((".mrsim",), (), write_mrsim),
}


def write(
    path: str | os.PathLike[str], frames: Atoms | Sequence[Atoms], format: str | None = None, **options: Any
) -> None:
    """Write structures with their tensors, or quantities computed from these. An existing file is replaced at the end.

    ========== =============== =====================================================================================
    format     names           content and options
    ========== =============== =====================================================================================
    extxyz     .extxyz, .xyz,  all frames and arrays, compressed under a further .gz, .bz2 or .xz. Tensors (n, 3, 3)
               no suffix       become nine columns, row by row, with eight decimals. What the format cannot hold
                               (arrays of objects; info other than numbers, text and lists) is left out.
    magres     .magres,        one frame: EFG in atomic units, shielding in ppm; `efg_jax.io.magres.write_magres`
               .magres.gz
    simpson    .spinsys, .in   sites of one frame; `efg_jax.io.simpson.write_simpson`: species, sites, isotopes,
                               reference, shift, order, observed
    chemiscope .json, .json.gz frames with tensors as ellipsoids; `efg_jax.io.chemiscope_json.chemiscope_content`
    csv        .csv            one line per site; `efg_jax.observables.site_observables`: species, isotopes,
                               reference, convention, ...
    mrsim      .mrsim          sites and method for mrsimulator; `efg_jax.spectra.write_mrsim`
    ========== =============== =====================================================================================

    Args:
        path: file to write.
        frames: structures with arrays and info.
        format: name of the format; None takes it from the name of the file.
        options: options of the format.

    Raises:
        InputError: there are no frames, or one with a site that is occupied in part; the format is unknown, or lacks
            this option or compression; the file cannot be written.
    """
    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    if not frames:
        raise InputError("there are no structures to write; pass at least one", file=str(path))
    for position, atoms in enumerate(frames):
        check_occupancy(atoms, position)
    name = format_of(path, format)
    known = FORMATS[name].option_names
    if unknown := [option for option in options if option not in known]:
        takes = f"takes {', '.join(known)}" if known else "takes no options"
        raise InputError(f"'{unknown[0]}' is no option of the format {name}, which {takes}", file=str(path))
    FORMATS[name].writer(path, frames, **options)


def format_of(path: str | os.PathLike[str], format: str | None = None) -> str:
    """Name of the format in which a file is written: the given one, or that of its suffix.

    Raises:
        InputError: the name or the suffix is unknown, or the format is not compressed in this way.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else None
    if format is None:
        format = _format_of_suffix(path, suffixes[-1]) if suffixes else "extxyz"
    elif format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known are {', '.join(FORMATS)}", file=str(path))
    if packed is not None and packed not in (possible := FORMATS[format].compressions):
        other = f"end the name in {' or '.join(possible)}, or leave" if possible else "leave"
        raise InputError(f"{format} is not written as {packed}; {other} {packed} out", file=str(path))
    return format


def _format_of_suffix(path: str | os.PathLike[str], suffix: str) -> str:
    for name, format in FORMATS.items():
        if suffix in format.suffixes:
            return name
    known = ", ".join(suffix for format in FORMATS.values() for suffix in format.suffixes)
    raise InputError(f"what to write as {suffix} is unknown; use one of {known}, or name the format", file=str(path))
