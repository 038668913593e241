"""`efg-jax predict`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from efg_jax.cli import options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import check_outputs, is_device
from efg_jax.cli.parsing import count_or, one
from efg_jax.cli.processes import join_processes
from efg_jax.cli.progress import Counter, Progress, listed

CHOICE, ARITHMETIC = Group("Choice of atoms", sort_key=2), Group("Arithmetic", sort_key=3)
PREDICTION = Fields(
    "efg_jax.models.protocol:FittedModel.predict",
    {
        "species": {"type": options.Species, "group": CHOICE},
        "indices": {"type": options.Indices, "group": CHOICE},
        "chunk": {"type": Annotated[Any, one(count_or("auto", "--chunk", "auto"), metavar="N|auto")]},
        "dtype": {
            "type": Literal["float64", "float32"] | None,
            "help": "Precision of the arithmetic; by default float64 for kernel models and float32 for networks, "
            "as they are trained. In float32 kernel models are off by up to a few per cent of the tensors.",
        },
        "variance": {
            "type": bool,
            "group": options.OUTPUT,
            "help": "Also write the standard deviation of each prediction, NAME_std; of networks only committees "
            "(`train --members`) have one.",
        },
    },
    ARITHMETIC,
)


@options.FLAT
@dataclass(frozen=True)
class Outputs:
    """What is written.

    Attributes:
        out: Extended XYZ file to write; compressed if its name ends in .gz.
        resume: Resume an interrupted prediction.
    """

    out: Annotated[Path, Parameter(metavar="FILE", group=options.OUTPUT)]
    isotopes: options.Isotopes = None
    resume: options.Switch = False
    distributed: options.Distributed = False


@takes(PREDICTION, options.MOMENTS)
def predict(
    model: options.ModelFile,
    /,
    *structures: Annotated[str, Parameter(required=True, metavar="STRUCTURES")],
    target: options.Targets = None,
    outputs: Outputs,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Predict tensors of structures, and write both as extended XYZ.

    Each frame keeps what it carries and gains the target under its own name (nine numbers an atom, row by row, in place
    of any label that was there; NaN for elements that the model does not predict); a target per structure becomes an
    entry of the comment line. EFG tensors come with `c_q` (MHz, signed, NaN without a quadrupolar isotope) and `eta`. A
    scalar model gives `c_q_tilde`, `eta_tilde`, `theta`, `phi` (rad), `v_nn` (V/Å²) and `z_axis`. NAME_std is the
    posterior standard deviation of the whole tensor, √Σ var V_ij; for a committee of networks, that among its members.

    Trajectories may be of any length, and cells of any size: frames are read, predicted and written one by one. Until
    all are there they are in FILE.partial. Interrupted runs resume with --resume.

    ```
    efg-jax predict o17.npz trajectory.extxyz --out predicted.extxyz
    ```

    Args:
        structures: Structures in any format that ASE reads, trajectories too, or the name of a data set that ships.
        target: Only these of a model's targets: efg,ms, or the option again.
    """
    check_outputs({"--out": outputs.out}, inputs=[model, *structures])
    if outputs.distributed:
        quiet = join_processes(quiet)
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax.models import load
        from efg_jax.prediction_files import predict_to_file

        progress.stage(f"reading {model}")
        fitted = load(model, variance=given.get("variance", False))
        progress.stage(f"predicting {listed(structures)}")
        counter = Counter(progress, "predicting")
        told = {"isotopes": outputs.isotopes, "resume": outputs.resume, "distributed": outputs.distributed}
        try:
            frames = predict_to_file(fitted, structures, outputs.out, targets=target, progress=counter, **told, **given)
        except BaseException:
            if counter.done and not is_device(outputs.out):
                progress.say(
                    f"stopped after {counter.done} frames; the same command with --resume continues from there"
                )
            raise
        progress.wrote(f"{outputs.out} ({frames} structures)")
