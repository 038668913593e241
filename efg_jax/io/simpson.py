"""Spin systems for SIMPSON, the density-matrix simulator (M. Bak et al., J. Magn. Reson. 147 (2000) 296).

    shift i δ_iso δ_aniso η α β γ          ppm (suffix p); δ_aniso = δ_zz − δ_iso, the reduced anisotropy of the shift
    quadrupole i order C_Q η α β γ         C_Q in Hz, signed

Principal components are in Haeberlen's order, |zz| ≥ |xx| ≥ |yy| of the deviation. Angles are passive ZYZ angles in
degrees from the crystal's Cartesian axes to the principal axes, T_PAS = Rᵀ T R with Rᵀ = R_z(α) R_y(β) R_z(γ) (see
`efg_jax.tensors.euler`). Both tensors start from the same frame, so that their relative orientation is right. The
tensors equal those of Soprano's writer.

SIMPSON's state space is the product of all spins of a system: simulate sites without couplings one by one.
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int

from efg_jax.errors import InputError
from efg_jax.observables import SiteObservables, site_observables
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.structures.site_selection import (
    NEEDLESS_REFERENCE,
    chosen_isotopes,
    chosen_references,
    chosen_sites,
    finite_rows,
    tensors_of,
    usual_isotopes,
)
from efg_jax.structures.targets import place_of
from efg_jax.tensors.nuclei import Isotope

SIMPSON = {"rotation": "passive", "efg_axes": "haeberlen"}


def write_simpson(
    path: str | os.PathLike[str],
    frames: Sequence[Atoms],
    *,
    species: str | Sequence[str] | None = None,
    sites: Sequence[int] | None = None,
    isotopes: Mapping[str, Isotope | str] | None = None,
    reference: Mapping[str, float] | float | None = None,
    shift: bool = True,
    order: int = 2,
    observed: str | None = None,
) -> None:
    """Write chosen sites of one structure as a SIMPSON spin system.

    Args:
        path: file to write. A pulse programme reads it with ``source``; or add the sections par, pulseq and main.
        frames: the one structure, with ``efg`` (V/Å²) or ``ms`` (ppm) or both.
        species: elements whose atoms are written; None: all.
        sites: indices of the atoms, from 0; None: all of the species.
        isotopes: nuclei by element; the others get the one that NMR uses for what is known of them, as in
            `efg_jax.observables.site_observables`: ¹H of a shielding alone, ²H with a field gradient.
        reference: shielding of the reference compound by element, ppm, or a number for one element; needed with ``ms``.
        shift: False leaves shifts out.
        order: order of the quadrupolar coupling, 1 or 2.
        observed: isotope that becomes the first channel, "17O"; None: that of the first site.

    Raises:
        InputError: there are several structures, no chosen sites or no tensors; a shift lacks its reference, or a
            reference its shielding; an isotope is unknown, or of an element that is not among the sites.
    """
    if len(frames) != 1:
        raise InputError(
            f"a spin system is of one structure, and these are {len(frames)}; choose one (frames[-1:], or --index -1)",
            file=str(path),
        )
    if order not in (1, 2):
        raise InputError(f"order={order!r} of the quadrupolar coupling; give 1 or 2, which SIMPSON knows")
    (atoms,) = frames
    chosen = chosen_sites(atoms, 0, species, sites)
    symbols = [atoms.symbols[site] for site in chosen]
    efg, ms = tensors_of(atoms, 0, ("efg", "ms"))
    gradient = np.zeros(len(atoms), dtype=bool) if efg is None else finite_rows(efg)
    usual = usual_isotopes(atoms, gradient)
    nuclei = chosen_isotopes(symbols, isotopes, [usual[site] for site in chosen])
    if None in nuclei:
        symbol = symbols[nuclei.index(None)]
        raise InputError(
            f"no nucleus of {symbol} is in the table; leave {symbol} out with species=, or add it with register_isotope"
        )
    lines = []
    if shift and ms is not None:
        own = [i for i, site in enumerate(chosen) if finite_rows(ms)[site]]
        lines += _shifts(_only(atoms, chosen[own], "ms", ms), reference, own)
    if reference is not None and (ms is None or not finite_rows(ms)[chosen].any()):
        raise InputError(NEEDLESS_REFERENCE, **place_of(atoms, 0))
    if efg is not None:
        own = [i for i, site in enumerate(chosen) if finite_rows(efg)[site] and nuclei[i].is_quadrupolar]
        lines += _quadrupoles(_only(atoms, chosen[own], "efg", efg), isotopes, order, own)
    if not lines:
        raise InputError(
            "the chosen sites have no tensor for SIMPSON: no 'ms', and no 'efg' on a nucleus of spin 1 or more; "
            "choose other sites",
            file=str(path),
        )
    names = [str(nucleus) for nucleus in nuclei]
    channels = list(dict.fromkeys(names))
    if observed is not None:
        if observed not in channels:
            raise InputError(f"observed={observed!r} is none of the chosen nuclei; give one of {', '.join(channels)}")
        channels = [observed, *(name for name in channels if name != observed)]
    text = "\n".join(f"  {line}" for line in (f"channels {' '.join(channels)}", f"nuclei {' '.join(names)}", *lines))
    comment = f"# {atoms.get_chemical_formula()}, atoms {' '.join(map(str, chosen))} (from 0); written by efg_jax"
    with atomic_write(path) as temporary:
        temporary.write_text(f"{comment}\nspinsys {{\n{text}\n}}\n", encoding="utf-8")


def _only(atoms: Atoms, sites: Int[np.ndarray, " sites"], name: str, tensors: Float[np.ndarray, "atoms 3 3"]) -> Atoms:
    """These sites, with this tensor alone."""
    bare = Atoms(atoms.numbers[sites], positions=atoms.positions[sites])
    bare.arrays[name] = tensors[sites]
    return bare


def _shifts(sites: Atoms, reference: Mapping[str, float] | float | None, spins: Sequence[int]) -> list[str]:
    if not len(sites):
        return []
    references = chosen_references(list(sites.symbols), reference)
    by_element = dict(zip(sites.symbols, references.tolist(), strict=True))
    found = site_observables(sites, reference=by_element, convention="haeberlen", **SIMPSON)
    columns = [found[name] for name in ("iso_ppm", "reduced_anisotropy_ppm", "eta_cs")]
    rows = zip(spins, *columns, _written(found, "cs"), strict=True)
    return [f"shift {spin + 1} {iso:.6f}p {zeta:.6f}p {eta:.8f} {angles}" for spin, iso, zeta, eta, angles in rows]


def _quadrupoles(
    sites: Atoms, isotopes: Mapping[str, Isotope | str] | None, order: int, spins: Sequence[int]
) -> list[str]:
    if not len(sites):
        return []
    own = {symbol: nucleus for symbol, nucleus in (isotopes or {}).items() if symbol in sites.symbols}
    found = site_observables(sites, isotopes=own, **SIMPSON)
    rows = zip(spins, found["c_q_mhz"] * 1e6, found["eta_q"], _written(found, "efg"), strict=True)
    return [f"quadrupole {spin + 1} {order} {c_q:.4f} {eta:.8f} {angles}" for spin, c_q, eta, angles in rows]


def _written(found: SiteObservables, tensor: str) -> list[str]:
    angles = np.stack([found[f"{tensor}_{angle}_deg"] for angle in ("alpha", "beta", "gamma")], axis=1)
    return [" ".join(f"{angle:.7f}" for angle in row) for row in angles]
