"""What can be said of labels one by one: missing, damaged, no tensor of their kind, copied."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from efg_jax.auditing.findings import Finding, of_error
from efg_jax.auditing.sources import Entry
from efg_jax.auditing.superposition import superpositions
from efg_jax.errors import InputError
from efg_jax.structures.checks import PRINTED, name_atom
from efg_jax.structures.declared_units import check_units
from efg_jax.structures.targets import KNOWN, find, shaped

TARGETS = ("efg", "ms")
TOLERANCE = 1e-3  # asymmetry and trace of a field gradient over its norm that count as rounding
SAME = 0.02  # Å
FAR = 0.05  # beyond which they are an error


def label_findings(
    entries: Sequence[Entry], names: dict[str, str]
) -> tuple[list[Finding], dict[str, list[np.ndarray | None]]]:
    """Findings about labels, and the labels that are left: by target, (atoms, 3, 3) or None for each structure.

    Field gradients are returned symmetric and traceless, unless they are far from it; rows of NaN are no labels.

    Args:
        entries: structures.
        names: array of each target in the frames.
    """
    findings: list[Finding] = []
    labels: dict[str, list[np.ndarray | None]] = {}
    for target, key in names.items():
        having = [find(entry.atoms, key, "atom") is not None for entry in entries]
        if not any(having):
            continue
        labels[target] = []
        for entry, has in zip(entries, having, strict=True):
            if not has:
                findings.append(
                    Finding(
                        "unlabelled",
                        "warning",
                        f"carries no '{key}', which {sum(having)} of {len(having)} structures have",
                        "compute its tensors, or leave it out of training",
                        **entry.place,
                    )
                )
                labels[target].append(None)
                continue
            found, rows = _labels(entry, target, key)
            findings += found
            labels[target].append(rows)
        findings += _gaps(entries, labels[target], key) + _copies(entries, labels[target], key)
    return findings, labels


def _labels(entry: Entry, target: str, key: str) -> tuple[list[Finding], np.ndarray | None]:
    atoms, findings = entry.atoms, []
    try:
        check_units(atoms, 0, key, target)
    except InputError as error:
        return [of_error(error, "units", **entry.place)], None
    try:
        rows = shaped(find(atoms, key, "atom")[1], key, "atom", "matrix", atoms, 0)[1].copy()
    except InputError as error:
        return [*findings, of_error(error, "damaged", **entry.place)], None

    def say(kind, severity, atom, evidence, remedy):
        findings.append(
            Finding(kind, severity, f"{name_atom(atoms, int(atom))}: {evidence}", remedy, **entry.place, atom=int(atom))
        )

    absent = np.isnan(rows).all(axis=(1, 2))
    damaged = ~absent & ~np.isfinite(rows).all(axis=(1, 2))
    for atom in np.flatnonzero(damaged):
        say("damaged", "error", atom, f"'{key}' has numbers that are not finite", "give all nine, or NaN for no label")
    rows[damaged] = np.nan
    norms = np.linalg.norm(rows, axis=(1, 2))
    if np.sum(norms == 0.0) > max(1, 0.5 * np.sum(~np.isnan(norms))):
        evidence = f"'{key}' is exactly zero on {np.sum(norms == 0.0)} of {len(norms)} atoms: a placeholder?"
        findings.append(Finding("unlabelled", "error", evidence, "write NaN where there is no tensor", **entry.place))
        rows[norms == 0.0] = np.nan
    if KNOWN[target].traceless:
        transposed = rows.swapaxes(1, 2)
        asymmetry = np.linalg.norm(rows - transposed, axis=(1, 2))
        trace = np.abs(np.trace(rows, axis1=1, axis2=2))
        with np.errstate(invalid="ignore", divide="ignore"):
            for kind, excess, what, remedy in (
                ("asymmetric", asymmetry, "|V − Vᵀ|", "check the order of the nine numbers (a 3×3 matrix row by row)"),
                (
                    "traced",
                    trace,
                    "|Tr V|",
                    "check that it is a field gradient (a shielding is 'ms'), and its nine numbers",
                ),
            ):
                for atom in np.argsort(-excess / norms, kind="stable"):
                    if excess[atom] > max(TOLERANCE * norms[atom], PRINTED):
                        sure = "error" if excess[atom] > FAR * norms[atom] else "warning"
                        evidence = f"{what} is {excess[atom] / norms[atom]:.2g} of the tensor's norm"
                        say(kind, sure, atom, evidence, remedy)
        wrong = (asymmetry > FAR * norms) | (trace > FAR * norms)
        rows = (rows + transposed) / 2
        rows = rows - np.trace(rows, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
        rows[wrong] = np.nan
    return findings, rows


def _gaps(entries: Sequence[Entry], labels: Sequence[np.ndarray | None], key: str) -> list[Finding]:
    """Atoms without a label, of elements that have labels elsewhere."""
    known = {
        str(symbol)
        for entry, rows in zip(entries, labels, strict=True)
        if rows is not None
        for symbol in entry.atoms.symbols[np.isfinite(rows).all(axis=(1, 2))]
    }
    findings = []
    for entry, rows in zip(entries, labels, strict=True):
        if rows is None:
            continue
        raw = np.asarray(find(entry.atoms, key, "atom")[1], dtype=float).reshape(len(rows), -1)
        absent = np.isnan(raw).all(axis=1) & np.isin(np.asarray(entry.atoms.symbols), list(known))
        for atom in np.flatnonzero(absent):
            evidence = f"{name_atom(entry.atoms, int(atom))} has no '{key}' (NaN), other atoms of the element have"
            remedy = "training leaves it out: see that this is meant"
            findings.append(Finding("unlabelled", "warning", evidence, remedy, **entry.place, atom=int(atom)))
    return findings


def _copies(entries: Sequence[Entry], labels: Sequence[np.ndarray | None], key: str) -> list[Finding]:
    """Different structures with the very same numbers."""
    by_numbers: dict[bytes, list[int]] = defaultdict(list)
    for i, rows in enumerate(labels):
        if rows is not None and np.isfinite(rows).any() and np.nanmax(abs(rows)) > 0:
            unit = 10.0 ** np.floor(np.log10(np.nanmax(abs(rows))))
            by_numbers[np.round(np.nan_to_num(rows) / unit, 6).tobytes()].append(i)
    findings = []
    for group in by_numbers.values():
        first = entries[group[0]]
        for i in group[1:]:
            if len(first.atoms) == 1:
                continue  # single atoms in boxes of different size have equal tensors
            if superpositions(first.atoms, entries[i].atoms, SAME, most=1):
                continue  # the same structure, which is another finding
            findings.append(
                Finding(
                    "copied",
                    "error",
                    f"'{key}' has the very numbers of {first.named}, but the structure is another",
                    "one of the two has labels that are not its own: read them again from the calculations",
                    **entries[i].place,
                )
            )
    return findings
