"""`efg-jax average`."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from efg_jax.cli import options
from efg_jax.cli.inputs import stream_structures
from efg_jax.cli.options import OUTPUT
from efg_jax.cli.outputs import check_outputs, print_report
from efg_jax.cli.predict import TELL_EVERY, parse_indices
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.trajectories import TrajectoryAverage

ATOMS, FRAMES, SPACE = "Choice of atoms", "Frames", "Frame of space and time"
TABLES = (".json", ".csv")
FORMATS = (*TABLES, ".extxyz", ".extxyz.gz", ".xyz")


def average(
    trajectory: Annotated[
        list[str],
        typer.Argument(
            metavar="TRAJECTORY",
            help="One trajectory, in one file or several in order, with tensors (or with --model, without).",
            show_default=False,
        ),
    ],
    *,
    model: Annotated[
        Path | None,
        typer.Option(
            metavar="MODEL", help="Predict the tensors with this model, frame by frame.", rich_help_panel=FRAMES
        ),
    ] = None,
    target: Annotated[
        Literal["efg", "ms"] | None,
        typer.Option(
            help="What to average: efg (V/Å²) or ms (shielding, ppm). Without it what --model predicts, or efg.",
            rich_help_panel=FRAMES,
        ),
    ] = None,
    array: options.ArrayName = None,
    species: Annotated[
        list[str] | None,
        typer.Option(
            "--species",
            metavar="ELEMENT",
            help="Average these elements only: Li,O, or the option again.",
            rich_help_panel=ATOMS,
        ),
    ] = None,
    indices: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="Average these atoms only, numbered from 0: 0,5,10-20.", rich_help_panel=ATOMS
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Average apart what has another label: an entry of the comment line (phase) or a column (site).",
            rich_help_panel=FRAMES,
        ),
    ] = None,
    pool: Annotated[
        bool, typer.Option("--pool", help="Average over the atoms as well: one tensor a label.", rich_help_panel=FRAMES)
    ] = False,
    mask: Annotated[
        str | None,
        typer.Option(
            metavar="KEY",
            help="Count only the frames, or atoms, for which this entry, or column, is true.",
            rich_help_panel=FRAMES,
        ),
    ] = None,
    jump: Annotated[
        str,
        typer.Option(
            metavar="Å|any",
            help="Distance that an atom may move from frame to frame; beyond, it is taken for another one.",
            rich_help_panel=FRAMES,
        ),
    ] = "1.5",
    any_units: Annotated[
        bool,
        typer.Option(
            "--any-units", help="Accept frames whose EFG differs by a factor between two units.", rich_help_panel=FRAMES
        ),
    ] = False,
    frame: Annotated[
        Literal["fixed", "crystal"],
        typer.Option(
            help="Average the components as they are, or in the frame of the cell, for cells that turn.",
            rich_help_panel=SPACE,
        ),
    ] = "fixed",
    direction: Annotated[
        str | None,
        typer.Option(metavar="X,Y,Z", help="Of the magnetic field, for ν_Q: 0,0,1.", rich_help_panel=SPACE),
    ] = None,
    timestep: Annotated[
        float | None,
        typer.Option(
            metavar="FS", help="From one frame to the next, for correlation times and T₁.", rich_help_panel=SPACE
        ),
    ] = None,
    isotope: options.Isotopes = None,
    out: Annotated[
        list[Path] | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="Write the averages: .csv (one row an atom), .json (everything), .extxyz (mean structure with mean tensors). May be repeated.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    plots: Annotated[
        Path | None,
        typer.Option(
            "--plots",
            metavar="DIR",
            help="Write pictures into this folder, one an element; made if it is missing.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Average the tensor of each atom over a trajectory, and diagonalise it then, as motion does.

    The table has C_Q and η of the mean tensors with standard errors of block averages, and beside them the means of C_Q and η over the frames:
    the wrong order, for comparison. With --timestep it has the quadrupolar T₁ in the limit of extreme narrowing, with --direction the residual ν_Q.

    Frames are read (and predicted) one by one; a trajectory may be of any length.

    [bold cyan]efg-jax average md.extxyz --model li7.npz --species Li --timestep 10 --out li.csv --plots pictures[/]
    """
    written = _outputs(out or [], pool)
    check_outputs(written, folder=plots, inputs=[*trajectory, *([str(model)] if model else [])])
    nuclei, atoms, elements = options.parse_isotopes(isotope), parse_indices(indices), options.parse_species(species)
    choice = {
        "species": elements,
        "indices": atoms,
        "label": label,
        "pool": pool,
        "mask": mask,
        "jump": parse_jump(jump),
        "check_units": not any_units,
        "frame": frame,
        "direction": parse_direction(direction),
        "timestep": timestep,
        "isotope": nuclei or None,
    }
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import trajectories

        frames: Iterator[Atoms] = (atoms for _, atoms in stream_structures(trajectory))
        if model is not None:
            frames, target = _predicted(str(model), frames, target, array, elements, atoms, progress)
        progress.stage(f"averaging {', '.join(trajectory)}")
        found = trajectories.average(frames, target or "efg", array=array, progress=_Told(progress), **choice)
    print_report(found)  # first, so that a file that cannot be written after all does not take the table with it
    with Progress(quiet) as progress:
        _write(found, written, plots, progress)


def _predicted(
    path: str, frames: "Iterator[Atoms]", target: str | None, array: str | None, species, indices, progress: Progress
) -> "tuple[Iterator[Atoms], str]":
    """Frames with predictions, and the name of what is predicted."""
    from efg_jax import load, trajectories

    if array is not None:
        raise InputError("--array names tensors in files, and --model predicts them; give one of the two")
    progress.stage(f"reading {path}")
    model = load(path)
    name = trajectories.predicted_target(model, target)
    return trajectories.predicted(model, frames, target=name, species=species, indices=indices), name


class _Told:
    """Frames done, on the spot and once a minute for good."""

    def __init__(self, progress: Progress):
        self._progress, self._last = progress, time.monotonic()

    def __call__(self, frames: int) -> None:
        self._progress.update(f"averaging: {frames} frames done")
        if time.monotonic() - self._last > TELL_EVERY:
            self._progress.say(f"{frames} frames done")
            self._last = time.monotonic()


def _outputs(paths: Sequence[Path], pool: bool) -> dict[str, Path]:
    """Files by option, each of a format that is known, and that holds what is averaged."""
    for path in paths:
        if not path.name.lower().endswith(FORMATS):
            raise InputError(
                f"is of no format that averages are written in; name it {', '.join('*' + form for form in FORMATS)}",
                file=str(path),
            )
        if pool and not path.name.lower().endswith(TABLES):
            raise InputError(
                f"holds structures, and pooled atoms have none; name it {' or '.join('*' + form for form in TABLES)}, or leave --pool out",
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
            labels = found.labels or [None]
            io.write(path, [found.to_atoms(label) for label in labels])
    pictures = []
    if folder is not None:
        from efg_jax import plots
        from efg_jax.trajectories.trajectory_figures import trajectory_figure

        folder.mkdir(parents=True, exist_ok=True)
        for symbol in found.isotopes:
            pictures.append(folder / f"{symbol}-average.png")
            plots.save(trajectory_figure(found, symbol), pictures[-1])
    progress.wrote(*files.values(), *pictures)


def parse_direction(text: str | None) -> tuple[float, float, float] | None:
    """ "0,0,1" → (0.0, 0.0, 1.0)."""
    if text is None:
        return None
    try:
        x, y, z = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"--direction {text} is not of the form 0,0,1") from None
    return x, y, z


def parse_jump(text: str) -> float | None:
    """A distance, or None for "any"."""
    if text == "any":
        return None
    try:
        distance = float(text)
    except ValueError:
        distance = 0.0
    if not distance > 0.0:
        raise InputError(f"--jump {text} is neither a distance in Å nor 'any'")
    return distance
