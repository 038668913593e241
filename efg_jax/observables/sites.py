"""Tensors of atoms to observables of sites."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.errors import InputError
from efg_jax.io.sites import chosen_isotopes, chosen_references, chosen_sites, finite_rows, named_species, tensors_of
from efg_jax.observables import columns
from efg_jax.observables.table import SiteObservables
from efg_jax.precision import float64
from efg_jax.structures import bucket
from efg_jax.targets import place_of
from efg_jax.tensors.efg import HZ_PER_MILLIBARN_V_PER_ANGSTROM2, asymmetry
from efg_jax.tensors.euler import euler_angles, swap_sense
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.principal import CONVENTIONS as AXES
from efg_jax.tensors.principal import principal_axes
from efg_jax.tensors.shielding import haeberlen, maryland, principal_components, shift_tensor

ROTATIONS = ("active", "passive")
TENSORS = ("efg", "ms")


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
        InputError: no tensors, or none of the species; a nucleus of spin ½ in `isotopes` for sites with a field gradient; no reference for
            an element that has shieldings, while another has one; an unknown convention, sense or order.
    """
    frames = [frames] if isinstance(frames, Atoms) else list(frames)
    conventions = _conventions(convention)
    _known(rotation, ROTATIONS, "rotation")
    _known(efg_axes, AXES, "efg_axes")
    names = (tensors,) if isinstance(tensors, str) else tuple(tensors)
    for name in names:
        _known(name, TENSORS, "tensors")
    sites = _collect(frames, named_species(species), names)
    nuclei = chosen_isotopes(sites.symbols, isotopes)
    given = _numbering(sites, nuclei)
    sense = "shielding" if reference is None else "shift"
    with float64():
        efg_frames = cs_frames = None
        if "efg" in names and finite_rows(sites.efg).any():
            efg_frames, values = _quadrupolar(sites.efg, nuclei, set(isotopes or ()), efg_axes)
            given |= values | _angles(efg_frames, "efg", rotation)
        if "ms" in names and (shielded := finite_rows(sites.ms)).any():
            references = np.zeros(len(sites.ms))
            if reference is not None:
                own = [symbol for symbol, has in zip(sites.symbols, shielded, strict=True) if has]
                references[shielded] = chosen_references(own, reference)
            cs_frames, values = _shielding(sites.ms, references, sense, conventions)
            given |= values | _angles(cs_frames, "cs", rotation)
        elif reference is not None:
            raise InputError(
                "a reference shielding is given, but no chosen site has a shielding; leave it out, or read files with 'ms'"
            )
        if efg_frames is not None and cs_frames is not None:
            given |= _relative_angles(efg_frames, cs_frames, rotation)
    return SiteObservables(
        given, sense, conventions, rotation, efg_axes, {str(nucleus): nucleus for nucleus in nuclei if nucleus}
    )


class Sites(NamedTuple):
    """All chosen sites, one after the other; NaN for a tensor that is not there."""

    frame: list[int]
    atom: list[int]
    symbols: list[str]
    labels: list[str]
    files: list[str]
    efg: np.ndarray
    ms: np.ndarray


def _collect(frames: Sequence[Atoms], species: tuple[str, ...] | None, names: Sequence[str]) -> Sites:
    if not frames:
        raise InputError("there are no structures; pass at least one")
    sites, efg, ms = Sites([], [], [], [], [], np.empty(0), np.empty(0)), [], []
    for position, atoms in enumerate(frames):
        both = dict(zip(names, tensors_of(atoms, position, names), strict=True))
        blank = np.full((len(atoms), 3, 3), np.nan)
        both = {name: blank if both.get(name) is None else both[name] for name in TENSORS}
        present = finite_rows(both["efg"]) | finite_rows(both["ms"])
        if species is not None:
            present &= np.isin(np.asarray(atoms.symbols), species)
        chosen = np.flatnonzero(present)
        sites.frame.extend([position] * len(chosen))
        sites.atom.extend(chosen.tolist())
        sites.symbols.extend(atoms.symbols[i] for i in chosen)
        sites.labels.extend(_label(atoms, i) for i in chosen)
        sites.files.extend([str(atoms.info.get("source_file", ""))] * len(chosen))
        efg.append(both["efg"][chosen])
        ms.append(both["ms"][chosen])
    if not sites.atom:
        for position, atoms in enumerate(frames):
            if species is None or np.isin(np.asarray(atoms.symbols), species).any():
                named = f" of {', '.join(species)}" if species else ""
                raise InputError(f"no atom{named} has a tensor; all are NaN", **place_of(atoms, position))
        chosen_sites(frames[0], 0, species)  # says what there is instead
    return sites._replace(efg=np.concatenate(efg), ms=np.concatenate(ms))


def _label(atoms: Atoms, i: int) -> str:
    if "labels" in atoms.arrays and "indices" in atoms.arrays:
        return f"{atoms.arrays['labels'][i]}_{atoms.arrays['indices'][i]}"
    return f"{atoms.symbols[i]}_{int((atoms.numbers[: i + 1] == atoms.numbers[i]).sum())}"


def _numbering(sites: Sites, nuclei: Sequence[Isotope | None]) -> dict[str, np.ndarray]:
    files = {"file": np.array(sites.files)} if len(set(sites.files)) > 1 else {}
    return files | {
        "frame": np.array(sites.frame),
        "atom": np.array(sites.atom),
        "element": np.array(sites.symbols),
        "label": np.array(sites.labels),
        "isotope": np.array(["" if nucleus is None else str(nucleus) for nucleus in nuclei]),
    }


def _quadrupolar(
    tensors: Float[np.ndarray, "sites 3 3"], nuclei: Sequence[Isotope | None], asked: set[str], order: str
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Axes, and values by column."""
    present = finite_rows(tensors)
    moment, splitting = np.full(len(nuclei), np.nan), np.full(len(nuclei), np.nan)
    for i, nucleus in enumerate(nuclei):
        if present[i] and nucleus is not None and (nucleus.symbol in asked or nucleus.quadrupole_moment is not None):
            moment[i] = nucleus.require_quadrupole() * HZ_PER_MILLIBARN_V_PER_ANGSTROM2
            splitting[i] = 3.0 / (2.0 * nucleus.spin * (2.0 * nucleus.spin - 1.0))
    v_zz, eta, axes = _padded(_efg_parts, tensors, order)
    c_q = moment * v_zz
    return axes, {
        "v_zz": v_zz,
        "c_q_mhz": c_q / 1e6,
        "p_q_mhz": c_q * np.sqrt(1.0 + eta**2 / 3.0) / 1e6,
        "eta_q": eta,
        "nu_q_khz": splitting * c_q / 1e3,
    }


def _shielding(
    tensors: Float[np.ndarray, "sites 3 3"],
    references: Float[np.ndarray, " sites"],
    sense: str,
    conventions: Sequence[str],
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Axes, and values by column, of shieldings, or of shifts where there are references."""
    if sense == "shift":
        tensors = np.asarray(shift_tensor(jnp.asarray(tensors), jnp.asarray(references)))
    iso, zeta, eta, span, skew, components, axes = _padded(_cs_parts, tensors, sense)
    values = {
        "iso_ppm": iso,
        "anisotropy_ppm": 1.5 * zeta,
        "reduced_anisotropy_ppm": zeta,
        "eta_cs": eta,
        "span_ppm": span,
        "skew": skew,
        **{f"cs_{k}{k}_ppm": components[:, k - 1] for k in (1, 2, 3)},
    }
    wanted = {*columns.ISOTROPIC, *(name for one in conventions for name in columns.CONVENTIONS[one])}
    return axes, {name: value for name, value in values.items() if name in wanted}


def _efg_parts(tensors: Float[Array, "sites 3 3"], order: str):
    principal = principal_axes(tensors)
    axes = principal.axes if order == "nqr" else principal_axes(tensors, order).axes
    return principal.zz, asymmetry(principal.values), axes


def _cs_parts(tensors: Float[Array, "sites 3 3"], sense: str):
    described, spread = haeberlen(tensors), maryland(tensors, sense=sense)
    components = principal_components(tensors, sense=sense)
    return *described, spread.span, spread.skew, components, principal_axes(tensors, "haeberlen").axes


_efg_parts, _cs_parts = (jax.jit(function, static_argnums=1) for function in (_efg_parts, _cs_parts))


def _padded(function, tensors: Float[np.ndarray, "sites 3 3"], option: str) -> list[np.ndarray]:
    """The function of the tensors that are there, padded to a few shapes so that few are compiled; NaN for the others."""
    present = finite_rows(tensors)
    count = int(present.sum())
    padded = np.zeros((bucket(count), 3, 3))
    padded[:count] = tensors[present]
    results = []
    for part in function(jnp.asarray(padded), option):
        whole = np.full((len(tensors), *part.shape[1:]), np.nan)
        whole[present] = np.asarray(part)[:count]
        results.append(whole)
    return results


def _angles(axes: Float[np.ndarray, "sites 3 3"], name: str, rotation: str) -> dict[str, np.ndarray]:
    present = finite_rows(axes)
    angles = np.full((len(axes), 3), np.nan)
    angles[present] = np.asarray(euler_angles(jnp.asarray(axes[present]), passive=rotation == "passive"))
    return _in_degrees(angles, name)


def _relative_angles(
    efg: Float[np.ndarray, "sites 3 3"], cs: Float[np.ndarray, "sites 3 3"], rotation: str
) -> dict[str, np.ndarray]:
    """Angles of R_EFGᵀ R_CS. Half turns of the shielding's axes are `euler_angles`' to choose, those of the field gradient's are chosen here."""
    present = finite_rows(efg) & finite_rows(cs)
    angles = np.full((len(efg), 3), np.nan)
    if present.any():
        half_turns = np.stack([np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))]) * 1.0
        relative = half_turns @ (efg[present].swapaxes(1, 2) @ cs[present])[:, None]
        sets = euler_angles(jnp.asarray(relative))
        best = np.argmin(np.asarray(sets)[..., 0], axis=1)
        chosen = jnp.take_along_axis(sets, jnp.asarray(best)[:, None, None], axis=1)[:, 0]
        angles[present] = np.asarray(swap_sense(chosen) if rotation == "passive" else chosen)
    return _in_degrees(angles, "rel")


def _in_degrees(angles: Float[np.ndarray, "sites 3"], name: str) -> dict[str, np.ndarray]:
    return {f"{name}_{which}_deg": np.rad2deg(angles[:, k]) for k, which in enumerate(("alpha", "beta", "gamma"))}


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
