"""Reference structures and their first-principles field gradients.

Commands: `setups`, `ideal`, `relax`, `build`, `run`, `collect`, `published`, `elk`; see the README.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import ase.io

from experiments.reference_data.build import KINDS, build
from experiments.reference_data.campaign import work
from experiments.reference_data.collect import collect
from experiments.reference_data.elk import EFG_FILE, comparison, write_input
from experiments.reference_data.materials import SETUPS
from experiments.reference_data.parents import lto_ideal
from experiments.reference_data.relaxation import relax
from experiments.reference_data.speed import environment, restart_with


def main() -> int:
    arguments = _parser().parse_args()
    try:
        arguments.run(arguments)
    except (ValueError, FileNotFoundError, ImportError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _setups(arguments) -> None:
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for (symbol, name), options in SETUPS.items():
        if not (arguments.folder / f"{symbol}.{name}.PBE").exists():
            subprocess.run(["gpaw", "dataset", *options], cwd=arguments.folder, check=True, stdout=subprocess.DEVNULL)


def _ideal(arguments) -> None:
    _write(arguments.out, lto_ideal())


def _relax(arguments) -> None:
    restart_with(environment())
    relax(ase.io.read(arguments.crystals, ":"), arguments.out, arguments.setups)


def _build(arguments) -> None:
    frames = build(arguments.kind, arguments.count)
    _write(arguments.out, frames)
    print(f"{len(frames)} structures in {arguments.out}")


def _run(arguments) -> None:
    restart_with(environment())
    work(ase.io.read(arguments.todo, ":"), arguments.out, arguments.setups)


def _collect(arguments) -> None:
    frames = collect(arguments.results, arguments.adopt)
    _write(arguments.out, frames)
    print(f"{len(frames)} structures in {arguments.out}")


def _published(arguments) -> None:
    from experiments.reference_data.molecules.published import table

    restart_with(environment())
    print(table())


def _elk(arguments) -> None:
    atoms = ase.io.read(arguments.structure, arguments.frame)
    if (arguments.folder / EFG_FILE).exists():
        print(comparison(atoms, arguments.folder))
    else:
        print(
            f"run elk-lapw in the folder of {write_input(atoms, arguments.folder, arguments.cutoff)}, "
            "then this command again"
        )


def _write(path: Path, frames) -> None:
    aside = path.with_name(f".partial-{path.name}")
    ase.io.write(aside, frames, format="extxyz")
    aside.replace(path)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="reference_data", description=__doc__)
    commands = parser.add_subparsers(required=True)
    setups = commands.add_parser("setups", help="make the PAW datasets that GPAW does not ship")
    setups.add_argument("folder", type=Path)
    setups.set_defaults(run=_setups)
    ideal = commands.add_parser(
        "ideal", help="write the configurations of Li4Ti5O12 with every atom on its ideal place"
    )
    ideal.add_argument("--out", type=Path, required=True)
    ideal.set_defaults(run=_ideal)
    relax = commands.add_parser("relax", help="relax crystals in their cells (under the Python that has GPAW)")
    relax.add_argument("crystals", type=Path)
    relax.add_argument("--out", type=Path, required=True, help="folder of results, a file each")
    relax.add_argument("--setups", type=Path, required=True, help="folder that `setups` filled")
    relax.set_defaults(run=_relax)
    build = commands.add_parser("build", help="write the first COUNT structures of a material, or of the molecules")
    build.add_argument("kind", choices=sorted(KINDS))
    build.add_argument("count", type=int)
    build.add_argument("--out", type=Path, required=True)
    build.set_defaults(run=_build)
    run = commands.add_parser(
        "run",
        help="compute structures that have no result yet (under the Python that has GPAW, or PySCF for molecules)",
    )
    run.add_argument("todo", type=Path)
    run.add_argument("--out", type=Path, required=True, help="folder of results")
    run.add_argument("--setups", type=Path, help="folder that `setups` filled; molecules need none")
    run.set_defaults(run=_run)
    collect = commands.add_parser("collect", help="check results and write them into one file")
    collect.add_argument("results", type=Path, nargs="+", help="folders or files")
    collect.add_argument("--out", type=Path, required=True)
    collect.add_argument(
        "--adopt", action="store_true", help="frames that do not say how they were made are as their material's"
    )
    collect.set_defaults(run=_collect)
    published = commands.add_parser(
        "published",
        help="compute molecules at rest and compare with published values (under the Python that has PySCF)",
    )
    published.set_defaults(run=_published)
    elk = commands.add_parser(
        "elk", help="input for Elk; once it has run there, compare its tensors with the structure's"
    )
    elk.add_argument("structure", type=Path, help="file with the structure and its efg")
    elk.add_argument("folder", type=Path, help="to run Elk in")
    elk.add_argument("--frame", type=int, default=0)
    elk.add_argument("--cutoff", type=float, default=6.5, help="of the plane waves times the smallest radius (rgkmax)")
    elk.set_defaults(run=_elk)
    return parser


if __name__ == "__main__":
    sys.exit(main())
