"""`efg-jax evaluate`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from efg_jax.cli import options
from efg_jax.cli.inputs import read_labelled, read_structures
from efg_jax.cli.judging import chosen_targets, evaluated, print_reports, write_reports
from efg_jax.cli.outputs import check_outputs
from efg_jax.cli.progress import Progress
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.gp import ScalarGPR, TensorGPR
    from efg_jax.network import EquivariantNetwork


def evaluate(
    model: options.ModelFile,
    data: options.Data,
    target: options.SomeTargets = None,
    array: options.ArrayName = None,
    index: options.FrameIndex = ":",
    json: options.JsonFile = None,
    plots: options.PlotFolder = None,
    isotope: options.Isotopes = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare a model's predictions with tensors that are known.

    Use structures that the model was not trained on. A field along the z axis of each crystal frame stands for the magnet in θ, φ
    and ν_Q. A network with several targets is judged on all that the structures carry, with a table each.

    [bold cyan]efg-jax evaluate o17.npz new.extxyz --json report.json --plots figures[/]
    """
    check_outputs({"--json": json}, plots, inputs=[model, *data])
    isotopes = options.parse_isotopes(isotope)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.models import load

        progress.stage(f"reading {model}")
        fitted = load(model)
        progress.stage(f"reading {', '.join(data)}")
        frames, names = _read(fitted, data, options.parse_names(target), array, index)
        progress.stage(f"predicting {len(frames)} structures")
        # Reading has brought the labels under the target's own name.
        reports = evaluated(replace(fitted, array=None), frames, names, "structures", isotopes)
        progress.stage("writing")
        progress.wrote(*write_reports(reports, json, plots))
    print_reports(reports)


def _read(
    model: "TensorGPR | ScalarGPR | EquivariantNetwork",
    data: Sequence[str],
    names: tuple[str, ...] | None,
    array: str | None,
    index: str,
) -> "tuple[list[Atoms], tuple[str, ...]]":
    """Structures with labels, and which of the model's targets are judged: those that are named, or that the structures carry."""
    from efg_jax.network import EquivariantNetwork
    from efg_jax.network.training_sets import labelled_frames

    targets = chosen_targets(model, names)
    array = array or model.array
    if not isinstance(model, EquivariantNetwork):
        return read_labelled(data, model.target, array, index=index), targets
    if array is not None and len(targets) > 1:
        raise InputError("--array names where one target is found; choose one with --target, or rename the arrays")
    frames = labelled_frames(targets, array, read_structures(data, index), "what is to be evaluated")
    return frames, tuple(name for name in targets if names or any(name in atoms.arrays for atoms in frames))
