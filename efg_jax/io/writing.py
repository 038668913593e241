"""One entry for all formats that are written, and extended XYZ itself."""

import inspect
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ase.io
import numpy as np
from ase import Atoms
from ase.io.extxyz import save_calc_results
from ase.spacegroup import Spacegroup
from ase.stress import voigt_6_to_full_3x3_stress

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import atomic_write

FORMATS = {
    "extxyz": (".extxyz", ".xyz"),
    "magres": (".magres",),
    "simpson": (".spinsys", ".in"),
    "chemiscope": (".json",),
    "csv": (".csv",),
    "mrsim": (".mrsim",),
}
# What their writers compress; the other formats are plain text under any name.
COMPRESSED = {"extxyz": (".gz", ".bz2", ".xz"), "magres": (".gz",), "chemiscope": (".gz",)}


def write(
    path: str | os.PathLike[str], frames: Atoms | Sequence[Atoms], format: str | None = None, **options: Any
) -> None:
    """Write structures with their tensors, or what follows from these; whole or not at all.

    ========== ====================== =====================================================================================
    format     names                  what, and options
    ========== ====================== =====================================================================================
    extxyz     .extxyz, .xyz, no      all frames and arrays; with .gz, .bz2 or .xz compressed. Tensors (n, 3, 3) become nine
               suffix                 columns, row by row, with eight digits after the point. What the format cannot hold
                                      (arrays of objects, info that is no numbers, texts or lists) is left out.
    magres     .magres, .magres.gz    one frame: EFG in atomic units, shielding in ppm; `efg_jax.io.magres.write_magres`
    simpson    .spinsys, .in          chosen sites of one frame; `efg_jax.io.simpson.write_simpson`: species, sites, isotopes,
                                      reference, shift, order, observed
    chemiscope .json, .json.gz        frames with tensors as ellipsoids; `efg_jax.io.chemiscope_json.write_chemiscope`
    csv        .csv                   one line a site; `efg_jax.observables.site_observables`: species, isotopes, reference,
                                      convention, ...
    mrsim      .mrsim                 mrsimulator's; `efg_jax.spectra.write_mrsim`
    ========== ====================== =====================================================================================

    Args:
        path: file to write; an existing one is replaced once the new one is complete.
        frames: structures with arrays and info.
        format: name of the format; None takes it from the name of the file.
        options: of the format.

    Raises:
        InputError: there are no frames, the format is unknown, does not take an option or is not compressed so, or the file cannot be written.
    """
    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    if not frames:
        raise InputError("there are no structures to write; pass at least one", file=str(path))
    name = format_of(path, format)
    writer = _writer(name)
    known = _options(name, writer)
    if unknown := [option for option in options if option not in known]:
        takes = f"takes {', '.join(known)}" if known else "takes no options"
        raise InputError(f"'{unknown[0]}' is no option of the format {name}, which {takes}", file=str(path))
    writer(path, frames, **options)


def format_of(path: str | os.PathLike[str], format: str | None = None) -> str:
    """The format of a file to write: the one that is named, or that of its suffix.

    Raises:
        InputError: an unknown name or suffix, or the suffix of a compression that the format has not.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    packed = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSED["extxyz"] else None
    if format is None:
        format = _format_of_suffix(path, suffixes[-1]) if suffixes else "extxyz"
    elif format not in FORMATS:
        raise InputError(f"unknown format {format!r}; known are {', '.join(FORMATS)}", file=str(path))
    if packed is not None and packed not in (possible := COMPRESSED.get(format, ())):
        other = f"end the name in {' or '.join(possible)}, or leave" if possible else "leave"
        raise InputError(f"{format} is not written as {packed}; {other} {packed} out", file=str(path))
    return format


def _format_of_suffix(path: str | os.PathLike[str], suffix: str) -> str:
    for name, own in FORMATS.items():
        if suffix in own:
            return name
    known = ", ".join(suffix for own in FORMATS.values() for suffix in own)
    raise InputError(f"what to write as {suffix} is unknown; use one of {known}, or name the format", file=str(path))


def _writer(name: str) -> Callable[..., None]:
    """The function of a format: those of large dependencies are imported when they are wanted."""
    if name == "extxyz":
        return _write_extxyz
    if name == "magres":
        from efg_jax.io.magres import write_magres

        return write_magres
    if name == "simpson":
        from efg_jax.io.simpson import write_simpson

        return write_simpson
    if name == "chemiscope":
        from efg_jax.io.chemiscope_json import write_chemiscope

        return write_chemiscope
    if name == "csv":
        return _write_csv
    from efg_jax.spectra import write_mrsim

    return write_mrsim


def _options(name: str, writer: Callable[..., None]) -> list[str]:
    """Names of the options of a format: what follows from its writer's signature, or from that of the table that it writes."""
    if name == "csv":
        from efg_jax.observables import site_observables as writer
    parameters = inspect.signature(writer).parameters.values()
    return [one.name for one in parameters if one.kind is inspect.Parameter.KEYWORD_ONLY]


def _write_extxyz(path: str | os.PathLike[str], frames: Sequence[Atoms]) -> None:
    with atomic_write(path) as temporary:
        ase.io.write(temporary, [flattened(atoms) for atoms in frames], format="extxyz", write_results=False)


def _write_csv(path: str | os.PathLike[str], frames: Sequence[Atoms], **options: Any) -> None:
    from efg_jax.observables import site_observables

    site_observables(frames, **options).to_csv(path)


def flattened(atoms: Atoms) -> Atoms:
    """A copy that holds only what extended XYZ holds: columns, and info that is JSON."""
    flat = atoms.copy()
    if atoms.calc is not None:
        save_calc_results(flat, atoms.calc, calc_prefix="", force=True)
        flat.info.update(atoms.info)
        flat.arrays.update(atoms.arrays)
    if np.shape(flat.info.get("stress")) == (6,):
        flat.info["stress"] = voigt_6_to_full_3x3_stress(flat.info["stress"])
    flat.info = {
        name: value for name, value in ((name, _plain(value)) for name, value in flat.info.items()) if value is not None
    }
    for name, value in list(flat.arrays.items()):
        del flat.arrays[name]
        if (column := _column(np.asarray(value))) is not None:
            flat.arrays[name] = column
    return flat


def _column(value: np.ndarray) -> np.ndarray | None:
    if value.dtype.kind in "US":
        # A column must be one word.
        return np.array(["".join(text.split()) or "-" for text in value.astype(str).ravel()]).reshape(value.shape)
    if value.dtype.kind not in "fiub" or value.size == 0:
        return None
    value = value.astype(np.int64) if value.dtype.kind == "u" else value
    return value.reshape(len(value), -1) if value.ndim > 2 else value


def _plain(value: Any) -> Any:
    """The value as numbers, texts and lists, or None where it is nothing of the kind."""
    if isinstance(value, str):
        return " ".join(value.split())  # a line break would end the header
    if isinstance(value, Spacegroup):
        return value.symbol
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.size > 0:
        return value.astype(np.int64) if value.dtype.kind == "u" else value
    if isinstance(value, np.generic):
        return _plain(value.item())
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return None
    return value
