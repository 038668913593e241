"""mrsimulator's file, ``.mrsim``: spin systems, method and broadening, for its own application and scripts."""

import os
from collections.abc import Sequence
from typing import Any

from ase import Atoms

from efg_jax.spectra import bridge
from efg_jax.spectra.broadening import Broadening, parse_broadening
from efg_jax.spectra.conditions import Transitions, conditions
from efg_jax.spectra.frequencies import larmor_frequency
from efg_jax.spectra.motion import Motion, refuse_intermediate
from efg_jax.spectra.nmr_sites import Sites
from efg_jax.spectra.perturbation_range import warn_outside
from efg_jax.spectra.simulate import DENSITY, notes, simulator_of, sites_of
from efg_jax.spectra.window import choose_window, pattern_range
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.tensors.nuclei import Isotope


def write_mrsim(
    path: str | os.PathLike[str],
    frames: Atoms | Sequence[Atoms] | Sites,
    *,
    isotope: Isotope | str | None = None,
    field: float | int = 9.4,
    reference: float | int | None = None,
    shift: float | int | None = None,
    efg: bool = True,
    indices: Sequence[int] | None = None,
    merge: bool | float = False,
    broadening: str | float | int | Broadening = 0.0,
    width: float | int | None = None,
    offset: float | int | None = None,
    points: int | None = None,
    spinning: float | int = 0.0,
    transitions: Transitions | None = None,
    order: int = 2,
    csa: bool = True,
    motion: Motion = "rigid",
) -> None:
    """Write sites and a one-dimensional method as a file that ``mrsimulator.load`` reads, whole or not at all.

    mrsimulator gives all transitions of a nucleus the same weight; `spectrum` weights them by |⟨m−1|I₋|m⟩|², which the
    file cannot say. Nuclei that it lacks, or knows with another γ, are in the file with ours. With a window of one's
    own choice mrsimulator leaves out the sites whose isotropic frequency lies outside of it; `spectrum` does not.

    Args:
        path: file to write.
        frames: structure or structures, or `Sites`.
        isotope: nucleus.
        field: T; it can be changed in mrsimulator.
        reference, shift, efg, indices, merge, broadening, width, offset, points, spinning, transitions, order, csa: as
            for :func:`efg_jax.spectra.spectrum`.
        motion: "rigid" or "fast", as there.

    Raises:
        InputError: motion="intermediate"; as :func:`efg_jax.spectra.spectrum`, or the file cannot be written.
    """
    choice = {"reference": reference, "shift": shift, "indices": indices}
    found = sites_of(frames, isotope, choice, efg=efg, merge=merge, motion=motion)
    refuse_intermediate(found, "mrsimulator, whose file this is,")
    wanted = conditions(
        found.isotope, field=field, efg=efg, spinning=spinning, transitions=transitions, order=order, csa=csa
    )
    warn_outside(found.efg, found.isotope, wanted)
    line = parse_broadening(broadening)
    fwhm = line.hertz(larmor_frequency(found.isotope, field))
    axis = {"width": width, "offset": offset, "points": points}
    window = choose_window(*pattern_range(found, wanted), fwhm=fwhm, shape=line.shape, **axis)
    package = bridge.mrsimulator()
    simulator = simulator_of(found, wanted, window, DENSITY, exact=False)
    simulator.config.decompose_spectrum = "none"
    processor = _processor(package, fwhm, line.shape)
    with atomic_write(path) as temporary:
        application = {"efg_jax": notes(found, wanted, line, choice)}
        package.save(str(temporary), simulator, [processor], application=application)


def _processor(package: Any, fwhm: float, shape: str) -> Any:
    steps = package.signal_processor
    if fwhm == 0.0:
        return steps.SignalProcessor()
    kind = steps.apodization.Gaussian if shape == "gaussian" else steps.apodization.Exponential
    return steps.SignalProcessor(operations=[steps.IFFT(), kind(FWHM=f"{fwhm} Hz"), steps.FFT()])
