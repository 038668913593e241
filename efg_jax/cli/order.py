"""`efg-jax order`."""

from pathlib import Path
from typing import Annotated

from cyclopts import Group, Parameter

from efg_jax.cli import options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import check_outputs, print_results, require_suffix
from efg_jax.cli.parsing import Repeated, one, parse_charges, parse_supercell, several
from efg_jax.cli.progress import Progress
from efg_jax.text import counted

CELLS = Group("Cells", sort_key=1)
ORDER = Fields(
    "efg_jax.disorder.ordering:order",
    {
        "supercell": {"type": Annotated[int | tuple[int, int, int], one(parse_supercell, metavar="N|N,N,N")]},
        "count": {},
        "seed": {},
        "min_distance": {"type": float, "metavar": "Å"},
        "tolerance": {"type": float, "metavar": "PART"},
        "charges": {"type": Annotated[Repeated, several(parse_charges, metavar="ELEMENT=CHARGE")]},
    },
    CELLS,
)
FORMATS = tuple(f"{name}{packed}" for name in (".extxyz", ".xyz") for packed in ("", ".gz", ".bz2", ".xz"))


@takes(ORDER)
def order(
    file: Annotated[str, Parameter(metavar="FILE", help="Crystal with partial or mixed occupancies: a CIF.")],
    /,
    *,
    out: Annotated[Path, Parameter(metavar="FILE", group=options.OUTPUT)],
    index: Annotated[int, Parameter(metavar="N", group=CELLS)] = 0,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Build ordered cells of a crystal with sites that are occupied in part or by several elements.

    Each cell holds the whole numbers of atoms nearest to the occupancies; the table says which. Without --count one
    cell is written for each set of arrangements that symmetry makes equal, with the size of the set (`multiplicity`)
    and its share of all arrangements (`weight`).

    ```
    efg-jax order disordered.cif --out cells.extxyz
    efg-jax order disordered.cif --supercell 2,2,1 --count 20 --out cells.extxyz
    ```

    Args:
        out: Ordered cells to write, as extended XYZ.
        index: Structure of the file, numbered from 0.
    """
    require_suffix(out, FORMATS, "extended XYZ file")
    check_outputs({"--out": out}, inputs=[file])
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import disorder, io
        from efg_jax.io.ase_formats import read_ase
        from efg_jax.io.reading import require_readable

        progress.stage(f"reading {file}")
        require_readable(Path(file))
        ((number, atoms),) = read_ase(Path(file), index)
        atoms.info |= {"source_file": file, "source_frame": number}
        progress.stage("arranging")
        found = disorder.order(
            atoms, **given, progress=lambda done, total: progress.update(f"arranging: {done} of {total}")
        )
        progress.stage(f"writing {out}")
        io.write(out, found.cells)
        progress.wrote(f"{out} ({counted(len(found.cells), 'structure')})")
    print_results(found)
