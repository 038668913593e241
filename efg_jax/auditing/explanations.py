"""What happened to labels that do not fit their structures: turned, permuted, of another frame, another sign or unit.

Labels and held-out predictions are compared as irreps in units of the residual that is usual for their element and
environment. An explanation counts where labels fit badly as they are and well when it is undone.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment
from scipy.spatial.transform import Rotation

from efg_jax.auditing.findings import Finding, listed
from efg_jax.auditing.sources import Entry
from efg_jax.structures.checks import name_atom
from efg_jax.tensors.efg import V_PER_ANGSTROM2_PER_ATOMIC_UNIT
from efg_jax.tensors.irreps import Irrep

# Mean square of a frame's residuals, in units of the usual one, and relative to the variance of the labels, from which
# labels count as wrong, and the part of it that an explanation may leave.
MISFIT, VARIANCE, LEFT = 16.0, 0.03, 0.25
LEAST_ANGLE = 15.0  # degrees; less is the error of a quick model's axes
TURNS = Rotation.random(3000, random_state=np.random.default_rng(7)).as_matrix()
OUTLIER, ATOM_LEFT, ATOM_VARIANCE = 12.0, 0.1, 0.3
LOOKED_AT = 5.0  # standardised residual of an atom from which a frame is looked at
DISTINCT = 50.0  # misfit of the labels of other atoms, times the root of their number, from which an exchange counts
AU = V_PER_ANGSTROM2_PER_ATOMIC_UNIT
UNITS = {
    "efg": {
        AU: "they are in atomic units",
        1 / AU: "they were converted from atomic units twice",
        10.0: "they are in 10²¹ V/m²",
    },
    "ms": {1e6: "they are fractions, not ppm", 1e-6: "they were multiplied by 10⁶ twice"},
}
ORDERS = {
    "xx yy zz yz xz xy": (1, 2, 0),
    "xx yy zz xy yz xz": (0, 2, 1),
    "xx yy zz xz xy yz": (1, 0, 2),
    "xx yy zz xz yz xy": (2, 0, 1),
    "xx yy zz yz xy xz": (2, 1, 0),
}
"""Orders of the six components by where xy, xz and yz are taken from."""
OFF = ((0, 1), (0, 2), (1, 2))


class Compared(NamedTuple):
    """Labels of one frame and what the others predict for them, for the atoms that have both.

    Attributes:
        atoms: their indices.
        labels, predicted: irreps side by side, in the target's unit; of λ = 0, the difference from the element's mean.
        usual: residual that is usual for each number.
        signal: standard deviation of the labels of the element, by number.
    """

    atoms: Int[np.ndarray, " atoms"]
    labels: Float[np.ndarray, "atoms numbers"]
    predicted: Float[np.ndarray, "atoms numbers"]
    usual: Float[np.ndarray, "atoms numbers"]
    signal: Float[np.ndarray, "atoms numbers"]

    def misfit(self, labels: np.ndarray) -> Float[np.ndarray, " atoms"]:
        """Mean square of these labels' residuals, in usual ones."""
        return np.mean(((labels - self.predicted) / self.usual) ** 2, axis=1)

    @property
    def variance(self) -> Float[np.ndarray, " atoms"]:
        """Mean square of the residuals over the variance of the labels."""
        return np.mean(((self.labels - self.predicted) / self.signal) ** 2, axis=1)


class Explanation(NamedTuple):
    """Labels as they would be without one fault.

    Attributes:
        kind: of the finding.
        words: what happened, and what to do.
        labels: undone; None where only some atoms are meant.
        moved: atoms that it touches, as places in `Compared`.
    """

    kind: str
    words: str
    remedy: str
    labels: np.ndarray
    moved: np.ndarray


def explained_findings(
    entries: Sequence[Entry],
    compared: Sequence[Compared | None],
    target: str,
    irreps: Sequence[Irrep],
    centres: dict[str, float],
) -> list[Finding]:
    """Findings about the frames and atoms whose labels do not fit.

    Args:
        entries: structures.
        compared: labels and predictions of each; None where there are none.
        target: "efg" or "ms".
        irreps: in the order of the numbers.
        centres: mean of λ = 0 by element, which the numbers do not contain.
    """
    findings = []
    for number, one in enumerate(compared):
        if one is None or not len(one.atoms):
            continue
        misfit = one.misfit(one.labels)
        if max(misfit.max(), misfit.mean() * 4.0) < LOOKED_AT**2:
            continue
        entry, symbols = entries[number], np.asarray(entries[number].atoms.symbols)[one.atoms]
        centre = np.array([centres.get(symbol, 0.0) for symbol in symbols])
        options = [
            *_simple(one, target, irreps, centre),
            *_turned(one, irreps),
            *_permuted(one, centre),
            *_of_another(entries, compared, number, symbols),
        ]
        found = _best(one, misfit, options)
        if found is not None:
            moved = found.moved
            before, after = (float(np.mean(m[moved])) for m in (misfit, one.misfit(found.labels)))
            evidence = (
                f"'{target}': {found.words}. The residual of a held-out λ-SOAP model is {np.sqrt(before):.0f} times "
                f"the usual one as it is, {np.sqrt(after):.1f} times with that undone"
            )
            findings.append(
                Finding(
                    found.kind,
                    "error",
                    evidence,
                    found.remedy,
                    **entry.place,
                    atom=int(one.atoms[moved[0]]) if len(moved) == 1 else None,
                )
            )
            misfit = np.where(np.isin(np.arange(len(misfit)), moved), 0.0, misfit)
        findings += _atoms(entry, one, misfit, target, irreps, centre)
    return findings


def _best(one: Compared, misfit: np.ndarray, options: Sequence[Explanation]) -> Explanation | None:
    """The simplest of the explanations that explain nearly as much as the best."""
    good = []
    for option in options:
        moved = option.moved
        before, after = misfit[moved].sum(), one.misfit(option.labels)[moved].sum()
        wrong = before > MISFIT * len(moved) and one.variance[moved].mean() > VARIANCE
        if len(moved) and wrong and after < LEFT * before:
            good.append((misfit.sum() - before + after, option))
    if not good:
        return None
    least = min(left for left, _ in good)
    return next(option for left, option in good if left <= 1.5 * least + len(misfit))


def _slices(irreps: Sequence[Irrep]) -> dict[Irrep, slice]:
    """Where the numbers of each irrep are."""
    ends = np.cumsum([2 * order + 1 for order, _ in irreps])
    return {irrep: slice(end - (2 * irrep[0] + 1), end) for irrep, end in zip(irreps, ends, strict=True)}


def _simple(one: Compared, target: str, irreps: Sequence[Irrep], centre: np.ndarray) -> Iterator[Explanation]:
    """Sign, transposition, shift, unit, order of the components."""
    where, everything = _slices(irreps), np.arange(len(one.atoms))
    full = one.labels.copy()
    if (0, 1) in where:
        full[:, where[0, 1]] += centre[:, None]

    def undone(labels: np.ndarray) -> np.ndarray:
        labels = labels.copy()
        if (0, 1) in where:
            labels[:, where[0, 1]] -= centre[:, None]
        return labels

    yield Explanation("sign", "the tensors have the opposite sign", "multiply them by −1", undone(-full), everything)
    if (1, -1) in where:
        labels = one.labels.copy()
        labels[:, where[1, -1]] *= -1.0
        yield Explanation(
            "transposed",
            "the antisymmetric parts have the opposite sign: the tensors are transposed",
            "transpose them: the first index is the induced field (docs/conventions.md)",
            labels,
            everything,
        )
    if (0, 1) in where:
        labels = -one.labels
        offset = one.labels[:, 0] + one.predicted[:, 0]
        for value in np.unique(centre):
            own = centre == value
            labels[own, 0] += np.median(offset[own])
        yield Explanation(
            "sign",
            "the tensors are shifts δ, not shieldings σ",
            "learn σ = σ_ref − δ, tensors included",
            labels,
            everything,
        )
    for factor, words in UNITS.get(target, {}).items():
        yield Explanation(
            "units",
            f"{words} (factor {factor:.6g})",
            f"multiply them by {factor:.6g}",
            undone(full * factor),
            everything,
        )
    even = _matrices(one.labels[:, where[2, 1]])
    for name, source in ORDERS.items():
        matrix = even.copy()
        for (i, j), k in zip(OFF, source, strict=True):
            matrix[:, i, j] = matrix[:, j, i] = even[:, OFF[k][0], OFF[k][1]]
        labels = one.labels.copy()
        labels[:, where[2, 1]] = _numbers(matrix)
        yield Explanation(
            "rotated",
            f"the six components were written in the order {name}, and read in another",
            "read the components in their order, 3×3 row by row",
            labels,
            everything,
        )


_B = np.zeros((5, 3, 3))
_B[0, 0, 1] = _B[0, 1, 0] = _B[1, 1, 2] = _B[1, 2, 1] = _B[3, 0, 2] = _B[3, 2, 0] = np.sqrt(0.5)
_B[2] = np.diag([-1.0, -1.0, 2.0]) / np.sqrt(6.0)
_B[4] = np.diag([1.0, -1.0, 0.0]) / np.sqrt(2.0)


def _matrices(numbers: Float[np.ndarray, "n 5"]) -> Float[np.ndarray, "n 3 3"]:
    """Symmetric traceless matrices of λ = 2 (`efg_jax.tensors.irreps`)."""
    return np.einsum("nm,mij->nij", numbers, _B)


def _numbers(matrices: Float[np.ndarray, "n 3 3"]) -> Float[np.ndarray, "n 5"]:
    return np.einsum("nij,mij->nm", matrices, _B)


def _turned(one: Compared, irreps: Sequence[Irrep]) -> Iterator[Explanation]:
    """The rotation that brings the labels of λ = 2 nearest to the predictions."""
    where = _slices(irreps)
    if len(one.atoms) < 2:
        return
    own, theirs = _matrices(one.labels[:, where[2, 1]]), _matrices(one.predicted[:, where[2, 1]])
    weight = 1.0 / np.mean(one.usual[:, where[2, 1]] ** 2, axis=1)
    overlap = np.einsum("n,nac,nbd->abcd", weight, theirs, own)

    def score(turns: np.ndarray) -> np.ndarray:
        return np.einsum("xab,xcd,abcd->x", turns, turns, overlap, optimize=True)

    turn = TURNS[np.argmax(score(TURNS))]
    generator = np.random.default_rng(0)
    for width in (0.3, 0.1, 0.03, 0.01, 0.003):
        near = (
            Rotation.from_rotvec(np.vstack([np.zeros(3), width * generator.normal(size=(200, 3))])).as_matrix() @ turn
        )
        turn = near[np.argmax(score(near))]
    angle = float(np.degrees(np.arccos(np.clip((np.trace(turn) - 1.0) / 2.0, -1.0, 1.0))))
    if angle < LEAST_ANGLE:
        return
    labels = one.labels.copy()
    labels[:, where[2, 1]] = _numbers(turn @ own @ turn.T)
    if (1, -1) in where:  # (a_y, a_z, a_x)
        vectors = np.roll(one.labels[:, where[1, -1]], 1, axis=1) @ turn.T
        labels[:, where[1, -1]] = np.roll(vectors, -1, axis=1)
    axis = Rotation.from_matrix(turn).as_rotvec()
    axis = axis / np.linalg.norm(axis)
    about = f"({axis[0]:.2f}, {axis[1]:.2f}, {axis[2]:.2f})"
    words = f"the tensors are turned against the structure, by {angle:.0f}° about {about}"
    if np.abs(np.abs(turn).max(axis=1) - 1.0).max() < 0.01:
        order = ", ".join(
            f"{'xyz'[b]} → {'−' if turn[a, b] < 0 else ''}{'xyz'[a]}" for a, b in enumerate(np.abs(turn).argmax(axis=1))
        )
        words += f"; that permutes the axes ({order})"
    yield Explanation(
        "rotated",
        words,
        "give structure and tensors in one frame: codes that turn or reduce the cell print tensors in the new axes",
        labels,
        np.arange(len(one.atoms)),
    )


def _permuted(one: Compared, centre: np.ndarray) -> Iterator[Explanation]:
    """The assignment of labels to atoms that fits best."""
    full = one.labels.copy()
    scalar = full.shape[1] in (1, 6, 9)
    if scalar:
        full[:, 0] += centre
    gap = np.zeros((len(full), len(full)))
    for k in range(full.shape[1]):
        here = full[None, :, k] - (centre[:, None] if scalar and k == 0 else 0.0)
        gap += ((here - one.predicted[:, k, None]) / one.usual[:, k, None]) ** 2
    _, source = linear_sum_assignment(gap / full.shape[1])
    moved = np.flatnonzero(source != np.arange(len(source)))
    labels = full[source]
    if scalar:
        labels[:, 0] -= centre
    # An exchange that gains little is noise of the assignment: atoms that fit before stay.
    gain = one.misfit(one.labels)[moved] > LOOKED_AT
    moved = moved[gain] if gain.any() else moved[:0]
    # Where the labels of most atoms would fit as well, an exchange says nothing; many atoms say more than two.
    usual = np.median(gap / full.shape[1], axis=1)[moved]
    if len(moved) and usual.mean() * np.sqrt(len(moved)) > DISTINCT:
        pairs = [f"{one.atoms[i]} ← {one.atoms[source[i]]}" for i in moved]
        yield Explanation(
            "permuted",
            f"{len(moved)} tensors belong to other atoms (atom ← whose tensor it should have: {listed(pairs, 8)})",
            "match the order of atoms in structure and tensors (codes sort by element)",
            labels,
            moved,
        )


def _of_another(
    entries, compared: Sequence[Compared | None], number: int, symbols: np.ndarray
) -> Iterator[Explanation]:
    """The labels of another frame with the same atoms, if they fit better."""
    one, others = compared[number], []
    for other, it in enumerate(compared):
        alike = it is not None and other != number and np.array_equal(it.atoms, one.atoms)
        if alike and np.array_equal(np.asarray(entries[other].atoms.symbols)[it.atoms], symbols):
            others.append((other, it.labels))
    if not others:
        return
    other, labels = min(others, key=lambda pair: one.misfit(pair[1]).sum())
    yield Explanation(
        "swapped",
        f"they are those of another structure: the tensors of {entries[other].named} fit here",
        "match structures and calculations again, by name rather than by their order",
        labels,
        np.arange(len(one.atoms)),
    )


def _atoms(entry: Entry, one: Compared, misfit: np.ndarray, target: str, irreps, centre) -> Iterator[Finding]:
    """Single atoms whose labels do not fit."""
    for place in np.argsort(-misfit, kind="stable"):
        if misfit[place] < OUTLIER**2 or one.variance[place] < VARIANCE:
            continue
        single = Compared(*(part[[place]] for part in one))
        explained = [
            option
            for option in _simple(single, target, irreps, centre[[place]])
            if option.kind in ("sign", "transposed")
            and "δ" not in option.words
            and one.variance[place] > ATOM_VARIANCE
            and single.misfit(option.labels)[0] < ATOM_LEFT * misfit[place]
        ]
        name, times = name_atom(entry.atoms, int(one.atoms[place])), np.sqrt(misfit[place])
        part = np.sqrt(one.variance[place])
        what = (
            f"{name}: '{target}' is off the prediction of the other frames by {part:.2g} standard deviations of its "
            f"element, {times:.0f} times the usual residual"
        )
        if explained:
            what += f"; {explained[0].words.replace('the tensors have', 'it has').replace('they are', 'it is')}"
        yield Finding(
            explained[0].kind if explained else "outlier",
            "error" if explained else "warning",
            what,
            explained[0].remedy
            if explained
            else "look at the calculation (convergence, spin, geometry), or leave the atom out",
            **entry.place,
            atom=int(one.atoms[place]),
        )
