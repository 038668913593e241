"""Sites that are occupied in part or by several elements: what a CIF says of them, and the refusal of such crystals.

ASE's readers keep one whole atom, of the most frequent element, for every site. What the file says is in
``info["occupancy"]`` (CIF) or ``arrays["occupancy"]`` (PDB).
"""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.structures.targets import place_of

Occupancy = dict[str, float]
"""Part of a site's positions that each element occupies; what is missing to 1 is vacant."""

WHOLE = 1e-3  # within this, an occupancy is 1: files round
_NAMED = 4  # sites in a message


def occupancies(atoms: Atoms, position: int = 0) -> list[Occupancy]:
    """What occupies the site of each atom.

    Args:
        atoms: structure from any of ASE's readers.
        position: its position in the caller's list, for messages.

    Returns:
        One `Occupancy` an atom; of one element with 1 where nothing else is said.

    Raises:
        InputError: the notes do not belong to these atoms, or a site is occupied by more than 1 or less than 0.
    """
    found: list[Occupancy] = [{symbol: 1.0} for symbol in atoms.symbols]
    for name in ("occupancy", "occupancies"):  # PDB; muSTEM and Prismatic. Programs that know none write 0.
        column = atoms.arrays.get(name)
        if column is not None and column.shape == (len(atoms),) and column.dtype.kind == "f":
            for i in np.flatnonzero((column > 0) & (np.abs(column - 1) > WHOLE)):
                found[i] = {atoms.symbols[i]: float(column[i])}
    notes = atoms.info.get("occupancy")
    if isinstance(notes, Mapping):
        kinds = atoms.arrays.get("spacegroup_kinds", np.arange(len(atoms))).tolist()
        by_kind = {str(kind): _numbers(note) for kind, note in notes.items()}
        if absent := [i for i, kind in enumerate(kinds) if str(kind) not in by_kind]:
            if any(not is_whole(note) for note in by_kind.values()):
                raise InputError(
                    "info['occupancy'] has partly occupied sites, but nothing of this atom; read the file again, or "
                    "drop that note if every atom is whole",
                    atom=f"{absent[0]} ({atoms.symbols[absent[0]]})",
                    **place_of(atoms, position),
                )
        else:
            found = [by_kind[str(kind)] for kind in kinds]
    for i, site in enumerate(found):
        if min(site.values(), default=0.0) < 0 or sum(site.values()) > 1 + 10 * WHOLE:
            raise InputError(
                f"its site is occupied by {described(site)}, more than 1 in all or less than 0; correct the file",
                atom=f"{i} ({atoms.symbols[i]})",
                **place_of(atoms, position),
            )
    return found


def is_whole(site: Occupancy) -> bool:
    """Whether a site holds one whole atom."""
    return len(site) == 1 and abs(next(iter(site.values())) - 1) <= WHOLE


def described(site: Occupancy) -> str:
    """As in "Si 0.7, Al 0.3"."""
    return ", ".join(f"{symbol} {part:.4g}" for symbol, part in site.items()) or "nothing"


def check_occupancy(atoms: Atoms, position: int = 0) -> None:
    """Refuse a crystal with sites that are occupied in part or by several elements: it is no arrangement of atoms.

    Args:
        atoms: structure.
        position: its position in the caller's list, for messages.

    Raises:
        InputError: it has such sites; the message names them.
    """
    if not isinstance(atoms.info.get("occupancy"), Mapping) and not {"occupancy", "occupancies"} & atoms.arrays.keys():
        return
    sites = occupancies(atoms, position)
    kinds = atoms.arrays.get("spacegroup_kinds", np.arange(len(atoms))).tolist()
    partial = {kind: i for i, kind in reversed(list(enumerate(kinds))) if not is_whole(sites[i])}
    if not partial:
        return
    first = sorted(partial.values())
    named = "; ".join(f"atom {i} ({described(sites[i])})" for i in first[:_NAMED])
    more = f"; and {len(first) - _NAMED} more sites" if len(first) > _NAMED else ""
    raise InputError(
        f"has sites that are not occupied by one whole atom: {named}{more}; build ordered cells first, with "
        "`efg-jax order FILE --out cells.extxyz` or efg_jax.disorder.order; or drop info['occupancy'] if every atom is "
        "whole",
        **place_of(atoms, position),
    )


def _numbers(note: Any) -> Occupancy:
    """Numbers of a note without the zeros; "?" and "." mean 1 in a CIF."""
    given = note.items() if isinstance(note, Mapping) else ()
    return {str(symbol): float(part) if isinstance(part, Real) else 1.0 for symbol, part in given if part != 0}
