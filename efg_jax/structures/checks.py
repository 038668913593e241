"""Checks of structures and labels before anything is computed. Every error names file, frame, atom and remedy."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.structures.declared_units import check_units
from efg_jax.structures.neighbour_lists import closest_pair
from efg_jax.structures.occupancy import check_occupancy
from efg_jax.structures.targets import KNOWN, Per, Target, different, find, missing, place_of, shaped, tensors_in

OVERLAP = 0.1
# Volume of the cell, relative to that of a box with edges of the same lengths, below which its vectors are dependent.
SINGULAR = 1e-6
# Principal values of field gradients reach some 10⁴ V/Å² in the heaviest compounds. Beyond this the unit is wrong.
LARGEST_EFG = 1e6
# Asymmetry and trace of tensors printed with three decimals (VASP), in the unit of the target.
PRINTED = 2e-3


def check_frames(
    frames: Atoms | Iterable[Atoms],
    target: str | None = None,
    array: str | None = None,
    tolerance: float = 1e-3,
    per: Per | None = None,
) -> list[Atoms]:
    """Check structures and, where a target is named, its labels; return them with labels in one form.

    A per-atom target ends in ``arrays[target]`` as float64 of shape (n, 3, 3) (or (n, 3), (n,)), a per-structure one in
    ``info[target]``. EFG and other symmetric tensors are made exactly symmetric (and traceless) where they are so
    within the tolerance. Rows of NaN mean "no label". A frame that needs no change is returned itself, any other as a
    copy: checking twice changes nothing.

    Args:
        frames: structures, or a single one.
        target: name of the target that every frame must carry; None checks the structures only.
        array: name under which the frames carry it, where that differs.
        tolerance: largest asymmetry and trace of an EFG, relative to its norm.
        per: whether there is one value per atom or per structure; None: whichever the frames have.

    Raises:
        InputError: a structure has no atoms, a position or cell that is not finite, a periodic direction without a cell
            vector, a singular cell, a site that is occupied in part or by several elements, or two atoms within 0.1 Å;
            a target is missing or has the wrong shape; a label is partly NaN, infinite, asymmetric, not traceless, or
            declared to be in other units.
    """
    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    for position, atoms in enumerate(frames):
        _check_geometry(atoms, position)
    if target is None:
        return frames
    per = _where_all_carry(array or target, target, frames, per)
    return [
        with_label(atoms, position, target, array or target, per, tolerance) for position, atoms in enumerate(frames)
    ]


def checked(frames: Atoms | Iterable[Atoms]) -> Iterator[Atoms]:
    """Yield the structures of a stream, each checked (without a target) when its turn comes.

    Raises:
        InputError: as `check_frames`.
    """
    for position, atoms in enumerate([frames] if isinstance(frames, Atoms) else frames):
        _check_geometry(atoms, position)
        yield atoms


def _check_geometry(atoms: Atoms, position: int) -> None:
    place = place_of(atoms, position)
    if len(atoms) == 0:
        raise InputError("has no atoms; leave it out", **place)
    if not np.isfinite(atoms.positions).all():
        i = int(np.argmax(~np.isfinite(atoms.positions).all(axis=1)))
        raise InputError(
            f"position {_numbers(atoms.positions[i])} is not finite; correct or drop the structure",
            atom=name_atom(atoms, i),
            **place,
        )
    _check_cell(atoms, place)
    check_occupancy(atoms, position)
    pair = closest_pair(atoms, OVERLAP)
    if pair is not None:
        i, j, distance, image = pair
        if i == j:
            raise InputError(f"a lattice vector is {distance:.3g} Å short; check the cell and its unit (Å)", **place)
        across = " (through a periodic boundary)" if image else ""
        raise InputError(
            f"lies {distance:.3g} Å from atom {name_atom(atoms, i)}{across}; "
            "remove one of the two, or check the positions' unit (Å) and the cell",
            atom=name_atom(atoms, j),
            **place,
        )


def _check_cell(atoms: Atoms, place: dict) -> None:
    cell = np.asarray(atoms.cell)
    if not np.isfinite(cell).all():
        row = int(np.argmax(~np.isfinite(cell).all(axis=1)))
        raise InputError(f"cell vector {'abc'[row]} is {_numbers(cell[row])}, not finite; correct the cell", **place)
    if not atoms.pbc.any():
        return
    lengths = np.linalg.norm(cell, axis=1)
    for axis in np.flatnonzero(atoms.pbc & (lengths == 0)):
        raise InputError(
            f"is periodic along {'abc'[axis]} but that cell vector is zero; give it, or set pbc to False along it",
            **place,
        )
    unit = cell[lengths > 0] / lengths[lengths > 0, None]
    if np.sqrt(max(np.linalg.det(unit @ unit.T), 0.0)) < SINGULAR:
        raise InputError("its cell vectors are not independent (singular cell); correct the cell", **place)


def _where_all_carry(key: str, target: str, frames: Sequence[Atoms], per: Per | None) -> Per | None:
    """Whether the frames carry ``key`` per atom or per structure; raises if one of them lacks it."""
    per = per or (KNOWN[target].per if target in KNOWN else None)
    having, lacking = None, None
    for position, atoms in enumerate(frames):
        found = find(atoms, key, per)
        if found is not None:
            per, having = found[0], having or (atoms, position)
        else:
            lacking = lacking or (atoms, position)
    if lacking is None:
        return per
    others = tensors_in(lacking[0])
    raise different(key, *having, others, *lacking) if having is not None and others else missing(key, *lacking)


def with_label(atoms: Atoms, position: int, target: str, key: str, per: Per | None, tolerance: float = 1e-3) -> Atoms:
    """The frame with its label checked and in the standard form; the same object if nothing had to change.

    Args:
        atoms: structure that carries it.
        position: its position in the caller's list, for messages.
        target: name under which it is put.
        key: name under which it is found.
        per: whether it is one per atom or per structure; None: whichever it is.
        tolerance: largest asymmetry and trace of an EFG, relative to its norm.

    Raises:
        InputError: as `check_frames`, for the label.
    """
    known = KNOWN.get(target)
    where, raw = find(atoms, key, per)
    check_units(atoms, position, key, target)
    _, value = shaped(raw, key, where, known.kind if known else None, atoms, position)
    rows = value if where == "atom" else value[None]
    _check_rows(rows, key, where, atoms, position)
    if known is not None and known.symmetric:
        numbers = range(len(atoms)) if where == "atom" else None
        rows = symmetric_tensors(rows, key, known, atoms, position, numbers, tolerance)
    value = rows if where == "atom" else rows[0]
    home = atoms.arrays if where == "atom" else atoms.info
    present = home.get(target)
    if (
        key == target
        and isinstance(present, np.ndarray)
        and present.dtype == value.dtype
        and np.array_equal(present, value, equal_nan=True)
    ):
        return atoms
    changed = atoms.copy()
    changed.calc = atoms.calc
    home = changed.arrays if where == "atom" else changed.info
    home.pop(key, None)
    home[target] = np.array(value)
    return changed


def _check_rows(rows: np.ndarray, key: str, per: Per, atoms: Atoms, position: int) -> None:
    """Labels are finite numbers, or NaN as a whole."""
    flat = rows.reshape(len(rows), -1)
    labelled = ~np.isnan(flat).all(axis=1)
    bad = labelled & ~np.isfinite(flat).all(axis=1)
    if bad.any():
        i = int(np.argmax(bad))
        what = "is infinite" if np.isinf(flat[i]).any() else "is partly NaN"
        raise InputError(
            f"'{key}' {what} ({_numbers(flat[i])}); give all its numbers, or all NaN where there is no label",
            atom=name_atom(atoms, i) if per == "atom" else None,
            **place_of(atoms, position),
        )


def symmetric_tensors(
    rows: Float[np.ndarray, "rows 3 3"],
    key: str,
    target: Target,
    atoms: Atoms,
    position: int,
    numbers: Sequence[int] | np.ndarray | None,
    tolerance: float = 1e-3,
) -> Float[np.ndarray, "rows 3 3"]:
    """Symmetric (and, for an EFG, traceless) tensors, made exactly so if they are within the tolerance; NaN stays.

    Args:
        rows: tensors, in the unit of the target.
        key: name of their array, for messages.
        target: the target that they are.
        atoms: frame that carries them.
        position: its position in the caller's list, for messages.
        numbers: index of the atom of each row; None: the tensors are of the structure.
        tolerance: largest asymmetry and trace, relative to the norm; rounding to three decimals is also accepted.

    Raises:
        InputError: a tensor is not symmetric or not traceless, or an EFG is impossibly large.
    """
    unit, traceless = target.unit, target.traceless

    def place(i: int) -> dict[str, Any]:
        return {"atom": None if numbers is None else name_atom(atoms, int(numbers[i])), **place_of(atoms, position)}

    transposed = rows.swapaxes(1, 2)
    norms = np.linalg.norm(rows, axis=(1, 2))
    if traceless and (norms > LARGEST_EFG).any():
        i = int(np.nanargmax(norms))
        raise InputError(
            f"'{key}' of {norms[i]:.3g} {unit} is no field gradient of an atom; in V/m² it must be multiplied by 1e-20",
            **place(i),
        )
    asymmetry = np.linalg.norm(rows - transposed, axis=(1, 2))
    trace = np.abs(np.trace(rows, axis1=1, axis2=2)) if traceless else np.zeros(len(rows))
    allowed = np.maximum(tolerance * norms, PRINTED)
    order = "check the order of its nine numbers (a 3×3 matrix row by row)"
    another = f"{order} and that it is an EFG (a shielding tensor is the target 'ms')"
    for measured, what, mend in ((asymmetry, "the asymmetry |V − Vᵀ|", order), (trace, "the trace", another)):
        if (measured > allowed).any():
            i = int(np.nanargmax(measured / allowed))
            raise InputError(
                f"{what} of '{key}' is {f'{measured[i]:.3g} {unit}'.strip()}, {measured[i] / norms[i]:.2g} of its norm "
                f"(at most {tolerance:g} is accepted as rounding); {mend}",
                **place(i),
            )
    # A trace of a few rounding errors stays: removing it would leave another one, and never end.
    if not ((asymmetry > 0) | (trace > 1e-14 * norms)).any():
        return rows
    rows = (rows + transposed) / 2
    if traceless:
        rows = rows - np.trace(rows, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    return rows


def name_atom(atoms: Atoms, i: int) -> str:
    """Index and element, as in "7 (O)"."""
    return f"{i} ({atoms.symbols[i]})"


def _numbers(values: np.ndarray) -> str:
    return "[" + " ".join(f"{value:.6g}" for value in values) + "]"
