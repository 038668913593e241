"""Tensors of atoms to observables of sites."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.observables import columns
from efg_jax.observables.collecting import TENSORS, Sites, collect, numbering
from efg_jax.observables.table import SiteObservables
from efg_jax.precision import x64
from efg_jax.structures.padding import bucket
from efg_jax.structures.site_selection import (
    NEEDLESS_REFERENCE,
    chosen_isotopes,
    chosen_references,
    finite_rows,
    named_species,
)
from efg_jax.tensors.efg import HZ_PER_MILLIBARN_V_PER_ANGSTROM2
from efg_jax.tensors.euler import euler_angles
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.tensors.principal import CONVENTIONS as AXES
from efg_jax.tensors.principal import principal_axes

ROTATIONS = ("active", "passive")
HIGHEST = jax.lax.Precision.HIGHEST


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
    """Observables of every site that has a tensor.

    Of field gradients V_zz, C_Q, P_Q, η and the first-order splitting ν_Q = 3C_Q/(2I(2I − 1)); of shieldings the isotropic value and the
    anisotropy in one or several conventions; the Euler angles of both in the crystal, and of the shielding's axes in those of the field
    gradient. With a reference shieldings are given as shifts, (σ_ref − σ)/(1 − σ_ref·10⁻⁶).

    The axes of the shielding in those of the field gradient are R_EFGᵀ R_CS (Soprano's ``ms.euler_to(efg)``).

    Args:
        frames: structures with ``efg`` (V/Å²) or ``ms`` (ppm) or both, NaN for atoms without; also as (n, 9).
        species: elements; None: all.
        isotopes: nuclei by element; for the others the one that NMR uses. C_Q is empty for an element whose usual nucleus has none.
        reference: shielding of the reference compound by element, ppm (one number where there is one element). None: shieldings are given.
        convention: "haeberlen" (Δ, ζ, η), "maryland" (Ω, κ), "iupac" (components 11, 22, 33), several of them, or "all".
        rotation: sense of the ZYZ Euler angles, "active" or "passive", see `efg_jax.tensors.euler`. Of the equivalent sets those with
            active β ≤ 90°, γ < 180° are given, and of the sixteen of two tensors those with α ≤ 90° besides.
        efg_axes: order of the field gradient's axes, "nqr" (|zz| ≥ |yy| ≥ |xx|) or "haeberlen" (|zz| ≥ |xx| ≥ |yy|, as simulators want
            them), which changes angles only. Those of the shielding are in Haeberlen's order.
        tensors: "efg", "ms" or both: what to look at, of what is there.

    Returns:
        Table of the sites, frame by frame.

    Raises:
        InputError: no tensors, or none of the species; a nucleus of spin ½ in `isotopes` for sites with nothing but a field gradient, or one of an element
            that is not among the sites; no reference for
            an element that has shieldings, while another has one; an unknown convention, sense or order.
    """
    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    conventions = _conventions(convention)
    _known(rotation, ROTATIONS, "rotation")
    _known(efg_axes, AXES, "efg_axes")
    names = (tensors,) if isinstance(tensors, str) else tuple(tensors)
    for name in names:
        _known(name, TENSORS, "tensors")
    sites = collect(frames, named_species(species), names)
    nuclei = chosen_isotopes(sites.symbols, isotopes)
    shielded = finite_rows(sites.ms) if "ms" in names else np.zeros(len(nuclei), dtype=bool)
    if "efg" in names:
        _refuse_spin_half(isotopes or {}, sites, shielded)
    given = numbering(sites, nuclei)
    sense = "shielding" if reference is None else "shift"
    with x64():
        efg_frames = cs_frames = None
        if "efg" in names and finite_rows(sites.efg).any():
            efg_frames, angles, values = _quadrupolar(sites.efg, nuclei, set(isotopes or ()), efg_axes)
            given |= values | _in_degrees(angles, "efg", rotation)
        if shielded.any():
            references = np.zeros(len(sites.ms))
            if reference is not None:
                own = [symbol for symbol, has in zip(sites.symbols, shielded, strict=True) if has]
                references[shielded] = chosen_references(own, reference)
            cs_frames, angles, values = _shielding(sites.ms, references, sense, conventions)
            given |= values | _in_degrees(angles, "cs", rotation)
        elif reference is not None:
            raise InputError(NEEDLESS_REFERENCE)
        if efg_frames is not None and cs_frames is not None:
            (angles,) = _padded(_relative_angles, None, efg_frames, cs_frames)
            given |= _in_degrees(angles, "rel", rotation)
    return SiteObservables(
        given, sense, conventions, rotation, efg_axes, {str(nucleus): nucleus for nucleus in nuclei if nucleus}
    )


def _quadrupolar(
    tensors: Float[np.ndarray, "sites 3 3"], nuclei: Sequence[Isotope | None], asked: set[str], order: str
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Axes, their active angles, and values by column."""
    present = finite_rows(tensors)
    moment, splitting = np.full(len(nuclei), np.nan), np.full(len(nuclei), np.nan)
    for i, nucleus in enumerate(nuclei):
        if present[i] and nucleus is not None and (nucleus.symbol in asked or nucleus.quadrupole_moment is not None):
            moment[i] = nucleus.require_quadrupole() * HZ_PER_MILLIBARN_V_PER_ANGSTROM2
            splitting[i] = 3.0 / (2.0 * nucleus.spin * (2.0 * nucleus.spin - 1.0))
    values, axes, angles = _padded(_principal, order, tensors)
    v_zz = values[:, 2]
    # |V_xx − V_yy| is the same in both orders.
    eta = np.abs(values[:, 0] - values[:, 1]) / np.where(v_zz == 0.0, 1.0, np.abs(v_zz))
    c_q = moment * v_zz
    return (
        axes,
        angles,
        {
            "v_zz": v_zz,
            "c_q_mhz": c_q / 1e6,
            "p_q_mhz": c_q * np.sqrt(1.0 + eta**2 / 3.0) / 1e6,
            "eta_q": eta,
            "nu_q_khz": splitting * c_q / 1e3,
        },
    )


def _shielding(
    tensors: Float[np.ndarray, "sites 3 3"],
    references: Float[np.ndarray, " sites"],
    sense: str,
    conventions: Sequence[str],
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Axes, their active angles, and values by column, of shieldings, or of shifts where there are references (`efg_jax.tensors.shielding`)."""
    if sense == "shift":
        scale = 1.0 - 1e-6 * references[:, None, None]
        tensors = (references[:, None, None] * np.eye(3) - tensors) / scale
    iso = np.trace(tensors, axis1=1, axis2=2) / 3.0
    deviations, axes, angles = _padded(_principal, "haeberlen", tensors - iso[:, None, None] * np.eye(3))
    xx, yy, zeta = deviations.T
    low, middle, high = np.sort(deviations, axis=1).T
    span = high - low
    ordered = np.sort(deviations, axis=1)[:, :: 1 if sense == "shielding" else -1]
    sign = 1.0 if sense == "shielding" else -1.0
    values = {
        "iso_ppm": iso,
        "anisotropy_ppm": 1.5 * zeta,
        "reduced_anisotropy_ppm": zeta,
        "eta_cs": (yy - xx) / np.where(zeta == 0.0, 1.0, zeta),
        "span_ppm": span,
        "skew": -3.0 * sign * middle / np.where(span == 0.0, 1.0, span),
        **{f"cs_{k}{k}_ppm": iso + ordered[:, k - 1] for k in (1, 2, 3)},
    }
    wanted = {*columns.ISOTROPIC, *(name for one in conventions for name in columns.CONVENTIONS[one])}
    return axes, angles, {name: value for name, value in values.items() if name in wanted}


def _principal(order: str, tensors: Float[Array, "sites 3 3"]):
    """Values, axes and their active angles: one decomposition, as that is what takes the time."""
    principal = principal_axes(tensors, order)
    return principal.values, principal.axes, euler_angles(principal.axes)


def _relative_angles(_, efg: Float[Array, "sites 3 3"], cs: Float[Array, "sites 3 3"]):
    """Of R_EFGᵀ R_CS. Half turns of the shielding's axes are `euler_angles`' to choose, those of the field gradient's are chosen here."""
    half_turns = [
        jnp.diag(jnp.array(signs))
        for signs in ((1.0, 1.0, 1.0), (1.0, -1.0, -1.0), (-1.0, 1.0, -1.0), (-1.0, -1.0, 1.0))
    ]
    turned = jnp.einsum("kij,nlj,nlm->nkim", jnp.stack(half_turns), efg, cs, precision=HIGHEST)
    sets = euler_angles(turned)
    best = jnp.argmin(sets[..., 0], axis=1)
    return (jnp.take_along_axis(sets, best[:, None, None], axis=1)[:, 0],)


_principal, _relative_angles = (jax.jit(function, static_argnums=0) for function in (_principal, _relative_angles))


def _padded(function, option: str | None, *arrays: np.ndarray) -> list[np.ndarray]:
    """The function of the sites that have all of these, padded to a few shapes so that few are compiled; NaN for the others."""
    present = np.logical_and.reduce([np.isfinite(array.reshape(len(array), -1)).all(axis=1) for array in arrays])
    count = int(present.sum())
    padded = [np.zeros((bucket(count), *array.shape[1:])) for array in arrays]
    for filled, array in zip(padded, arrays, strict=True):
        filled[:count] = array[present]
    results = []
    for part in function(option, *map(jnp.asarray, padded)):
        whole = np.full((len(present), *part.shape[1:]), np.nan)
        whole[present] = np.asarray(part)[:count]
        results.append(whole)
    return results


def _in_degrees(angles: Float[np.ndarray, "sites 3"], name: str, rotation: str) -> dict[str, np.ndarray]:
    """Columns of angles, from active ones in rad; passive (α, β, γ) is (π − γ, β, π − α)."""
    if rotation == "passive":
        alpha, beta, gamma = angles.T
        angles = np.stack([np.mod(np.pi - gamma, 2 * np.pi), beta, np.mod(np.pi - alpha, 2 * np.pi)], axis=1)
    return {f"{name}_{which}_deg": np.rad2deg(angles[:, k]) for k, which in enumerate(("alpha", "beta", "gamma"))}


def _refuse_spin_half(isotopes: Mapping[str, Isotope | str], sites: Sites, shielded: np.ndarray) -> None:
    """Say so where a nucleus without a quadrupole moment was asked for, and how to have the shielding of its sites."""
    both = {
        symbol
        for symbol, other, own in zip(sites.symbols, shielded, finite_rows(sites.efg), strict=True)
        if other and own
    }
    for symbol, name in isotopes.items():
        nucleus = find_isotope(name)
        if symbol in both and not nucleus.is_quadrupolar:
            raise InputError(
                f"{nucleus} has spin {nucleus.spin:g} and no quadrupole moment, so no C_Q; leave it out, or for the shielding alone choose "
                "tensors='ms' (command line: --tensor ms)"
            )


def _conventions(convention: str | Sequence[str]) -> tuple[str, ...]:
    named = (convention,) if isinstance(convention, str) else tuple(convention)
    if "all" in named:
        return tuple(columns.CONVENTIONS)
    for one in named:
        _known(one, (*columns.CONVENTIONS, "all"), "convention")
    return named


def _known(value: str, known: Sequence[str], what: str) -> None:
    if value not in known:
        raise InputError(f"unknown {what} {value!r}; known are {', '.join(known)}")
