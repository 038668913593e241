"""Labels beside what a quick model, trained on the other frames, predicts for them."""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from efg_jax.auditing.explanations import MISFIT, Compared
from efg_jax.auditing.findings import Finding
from efg_jax.auditing.held_out_tensors import Described, held_out
from efg_jax.auditing.sources import Entry
from efg_jax.descriptors import INVARIANT, Irrep
from efg_jax.structures.targets import KNOWN, to_irreps

logger = logging.getLogger(__name__)

LEAST_FRAMES, LEAST_ATOMS = 8, 30  # of an element with labels, below which nothing is learned of it
SKILL = 0.1  # part of the variance that is explained, below which labels have nothing to do with their structures
INVARIANT_SKILL = 0.4  # of the sizes of tensors, from which their directions should be learnable as well
ENOUGH = 200  # atoms
NOISE = 1e-3  # smallest residual that is taken for usual, over the standard deviation of the labels
LEARNED = 4000  # atoms of an element that are learned from; all are predicted
ALIKE = 12  # similar environments whose residuals are compared
LARGEST = 0.25  # residual over the standard deviation of the labels that similar environments can excuse
DISTRUSTED = 6.0  # times the usual residual: learned from no more in the second round


class Learned(NamedTuple):
    """One target of all frames.

    Attributes:
        irreps: in the order of the numbers.
        compared: labels and predictions of each frame; None where there are none.
        centres: mean of λ = 0 by element.
        skill: part of the variance that is explained, by element and irrep.
        size_skill: the same of the norms of λ = 2, by element.
    """

    irreps: tuple[Irrep, ...]
    compared: list[Compared | None]
    centres: dict[str, float]
    skill: dict[str, dict[Irrep, float]]
    size_skill: dict[str, float]


def learn(
    entries: Sequence[Entry], labels: Sequence[np.ndarray | None], described: Described, target: str
) -> tuple[Learned, list[str]]:
    """Predictions of every labelled atom without its frame, and what could not be learned, in words.

    What does not fit at all in a first round is not learned from in the second.

    Args:
        entries: structures.
        labels: (atoms, 3, 3) of each, NaN or None where there are none.
        described: their columns.
        target: "efg" or "ms".
    """
    known = KNOWN[target]
    found: list[dict[str, list]] = [{} for _ in entries]
    skill, sizes, centres, said, kept_irreps = {}, {}, {}, [], known.irreps
    blank = [
        np.full((len(entry.atoms), 3, 3), np.nan) if rows is None else rows
        for entry, rows in zip(entries, labels, strict=True)
    ]
    everything = np.concatenate([rows.reshape(-1, 3, 3) for rows in blank])
    odd = np.linalg.norm(everything - everything.swapaxes(1, 2), axis=(1, 2))
    if (1, -1) in known.irreps and not np.nanmax(odd, initial=0.0) > 1e-6 * np.nanmax(np.abs(everything), initial=1.0):
        kept_irreps = tuple(irrep for irrep in known.irreps if irrep != (1, -1))
    for element in sorted(described.columns):
        where = [np.flatnonzero(entry.atoms.symbols == element) for entry in entries]
        group = np.repeat(np.arange(len(entries)), [len(own) for own in where])
        atom = np.concatenate(where)
        values = np.concatenate([rows[own] for rows, own in zip(blank, where, strict=True)])
        has = np.isfinite(values).all(axis=(1, 2))
        if not has.any():
            continue
        labelled = len(np.unique(group[has]))
        if has.sum() < LEAST_ATOMS or labelled < LEAST_FRAMES:
            few = f"{has.sum()} labels in {labelled} frames"
            said.append(f"'{target}' of {element}: {few} are too few to predict one frame from the others")
            continue
        logger.info("predicting '%s' of %d %s atoms, each without its frame", target, has.sum(), element)
        parts = {irrep: np.asarray(part) for irrep, part in to_irreps(known, values).items() if irrep in kept_irreps}
        columns = described.columns[element]
        centres[element] = 0.0
        if INVARIANT in parts:
            centres[element] = float(np.median(parts[INVARIANT][has]))
            parts[INVARIANT] = parts[INVARIANT] - centres[element]
        judged = _judged(columns, parts, group, has)
        skill[element] = {
            irrep: _skill(one.residual[has], one.labels[has], irrep == INVARIANT) for irrep, one in judged.items()
        }
        sizes[element] = _size_skill(columns[INVARIANT], parts[2, 1], group, has)
        for number in np.unique(group[has]):
            own = np.flatnonzero(has & (group == number))
            found[number].setdefault("atoms", []).append(atom[own])
            for name in ("labels", "predicted", "usual", "signal"):
                rows = np.concatenate([getattr(one, name)[own] for one in judged.values()], axis=1)
                found[number].setdefault(name, []).append(rows)
    compared = []
    for parts in found:
        if not parts:
            compared.append(None)
            continue
        joined = Compared(**{name: np.concatenate(part) for name, part in parts.items()})
        order = np.argsort(joined.atoms, kind="stable")
        compared.append(Compared(*(part[order] for part in joined)))
    return Learned(kept_irreps, compared, centres, skill, sizes), said


class _Judged(NamedTuple):
    """One irrep of all atoms of an element: (atoms, components), and the norm of the residual of each atom."""

    labels: np.ndarray
    predicted: np.ndarray
    usual: np.ndarray
    signal: np.ndarray
    residual: np.ndarray


def _judged(
    columns: Mapping[Irrep, np.ndarray], parts: Mapping[Irrep, np.ndarray], group: np.ndarray, has: np.ndarray
) -> dict[Irrep, _Judged]:
    """Labels of an element beside their predictions, twice: what does not fit is not learned from again."""
    trusted = _some(has, group)
    found, alike = {}, _alike(columns[INVARIANT], group, trusted)
    for _ in range(2):
        misfit = np.zeros(len(has))
        for irrep, part in parts.items():
            predicted, spread = held_out(columns[irrep], part, group, trusted)
            residual = np.linalg.norm(part - predicted, axis=1)
            mean = part[trusted].mean(axis=0) if irrep == INVARIANT else 0.0
            signal = float(np.sqrt(np.mean(np.sum((part[trusted] - mean) ** 2, axis=1)))) + 1e-300
            usual = _usual(residual, spread, trusted, alike, signal)
            misfit += (residual / usual) ** 2 / len(parts)
            # All numbers of an irrep count together like one: their usual residuals are those of norms.
            width = np.sqrt(part.shape[1])
            wide = np.repeat(usual[:, None] / width, part.shape[1], axis=1)
            found[irrep] = _Judged(part, predicted, wide, np.full(part.shape, signal / width), residual)
        doubtful = has & (np.nan_to_num(misfit) > DISTRUSTED**2)
        if not (doubtful & trusted).any() or doubtful.sum() > 0.5 * has.sum():
            break
        trusted = trusted & ~doubtful
    return found


def _some(has: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Labelled atoms to learn from: all, or of very many an equal share of each frame."""
    place = np.zeros(len(has), dtype=int)
    generator = np.random.default_rng(0)
    for number in np.unique(group[has]):
        own = np.flatnonzero(has & (group == number))
        place[own] = generator.permutation(len(own))
    share = max(1, LEARNED // len(np.unique(group[has])))
    return has & (place < share) if has.sum() > LEARNED else has


def _alike(invariants: np.ndarray, group: np.ndarray, has: np.ndarray) -> Int[np.ndarray, "atoms alike"]:
    """The labelled atoms of other frames with the most similar environments."""
    rows, known = invariants[:, 0].astype(np.float32), np.flatnonzero(has)
    squares, own = np.sum(rows**2, axis=1), np.full((len(rows), ALIKE), -1)
    for block in np.array_split(np.arange(len(rows)), max(1, len(rows) // 512)):
        away = squares[known][None] - 2.0 * rows[block] @ rows[known].T
        away[group[block][:, None] == group[known][None]] = np.inf
        own[block] = known[np.argpartition(away, ALIKE, axis=1)[:, :ALIKE]]
    return own


def _usual(residual, spread, trusted, alike, signal: float) -> Float[np.ndarray, " atoms"]:
    """Residual that is usual for each atom: of its element, or of similar environments where theirs are larger."""
    reduced = residual / spread
    of_element = max(float(np.median(reduced[trusted])), NOISE * signal)
    similar = np.nanmedian(reduced[alike], axis=1)
    return np.maximum(of_element, np.minimum(similar, LARGEST * signal)) * spread


def _skill(residual: np.ndarray, values: np.ndarray, centred: bool) -> float:
    """Explained part of the variance, by medians: a few environments of their own must not decide."""
    centre = np.median(values, axis=0) if centred else 0.0
    return 1.0 - float(np.median(residual**2) / max(np.median(np.sum((values - centre) ** 2, axis=1)), 1e-300))


def _size_skill(columns: np.ndarray, tensors: np.ndarray, group: np.ndarray, has: np.ndarray) -> float:
    norms = np.linalg.norm(np.nan_to_num(tensors), axis=1)[:, None]
    norms = norms - np.median(norms[has])
    predicted = held_out(columns, norms, group, has).predicted
    return _skill(abs(predicted - norms)[has, 0], norms[has], True)


def unrelated_findings(entries: Sequence[Entry], learned: Learned, target: str) -> list[Finding]:
    """Whether the labels of the whole set have to do with its structures at all."""
    counts: dict[str, int] = {}
    for entry, one in zip(entries, learned.compared, strict=True):
        for atom in () if one is None else one.atoms:
            counts[entry.atoms.symbols[atom]] = counts.get(entry.atoms.symbols[atom], 0) + 1
    large = [element for element in learned.skill if counts.get(element, 0) >= ENOUGH]
    if not large or any(learned.skill[element][2, 1] > SKILL for element in large):
        return []
    told = ", ".join(f"{element} {learned.skill[element][2, 1]:.2f}" for element in large)
    sized = [element for element in large if learned.size_skill[element] > INVARIANT_SKILL]
    if sized:
        sizes = ", ".join(f"{element} {learned.size_skill[element]:.2f}" for element in sized)
        evidence = (
            f"'{target}': a model explains the sizes of the tensors ({sizes} of their variance) but not their "
            f"directions ({told})"
        )
        return [
            Finding(
                "rotated",
                "error",
                evidence,
                "every frame's tensors are turned against its structure: take cell and tensors from one output",
                **_whole(entries),
            )
        ]
    return [
        Finding(
            "unrelated",
            "error",
            f"'{target}': a model explains nothing of the tensors from the structures ({told} of their variance)",
            "labels and structures were probably matched in a wrong order: match them by name",
            **_whole(entries),
        )
    ]


def misfit_findings(entries: Sequence[Entry], learned: Learned, target: str, explained: set[int]) -> list[Finding]:
    """Frames whose labels do not fit at all, and nobody knows why.

    Args:
        entries, learned, target: as above.
        explained: numbers of the frames about which something is found already.
    """
    findings = []
    for number, one in enumerate(learned.compared):
        if one is None or number in explained:
            continue
        good = np.array([learned.skill[s][2, 1] > 0.7 for s in np.asarray(entries[number].atoms.symbols)[one.atoms]])
        if good.sum() < 2:
            continue
        misfit, variance = one.misfit(one.labels)[good], one.variance[good]
        if np.median(misfit) > MISFIT and variance.mean() > 0.1:
            findings.append(
                Finding(
                    "foreign",
                    "error" if variance.mean() > 0.5 and np.median(misfit) > 2 * MISFIT else "warning",
                    f"'{target}': the residuals of a held-out model are {np.sqrt(np.median(misfit)):.0f} times the "
                    f"usual ones on half of the {good.sum()} atoms, {np.sqrt(variance.mean()):.2g} standard deviations",
                    "the tensors may be of another structure, or of a calculation that failed: compute it again",
                    **entries[number].place,
                )
            )
    return findings


def _whole(entries: Sequence[Entry]) -> dict:
    return {"file": entries[0].file if len({entry.file for entry in entries}) == 1 else None, "frame": None}
