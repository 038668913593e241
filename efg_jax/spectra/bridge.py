"""Between efg_jax and mrsimulator: nuclei, spin systems, methods, and the ``.mrsim`` file.

mrsimulator wants both tensors in Haeberlen order with passive ZYZ angles, the anisotropy ζ of the shielding, and C_Q in
Hz (D. J. Srivastava et al., J. Chem. Phys. 161 (2024) 212501)."""

import os
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.spectra.conditions import Conditions
from efg_jax.spectra.frequencies import MAGIC_ANGLE
from efg_jax.spectra.nmr_sites import Site, Sites, sites
from efg_jax.tensors.nuclei import Isotope

INFINITE = 1e12  # Hz; mrsimulator's infinity
SAME_GAMMA = 1e-3  # relative difference of γ up to which its nucleus is taken for ours in files
SAME_REFERENCE = 1e-2  # of its reference frequency: one of another sign or size is a slip in its table
FIRST_ORDER = ("Shielding1_0", "Shielding1_2", "Quad1_2")
SECOND_ORDER = ("Quad2_0", "Quad2_2", "Quad2_4")
CROSS = ("Quad_Shielding_cross_0", "Quad_Shielding_cross_2", "Quad_Shielding_cross_4")
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def mrsimulator() -> ModuleType:
    """The package, imported when it is needed; what its import does to the environment (one thread for everybody) is
    undone.

    Raises:
        InputError: it is not installed.
    """
    before = {name: os.environ.get(name) for name in _THREADS}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of its own, about Python 3.13
            import mrsimulator as package
            import mrsimulator.method
            import mrsimulator.method.lib
            import mrsimulator.signal_processor
            import mrsimulator.simulator
    except ImportError as error:
        raise InputError("spectra need mrsimulator, which is not installed; pip install 'efg-jax[spectra]'") from error
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    return package


def nucleus_for(nucleus: Isotope, *, exact: bool) -> str:
    """Name under which mrsimulator knows a nucleus with our spin and γ; a nucleus that it lacks, or knows otherwise, is
    registered there as one of our own.

    Its table differs from ours for some (γ of ⁵⁵Mn, ¹⁹⁷Au and ²⁰⁷Pb by 0.4 to 2 %), lacks ¹⁰³Rh, and has no reference
    for ¹⁰¹Ru. Nuclei without a reference there have their shifts turned round where γ < 0; ours are registered with
    |γ|, which changes nothing else in the
    spectrum: it exchanges m and −m.

    Args:
        nucleus: isotope, with any overrides.
        exact: never use its own entry, so that results depend on our values alone.
    """
    mrsimulator()
    from mrsimulator.spin_system.isotope import ISOTOPE_DATA
    from mrsimulator.spin_system.isotope import Isotope as TheirIsotope

    gamma = nucleus.gyromagnetic_ratio / (2e6 * np.pi)  # MHz/T
    entry = ISOTOPE_DATA.get(nucleus.name)
    if entry is not None and not exact:
        same_spin = entry["spin_multiplicity"] == round(2 * nucleus.spin + 1)
        same_gamma = abs(entry["gyromagnetic_ratio"] / gamma - 1.0) < SAME_GAMMA
        reference = TheirIsotope(symbol=nucleus.name).ref_larmor_ratio
        if same_spin and same_gamma and abs(reference - 1.0) < SAME_REFERENCE:
            return nucleus.name
    from ase.data import atomic_numbers

    name = f"{nucleus.name}-efg-jax"
    TheirIsotope.register(
        name,
        spin_multiplicity=round(2 * nucleus.spin + 1),
        gyromagnetic_ratio=abs(gamma),
        quadrupole_moment=(nucleus.quadrupole_moment or 0.0) * 1e-3,  # barn
        natural_abundance=100.0,
        atomic_number=atomic_numbers[nucleus.symbol],
    )
    return name


def spin_systems(found: Sites, conditions: Conditions | None = None, *, exact: bool = False) -> list[Any]:
    """One single-site spin system a site; its abundance is the number of nuclei, in per cent of all.

    Args:
        found: sites.
        conditions: whose ``csa`` and ``efg`` choose what is passed; None: everything.
        exact: see `nucleus_for`.
    """
    package = mrsimulator()
    symbol = nucleus_for(found.isotope, exact=exact)
    total = float(found.count.sum())
    csa = conditions is None or conditions.csa
    efg = found.efg is not None and (conditions is None or conditions.efg)
    return [
        package.SpinSystem(
            name=label, sites=[_site(package, symbol, site, csa, efg)], abundance=100.0 * site.count / total
        )
        for label, site in zip(found.labels, found, strict=True)
    ]


def _site(package: ModuleType, symbol: str, site: Site, csa: bool, efg: bool) -> Any:
    tensors: dict[str, Any] = {}
    if csa:
        tensors["shielding_symmetric"] = {"zeta": site.zeta, "eta": _unit(site.eta_csa), **_angles(site.euler_csa)}
    if efg:
        tensors["quadrupolar"] = {"Cq": site.c_q, "eta": _unit(site.eta_q), **_angles(site.euler_q)}
    return package.Site(isotope=symbol, isotropic_chemical_shift=site.shift, **tensors)


def _unit(eta: float) -> float:
    """η without the roundings that lead out of [0, 1]."""
    return min(max(eta, 0.0), 1.0)


def _angles(euler: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("alpha", "beta", "gamma"), euler, strict=True))


def method(symbol: str, conditions: Conditions, count: int, width: float, offset: float) -> Any:
    """A one-dimensional method: acquisition of the single-quantum coherences that are excited.

    Args:
        symbol: nucleus, as mrsimulator knows it.
        conditions: of the measurement.
        count: number of points.
        width: spectral width, Hz.
        offset: middle of the window, Hz from the reference.
    """
    package = mrsimulator()
    query = {"P": [-1]} | ({"D": [0]} if conditions.transitions == "central" else {})
    event = {
        "transition_queries": [{"ch1": query}],
        "freq_contrib": list(contributions(conditions)),
    }
    return package.Method(
        name="Bloch decay",
        channels=[symbol],
        magnetic_flux_density=conditions.field,
        rotor_angle=MAGIC_ANGLE,
        rotor_frequency=min(conditions.spinning, INFINITE),
        spectral_dimensions=[{"count": count, "spectral_width": width, "reference_offset": offset, "events": [event]}],
    )


def contributions(conditions: Conditions) -> tuple[str, ...]:
    """mrsimulator's names of the interactions that count."""
    return FIRST_ORDER + (SECOND_ORDER + CROSS if conditions.order == 2 else ())


def to_mrsimulator(
    atoms: Atoms | Sequence[Atoms],
    isotope: Isotope | str,
    **choice: Any,
) -> list[Any]:
    """mrsimulator's spin systems, one a nucleus, for its own methods and fits, which are perturbation theory to second
    order: right far below :func:`efg_jax.tensors.coupling_ratio` = 1.

    Args:
        atoms: structure or structures.
        isotope: nucleus; an entry that mrsimulator lacks, or knows with another γ, is registered with it.
        choice: reference, shift, efg, shielding, indices as for :func:`efg_jax.spectra.nmr_sites`.

    Returns:
        Spin systems with isotropic shift, shielding anisotropy (Haeberlen) and C_Q, both with their Euler angles.

    Raises:
        InputError: as :func:`efg_jax.spectra.nmr_sites`; mrsimulator is not installed.
    """
    return spin_systems(sites(atoms, isotope, **choice))
