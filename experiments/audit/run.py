"""Plant 25 faults into clean sets and see which `efg_jax.audit` finds; and what it finds in the clean sets.

    python -m experiments.audit.run --solid-solution la2-sn-zr-2o7-even.extxyz.gz

Without that file (see README.md) the six faults of the solid solution are left out.
"""

import argparse
import json
import time
from copy import deepcopy
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import efg_jax as ej
from experiments.audit.corruptions import CORRUPTIONS

STEPS = {"silica": 2, "molecules": 2, "solid solution": 7}  # every second frame, every seventh


def main() -> None:
    """Print two tables, and write their numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--solid-solution", type=Path, help="the 279 cells of La2(Sn,Zr)2O7")
    parser.add_argument("--seeds", type=int, default=1, help="plant each fault so many times, at random places")
    parser.add_argument("--no-clean", action="store_true", help="leave the clean sets out")
    parser.add_argument("--out", type=Path, default=Path("results/audit.json"))
    options = parser.parse_args()
    ej.compile_quickly()
    sets = {"silica": ej.datasets.load("silica-efg"), "molecules": ej.datasets.load("molecules-nmr")}
    sets["lto"] = ej.datasets.load("lto-efg")
    if options.solid_solution is not None:
        sets["solid solution"] = ej.io.read(options.solid_solution, target=None)
    console = Console(width=170)

    clean = Table("clean set", "frames", "atoms", "errors", "warnings", "seconds", title="False alarms")
    rows = []
    for name, frames in () if options.no_clean else sets.items():
        start = time.monotonic()
        result = ej.audit(deepcopy(frames))
        took = f"{time.monotonic() - start:.0f}"
        counts = [result.count(severity) for severity in ("error", "warning")]
        clean.add_row(name, *map(str, (result.frames, result.atoms, *counts)), took)
        rows.append({"set": name, "errors": counts[0], "warnings": counts[1], "seconds": float(took)})
        console.print(f"{name}: {counts}, {took} s")
    console.print(clean)

    planted = Table("fault", "set", "found", "as", "evidence", title="Planted faults")
    faults = []
    for seed in range(options.seeds):
        for number, fault in enumerate(CORRUPTIONS):
            if fault.source not in sets:
                continue
            frames = deepcopy(sets[fault.source][:: STEPS[fault.source]])
            for i, atoms in enumerate(frames):
                atoms.info = {name: atoms.info[name] for name in ("code", "xc", "kind") if name in atoms.info}
                atoms.info |= {"source_file": fault.source, "source_frame": i}
            corrupted = fault.plant(frames, np.random.default_rng([seed, number]))
            if corrupted.test is not None:
                for i, atoms in enumerate(corrupted.test):
                    atoms.info["source_frame"] = len(corrupted.data) + i + (atoms is corrupted.test[-1])
                corrupted = corrupted._replace(frames=(corrupted.test[-1].info["source_frame"],))
            result = ej.audit(corrupted.data, corrupted.test)
            finding = fault.found(result, corrupted)
            told = (str(finding is not None), "" if finding is None else f"{finding.severity}: {finding.kind}")
            planted.add_row(fault.name, fault.source, *told, "" if finding is None else finding.evidence[:150])
            elsewhere = [one for one in result.summary() if one.severity == "error" and one is not finding]
            faults.append(
                {
                    "fault": fault.name,
                    "set": fault.source,
                    "seed": seed,
                    "frames": corrupted.frames,
                    "found": finding is not None,
                    "severity": None if finding is None else finding.severity,
                    "kind": None if finding is None else finding.kind,
                    "other errors": [f"{one.frame} {one.kind}" for one in elsewhere],
                }
            )
            console.print(faults[-1])
    console.print(planted)
    count = sum(one["found"] for one in faults)
    console.print(f"{count} of {len(faults)} found, {sum(one['severity'] == 'error' for one in faults)} as errors")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"clean": rows, "faults": faults}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
