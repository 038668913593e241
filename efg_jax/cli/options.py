"""Arguments, options and panels of the help pages that several commands share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Group, Parameter

from efg_jax.cli.option_fields import Fields
from efg_jax.cli.parsing import (
    Repeated,
    one,
    parse_arrays,
    parse_direction,
    parse_indices,
    parse_isotopes,
    parse_names,
    parse_references,
    parse_species,
    several,
)
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.structures.targets import Target

DATA, OUTPUT = Group("Data", sort_key=1), Group("Output", sort_key=90)
Moments = Literal["pyykko2008", "pyykko2018"]
MOMENTS = Fields("efg_jax.tensors.nuclei:use_moments", {"moments": {"type": Moments}}, OUTPUT)
"""For commands that show C_Q; it takes effect before the command runs, see `efg_jax.cli.choose_moments`."""
FLAT = Parameter(name="*")
"""Of a dataclass as a parameter: its fields are the options, without a prefix."""

Data = Annotated[
    str,
    Parameter(
        required=True,
        metavar="DATA",
        help="Structures with tensors: extended XYZ, magres, OUTCAR, JSON of pymatgen, or any other file that ASE "
        "reads; or the name of a data set that ships (see `efg-jax datasets`). A tensor of NaN is no label.",
    ),
]
Files = Annotated[
    str,
    Parameter(
        required=True,
        metavar="FILES",
        help="Structures with tensors: magres, OUTCAR, extended XYZ (what `efg-jax predict` writes), JSON of pymatgen; "
        "or the name of a data set that ships.",
    ),
]
ModelFile = Annotated[str, Parameter(metavar="MODEL", help="A model file that `efg-jax train` wrote.")]

File = Annotated[Path | None, Parameter(metavar="FILE", group=OUTPUT)]
Folder = Annotated[Path | None, Parameter(metavar="DIR", group=OUTPUT)]
Switch = Annotated[bool, Parameter(group=OUTPUT)]
Quiet = Annotated[bool, Parameter(("--quiet", "-q"), group=OUTPUT, help="Show no progress; results and errors only.")]
Index = Annotated[
    str,
    Parameter(
        metavar="SLICE",
        group=DATA,
        allow_leading_hyphen=True,
        help="Structures to take from each file, counted from 0: 0, -1, ::10.",
    ),
]
ArrayName = Annotated[
    str | None, Parameter(metavar="NAME", group=DATA, help="Name of the target in the files, where it differs.")
]
TensorArrays = Annotated[
    Repeated | None,
    several(
        parse_arrays,
        "--array",
        metavar="TENSOR=NAME",
        group=DATA,
        help="Name of a tensor in the files, where it differs: efg=V_tensor, ms=sigma.",
    ),
]
Species = Annotated[tuple[str, ...] | None, several(parse_species, metavar="ELEMENT", group=DATA)]
Targets = Annotated[tuple[str, ...] | None, several(parse_names, metavar="NAME", group=DATA)]
Indices = Annotated[list[int] | None, one(parse_indices, metavar="LIST", group=DATA, allow_leading_hyphen=True)]
Isotopes = Annotated[
    Repeated | None,
    several(
        parse_isotopes,
        "--isotope",
        metavar="NUCLIDE",
        group=OUTPUT,
        help="Isotope by which V/Å² becomes MHz and kHz: 49Ti, or Ti=49Ti. May be repeated; without it the one that "
        "NMR uses: quadrupolar with a field gradient, of spin ½ (1H, 15N, 129Xe) for a shielding alone.",
    ),
]
Direction = Annotated[
    tuple[float, float, float] | None,
    one(
        parse_direction,
        metavar="X,Y,Z",
        allow_leading_hyphen=True,
        help="Direction of the magnetic field, for ν_Q: 0,0,1.",
    ),
]
References = Annotated[
    Repeated | None,
    several(
        parse_references,
        metavar="ELEMENT=PPM",
        group=OUTPUT,
        help="Shielding of the reference compound, computed in the same way; shifts then replace shieldings. "
        "O=287.5,Si=330, or the option again.",
    ),
]
Distributed = Annotated[
    bool,
    Parameter(
        group=OUTPUT,
        help="This is one of several processes that share the work, started by srun or mpirun (see docs/clusters.md).",
    ),
]


@FLAT
@dataclass(frozen=True)
class Labels:
    """Structures that models learn from.

    Attributes:
        target: What to learn: efg (V/Å²), ms (shielding, ppm), dipole, polarizability, dielectric, or any array of the
            files; for networks several: efg,ms, or the option again. Without it efg.
        species: Element whose atoms are learned; several: O,Si, or the option again. Without it all that have labels.
    """

    target: Targets = None
    species: Species = None
    array: ArrayName = None
    index: Index = ":"

    def one_target(self) -> str:
        """The name of the only target."""
        if len(names := self.target or ("efg",)) > 1:
            raise InputError(f"--target {','.join(names)}: expected one target; run the command once for each")
        return names[0]

    def check_array(self, targets: Sequence[str]) -> None:
        """Refuse one name of an array for several targets."""
        if self.array is not None and len(targets) > 1:
            raise InputError("--array names the array of one target; with several, rename the arrays of the files")

    def read(
        self, data: Sequence[str], targets: Sequence[str], per: str | None = None, extensive: bool | None = None
    ) -> "tuple[list[Atoms], dict[str, Target]]":
        """Structures that carry the targets under their own names (of several targets, one is enough).

        Args:
            data: files or data sets.
            targets: names of what is learned.
            per: whether a single target belongs to atoms or to structures; None: as the structures carry it.
            extensive: whether a structure's target is a sum over atoms or a mean; None: as its name says.

        Returns:
            The structures, and what the targets are.
        """
        from efg_jax.datasets.sources import read_structures
        from efg_jax.network.training_sets import atomic_target, labelled_frames
        from efg_jax.structures.checks import check_frames
        from efg_jax.structures.targets import target_of

        frames = read_structures(data, self.index)
        if len(targets) > 1:
            frames = labelled_frames(targets, None, frames, "the training set")
            return frames, {name: atomic_target(name, frames) for name in targets}
        frames = check_frames(frames, targets[0], self.array, per=per)
        return frames, {targets[0]: target_of(targets[0], frames, per, extensive=extensive)}


@FLAT
@dataclass(frozen=True)
class Tensors:
    """Tensors that are read from files."""

    array: TensorArrays = None
    index: Index = ":"


@FLAT
@dataclass(frozen=True)
class ReportFiles:
    """What is written about a model.

    Attributes:
        json: Write the report as JSON, one entry a species; for several targets one entry a target, with its species.
        plots: Write parity plots into this folder, for several targets into a folder each; made if it is missing.
        moments: Compilation of quadrupole moments: pyykko2008 (P. Pyykkö, Mol. Phys. 106, 1965), or pyykko2018, its
            revision (Mol. Phys. 116, 1328).
    """

    json: File = None
    plots: Folder = None
    isotopes: Isotopes = None
    moments: Annotated[Moments, Parameter(group=OUTPUT)] = "pyykko2008"


LABELS, TENSORS, REPORTS = Labels(), Tensors(), ReportFiles()
"""Where none of the options is given."""
