"""Whether all labels come from one level of theory: what the frames say, and what their residuals say."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from efg_jax.auditing.comparison import Learned
from efg_jax.auditing.findings import Finding
from efg_jax.auditing.sources import Entry

# Words in names of info that say how tensors were computed. k-points and smearing change with the cell.
NOTES = ("code", "calculator", "program", "software", "xc", "functional", "basis", "ecut", "encut", "cutoff", "setups")
PARTS = ("pseudo", "potcar", "relativ", "dispersion")
NOT_NOTES = ("cutoffenergy_units",)

# Two groups count as two levels of theory if they explain this part of the variance of their values, and their means
# are this many standard deviations within a group apart. A normal distribution cut in the middle has 0.64 and 2.6.
EXPLAINED, APART = 0.85, 5.0
LEAST_GROUP = 4  # frames
SCALE, OFFSET = 0.03, 0.02  # smallest factor − 1, and smallest offset over the standard deviation of σ_iso, that count


def theory_findings(entries: Sequence[Entry], learned: Mapping[str, Learned], ignored: set[int]) -> list[Finding]:
    """Findings about mixed codes and levels of theory.

    Args:
        entries: structures.
        learned: by target.
        ignored: numbers of the frames about which something is found already.
    """
    notes = _notes(entries)
    findings = _noted(entries, notes)
    for target, one in learned.items():
        for what, values in _frame_values(entries, one, target, ignored).items():
            found = _two_groups(entries, values, what, target, notes)
            if found is not None:
                findings.append(found)
    return findings


def _notes(entries: Sequence[Entry]) -> dict[str, list[str | None]]:
    """What frames say about their calculation, by name."""
    names = {
        name
        for entry in entries
        for name in entry.atoms.info
        if isinstance(name, str)
        and name not in NOT_NOTES
        and (any(word in name.lower().split("_") for word in NOTES) or any(part in name.lower() for part in PARTS))
    }
    notes = {}
    for name in sorted(names):
        values = [entry.atoms.info.get(name) for entry in entries]
        notes[name] = [None if value is None else str(value) for value in values]
    return notes


def _noted(entries: Sequence[Entry], notes: Mapping[str, Sequence[str | None]]) -> list[Finding]:
    findings = []
    for name, values in notes.items():
        counts = Counter(value for value in values if value is not None)
        if 1 < len(counts) <= max(10, len(entries) // 10):
            told = ", ".join(f"{value!r} in {count} frames" for value, count in counts.most_common(5))
            rare = counts.most_common()[-1][0]
            place = entries[list(values).index(rare)].place if counts[rare] == 1 else _where(entries)
            findings.append(
                Finding(
                    "theory",
                    "warning",
                    f"info['{name}'] differs: {told}",
                    "learn from one level of theory: compute the others again, or train a model for each",
                    **place,
                )
            )
    return findings


def _frame_values(entries, learned: Learned, target: str, ignored: set[int]) -> dict[str, dict[int, float]]:
    """One number a frame: the factor by which its tensors are larger than predicted, and the offset of σ_iso, ppm."""
    values: dict[str, dict[int, float]] = defaultdict(dict)
    scalar = target == "ms"
    for number, one in enumerate(learned.compared):
        if one is None or number in ignored or len(one.atoms) == 0:
            continue
        symbols = np.asarray(entries[number].atoms.symbols)[one.atoms]
        good = np.array([learned.skill[symbol][2, 1] > 0.5 for symbol in symbols])
        two = slice(-5, None)
        weight = 1.0 / one.usual[good, two] ** 2
        norm = np.sum(weight * one.predicted[good, two] ** 2)
        if good.any() and norm > 0:
            values["factor"][number] = float(np.sum(weight * one.labels[good, two] * one.predicted[good, two]) / norm)
        for symbol in set(symbols) if scalar else ():
            own = symbols == symbol
            offset = one.labels[own, 0] - one.predicted[own, 0]
            values[f"offset of {symbol}"][number] = float(offset.mean()) / float(one.signal[own, 0][0])
    return values


def _two_groups(entries, values: Mapping[int, float], what: str, target: str, notes) -> Finding | None:
    """The cut that separates the frames best into two groups, if it does."""
    if len(values) < 3 * LEAST_GROUP:
        return None
    numbers, numeric = np.array(list(values)), np.array(list(values.values()))
    order = np.argsort(numeric)
    numbers, numeric = numbers[order], numeric[order]
    best = (0.0, 0)
    total = np.var(numeric) + 1e-300
    for cut in range(LEAST_GROUP, len(numeric) - LEAST_GROUP + 1):
        within = (np.var(numeric[:cut]) * cut + np.var(numeric[cut:]) * (len(numeric) - cut)) / len(numeric)
        best = max(best, (1.0 - within / total, cut))
    explained, cut = best
    low, high = numeric[:cut], numeric[cut:]
    spread = np.sqrt((np.var(low) * len(low) + np.var(high) * len(high)) / len(numeric)) + 1e-300
    apart = (high.mean() - low.mean()) / spread
    least = SCALE if what == "factor" else OFFSET
    if explained < EXPLAINED or apart < APART or high.mean() - low.mean() < least:
        return None
    few = numbers[:cut] if len(low) < len(high) else numbers[cut:]
    frames = ", ".join(str(entries[i].frame) for i in sorted(few)[:10]) + (", ..." if len(few) > 10 else "")
    means = (low.mean(), high.mean()) if len(low) >= len(high) else (high.mean(), low.mean())
    if what == "factor":
        ratio = means[1] / means[0]
        told = f"the tensors '{target}' of {len(few)} frames are {ratio:.3f} times as large as those of the others"
    else:
        told = (
            f"'{target}', {what}: {len(few)} frames differ by {means[1] - means[0]:+.2f} standard deviations of σ_iso"
        )
    same = [
        name
        for name, noted in notes.items()
        if len({noted[i] for i in few} & {noted[i] for i in numbers if i not in set(few)}) == 0
    ]
    if same:
        told += f"; they also differ in info['{same[0]}']"
    return Finding(
        "theory",
        "error" if explained > 0.9 and apart > 2 * APART else "warning",
        f"{told}, {apart:.0f} standard deviations within a group apart; frames {frames}",
        "these frames were probably computed in another way: compute them again, or leave them out",
        **_where(entries, few),
    )


def _where(entries: Sequence[Entry], numbers: Sequence[int] | None = None) -> dict:
    files = {entries[i].file for i in (range(len(entries)) if numbers is None else numbers)}
    return {"file": next(iter(files)) if len(files) == 1 else None, "frame": None}
