"""Multiple-quantum MAS: two dimensions, sheared, at infinite spinning rate, by mrsimulator."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.precision import x64
from efg_jax.spectra import bridge
from efg_jax.spectra.broadening import Broadening, broaden, parse_broadening
from efg_jax.spectra.conditions import Conditions, conditions
from efg_jax.spectra.frequencies import MAGIC_ANGLE, larmor_frequency, transition
from efg_jax.spectra.motion import Motion, refuse_intermediate
from efg_jax.spectra.nmr_sites import Sites
from efg_jax.spectra.perturbation_range import warn_outside
from efg_jax.spectra.simulate import configure, notes, pieces, sites_of
from efg_jax.spectra.spectrum_result import Spectrum2D
from efg_jax.spectra.window import Window, choose_window, isotropic_frequencies, pattern_range
from efg_jax.tensors.nuclei import Isotope

DENSITY = 60
POINTS = (256, 512)  # isotropic, MAS
PIECE = 32  # sites that are simulated at a time


def mqmas(
    atoms: Atoms | Sequence[Atoms] | Sites,
    *,
    field: float | int,
    isotope: Isotope | str | None = None,
    quanta: int = 3,
    reference: float | int | None = None,
    shift: float | int | None = None,
    csa: bool = True,
    broadening: str | float | int | Broadening = "1 ppm",
    points: tuple[int, int] = POINTS,
    per_site: bool = True,
    merge: bool | float = False,
    indices: Sequence[int] | None = None,
    motion: Motion = "rigid",
    density: int = DENSITY,
) -> Spectrum2D:
    """Sheared MQMAS spectrum of a half-integer quadrupolar nucleus, spun at infinite rate.

    The isotropic axis is in ppm such that shifts run as on the MAS axis; the quadrupolar induced shift then counts
    −10/17 of its value on the MAS axis with three quanta, whatever the spin (J.-P. Amoureux, C. Fernandez, Solid State
    NMR 10 (1998) 211). All sites have the same area: how well pulses excite each is not simulated.

    Args:
        atoms: structure or structures, or `Sites`.
        field: T.
        isotope: nucleus.
        quanta: coherence order of the first dimension: 3, 5, 7 or 9, up to 2I.
        reference, shift, csa, merge, indices, density: as for :func:`efg_jax.spectra.spectrum`.
        broadening: full width at half maximum in both dimensions.
        points: number of points of the isotropic and the MAS axis.
        per_site: keep the contribution of each site.
        motion: "rigid" or "fast", as there.

    Raises:
        InputError: a spin that has no such coherence, fewer than 2 points, motion="intermediate", and as
            :func:`efg_jax.spectra.spectrum`.
    """
    choice = {"reference": reference, "shift": shift, "indices": indices}
    found = sites_of(atoms, isotope, choice, efg=True, merge=merge, motion=motion)
    refuse_intermediate(found, "MQMAS")
    _check(found, quanta)
    wanted = conditions(found.isotope, field=field, spinning=np.inf, transitions="central", csa=csa)
    warn_outside(found.efg, found.isotope, wanted)
    line = parse_broadening(broadening)
    larmor = larmor_frequency(found.isotope, field)
    fwhm = line.hertz(larmor)
    low, high = pattern_range(found, wanted)
    mas = choose_window(low, high, fwhm=fwhm, shape=line.shape, width=None, offset=None, points=int(points[1]))
    centres = isotropic_positions(found, wanted, quanta)
    ends = (float(centres.min()), float(centres.max()))
    iso = choose_window(*ends, fwhm=fwhm, shape=line.shape, width=None, offset=None, points=int(points[0]))
    planes = (_simulate(piece, wanted, quanta, (iso, mas), density) for piece in pieces(found, PIECE))
    raw = np.concatenate(list(planes)) if per_site else sum(plane.sum(axis=0, keepdims=True) for plane in planes)
    with x64():
        along_mas = broaden(raw, mas.step, fwhm, line.shape)
        both = np.asarray(broaden(along_mas.swapaxes(-1, -2), iso.step, fwhm, line.shape)).swapaxes(-1, -2)
    unit = larmor * 1e-6
    curves = both * unit**2
    return Spectrum2D(
        isotope=found.isotope,
        quanta=quanta,
        isotropic=iso.frequencies() / unit,
        mas=mas.frequencies() / unit,
        larmor=larmor,
        total=curves.sum(axis=0),
        per_site=curves if per_site else None,
        labels=found.labels,
        metadata=notes(found, wanted, line, choice) | {"motion": motion, "quanta": quanta},
    )


def _check(found: Sites, quanta: int) -> None:
    nucleus = found.isotope
    if not nucleus.is_quadrupolar:
        raise InputError(f"{nucleus} has spin 1/2, and no multiple-quantum coherences; take spectrum(...)")
    if float(nucleus.spin).is_integer():
        raise InputError(f"{nucleus} has spin {nucleus.spin:g}; MQMAS is for half-integer spins; take spectrum(...)")
    if quanta not in range(3, round(2 * nucleus.spin) + 1, 2):
        possible = ", ".join(str(number) for number in range(3, round(2 * nucleus.spin) + 1, 2))
        raise InputError(
            f"{nucleus} (spin {nucleus.spin:g}) has no {quanta}-quantum coherence; quanta is one of {possible}"
        )
    if found.efg is None:
        raise InputError("MQMAS needs the electric field gradients; pass structures that have them")


def shear(spin: float, quanta: int) -> tuple[float, float]:
    """Shear ratio k and what a shift counts on the sheared axis (ν_MQ + k ν_MAS)/(1 + |k|).

    k = −C₄(m → −m)/C₄(½ → −½), the ratio of the fourth-rank second-order coefficients, is read off the coefficients of
    |V₁|² and |V₂|².

    Args:
        spin: I.
        quanta: 2m.
    """
    rank_four = _rank_four(spin, 0.5 * quanta)
    k = -rank_four / _rank_four(spin, 0.5)
    return k, quanta + k


def _rank_four(spin: float, m: float) -> float:
    """Fourth-rank part of the second-order frequency of m → −m, up to a factor for all m: 18 I(I+1) m − 34 m³ − 5 m
    (Amoureux and Fernandez, 1998).
    """
    return m * (18.0 * spin * (spin + 1.0) - 34.0 * m * m - 5.0)


def isotropic_positions(found: Sites, wanted: Conditions, quanta: int) -> Float[np.ndarray, " sites"]:
    """Where the sites lie on the isotropic axis, Hz: (ν_MQ + k ν_MAS)/(quanta + k) of the orientation averages.

    Args:
        found: sites.
        wanted: conditions.
        quanta: coherence order.
    """
    k, scale = shear(found.isotope.spin, quanta)
    of_central, of_multiple = (
        isotropic_frequencies(found, wanted, transition(found.isotope, wanted.field, m, -m, order=wanted.order))
        for m in (0.5, 0.5 * quanta)
    )
    return (of_multiple + k * of_central) / scale


def method(symbol: str, wanted: Conditions, spin: float, quanta: int, axes: tuple[Window, Window]) -> Any:
    """mrsimulator's method with the shear as its affine matrix.

    Args:
        symbol: nucleus, as mrsimulator knows it.
        wanted: conditions.
        spin: I.
        quanta: coherence order of the first dimension.
        axes: isotropic and MAS axis.
    """
    package = bridge.mrsimulator()
    k, scale = shear(spin, quanta)
    parts = list(bridge.contributions(wanted))
    dimensions = [
        {
            "count": axis.points,
            "spectral_width": axis.width,
            "reference_offset": axis.offset,
            "label": label,
            "events": [{"transition_queries": [{"ch1": {"P": [-order], "D": [0]}}], "freq_contrib": parts}],
        }
        for axis, order, label in zip(axes, (quanta, 1), ("isotropic", "MAS"), strict=True)
    ]
    return package.Method(
        name=f"{quanta}QMAS, sheared",
        channels=[symbol],
        magnetic_flux_density=wanted.field,
        rotor_angle=MAGIC_ANGLE,
        rotor_frequency=bridge.INFINITE,
        spectral_dimensions=dimensions,
        affine_matrix=[[1.0 / scale, k / scale], [0.0, 1.0]],
    )


def _simulate(
    found: Sites, wanted: Conditions, quanta: int, axes: tuple[Window, Window], density: int
) -> Float[np.ndarray, "sites isotropic mas"]:
    """Intensity per Hz² of each site, its number of nuclei included."""
    package = bridge.mrsimulator()
    symbol = bridge.nucleus_for(found.isotope, exact=True)
    simulator = package.Simulator(
        spin_systems=bridge.spin_systems(found, wanted, exact=True),
        methods=[method(symbol, wanted, found.isotope.spin, quanta, axes)],
    )
    configure(simulator, density, 64)
    simulator.run(pack_as_csdm=False)
    amplitudes = np.asarray(simulator.methods[0].simulation).real
    area = amplitudes.sum(axis=(1, 2), keepdims=True) * axes[0].step * axes[1].step
    # The windows hold all of every site, so that its area is its number of nuclei.
    return amplitudes / area * found.count[:, None, None]
