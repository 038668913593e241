"""Neumann's principle: a symmetry of the structure is one of its tensors.

For every isometry r → R r + t that maps the structure onto itself, atom i onto atom j, V_j = R V_i Rᵀ must hold: at a
site with symmetry (i = j) the tensor is invariant, and equivalent atoms have the same tensor, turned.
"""

from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float

from efg_jax.auditing.findings import Finding
from efg_jax.auditing.sources import Entry
from efg_jax.auditing.superposition import superpositions
from efg_jax.structures.checks import name_atom

TOLERANCE = 0.03  # Å; structures farther from symmetry than this say too little
# Deviations that are accepted, over the usual size of the element's tensors: of converged calculations, and per Å that
# the structure deviates. Charges at 2 Å give 3/r = 1.5 per Å of a single bond's field gradient, and single bonds give
# ten times what is left of their sum. Of 600 operations of real crystals the largest slope was 18.
ROUNDING, PER_ANGSTROM = 0.1, 20.0
SURE = 2.5  # times what is accepted
SMALLEST = {"efg": 1.0, "ms": 5.0}  # V/Å² and ppm: tensors below this are noise of cubic sites
FEW = 200  # atoms: in larger structures most operations are translations of a supercell


def sizes_of(entries: Sequence[Entry], labels: Sequence[np.ndarray | None], target: str) -> dict[str, float]:
    """Usual norm of the anisotropic part of an element's tensors, in the target's unit."""
    norms: dict[str, list] = {}
    for entry, rows in zip(entries, labels, strict=True):
        if rows is not None:
            traceless = rows - np.trace(rows, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
            for symbol, norm in zip(entry.atoms.symbols, np.linalg.norm(traceless, axis=(1, 2)), strict=True):
                norms.setdefault(str(symbol), []).append(norm)
    return {
        symbol: max(float(np.nanpercentile(own, 75)), SMALLEST[target])
        for symbol, own in norms.items()
        if np.isfinite(own).any()
    }


def symmetry_findings(
    entries: Sequence[Entry],
    labels: dict[str, list[np.ndarray | None]],
    tell: Callable[[int], None] = lambda done: None,
) -> list[Finding]:
    """Tensors that are not invariant under the symmetry of their structure.

    Args:
        entries: structures that can be used.
        labels: by target, (atoms, 3, 3) of each structure, NaN or None where there are none.
        tell: is told how many structures are done.
    """
    sizes = {target: sizes_of(entries, rows, target) for target, rows in labels.items()}
    findings = []
    for number, entry in enumerate(entries):
        here = {target: rows[number] for target, rows in labels.items() if rows[number] is not None}
        if here and len(entry.atoms) > 1:
            most = 200 if len(entry.atoms) < FEW else 48
            operations = superpositions(entry.atoms, entry.atoms, TOLERANCE, most)
            for target, rows in here.items():
                findings += _broken(entry, rows, operations, sizes[target], target)
        tell(number + 1)
    return findings


def _broken(entry: Entry, rows: Float[np.ndarray, "atoms 3 3"], operations, sizes, target: str) -> list[Finding]:
    size = np.array([sizes.get(str(symbol), 1.0) for symbol in entry.atoms.symbols])
    worst, what = np.zeros(len(rows)), [""] * len(rows)
    agree, total = np.zeros(len(rows)), np.zeros(len(rows))
    for one in operations:
        image = np.einsum("ij,njk,lk->nil", one.rotation, rows, one.rotation)
        gap = np.linalg.norm(rows[one.partner] - image, axis=(1, 2)) / size
        excess = np.nan_to_num(gap / (ROUNDING + PER_ANGSTROM * one.deviation))
        for end in (np.arange(len(rows)), one.partner):
            np.add.at(agree, end, excess < 1.0)
            np.add.at(total, end, 1.0)
        for atom in np.flatnonzero(excess > worst):
            worst[atom] = excess[atom]
            partner = int(one.partner[atom])
            whose = "its site" if partner == atom else f"the symmetry that maps it onto atom {partner}"
            what[atom] = (
                f"under {whose} ({_named(one.rotation)}, atoms within {one.deviation:.3f} Å) '{target}' changes by "
                f"{gap[atom]:.2f} of its usual size, {excess[atom]:.1f} times what is accepted"
            )
    bad = np.flatnonzero(worst > 1.0)
    if not len(bad):
        return []
    # Equivalent atoms outvote a wrong one among them.
    share = agree / np.maximum(total, 1.0)
    blamed = bad[share[bad] <= share[bad].min() + 0.1]
    remedy = (
        "structure and tensors do not belong together: the tensors are turned, permuted, or of another structure; read "
        "both from the same output"
    )
    return [
        Finding(
            "symmetry",
            "error" if worst[atom] > SURE else "warning",
            f"{name_atom(entry.atoms, int(atom))}: {what[atom]}",
            remedy,
            **entry.place,
            atom=int(atom),
        )
        for atom in blamed[np.argsort(-worst[blamed], kind="stable")]
    ]


def _named(rotation: np.ndarray) -> str:
    """As in "rotation by 120°", "mirror"."""
    proper = np.linalg.det(rotation) > 0
    turn = rotation if proper else -rotation
    angle = round(float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0)))))
    if proper:
        return f"rotation by {angle}°" if angle else "translation"
    return {0: "inversion", 180: "mirror"}.get(angle, f"rotation by {angle}° with inversion")
