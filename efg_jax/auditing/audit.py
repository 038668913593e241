"""All checks of an audit, one after the other."""

import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence

from efg_jax.auditing.comparison import learn, misfit_findings, unrelated_findings
from efg_jax.auditing.duplicates import duplicate_findings
from efg_jax.auditing.explanations import explained_findings
from efg_jax.auditing.findings import AuditResult, Finding, sorted_findings
from efg_jax.auditing.held_out_tensors import describe
from efg_jax.auditing.label_checks import TARGETS, label_findings
from efg_jax.auditing.priors import index_order_findings, sign_findings, unit_findings
from efg_jax.auditing.sources import Entry, Sources, read_entries
from efg_jax.auditing.structure_checks import structure_findings
from efg_jax.auditing.symmetry import symmetry_findings
from efg_jax.auditing.theory import theory_findings
from efg_jax.descriptors import INVARIANT
from efg_jax.errors import InputError
from efg_jax.precision import x64
from efg_jax.text import counted

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Is told what is done, how many structures of it, and of how many."""


def audit(
    data: Sources,
    test: Sources | None = None,
    *,
    arrays: Mapping[str, str] | None = None,
    index: str = ":",
    seed: int = 0,
    progress: Progress = lambda what, done, total: None,
) -> AuditResult:
    """Look for wrong labels before they are learned: field gradients ``efg`` and shieldings ``ms``.

    Whatever can be read is looked at; a damaged file or frame is a finding, not an exception. See docs/how-to/audit.md
    for the checks and how many faults they find.

    Args:
        data: structures, files, or names of data sets that ship; one or several.
        test: the test set, likewise: structures that are in both sets are errors.
        arrays: name in the files by target, where they differ: {"efg": "V"}.
        index: structures to take from each file, in ASE's notation.
        seed: of the random choices of the quick model.
        progress: is told what is done, for how many structures, and of how many.

    Returns:
        Findings, the gravest first.

    Raises:
        InputError: there is nothing to look at: no structures are given, a name is neither a file nor a data set, or is
            given twice, or an unknown target is named.
    """
    if unknown := set(arrays or {}) - set(TARGETS):
        raise InputError(f"an audit looks at {' and '.join(TARGETS)}, not at '{min(unknown)}'; leave it out")
    names = {target: (arrays or {}).get(target, target) for target in TARGETS}
    entries, findings = read_entries(data, index)
    if test is not None:
        held, damaged = read_entries(test, index, test=True)
        entries, findings = entries + held, findings + damaged
    if not entries and not findings:
        raise InputError("there are no structures to look at; pass at least one")
    frames = Counter(entry.file for entry in entries)
    atoms = sum(len(entry.atoms) for entry in entries)
    said: list[str] = []
    with x64():
        findings += _checked(entries, names, seed, progress, said)
    return AuditResult(sorted_findings(findings), len(entries), atoms, tuple(said), dict(frames))


def _checked(
    entries: Sequence[Entry], names: Mapping[str, str], seed: int, progress: Progress, said: list[str]
) -> list[Finding]:
    findings, usable = structure_findings(entries)
    entries = [entry for entry, use in zip(entries, usable, strict=True) if use]
    if not all(usable):
        said.append(f"{counted(usable.count(False), 'structure')} could not be looked at further")
    found, labels = label_findings(entries, dict(names))
    findings += found
    if not labels:
        said.append(f"no structure carries {' or '.join(map(repr, names.values()))}: only structures were looked at")
    by_file: dict[str | None, list[int]] = defaultdict(list)
    for number, entry in enumerate(entries):
        by_file[entry.file].append(number)
    for numbers in by_file.values():
        for target, rows in labels.items():
            own = [entries[i] for i in numbers], [rows[i] for i in numbers], target
            findings += unit_findings(*own) + sign_findings(*own)
            findings += index_order_findings(*own) if target == "ms" else []

    def told(what: str) -> Callable[[int], None]:
        return lambda done: progress(what, done, len(entries))

    findings += symmetry_findings(entries, labels, told("symmetry"))
    if not entries:
        return findings
    irreps = (INVARIANT, (2, 1), *([(1, -1)] if "ms" in labels else []))
    described = describe([entry.atoms for entry in entries], irreps, seed, told("environments"))
    learned, explained = {}, set()
    for target, rows in labels.items():
        learned[target], missing = learn(entries, rows, described, target)
        said += missing
        whole = unrelated_findings(entries, learned[target], target)
        findings += whole
        if whole:
            continue
        one = learned[target]
        reasons = explained_findings(entries, one.compared, target, one.irreps, one.centres)
        wrong = {(found.file, found.frame) for found in reasons if found.severity == "error"}
        numbers = {i for i, entry in enumerate(entries) if (entry.file, entry.frame) in wrong}
        findings += reasons + misfit_findings(entries, one, target, numbers)
        explained |= numbers
    findings += theory_findings(entries, learned, explained)
    return findings + duplicate_findings(entries, labels, described.fingerprints, told("duplicates"))
