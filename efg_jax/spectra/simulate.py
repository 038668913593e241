"""One-dimensional spectra by mrsimulator: static, spinning at any rate, central transition or all."""

import logging
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.precision import x64
from efg_jax.spectra import bridge
from efg_jax.spectra.broadening import Broadening, broaden, parse_broadening
from efg_jax.spectra.conditions import Conditions, Method, Transitions, conditions
from efg_jax.spectra.frequencies import larmor_frequency, transitions
from efg_jax.spectra.lineshape import powder_spectrum
from efg_jax.spectra.merging import merge as merge_sites
from efg_jax.spectra.motion import Motion, moving_sites, refuse_intermediate, require_one_orientation
from efg_jax.spectra.nmr_sites import Sites, sites
from efg_jax.spectra.perturbation_range import warn_outside
from efg_jax.spectra.spectrum_result import Spectrum
from efg_jax.spectra.window import (
    MARGIN,
    Window,
    choose_window,
    counted_fluctuations,
    counted_shifts,
    isotropic_range,
    pattern_range,
)
from efg_jax.structures.site_selection import each
from efg_jax.tensors.nuclei import Isotope, moments_used
from efg_jax.tensors.nuclei import isotope as find_isotope

logger = logging.getLogger(__name__)

DENSITY = 60  # of mrsimulator's integration over the half sphere
MOST_SIDEBANDS = 4096
CAPTURED = 0.995  # part of the intensity that a window which was chosen automatically must hold
LOST = 0.01  # part of the intensity outside a window that was asked for, above which a warning is logged
PIECE = 1 << 22  # points that are simulated at a time, of all sites together
WIDENINGS = 6
WIDENING = 1.5


class Setup(NamedTuple):
    """A spectrum, ready to be simulated.

    Attributes:
        found: sites.
        wanted: conditions.
        broadening: of the lines.
        window: frequency axis.
        fixed: whether the user chose its width or offset.
    """

    found: Sites
    wanted: Conditions
    broadening: Broadening
    window: Window
    fixed: bool


def spectrum(
    atoms: Atoms | Sequence[Atoms] | Sites,
    *,
    field: float | int,
    isotope: Isotope | str | None = None,
    reference: float | int | None = None,
    shift: float | int | None = None,
    spinning: float | int = 0.0,
    transitions: Transitions | None = None,
    order: int = 2,
    method: Method = "perturbation",
    csa: bool = True,
    efg: bool = True,
    broadening: str | float | int | Broadening = 0.0,
    width: float | int | None = None,
    offset: float | int | None = None,
    points: int | None = None,
    per_site: bool = True,
    merge: bool | float = False,
    indices: Sequence[int] | None = None,
    motion: Motion = "rigid",
    density: int = DENSITY,
) -> Spectrum:
    """Powder spectrum of one isotope, from tensors of any origin.

    Simulated by mrsimulator with the nuclear data of :mod:`efg_jax.tensors.nuclei`; both tensors enter with their true
    relative orientation. Every nucleus has the same area; transitions of one nucleus share it by |⟨m−1|I₋|m⟩|², as
    after a short ideal pulse.

    Args:
        atoms: structure or structures with arrays ``efg`` (V/Å²) and ``ms`` (ppm), or `Sites`.
        field: T.
        isotope: nucleus, "17O"; `Sites` have theirs.
        reference: shielding of the reference, ppm; mandatory wherever the shielding is used.
        shift: instead of it, one isotropic shift for all, ppm, without anisotropy: 0.0 for a spectrum of the field
            gradients alone.
        spinning: 0 (static), a rate in Hz, or infinity, about the magic angle.
        transitions: "central" or "all"; None: central for spins 1/2, 3/2, ..., all for integer ones.
        order: of the quadrupolar coupling: 1, or 2 for both.
        method: "perturbation" theory, or "exact" diagonalisation of each orientation's Hamiltonian, by our own line
            shape (`powder_spectrum`), without spinning; "all" then has every line between two levels, and a warning
            tells where perturbation theory is used outside its range.
        csa: False leaves the anisotropy of the shift out.
        efg: False leaves the quadrupolar coupling out.
        broadening: "200 Hz", "lorentzian 1 ppm", a number in Hz, or `Broadening`; full width at half maximum.
        width, offset: of the window and its middle, Hz; without them a window that holds the whole pattern. What lies
            outside a window that was asked for is cut, not folded, and a warning logged.
        points: number of points.
        per_site: keep the contribution of each site.
        merge: give equivalent sites once; True for a tolerance of 1e-4, see :func:`efg_jax.spectra.merge`.
        indices: atoms of every structure, numbered from 0; None: all.
        motion: "rigid": the spectra of the structures add up: polymorphs, or motion slower than the coupling (for the
            central transition, than the spread of its second-order shifts). The others take the structures for frames
            of one trajectory, in one fixed orientation. "fast", faster than the Larmor frequency: the mean tensors.
            "intermediate", between the coupling and the Larmor frequency: first order and shifts of the mean tensors,
            second order its mean over the frames, or, of one structure with mean tensors, with the fluctuations that
            `TrajectoryAverage.to_atoms` gives it (of the field gradients, not of the shifts); by the line shape of
            `powder_spectrum`, without spinning or at infinite rate.
        density: of orientations: 2·(density+1)(density+2) of them.

    Raises:
        InputError: as :func:`efg_jax.spectra.nmr_sites`; conditions out of range; spinning too slow for its sidebands;
            mrsimulator is not installed; method="exact" of a spinning sample or with intermediate motion; motion
            between structures of different atoms or of cells that turn, or intermediate motion with a finite rate of
            spinning or merged sites.
    """
    choice = {"reference": reference, "shift": shift, "indices": indices}
    found = sites_of(atoms, isotope, choice, efg=efg, merge=merge, motion=motion)
    asked = {"transitions": transitions, "order": order, "method": method, "csa": csa, "efg": efg}
    wanted = conditions(found.isotope, field=field, spinning=spinning, **asked)
    if method == "exact":
        refuse_intermediate(found, "exact diagonalisation")
    if found.fluctuations is not None and wanted.mode == "finite":
        raise InputError(
            "sidebands of a finite rate are not computed for motion='intermediate'; take spinning=0 or inf "
            "(command line: --spinning static, or inf)"
        )
    if found.fluctuations is None:  # our own line shape warns itself
        warn_outside(found.efg, found.isotope, wanted)
    axis = {"width": width, "offset": offset, "points": points}
    setup = _setup(found, wanted, parse_broadening(broadening), axis)
    setup, raw = _whole(setup, density, per_site)
    with x64():
        fwhm = setup.broadening.hertz(larmor_frequency(found.isotope, field))
        curves = np.asarray(broaden(raw, setup.window.step, fwhm, setup.broadening.shape))
    return Spectrum(
        isotope=found.isotope,
        frequency=setup.window.frequencies(),
        larmor=larmor_frequency(found.isotope, field),
        total=curves.sum(axis=0),
        per_site=curves if per_site else None,
        labels=found.labels,
        metadata=notes(found, wanted, setup.broadening, choice) | {"motion": motion},
    )


def sites_of(
    atoms: Atoms | Sequence[Atoms] | Sites,
    isotope: Isotope | str | None,
    choice: dict[str, Any],
    *,
    efg: bool,
    merge: bool | float,
    motion: Motion = "rigid",
) -> Sites:
    """Sites of structures under motion between them, merged if that is wanted; sites as they are.

    Raises:
        InputError: no isotope for structures, or options of structures for sites; sites that move and are to be merged.
    """
    if isinstance(atoms, Sites):
        given = [name for name, value in choice.items() if value is not None]
        if given or (isotope is not None and find_isotope(isotope) != atoms.isotope):
            raise InputError(f"sites have their isotope and shifts already; leave {', '.join(given) or 'isotope'} out")
        found = atoms
    elif isotope is None:
        raise InputError("expected an isotope, got none; pass isotope='17O' or another")
    else:
        found = sites(atoms, isotope, efg="efg" if efg else None, **choice)
    if motion != "rigid" and not isinstance(atoms, Sites):
        require_one_orientation(list(each(atoms)))
    found = moving_sites(found, motion)
    if merge is False:
        return found
    if found.fluctuations is not None:
        raise InputError("sites with motion='intermediate' are not compared with each other; leave merge out")
    return merge_sites(found) if merge is True else merge_sites(found, float(merge))


def notes(found: Sites, wanted: Conditions, broadening: Broadening, choice: dict[str, Any]) -> dict[str, Any]:
    """What a spectrum was computed from and how, for its file."""
    given = {name: value for name, value in choice.items() if value is not None and name != "indices"}
    unit = {f"{name}_ppm": value for name, value in given.items()}
    return {
        "isotope": found.isotope.name,
        **({} if found.efg is None else {"quadrupole_moment": moments_used([found.isotope])}),
        "field_t": wanted.field,
        "spinning_hz": wanted.spinning if wanted.mode != "infinite" else "inf",  # JSON has no infinity
        "transitions": wanted.transitions,
        "method": wanted.method,
        **({"order": wanted.order} if wanted.method == "perturbation" else {}),
        "csa": wanted.csa,
        "efg": wanted.efg and found.efg is not None,
        "broadening": str(broadening),
        "sites": len(found),
        "nuclei": float(found.count.sum()),
        **unit,
    }


def _setup(found: Sites, wanted: Conditions, broadening: Broadening, axis: dict[str, Any]) -> Setup:
    low, high = pattern_range(found, wanted)
    fwhm = broadening.hertz(larmor_frequency(found.isotope, wanted.field))
    window = choose_window(low, high, fwhm=fwhm, shape=broadening.shape, **axis)
    return Setup(found, wanted, broadening, window, axis["width"] is not None or axis["offset"] is not None)


def _whole(setup: Setup, density: int, per_site: bool) -> tuple[Setup, Float[np.ndarray, "curves points"]]:
    """Simulate, and widen an automatic window until it holds the pattern: with slow spinning no formula says how far
    sidebands reach.
    """
    expected = setup.found.count.sum()
    for _ in range(WIDENINGS):
        raw = _simulate(setup, density, per_site)
        captured = float(raw.sum() * setup.window.step / expected)
        if captured >= CAPTURED or setup.fixed:
            break
        window = setup.window
        setup = setup._replace(window=Window(WIDENING * window.width, window.offset, window.points))
    else:
        raise InputError(
            f"no window of up to {setup.window.width / 1e6:.3g} MHz holds the whole pattern ({100 * captured:.1f} "
            "% of it at "
            "best); give width and offset for the part of it that is wanted"
        )
    if setup.fixed and 1.0 - captured > LOST:
        logger.warning(
            "%.1f %% of the intensity lies outside the window of %g kHz about %g kHz and is cut; "
            "leave width and offset out for all of it",
            100.0 * (1.0 - captured), setup.window.width / 1e3, setup.window.offset / 1e3,
        )  # fmt: skip
    return setup, raw


def _simulate(setup: Setup, density: int, per_site: bool) -> Float[np.ndarray, "curves points"]:
    """Intensity per Hz of each site, its number of nuclei included; or one curve, their sum."""
    found, wanted, window = setup.found, setup.wanted, setup.window
    if wanted.method == "exact" or found.fluctuations is not None:
        simulate, asked_for = _simulate_ourselves, slice(None)
    else:
        # mrsimulator leaves out sites whose isotropic frequency lies outside of the window, with all that they have in
        # it.
        low, high = isotropic_range(found, wanted)
        margin = MARGIN * (high - low) + 2.0 * window.step
        window, asked_for = window.extended(low - margin, high + margin)
        simulate = _simulate_piece
    curves = [simulate(piece, wanted, window, density)[:, asked_for] for piece in pieces(found, PIECE // window.points)]
    return np.concatenate(curves) if per_site else sum(curve.sum(axis=0, keepdims=True) for curve in curves)


def pieces(found: Sites, size: int) -> Iterator[Sites]:
    """The sites in pieces, so that what mrsimulator holds at a time does not grow with their number."""
    size = max(1, size)
    for start in range(0, len(found), size):
        yield found.select(np.arange(start, min(start + size, len(found))))


def _simulate_piece(
    found: Sites, wanted: Conditions, window: Window, density: int
) -> Float[np.ndarray, "sites points"]:
    simulator = simulator_of(found, wanted, window, density, exact=True)
    # A last site, isotropic and in the middle, is the yardstick: what mrsimulator gives for one nucleus depends on its
    # settings.
    lines = transitions(found.isotope, wanted)
    middle = window.offset / (larmor_frequency(found.isotope, wanted.field) * 1e-6)
    simulator.spin_systems = [*simulator.spin_systems, _yardstick(found.isotope, middle)]
    weights = {line.initial: line.weight / sum(other.weight for other in lines) for line in lines}
    plan = simulator.optimize()
    plan["precomputed_weights"][0] = [
        np.array([weights[float(path[0][0][0])] for path in of_site], dtype=complex)
        for of_site in plan["precomputed_pathways"][0]
    ]
    simulator.run(opt=plan, pack_as_csdm=False)
    amplitudes = np.asarray(simulator.methods[0].simulation).real
    area = amplitudes.sum(axis=-1)[-1] * window.step
    # Abundances are shares of all; counts are wanted.
    return amplitudes[:-1] / area * float(found.count.sum())


def _simulate_ourselves(
    found: Sites, wanted: Conditions, window: Window, density: int
) -> Float[np.ndarray, "sites points"]:
    with x64():
        given = jax.tree.map(
            jnp.asarray,
            (
                found.efg if wanted.efg else None,
                counted_shifts(found, wanted),
                counted_fluctuations(found, wanted),
                found.count,
            ),
        )
        efg, shift, fluctuations, count = given
        curves = powder_spectrum(
            efg, shift, window.frequencies(), isotope=found.isotope, field=wanted.field, spinning=wanted.spinning,
            transitions=wanted.transitions, order=wanted.order, method=wanted.method, density=density, weights=count,
            fluctuations=fluctuations,
        )  # fmt: skip
        return np.asarray(curves)


def _yardstick(nucleus: Isotope, shift: float) -> Any:
    package = bridge.mrsimulator()
    symbol = bridge.nucleus_for(nucleus, exact=True)
    return package.SpinSystem(sites=[package.Site(isotope=symbol, isotropic_chemical_shift=shift)])


def simulator_of(found: Sites, wanted: Conditions, window: Window, density: int, *, exact: bool) -> Any:
    """mrsimulator's `Simulator` of all sites, with one method.

    Args:
        found: sites.
        wanted: conditions.
        window: frequency axis.
        density: of orientations.
        exact: see :func:`efg_jax.spectra.bridge.nucleus_for`.
    """
    package = bridge.mrsimulator()
    symbol = bridge.nucleus_for(found.isotope, exact=exact)
    simulator = package.Simulator(
        spin_systems=bridge.spin_systems(found, wanted, exact=exact),
        methods=[bridge.method(symbol, wanted, window.points, window.width, window.offset)],
    )
    configure(simulator, density, sidebands(found, wanted))
    return simulator


def configure(simulator: Any, density: int, count: int) -> None:
    """Set what mrsimulator's defaults get wrong for tensors in general orientation: an octant is enough for coincident
    axes only.
    """
    simulator.config.decompose_spectrum = "spin_system"
    simulator.config.integration_volume = "hemisphere"
    simulator.config.integration_density = density
    simulator.config.number_of_sidebands = count


def sidebands(found: Sites, wanted: Conditions) -> int:
    """Number of sidebands that the pattern of a finite rate has room for.

    Raises:
        InputError: more than can be computed.
    """
    if wanted.mode != "finite":
        return 64
    low, high = pattern_range(found, wanted)
    reach = 2.0 * max(abs(low), abs(high), high - low) / wanted.spinning
    if reach > MOST_SIDEBANDS:
        raise InputError(
            f"{wanted.spinning:g} Hz is too slow for a pattern {(high - low) / 1e3:.4g} kHz wide: it takes {reach:.0f} "
            f"sidebands, and {MOST_SIDEBANDS} are the most; take spinning=0 for a static sample, or the central "
            "transition only"
        )
    return 1 << max(6, int(np.ceil(np.log2(reach))))
