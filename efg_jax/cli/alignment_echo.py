"""`efg-jax alignment-echo`."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter

from efg_jax.cli import options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import check_outputs, print_results, require_suffix
from efg_jax.cli.parsing import number_or, one, parse_times, several
from efg_jax.cli.progress import Counter, Progress, listed
from efg_jax.errors import InputError

ATOMS, FRAMES, EXPERIMENT = (
    Group(name, sort_key=place) for place, name in enumerate(("Choice of atoms", "Frames", "Experiment"), start=1)
)
ECHO = Fields(
    "efg_jax.trajectories.alignment_echo:alignment_echo",
    {
        "preparation": {
            "type": Annotated[tuple[float, ...], several(parse_times, metavar="SECONDS")],
            "help": "Preparation times t_p: 1e-5,2e-5, or the option again.",
        },
        "species": {"type": options.Species, "group": ATOMS},
        "indices": {"type": options.Indices, "group": ATOMS},
        "isotope": {"type": str, "metavar": "NUCLIDE", "group": ATOMS},
        "timestep": {"metavar": "FS", "group": FRAMES},
        "array": {"metavar": "NAME", "group": FRAMES},
        "frame": {"group": FRAMES},
        "window": {
            "group": FRAMES,
            "help": "Number of frames whose tensors are averaged first, to take vibrations out: a few of their "
            "periods, less than the time of a hop.",
        },
        "jump": {
            "type": Annotated[float | None, one(number_or("any", "--jump", positive=True), metavar="Å|any")],
            "group": FRAMES,
            "help": "Largest distance that an atom may move from frame to frame; hops are long.",
            "show_default": "any",
        },
        "directions": {
            "type": int,
            "help": "Number of directions of the field in the powder: more than (ω t_p)².",
        },
        "part": {"type": Literal["sin", "cos"]},
    },
    EXPERIMENT,
)


@takes(ECHO, options.MOMENTS)
def alignment_echo(
    *trajectory: Annotated[str, Parameter(required=True, metavar="TRAJECTORY")],
    model: Annotated[Path | None, Parameter(metavar="MODEL", group=FRAMES)] = None,
    out: options.File = None,
    plot: options.File = None,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Spin-alignment echo F₂(t_p, t_m) of ions that hop, from the EFG tensors of a trajectory.

    The table has plateau, decay time and stretching for each preparation time, with standard errors from the scatter of
    the atoms; --out has the echo at every mixing time. The trajectory must be longer than the hops take: often that of
    a kinetic Monte Carlo simulation. Nuclei of spin 1 and 3/2.

    ```
    efg-jax alignment-echo kmc.extxyz --model li7.npz --species Li --preparation 1e-5,4e-5 --timestep 1e9 --out f2.csv
    ```

    Args:
        trajectory: One trajectory, in one file or several in order, with EFG tensors (or with --model, without).
        model: Predict the tensors with this model, frame by frame.
        out: Write the echo: .csv (one row a preparation and mixing time) or .json (everything).
        plot: Write the picture: .png, .pdf or .svg.
    """
    if out is not None:
        require_suffix(out, (".csv", ".json"), "file of echoes")
    check_outputs({"--out": out, "--plot": plot}, inputs=[*trajectory, model])
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import load, plots, trajectories
        from efg_jax.datasets.sources import stream_structures

        frames = (atoms for _, atoms in stream_structures(trajectory))
        if model is not None:
            if "array" in given:
                raise InputError("--array names tensors in files, and --model predicts them; give one of the two")
            progress.stage(f"reading {model}")
            choice = {key: given[key] for key in ("species", "indices") if key in given}
            frames = trajectories.predicted(load(model), frames, target="efg", **choice)
        progress.stage(f"correlating {listed(trajectory)}")
        found = trajectories.alignment_echo(frames, progress=Counter(progress, "correlating"), **given)
    print_results(found)  # first, so that a file that cannot be written after all does not take the table with it
    with Progress(quiet) as progress:
        if out is not None:
            (found.to_csv if out.suffix.lower() == ".csv" else found.to_json)(out)
        if plot is not None:
            plots.save(found.plot(), plot)
        progress.wrote(out, plot)
