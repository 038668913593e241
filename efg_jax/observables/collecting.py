"""The sites of a table: all chosen atoms of all frames that have a tensor."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.structures.site_selection import chosen_sites, finite_rows, site_labels, tensors_of, usual_isotopes
from efg_jax.structures.targets import find, place_of
from efg_jax.tensors.nuclei import Isotope

TENSORS = ("efg", "ms")


class CollectedSites(NamedTuple):
    """All chosen sites, one after the other; NaN for a tensor that is not there.

    Attributes:
        frame, atom: position in the list of structures, and in the structure.
        symbols: elements.
        labels: O_1, O_2, ..., see `efg_jax.structures.site_selection.site_labels`.
        usual: the nucleus that NMR would use for what is known of the site; None: the table has none.
        files, source_frames: where the structure was read from.
        efg, ms: tensors, V/Å² and ppm.
    """

    frame: list[int]
    atom: list[int]
    symbols: list[str]
    labels: list[str]
    usual: list[Isotope | None]
    files: list[str]
    source_frames: list[int]
    efg: Float[np.ndarray, "sites 3 3"]
    ms: Float[np.ndarray, "sites 3 3"]


def collect(frames: Sequence[Atoms], species: tuple[str, ...] | None, names: Sequence[str]) -> CollectedSites:
    """The sites with a tensor, frame by frame.

    Args:
        frames: structures.
        species: elements; None: all.
        names: tensors to look at, "efg" or "ms" or both.

    Raises:
        InputError: no structures, no such tensors or none of the species, or one that fails
            `efg_jax.structures.check_frames`.
    """
    if not frames:
        raise InputError("there are no structures; pass at least one")
    sites = CollectedSites([], [], [], [], [], [], [], np.empty((0, 3, 3)), np.empty((0, 3, 3)))
    efg, ms = [], []
    for position, atoms in enumerate(frames):
        # Frames without a tensor are skipped; if all are, the error names the first.
        required = position == 0 and not any(find(other, name, "atom") for other in frames for name in names)
        both = dict(zip(names, tensors_of(atoms, position, names, required), strict=True))
        blank = np.full((len(atoms), 3, 3), np.nan)
        both = {name: blank if both.get(name) is None else both[name] for name in TENSORS}
        present = finite_rows(both["efg"]) | finite_rows(both["ms"])
        if species is not None:
            present &= np.isin(np.asarray(atoms.symbols), species)
        chosen = np.flatnonzero(present)
        sites.frame.extend([position] * len(chosen))
        sites.atom.extend(chosen.tolist())
        sites.symbols.extend(np.asarray(atoms.symbols)[chosen].tolist())
        usual = usual_isotopes(atoms, finite_rows(both["efg"]))
        sites.usual.extend(usual[atom] for atom in chosen)
        labels, indices = site_labels(atoms)
        sites.labels.extend(f"{labels[atom]}_{indices[atom]}" for atom in chosen)
        place = place_of(atoms, position)
        sites.files.extend([place.get("file", "")] * len(chosen))
        sites.source_frames.extend([place["frame"]] * len(chosen))
        efg.append(both["efg"][chosen])
        ms.append(both["ms"][chosen])
    if not sites.atom:
        for position, atoms in enumerate(frames):
            if species is None or np.isin(np.asarray(atoms.symbols), species).any():
                named = f" of {', '.join(species)}" if species else ""
                raise InputError(f"no atom{named} has a tensor; all are NaN", **place_of(atoms, position))
        chosen_sites(frames[0], 0, species)  # raises, and lists the elements that are there
    return sites._replace(efg=np.concatenate(efg), ms=np.concatenate(ms))


def numbering(sites: CollectedSites, nuclei: Sequence[Isotope | None]) -> dict[str, np.ndarray]:
    """Columns that name the site of each row; of several files also the file and the number of the frame in it."""
    sources = {"file": np.array(sites.files), "source_frame": np.array(sites.source_frames)}
    return (sources if len(set(sites.files)) > 1 else {}) | {
        "frame": np.array(sites.frame),
        "atom": np.array(sites.atom),
        "element": np.array(sites.symbols),
        "label": np.array(sites.labels),
        "isotope": np.array(["" if nucleus is None else str(nucleus) for nucleus in nuclei]),
    }
