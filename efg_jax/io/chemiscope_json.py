"""Chemiscope (https://chemiscope.org): structures with tensors as ellipsoids beside a map of their observables."""

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.observables import site_observables
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.structures.site_selection import chosen_sites, finite_rows, tensors_of
from efg_jax.tensors.nuclei import Isotope

SUFFIXES = (".json", ".json.gz")
# Semi-axis in place of zero: chemiscope draws no ellipsoid without a volume.
THINNEST = 1e-3

logger = logging.getLogger(__name__)


def write_chemiscope(path: str | os.PathLike[str], frames: Sequence[Atoms], **options: Any) -> None:
    """Write a file that chemiscope opens: see `chemiscope_content`.

    Args:
        path: file to write, .json or .json.gz.
        frames: structures with ``efg`` (V/Å²) or ``ms`` (ppm) or both.
        options: as for `chemiscope_content`.

    Raises:
        InputError: as `chemiscope_content`, or another suffix.
    """
    if not str(path).endswith(SUFFIXES):
        raise InputError(f"chemiscope's files end in {' or '.join(SUFFIXES)}; name it so", file=str(path))
    chemiscope = _required_chemiscope(str(path))
    content = chemiscope_content(frames, **options)
    with atomic_write(path) as temporary:
        chemiscope.write_input(str(temporary), **content)


def view(frames: Atoms | Sequence[Atoms], **options: Any) -> Any:
    """Show structures with their tensors in a notebook; let this be the last line of a cell.

    Args:
        frames: structures with ``efg`` (V/Å²) or ``ms`` (ppm) or both.
        options: as for `chemiscope_content`.

    Returns:
        Chemiscope's widget, with a point on the map and an ellipsoid for each chosen site.

    Raises:
        InputError: as `chemiscope_content`.
    """
    content = chemiscope_content([frames] if isinstance(frames, Atoms) else list(frames), **options)
    first = next(iter(content["shapes"]))
    settings = {"structure": [{"shape": first, "unitCell": True}]}
    return _required_chemiscope().show(**content, settings=settings)


def chemiscope_content(
    frames: Sequence[Atoms],
    *,
    species: str | Sequence[str] | None = None,
    isotopes: Mapping[str, Isotope | str] | None = None,
    reference: Mapping[str, float] | float | None = None,
    properties: Mapping[str, Mapping[str, Any]] | None = None,
    size: float = 1.0,
    cutoff: float = 4.0,
    name: str = "tensors",
) -> dict[str, Any]:
    """Chosen sites with their observables as points on a map, and their tensors as ellipsoids on the structures.

    The semi-axes of an ellipsoid lie along the principal axes. Their lengths are |V_xx|, |V_yy|, |V_zz| for an EFG, and
    |σ_xx − σ_iso|, ... for a shielding; the observables have the signs. A map has no empty values: an observable that
    some of the sites lack (C_Q of a nucleus of spin ½) is left out, with a warning.

    Args:
        frames: structures with ``efg`` (V/Å²) or ``ms`` (ppm) or both.
        species: elements whose atoms are shown; None: all that have a tensor.
        isotopes: nuclei by element, for C_Q.
        reference: shielding of the reference compound by element, ppm, for shifts; None: shieldings.
        properties: further properties with a value for each chosen site, in chemiscope's form:
            {"nu_Q": {"values": ..., "units": "kHz"}}.
        size: length of the longest semi-axis in the file, Å.
        cutoff: radius of the environments that are shown, Å.
        name: title of the map.

    Returns:
        Arguments of chemiscope's ``write_input`` and ``show``: "structures" without their arrays, "properties" of the
        sites with units, "environments" as (structure, atom, cutoff), "shapes" of all atoms, "metadata".

    Raises:
        InputError: chemiscope is not installed; the species have no tensors; a property has another length.
    """
    table = site_observables(frames, species=species, isotopes=isotopes, reference=reference)
    sites = list(zip(table["frame"].tolist(), table["atom"].tolist(), strict=True))
    described = table.described()
    values = {key: entry for key, entry in described.items() if np.all(np.isfinite(entry["values"]))}
    # A column that is empty for all sites was not asked for.
    if partly := [key for key in described if key not in values and np.any(np.isfinite(described[key]["values"]))]:
        logger.warning(
            "left out of the map, as some of the %d sites have no such value: %s; choose similar sites with species",
            len(sites),
            ", ".join(partly),
        )
    for key, entry in (properties or {}).items():
        if len(entry["values"]) != len(sites):
            raise InputError(
                f"'{key}' has {len(entry['values'])} values for {len(sites)} sites; give one for each site"
            )
        values[key] = dict(entry)
    return {
        "structures": [
            Atoms(atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc) for atoms in frames
        ],
        "properties": {key: {"target": "atom", **entry} for key, entry in values.items()},
        "environments": [(frame, atom, cutoff) for frame, atom in sites],
        "shapes": _ellipsoids(frames, species, size, _required_chemiscope().ellipsoid_from_tensor),
        "metadata": {"name": name},
    }


def _ellipsoids(frames: Sequence[Atoms], species: str | Sequence[str] | None, size: float, ellipsoid) -> dict[str, Any]:
    """Shapes of all atoms of all structures; a speck for atoms without a tensor."""
    shapes = {}
    tensors = [tensors_of(atoms, position, ("efg", "ms"), required=False) for position, atoms in enumerate(frames)]
    for which, name in enumerate(("efg", "ms")):
        rows = []
        for (position, atoms), both in zip(enumerate(frames), tensors, strict=True):
            own = np.full((len(atoms), 3, 3), np.nan)
            if both[which] is not None and (species is None or np.isin(np.asarray(atoms.symbols), species).any()):
                chosen = chosen_sites(atoms, position, species)
                own[chosen] = both[which][chosen]
            rows.append(own)
        rows = np.concatenate(rows)
        if finite_rows(rows).any():
            squares = _squared_deviation(rows)
            # The longest axis is the root of the largest eigenvalue; chemiscope takes the root itself.
            longest = np.sqrt(max(np.linalg.eigvalsh(squares)[:, 2].max(), 0.0))
            scale = size / longest if longest > 0.0 else 1.0  # by symmetry every tensor may be zero
            thin = (THINNEST * size / scale) ** 2 * np.eye(3)
            speck = ellipsoid(thin, scale=scale)
            drawn = zip(squares, finite_rows(rows).tolist(), strict=True)
            shapes[name] = {
                "kind": "ellipsoid",
                "parameters": {
                    "global": {},
                    "atom": [ellipsoid(square + thin, scale=scale) if own else speck for square, own in drawn],
                },
            }
    return shapes


def _squared_deviation(tensors: Float[np.ndarray, "atoms 3 3"]) -> Float[np.ndarray, "atoms 3 3"]:
    """(T − Tr T/3)² of the symmetric part, positive semidefinite, with the principal axes of T; zero where T is NaN."""
    symmetric = np.nan_to_num(tensors + tensors.swapaxes(1, 2)) / 2
    deviation = symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    return deviation @ deviation


def _required_chemiscope(file: str | None = None) -> Any:
    """The package chemiscope.

    Raises:
        InputError: it is not installed.
    """
    try:
        import chemiscope
    except ImportError as error:
        raise InputError("needs chemiscope; pip install 'efg-jax[view]'", file=file) from error
    return chemiscope
