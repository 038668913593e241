"""Reports on a model of one target or of several: made, printed and written."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from efg_jax.cli.outputs import print_report, write_report
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.gp import ScalarGPR, TensorGPR
    from efg_jax.network import EquivariantNetwork
    from efg_jax.report import Report, TargetReport
    from efg_jax.tensors.nuclei import Isotope


def evaluated(
    model: "TensorGPR | ScalarGPR | EquivariantNetwork",
    frames: "Sequence[Atoms]",
    targets: Iterable[str],
    what: str,
    isotopes: "Mapping[str, Isotope]",
) -> "dict[str, Report | TargetReport]":
    """A report for each target, on structures that carry them under their own names.

    Args:
        model: fitted.
        frames: with labels.
        targets: to be judged; of a kernel model its only one.
        what: the structures are, for the heading.
        isotopes: nuclei by element.
    """
    from efg_jax.network import EquivariantNetwork

    if not isinstance(model, EquivariantNetwork):
        return {model.target: model.evaluate(frames, title=f"{len(frames)} {what}", isotopes=isotopes)}
    names, reports = list(targets), {}
    for name in names:
        carrying = [atoms for atoms in frames if name in atoms.arrays]
        if not carrying:
            raise InputError(f"nothing to evaluate: no structure carries '{name}'; pass some that do, or leave it out")
        title = f"{name}, {len(carrying)} {what}" if len(names) > 1 else f"{len(carrying)} {what}"
        reports[name] = model.evaluate(carrying, title=title, isotopes=isotopes, target=name)
    return reports


def chosen_targets(
    model: "TensorGPR | ScalarGPR | EquivariantNetwork", names: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Those of a model's targets that are named; all where none are.

    Raises:
        InputError: one that it does not predict.
    """
    from efg_jax.network import EquivariantNetwork

    known = model.targets if isinstance(model, EquivariantNetwork) else (model.target,)
    if unknown := [name for name in names or () if name not in known]:
        raise InputError(
            f"--target {unknown[0]}: the model predicts {' and '.join(known)}; leave it out, or train on it"
        )
    return names or known


def print_reports(reports: "Mapping[str, Report | TargetReport]") -> None:
    """One after another."""
    for report in reports.values():
        print_report(report)


def write_reports(reports: "Mapping[str, Report | TargetReport]", json: Path | None, plots: Path | None) -> list[Path]:
    """Write JSON and plots where they are wanted; returns what was written.

    Of one target the JSON has an entry a species; of several it has an entry a target, each with its species, and the plots of each are
    in a folder of its own.
    """
    if len(reports) <= 1:
        return [path for report in reports.values() for path in write_report(report, json, plots)]
    if json is not None:
        from efg_jax.storage.atomic_write import atomic_write

        text = _dumps({name: report.to_dict() for name, report in reports.items()})
        with atomic_write(json) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")
    if plots is not None:
        for name, report in reports.items():
            write_report(report, None, plots / re.sub(r"[^\w.-]", "_", name))  # a target may be called anything
    return [path for path in (json, plots) if path is not None]


def _dumps(content: dict) -> str:
    import json

    return json.dumps(content, indent=2, allow_nan=False) + "\n"
