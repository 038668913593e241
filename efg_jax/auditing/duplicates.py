"""Structures that occur twice, in one set or in training and test."""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from efg_jax.auditing.findings import Finding
from efg_jax.auditing.sources import Entry
from efg_jax.auditing.superposition import Superposition, superpositions
from efg_jax.auditing.symmetry import PER_ANGSTROM, ROUNDING, SURE, sizes_of

SAME, NEAR = 0.003, 0.05  # Å, largest displacement of an atom
ALIKE = 0.05  # relative distance of fingerprints, up to which structures are superposed
CELLS = 1e-4  # the same for cells of different size, which are compared by fingerprints alone
NEIGHBOURS = 5  # structures that each is compared with


def duplicate_findings(
    entries: Sequence[Entry],
    labels: dict[str, list[np.ndarray | None]],
    fingerprints: Float[np.ndarray, "frames features"],
    tell: Callable[[int], None] = lambda done: None,
) -> list[Finding]:
    """Pairs of structures that are the same up to rotation, inversion, translation, order of atoms and choice of cell.

    Args:
        entries: structures.
        labels: by target, (atoms, 3, 3) of each structure, NaN or None where there are none.
        fingerprints: invariant; equal for equal structures.
        tell: is told how many structures are done.
    """
    sizes = {target: sizes_of(entries, rows, target) for target, rows in labels.items()}
    formulas = [entry.atoms.symbols.formula.reduce()[0].format("hill") for entry in entries]
    squares = np.sum(fingerprints**2, axis=1)
    findings = []
    for i, entry in enumerate(entries):
        tell(i + 1)
        earlier = np.array([j for j in range(i) if formulas[j] == formulas[i]], dtype=int)
        if not len(earlier):
            continue
        away = np.linalg.norm(fingerprints[earlier] - fingerprints[i], axis=1) / np.sqrt(squares[i] + 1e-300)
        nearest = np.argsort(away, kind="stable")
        # Of every frame of training and test, the nearest ones of the other set are looked at as well.
        across = nearest[np.array([entries[j].test != entry.test for j in earlier[nearest]], dtype=bool)]
        for place in dict.fromkeys([*nearest[:NEIGHBOURS].tolist(), *across[:NEIGHBOURS].tolist()]):
            if away[place] > ALIKE:
                continue
            findings += _pair(entries, labels, sizes, int(earlier[place]), i, float(away[place]))
    return findings


def _pair(entries, labels, sizes, first: int, second: int, away: float) -> list[Finding]:
    one, other = entries[first], entries[second]
    across = one.test != other.test
    if len(one.atoms) != len(other.atoms):
        if away > CELLS:
            return []
        evidence = f"another cell of the crystal of {one.named}: their environments differ by {away:.1e}"
        return [_repeated(other, evidence, across, True)]
    found = superpositions(one.atoms, other.atoms, NEAR, most=8)
    if not found:
        return []
    best = min(found, key=lambda operation: operation.deviation)
    findings = [
        _repeated(
            other, f"the same structure as {one.named}, within {best.deviation:.3f} Å", across, best.deviation <= SAME
        )
    ]
    for target, rows in labels.items():
        if rows[first] is not None and rows[second] is not None:
            findings += _contradiction(one, other, rows[first], rows[second], found, sizes[target], target)
    return findings


def _repeated(entry: Entry, evidence: str, across: bool, same: bool) -> Finding:
    if across:
        remedy = "keep it in one of training and test: errors on the test set are too small otherwise"
        return Finding("leak", "error" if same else "warning", evidence, remedy, **entry.place)
    remedy = "drop one of the two, and never divide them between training and test"
    return Finding("duplicate", "warning" if same else "info", evidence, remedy, **entry.place)


def _contradiction(
    one: Entry, other: Entry, here: np.ndarray, there: np.ndarray, found: Sequence[Superposition], sizes, target: str
) -> list[Finding]:
    size = np.array([sizes.get(str(symbol), 1.0) for symbol in one.atoms.symbols])
    gaps = []
    for operation in found:
        image = np.einsum("ij,njk,lk->nil", operation.rotation, here, operation.rotation)
        gap = np.linalg.norm(there[operation.partner] - image, axis=(1, 2)) / size
        excess = np.nan_to_num(gap) / (ROUNDING + PER_ANGSTROM * operation.deviation)
        gaps.append(
            (
                float(excess.max(initial=0.0)),
                int(operation.partner[np.argmax(excess)]),
                float(np.nanmax(gap, initial=0.0)),
            )
        )
    excess, atom, gap = min(gaps)
    if excess < 1.0:
        return []
    return [
        Finding(
            "contradiction",
            "error" if excess > SURE else "warning",
            f"the same structure as {one.named}, but '{target}' of atom {atom} differs by {gap:.2f} of its usual size "
            "with the structures superposed",
            "one of the two is wrong, or of another level of theory: compute both again",
            **other.place,
            atom=atom,
        )
    ]
