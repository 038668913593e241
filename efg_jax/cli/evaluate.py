"""`efg-jax evaluate`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from efg_jax.cli import options
from efg_jax.cli.outputs import check_outputs, print_results, write_reports
from efg_jax.cli.progress import Progress, listed
from efg_jax.errors import InputError

if TYPE_CHECKING:
    from ase import Atoms

    from efg_jax.models import FittedModel


def evaluate(
    model: options.ModelFile,
    /,
    *data: options.Data,
    target: options.Targets = None,
    array: options.ArrayName = None,
    index: options.Index = ":",
    files: options.ReportFiles = options.REPORTS,
    quiet: options.Quiet = False,
) -> None:
    """Compare a model's predictions with known tensors.

    Use structures that the model was not trained on. A field along the z axis of each crystal frame stands for the
    magnet in θ, φ and ν_Q. A network with several targets is evaluated on all that the structures carry, with a table
    each.

    ```
    efg-jax evaluate o17.npz new.extxyz --json report.json --plots figures
    ```

    Args:
        target: Only these of a model's targets: efg,ms, or the option again.
    """
    check_outputs({"--json": files.json}, files.plots, inputs=[model, *data])
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.datasets.sources import read_structures
        from efg_jax.models import load

        progress.stage(f"reading {model}")
        fitted = load(model)
        progress.stage(f"reading {listed(data)}")
        if array is not None:
            fitted, names = _under_its_own_name(fitted, target)
            frames = read_structures(data, index, dict.fromkeys(names, array))
        else:
            frames = read_structures(data, index)
            names = target or _carried(fitted, frames)
        progress.stage(f"predicting {len(frames)} structures")
        title = "{structures} structures"
        reports = fitted.evaluate_targets(frames, targets=names, title=title, isotopes=files.isotopes)
        progress.stage("writing")
        progress.wrote(*write_reports(reports, files.json, files.plots))
    print_results(*reports.values())


def _under_its_own_name(fitted: "FittedModel", target: tuple[str, ...] | None) -> "tuple[FittedModel, tuple[str, ...]]":
    """The model for labels that reading brings under the name of their target, and that target."""
    names = target or tuple(fitted.targets)
    if len(names) > 1:
        raise InputError("--array names the array of one target; choose one with --target, or rename the arrays")
    fitted.one_target(names[0])
    return replace(fitted, model=replace(fitted.model, array=None)), names


def _carried(fitted: "FittedModel", frames: "Sequence[Atoms]") -> list[str]:
    """The model's targets that some of the structures carry; all of them where none is carried, for the error."""
    from efg_jax.structures.targets import find

    array = fitted.model.array
    carried = [
        name
        for name, target in fitted.targets.items()
        if any(find(atoms, array or name, target.per) for atoms in frames)
    ]
    return carried or list(fitted.targets)
