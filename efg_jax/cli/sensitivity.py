"""`efg-jax sensitivity`."""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Group, Parameter

from efg_jax.cli import options
from efg_jax.cli.option_fields import Fields, Given, takes
from efg_jax.cli.outputs import check_outputs, print_results, require_suffix
from efg_jax.cli.parsing import one, parse_quantity
from efg_jax.cli.progress import Progress

if TYPE_CHECKING:
    from efg_jax.sensitivity import Sensitivity

QUANTITY = Group("Quantity", sort_key=1)
GRADIENT = Fields(
    "efg_jax.sensitivity.gradient:gradient",
    {
        "atom": {"metavar": "INDEX", "help": "Atom whose quantity it is, numbered from 0."},
        "quantity": {"type": Annotated[str, one(parse_quantity, metavar="NAME")]},
        "isotope": {"type": str, "metavar": "NUCLIDE"},
        "direction": {"type": options.Direction},
        "reference": {"metavar": "PPM"},
        "shells": {"group": options.OUTPUT},
    },
    QUANTITY,
)


@takes(GRADIENT, options.MOMENTS)
def sensitivity(
    model: options.ModelFile,
    structure: Annotated[str, Parameter(metavar="STRUCTURE")],
    /,
    *,
    frame: Annotated[int, Parameter(metavar="N", group=QUANTITY)] = 0,
    strain: options.Switch = False,
    out: options.File = None,
    plot: options.File = None,
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Show on which bonds and angles a coupling or shift of one atom depends: exact derivatives of a model's
    prediction.

    The table is sorted by the effect of a displacement along the bond, or along the arc of the angle. --out has the
    derivatives with respect to every position (Hz/Å, 1/Å, ppm/Å) and, as JSON, strain.

    ```
    efg-jax sensitivity o17.npz quartz.cif --atom 4 --quantity C_Q --plot arrows.png
    ```

    Args:
        structure: File with the structure, in any format that ASE reads.
        frame: Structure of the file, numbered from 0.
        strain: Also print the derivative with respect to strain.
        out: Write the derivatives: .csv (one row an atom) or .json (everything).
        plot: Write the picture, arrows on the structure: .png, .pdf or .svg.
    """
    if out is not None:
        require_suffix(out, (".csv", ".json"), "file of derivatives")
    check_outputs({"--out": out, "--plot": plot}, inputs=[model, structure])
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import io, load, plots
        from efg_jax.sensitivity import gradient

        progress.stage(f"reading {model}")
        fitted = load(model)
        (atoms,) = io.read(structure, target=None, index=frame)
        progress.stage(f"differentiating at atom {given['atom']}")
        found = gradient(fitted, atoms, **given)
        if out is not None:
            (found.to_csv if out.suffix.lower() == ".csv" else found.to_json)(out)
        if plot is not None:
            plots.save(found.plot(), plot)
        progress.wrote(out, plot)
    print_results(found)
    if strain:
        _print_strain(found)


def _print_strain(found: "Sensitivity") -> None:
    unit, factor = found.unit
    print(f"per unit strain{f', {unit}' if unit else ''} (xx yy zz yz xz xy; a shear counts twice, as ε_yz and ε_zy)")
    tensor = found.strain / factor
    print("  ".join(f"{tensor[i, j]:.6g}" for i, j in ((0, 0), (1, 1), (2, 2), (1, 2), (0, 2), (0, 1))))
