"""What an audit finds, as a table and as JSON."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, ClassVar, Literal

from rich import box
from rich.table import Table

from efg_jax.errors import InputError
from efg_jax.storage.results import ResultWithRows
from efg_jax.text import counted

Severity = Literal["error", "warning", "info"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "info")

EACH = 3  # findings of one kind in one frame that are listed atom by atom
SHOWN = 60  # rows of the table; the JSON file has every finding by itself
WHOLE = 0.8  # part of a file's frames that makes a finding one of the file


@dataclass(frozen=True)
class Finding:
    """One fault, or one thing to look at.

    Attributes:
        kind: name of the check.
        severity: "error": these labels, or this split, are wrong. "warning": they may be. "info": what was seen.
        evidence: what was measured, and what was expected.
        remedy: what to do.
        file: where it is; None for structures without a file.
        frame: number of the structure in its file, or in the list; None: the whole file or set.
        atom: index of the atom; None: the whole frame.
    """

    kind: str
    severity: Severity
    evidence: str
    remedy: str
    file: str | None = None
    frame: int | None = None
    atom: int | None = None


@dataclass(frozen=True)
class AuditResult(ResultWithRows):
    """Findings of an audit, the gravest first; prints as a table.

    Attributes:
        findings: all of them.
        frames, atoms: how many structures and atoms were read.
        said: what the audit compared, and what it could not.
        files: number of frames of each file.
    """

    findings: tuple[Finding, ...]
    frames: int
    atoms: int
    said: tuple[str, ...] = ()
    files: Mapping[str | None, int] = field(default_factory=dict)

    width: ClassVar[int] = 170

    def __len__(self) -> int:
        return len(self.findings)

    def count(self, severity: Severity) -> int:
        """Number of findings of one severity."""
        return sum(one.severity == severity for one in self.findings)

    @property
    def exit_status(self) -> int:
        """1 where a finding is an error, else 0."""
        return int(self.count("error") > 0)

    def summary(self) -> tuple[Finding, ...]:
        """Findings of many atoms of a frame as one, of nearly all frames of a file as one."""
        return summarised(self.findings, self.files)

    def table(self) -> Table:
        """The summary for a terminal: print it with rich."""
        summary = self.summary()
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=self._caption(summary), caption_justify="left")
        files = len({one.file for one in summary}) > 1
        for name in (*(["file"] if files else []), "frame", "atom"):
            table.add_column(name, justify="left" if name == "file" else "right", overflow="fold")
        table.add_column("how sure", no_wrap=True)
        for name in ("what", "evidence", "what to do"):
            table.add_column(name, overflow="fold", no_wrap=name == "what")
        for one in summary[:SHOWN]:
            place = [one.file or ""] if files else []
            place += ["all" if one.frame is None else str(one.frame), "" if one.atom is None else str(one.atom)]
            row = (*place, one.severity, one.kind, one.evidence, one.remedy)
            table.add_row(*(text.replace("[", r"\[") for text in row))
        return table

    def rows(self) -> list[dict[str, Any]]:
        """One row for each finding."""
        return [asdict(one) for one in self.findings]

    def to_dict(self) -> dict[str, Any]:
        """{"findings": [{"file", "frame", "atom", "kind", "severity", "evidence", "remedy"}]}."""
        names = ("file", "frame", "atom", "kind", "severity", "evidence", "remedy")
        return {"findings": [{name: getattr(one, name) for name in names} for one in self.findings]}

    def _caption(self, summary: Sequence[Finding]) -> str:
        counts = [counted(self.count(severity), severity) for severity in ("error", "warning")]
        lines = [f"{counted(self.frames, 'structure')}, {counted(self.atoms, 'atom')}: {', '.join(counts)}"]
        if len(summary) < len(self.findings):
            lines.append("the table sums up; the JSON file (--json) has every frame and atom")
        if len(summary) > SHOWN:
            lines.append(f"{len(summary) - SHOWN} more rows are in the JSON file (--json)")
        return "\n".join((*lines, *self.said)).replace("[", r"\[")


def of_error(error: InputError, kind: str, severity: Severity = "error", **place: Any) -> Finding:
    """The finding of what another part of the library refuses; its message is "what is wrong; what to do"."""
    evidence, _, remedy = error.message.partition("; ")
    atom = str(error.atom).split()[0] if error.atom is not None else None
    own = {"file": error.file, "frame": error.frame, "atom": int(atom) if atom is not None else None}
    return Finding(kind, severity, evidence, remedy or "correct or leave out this structure", **{**own, **place})


def summarised(findings: Iterable[Finding], frames: dict[str | None, int]) -> tuple[Finding, ...]:
    """Findings of many atoms of a frame as one, of nearly all frames of a file as one; the gravest first.

    Args:
        findings: the first of a kind in a frame is the clearest.
        frames: number of frames of each file.
    """
    by_frame: dict[tuple, list[Finding]] = defaultdict(list)
    for one in dict.fromkeys(findings):
        by_frame[one.file, one.frame, one.kind, one.severity].append(one)
    by_file: dict[tuple, list[Finding]] = defaultdict(list)
    for (file, _, kind, severity), group in by_frame.items():
        atoms = [one.atom for one in group if one.atom is not None]
        if len(atoms) > EACH:
            named = ", ".join(map(str, sorted(atoms)[:10])) + (", ..." if len(atoms) > 10 else "")
            group = [
                replace(
                    group[0],
                    atom=None,
                    evidence=f"{len(atoms)} atoms ({named}); the first: atom {group[0].atom}, {group[0].evidence}",
                )
            ]
        by_file[file, kind, severity] += group
    kept: list[Finding] = []
    for (file, _, severity), group in by_file.items():
        touched = {one.frame for one in group if one.frame is not None}
        if severity == "info" and len(touched) > EACH:
            named = f"{len(touched)} frames ({listed(sorted(touched))})"
            evidence = f"{named}; the first, frame {group[0].frame}: {group[0].evidence}"
            kept.append(replace(group[0], frame=None, atom=None, evidence=evidence))
            continue
        if len(touched) > EACH and len(touched) >= WHOLE * frames.get(file, 0):
            evidence = (
                f"{len(touched)} of {frames[file]} frames; the first, frame {group[0].frame}: {group[0].evidence}"
            )
            group = [one for one in group if one.frame is None] + [
                replace(group[0], frame=None, atom=None, evidence=evidence)
            ]
        kept += group
    return sorted_findings(kept)


def sorted_findings(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Each once, the gravest first, then by file, frame and kind."""

    def place(one: Finding) -> tuple:
        return (SEVERITIES.index(one.severity), one.file or "", -1 if one.frame is None else one.frame, one.kind)

    return tuple(sorted(dict.fromkeys(findings), key=place))


def listed(numbers: Sequence[Any], most: int = 10) -> str:
    """As in "3, 7, 9, ..."."""
    return ", ".join(map(str, numbers[:most])) + (", ..." if len(numbers) > most else "")
