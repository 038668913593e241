"""`efg-jax average`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Group, Parameter

from efg_jax.cli import options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import check_outputs, print_results, require_suffix
from efg_jax.cli.parsing import number_or, one
from efg_jax.cli.progress import Counter, Progress, listed
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.trajectories import TrajectoryAverage

ATOMS, FRAMES, SPACE = (
    Group(name, sort_key=place)
    for place, name in enumerate(("Choice of atoms", "Frames", "Frame of space and time"), start=1)
)
AVERAGE = Fields(
    "efg_jax.trajectories.average:average",
    {
        "species": {"type": options.Species, "group": ATOMS},
        "indices": {"type": options.Indices, "group": ATOMS},
        "array": {"metavar": "NAME"},
        "label": {
            "type": str,
            "metavar": "KEY",
            "help": "Average separately what has another label: an entry of the comment line (phase) or a column "
            "(site).",
        },
        "pool": {},
        "mask": {
            "type": str,
            "metavar": "KEY",
            "help": "Count only the frames, or atoms, for which this entry, or column, is true.",
        },
        "jump": {
            "type": Annotated[float | None, one(number_or("any", "--jump", positive=True), metavar="Å|any")],
            "help": "Largest distance that an atom may move from frame to frame; one that moves farther is taken for "
            "another atom.",
        },
        "frame": {"group": SPACE},
        "direction": {"type": options.Direction, "group": SPACE},
        "field": {"metavar": "TESLA", "group": SPACE},
        "timestep": {"metavar": "FS", "group": SPACE},
        "isotope": {"type": options.Isotopes},
    },
    FRAMES,
)
TABLES = (".json", ".csv")
FORMATS = (*TABLES, ".extxyz", ".extxyz.gz", ".xyz")


@options.FLAT
@dataclass(frozen=True)
class Source:
    """Where the tensors come from.

    Attributes:
        model: Predict the tensors with this model, frame by frame.
        target: What to average: efg (V/Å²) or ms (shielding, ppm). Without it what --model predicts, or efg.
        any_units: Accept frames whose EFG differs by a factor between two units.
    """

    model: Annotated[Path | None, Parameter(metavar="MODEL", group=FRAMES)] = None
    target: Annotated[Literal["efg", "ms"] | None, Parameter(group=FRAMES)] = None
    any_units: Annotated[bool, Parameter(group=FRAMES)] = False


@takes(AVERAGE, options.MOMENTS)
def average(
    *trajectory: Annotated[str, Parameter(required=True, metavar="TRAJECTORY")],
    source: Source = Source(),
    out: Annotated[list[Path] | None, Parameter(metavar="FILE", group=options.OUTPUT, allow_repeating=True)] = None,
    plots: options.Folder = None,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Average the tensor of each atom over a trajectory, and diagonalise the mean: what fast motion does.

    The table has C_Q and η of the mean tensors, with standard errors of block averages, beside the means of C_Q and η
    over the frames: the wrong order, for comparison. With --timestep it has the quadrupolar T₁, in the limit of
    extreme narrowing or with --field in that field, and T₂; with --direction the residual ν_Q; with --field the
    second-order shifts of the central transition.

    Frames are read (and predicted) one by one; a trajectory may be of any length.

    ```
    efg-jax average md.extxyz --model li7.npz --species Li --timestep 10 --out li.csv --plots pictures
    ```

    Args:
        trajectory: One trajectory, in one file or several in order, with tensors (or with --model, without).
        out: Write the averages: .csv (one row an atom), .json (everything), .extxyz (mean structure with mean tensors).
            May be repeated.
        plots: Write pictures into this folder, one an element; made if it is missing.
    """
    written = _outputs(out or [], given.get("pool", False))
    check_outputs(written, folder=plots, inputs=[*trajectory, source.model])
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import trajectories
        from efg_jax.datasets.sources import stream_structures

        frames: Iterator[Atoms] = (atoms for _, atoms in stream_structures(trajectory))
        target = source.target
        if source.model is not None:
            frames, target = _predicted(source, frames, given, progress.stage)
        progress.stage(f"averaging {listed(trajectory)}")
        told = {"check_units": not source.any_units, "progress": Counter(progress, "averaging")}
        found = trajectories.average(frames, target or "efg", **told, **given)
    print_results(found)  # first, so that a file that cannot be written after all does not take the table with it
    with Progress(quiet) as progress:
        _write(found, written, plots, progress)


def _predicted(
    source: Source, frames: "Iterator[Atoms]", given: dict[str, Any], tell: Callable[[str], None]
) -> "tuple[Iterator[Atoms], str]":
    """Frames with predictions, and the name of what is predicted."""
    from efg_jax import load, trajectories

    if "array" in given:
        raise InputError("--array names tensors in files, and --model predicts them; give one of the two")
    tell(f"reading {source.model}")
    fitted = load(source.model)
    name = fitted.tensor_target(source.target).name
    choice = {key: given.get(key) for key in ("species", "indices")}
    return trajectories.predicted(fitted, frames, target=name, **choice), name


def _outputs(paths: Sequence[Path], pool: bool) -> dict[str, Path]:
    """Files by option, each of a format that is known, and that holds what is averaged."""
    for path in paths:
        require_suffix(path, FORMATS, "file of averages")
        if pool and not path.name.lower().endswith(TABLES):
            raise InputError(
                f"holds structures, and pooled atoms have none; name it "
                f"{' or '.join('*' + form for form in TABLES)}, or "
                "leave --pool out",
                file=str(path),
            )
    return {f"--out {path}" if len(paths) > 1 else "--out": path for path in paths}


def _write(found: "TrajectoryAverage", files: dict[str, Path], folder: Path | None, progress: Progress) -> None:
    from efg_jax import io

    for path in files.values():
        if path.name.lower().endswith(".csv"):
            found.to_csv(path)
        elif path.name.lower().endswith(".json"):
            found.to_json(path)
        else:
            io.write(path, [found.to_atoms(label) for label in found.labels or [None]])
    pictures = []
    if folder is not None:
        from efg_jax import plots
        from efg_jax.trajectories.trajectory_figures import trajectory_figure

        folder.mkdir(parents=True, exist_ok=True)
        for symbol in found.isotopes:
            pictures.append(folder / f"{symbol}-average.png")
            plots.save(trajectory_figure(found, symbol), pictures[-1])
    progress.wrote(*files.values(), *pictures)
