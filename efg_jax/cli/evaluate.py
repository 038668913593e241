"""`efg-jax evaluate`."""

from dataclasses import replace

from efg_jax.cli import options
from efg_jax.cli.inputs import read_labelled
from efg_jax.cli.outputs import check_outputs, print_report, write_report
from efg_jax.cli.progress import Progress


def evaluate(
    model: options.ModelFile,
    data: options.Data,
    array: options.ArrayName = None,
    index: options.FrameIndex = ":",
    json: options.JsonFile = None,
    plots: options.PlotFolder = None,
    isotope: options.Isotopes = None,
    quiet: options.Quiet = False,
) -> None:
    """Compare a model's predictions with tensors that are known.

    Use structures that the model was not trained on. A field along the z axis of each crystal frame stands for the magnet in θ, φ
    and ν_Q.

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
        frames = read_labelled(data, fitted.target, array or fitted.array, index=index)
        progress.stage(f"predicting {len(frames)} structures")
        # Reading has brought the labels under the target's own name.
        report = replace(fitted, array=None).evaluate(frames, title=f"{len(frames)} structures", isotopes=isotopes)
        progress.stage("writing")
        progress.wrote(*write_report(report, json, plots))
    print_report(report)
