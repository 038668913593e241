"""`efg-jax spectrum`."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Group, Parameter

from efg_jax.cli import options
from efg_jax.cli.option_fields import Fields, Given, option_name, takes
from efg_jax.cli.outputs import check_outputs, require_suffix
from efg_jax.cli.parsing import one, parse_one_reference, parse_spinning
from efg_jax.cli.progress import Progress, listed
from efg_jax.errors import InputError

SAMPLE, MEASUREMENT, WINDOW = (
    Group(name, sort_key=place) for place, name in enumerate(("Sites", "Measurement", "Axis"), start=2)
)
SPECTRUM = Fields(
    "efg_jax.spectra.simulate:spectrum",
    {
        "field": {"metavar": "TESLA", "help": "Magnetic field."},
        "reference": {
            "type": Annotated[Any, one(parse_one_reference, metavar="PPM")],
            "group": SAMPLE,
            "help": "Shielding σ_ref of the reference compound, computed as that of the files (ms): 287.5, or O=287.5.",
        },
        "shift": {"metavar": "PPM", "group": SAMPLE},
        "indices": {"type": options.Indices, "group": SAMPLE},
        "merge": {"type": bool, "group": SAMPLE, "help": "Compute equivalent sites once."},
        "motion": {
            "type": Literal["rigid", "intermediate", "fast"],
            "group": SAMPLE,
            "help": "rigid: the spectra of the structures add up. The others take the structures for frames of one "
            "trajectory; fast: motion above the Larmor frequency, one spectrum of the mean tensors; intermediate: "
            "between the coupling and the Larmor frequency, the second order is its mean over the frames.",
        },
        "spinning": {
            "type": Annotated[float, one(parse_spinning, metavar="HZ|inf|static")],
            "help": "Rate of magic-angle spinning: 20000, inf or static.",
            "show_default": "static, MQMAS: inf",
        },
        "transitions": {"type": Literal["central", "all"] | None},
        "order": {"type": Literal[1, 2]},
        "method": {
            "type": Literal["perturbation", "exact"],
            "help": "exact: diagonalise the Hamiltonian of every orientation, where the coupling is not far below the "
            "Larmor frequency; static samples only.",
        },
        "broadening": {
            "type": float | str,
            "metavar": "WIDTH",
            "help": "Full width at half maximum: '200 Hz', '1 ppm', 'lorentzian 1 ppm'.",
            "show_default": "none, MQMAS: 1 ppm",
        },
        "width": {"metavar": "HZ", "group": WINDOW},
        "offset": {"metavar": "HZ", "group": WINDOW},
        "points": {"group": WINDOW},
    },
    MEASUREMENT,
)
ONE_DIMENSION = {
    "spinning": math.inf,
    "transitions": "central",
    "order": 2,
    "method": "perturbation",
    "width": None,
    "offset": None,
    "points": None,
}
"""What MQMAS does not take, with the value that it has there."""


@options.FLAT
@dataclass(frozen=True)
class Choices:
    """What is simulated.

    Attributes:
        isotope: Nucleus: 17O.
        no_csa: Leave the anisotropy of the shift out.
        no_efg: Leave the quadrupolar coupling out.
        mqmas: Two dimensions: sheared MQMAS with 3, 5, 7 or 9 quanta, at infinite spinning rate.
        per_site: Also give the contribution of each site, in the table and the picture.
    """

    isotope: Annotated[str, Parameter(metavar="NUCLIDE", group=SAMPLE)]
    no_csa: Annotated[bool, Parameter(group=MEASUREMENT)] = False
    no_efg: Annotated[bool, Parameter(group=MEASUREMENT)] = False
    mqmas: Annotated[int | None, Parameter(metavar="QUANTA", group=MEASUREMENT)] = None
    per_site: options.Switch = False


@options.FLAT
@dataclass(frozen=True)
class Outputs:
    """What is written.

    Attributes:
        out: Table to write, CSV.
        plot: Picture to write: .png, .pdf or .svg.
        mrsim: Write sites and method as a file of mrsimulator.
    """

    out: options.File = None
    plot: options.File = None
    mrsim: options.File = None

    def check(self, files: tuple[str, ...]) -> None:
        """Refuse outputs that cannot be written, before the work begins."""
        named = {"--out": self.out, "--plot": self.plot, "--mrsim": self.mrsim}
        if not any(named.values()):
            raise InputError("nothing to write; give --out spectrum.csv, --plot spectrum.png or --mrsim spectrum.mrsim")
        check_outputs(named, inputs=files)
        if self.out is not None and self.out.exists() <= self.out.is_file():  # a device takes anything
            require_suffix(self.out, (".csv",), "spectrum")


@takes(SPECTRUM, options.MOMENTS)
def spectrum(
    *files: options.Files,
    choices: Choices,
    source: options.Tensors = options.TENSORS,
    outputs: Outputs = Outputs(),
    quiet: options.Quiet = False,
    given: Given,
) -> None:
    """Simulate the powder spectrum of one isotope from tensors in files.

    The structures of all files add up to one spectrum: polymorphs, snapshots, or what `efg-jax predict` wrote; with
    --motion they are frames of a trajectory, or the mean structure that `efg-jax average` wrote. Chemical shifts need
    the shielding of a reference compound; --shift 0 does without shieldings. Every nucleus has the same area.
    Needs mrsimulator: `pip install 'efg-jax[spectra]'`; --method exact does not.

    ```
    efg-jax spectrum quartz.magres --isotope 17O --field 14.1 --reference 287.5 --spinning 20000 \\
        --broadening '200 Hz' --out o17.csv --plot o17.png
    efg-jax spectrum predicted.extxyz --isotope 17O --field 18.8 --shift 0 --mqmas 3 --plot 3qmas.png
    efg-jax spectrum chloride.magres --isotope 35Cl --field 9.4 --shift 0 --method exact --out cl35.csv
    ```
    """
    outputs.check(files)
    asked = given.of(SPECTRUM) | {"isotope": choices.isotope, "csa": not choices.no_csa}
    if "reference" in asked:
        asked["reference"] = _of_the_isotope(*asked["reference"], choices.isotope)
    if choices.mqmas is not None:
        _refuse_beside_mqmas(choices, given, outputs.mrsim)
        asked = {name: value for name, value in asked.items() if name not in ONE_DIMENSION}
    else:
        asked["efg"] = not choices.no_efg
        if outputs.mrsim is not None and asked.pop("method", "perturbation") == "exact":
            raise InputError("--mrsim is for mrsimulator, which has no exact diagonalisation; leave it or --method out")
    with Progress(quiet) as progress:
        progress.stage("loading JAX")
        from efg_jax import plots, spectra
        from efg_jax.datasets.sources import read_structures

        progress.stage(f"reading {listed(files)}")
        frames = read_structures(files, source.index, source.array)
        if outputs.out is not None or outputs.plot is not None:
            progress.stage("simulating")
            if choices.mqmas is not None:
                found = spectra.mqmas(frames, quanta=choices.mqmas, per_site=choices.per_site, **asked)
            else:
                found = spectra.spectrum(frames, per_site=choices.per_site, **asked)
        progress.stage("writing")
        if outputs.out is not None:
            found.to_csv(outputs.out)
        if outputs.plot is not None:
            plots.save(found.plot(), outputs.plot)
        if outputs.mrsim is not None:
            spectra.write_mrsim(outputs.mrsim, frames, **asked)
        progress.wrote(outputs.out, outputs.plot, outputs.mrsim)


def _of_the_isotope(symbol: str, shielding: float, isotope: str) -> float:
    """The shielding of the reference, which must be that of the isotope's element where one is named."""
    from efg_jax.tensors.nuclei import isotope as find_isotope

    nucleus = find_isotope(isotope)
    if symbol not in ("", nucleus.symbol):
        raise InputError(
            f"--reference {symbol}={shielding:g} is not for {nucleus}; write {nucleus.symbol}={shielding:g} or "
            f"{shielding:g}"
        )
    return shielding


def _refuse_beside_mqmas(choices: Choices, given: Given, mrsim: Path | None) -> None:
    other = [option_name(name) for name, value in ONE_DIMENSION.items() if name in given and given[name] != value]
    if other := [*other, *(["--no-efg"] if choices.no_efg else [])]:
        raise InputError(
            f"{other[0]} does not go with --mqmas, which is the central transition to second order at infinite rate; "
            "leave it out"
        )
    if mrsim is not None:
        raise InputError("--mrsim holds a spectrum of one dimension; leave --mqmas out")
