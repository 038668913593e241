"""Tensors of atoms to the table of what NMR measures of each site."""

from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.observables.arrays import flagged_values_of
from efg_jax.observables.collecting import TENSORS, CollectedSites, collect, numbering
from efg_jax.observables.site_table import CONVENTIONS, SiteObservables, columns_of
from efg_jax.structures.site_selection import (
    NEEDLESS_REFERENCE,
    chosen_isotopes,
    chosen_references,
    finite_rows,
    named_species,
)
from efg_jax.tensors.nuclei import Isotope, Nuclei
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.tensors.principal import CONVENTIONS as AXES
from efg_jax.tensors.quantities import Context

ROTATIONS = ("active", "passive")


def site_observables(
    frames: Atoms | Sequence[Atoms],
    *,
    species: str | Sequence[str] | None = None,
    isotopes: Mapping[str, Isotope | str] | None = None,
    reference: Mapping[str, float] | float | None = None,
    convention: str | Sequence[str] = "maryland",
    rotation: str = "active",
    efg_axes: str = "nqr",
    tensors: str | Sequence[str] = TENSORS,
) -> SiteObservables:
    """Table what NMR measures of every site that has a tensor.

    Of field gradients: V_zz, C_Q, P_Q, η and the first-order splitting ν_Q = 3C_Q/(2I(2I − 1)). Of shieldings: the
    isotropic value, and the anisotropy in one or several conventions. Of both: the Euler angles in the crystal, and
    those of the shielding's axes in those of the field gradient, R_EFGᵀ R_CS (Soprano's ``ms.euler_to(efg)``). With a
    reference, shieldings become shifts, (σ_ref − σ)/(1 − σ_ref·10⁻⁶).

    Args:
        frames: structures with ``efg`` (V/Å²) or ``ms`` (ppm) or both, NaN for atoms without; also as (n, 9).
        species: elements; None: all.
        isotopes: nuclei by element; the default is the one that NMR uses for what is known of the atom: the
            quadrupolar one of an atom with a field gradient, that of spin ½ of one with a shielding alone, where the
            element has both (`efg_jax.tensors.default_isotope`). C_Q is empty for an element whose usual nucleus has no
            quadrupole moment.
        reference: shielding of the reference compound by element, ppm (one number where there is one element). None:
            the table gives shieldings.
        convention: "haeberlen" (Δ, ζ, η), "maryland" (Ω, κ), "iupac" (components 11, 22, 33), several of them, or
            "all".
        rotation: sense of the ZYZ Euler angles, "active" or "passive", see `efg_jax.tensors.euler`. Of the equivalent
            sets the one with active β ≤ 90° and γ < 180° is given, and of the sixteen of two tensors the one with α ≤
            90°.
        efg_axes: order of the field gradient's axes, "nqr" (|zz| ≥ |yy| ≥ |xx|) or "haeberlen" (|zz| ≥ |xx| ≥ |yy|, as
            simulators want them). It changes angles only. The axes of the shielding are in Haeberlen's order.
        tensors: "efg", "ms" or both: which of the tensors to use.

    Returns:
        Table of the sites, frame by frame.

    Raises:
        InputError: no tensors, or none of the species; a nucleus of spin ½ in `isotopes` for sites with nothing but a
            field gradient, or one of an element that is not among the sites; no reference for an element that has
            shieldings, while another has one; an unknown convention, sense or order.
    """
    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    conventions = _conventions(convention)
    _known(rotation, ROTATIONS, "rotation")
    _known(efg_axes, AXES, "efg_axes")
    names = (tensors,) if isinstance(tensors, str) else tuple(tensors)
    for name in names:
        _known(name, TENSORS, "tensors")
    sites = collect(frames, named_species(species), names)
    nuclei = chosen_isotopes(sites.symbols, isotopes, sites.usual)
    shielded = finite_rows(sites.ms) if "ms" in names else np.zeros(len(nuclei), dtype=bool)
    if "efg" in names:
        _check_moments(isotopes or {}, sites, shielded)
    if reference is not None and not shielded.any():
        raise InputError(NEEDLESS_REFERENCE)
    own = {}
    if "efg" in names and finite_rows(sites.efg).any():
        own["efg"] = sites.efg
    if shielded.any():
        own["ms"] = sites.ms
    references = np.zeros(len(sites.ms))
    if reference is not None:
        of_shielded = [symbol for symbol, has in zip(sites.symbols, shielded, strict=True) if has]
        references[shielded] = chosen_references(of_shielded, reference)
    sense = "shielding" if reference is None else "shift"
    columns = columns_of(tuple(own), sense, conventions)
    context = Context(Nuclei.of(nuclei), references, None, efg_axes, rotation == "passive")
    values, flags = flagged_values_of(list(columns.values()), context, **own)
    measured = {name: value / columns[name].display_factor for name, value in zip(columns, values, strict=True)}
    return SiteObservables(
        values=numbering(sites, nuclei) | measured,
        sense=sense,
        conventions=conventions,
        rotation=rotation,
        efg_axes=efg_axes,
        isotopes={str(nucleus): nucleus for nucleus in nuclei if nucleus},
        by_default=tuple({str(one): None for one in nuclei if one and one.symbol not in (isotopes or {})}),
        undefined={name: flag for name, flag in zip(columns, flags, strict=True) if flag.any()},
    )


def _check_moments(isotopes: Mapping[str, Isotope | str], sites: CollectedSites, shielded: np.ndarray) -> None:
    """Check that the nuclei that were asked for have a quadrupole moment, at sites that have a field gradient."""
    present = finite_rows(sites.efg)
    for symbol, name in isotopes.items():
        own = np.array([other == symbol for other in sites.symbols]) & present
        nucleus = find_isotope(name)
        if (own & shielded).any() and not nucleus.is_quadrupolar:
            raise InputError(
                f"{nucleus} has spin {nucleus.spin:g} and no quadrupole moment, so no C_Q; leave it out, or for the "
                "shielding alone choose tensors='ms' (command line: --tensor ms)"
            )
        if own.any():
            nucleus.require_quadrupole()


def _conventions(convention: str | Sequence[str]) -> tuple[str, ...]:
    named = (convention,) if isinstance(convention, str) else tuple(convention)
    if "all" in named:
        return tuple(CONVENTIONS)
    for one in named:
        _known(one, (*CONVENTIONS, "all"), "convention")
    return named


def _known(value: str, known: Sequence[str], what: str) -> None:
    if value not in known:
        raise InputError(f"unknown {what} {value!r}; known are {', '.join(known)}")
