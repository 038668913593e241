"""Spin-alignment echoes F₂(t_p, t_m) of ions that hop, from a trajectory or from a jump model.

After the pulses of Jeener and Broekaert, (π/2)ₓ – t_p – (π/4)_y – t_m – (π/4), the stimulated echo of a spin with I = 1
or 3/2 measures A·F₂ with F₂ = ⟨sin(ω(0) t_p) sin(ω(t_m) t_p)⟩, A = 3/4 or 9/20 of the signal after one pulse. ω is the
angular frequency of the satellite, from the centre of the spectrum: 2πν_Q of ⁷Li, ω = ±(e²qQ/4ħ)(3cos²θ − 1 + η sin²θ
cos 2φ). (R. Böhmer, K. R. Jeffrey, M. Vogel, Prog. Nucl. Magn. Reson. Spectrosc. 50 (2007) 87; M. Wilkening,
P. Heitjans, J. Phys.: Condens. Matter 18 (2006) 9849.)

F₂ decays as ions reach sites with another ω, and ends in a plateau: 1/N of its first value where an ion visits N
inequivalent sites alike, for ω t_p ≫ 1. Hops are taken to be rare within t_p, and dipolar couplings and relaxation are
left out."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Float
from scipy.sparse.csgraph import connected_components

from efg_jax.errors import InputError
from efg_jax.precision import x64
from efg_jax.structures.site_selection import each, listed
from efg_jax.tensors.efg import coupling_factor, frequency_factor
from efg_jax.tensors.nuclei import Isotope, default_quadrupolar_isotope
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.tensors.powder import field_directions
from efg_jax.trajectories.correlator import Correlator
from efg_jax.trajectories.echo_decay import Decay, decay_of
from efg_jax.trajectories.echo_result import AlignmentEcho, in_time
from efg_jax.trajectories.jump_model import Part, stationary_populations, two_time_echo
from efg_jax.trajectories.tracked_tensors import TrackedTensors

OFFSETS = {1.0: 0.5, 1.5: 1.0}  # of the satellites from the centre of the spectrum, in ν_Q
GROUPS = 32  # of atoms, for the errors
LONGEST = 0.25  # of a trajectory: beyond it too few pairs of frames are left to fit
PER_DECADE = 16
STATIONARY = 1e-6
TRAJECTORY_DIRECTIONS = 200
TOLERANCE = 1e-3  # asymmetry and trace of a tensor over its norm that count as rounding
JUMP_DIRECTIONS = 2000
FEMTOSECOND = 1e-15

_two_time_echo = jax.jit(two_time_echo, static_argnames="part")


def alignment_echo(
    frames: Atoms | Iterable[Atoms],
    preparation: Sequence[float] | Float[np.ndarray, " preparations"] | float,
    *,
    timestep: float | int,
    species: str | Sequence[str] | None = None,
    indices: Sequence[int] | None = None,
    isotope: Isotope | str | None = None,
    array: str = "efg",
    frame: Literal["fixed", "crystal"] = "fixed",
    directions: int | Float[np.ndarray, "directions 3"] = TRAJECTORY_DIRECTIONS,
    window: int = 1,
    part: Part = "sin",
    jump: float | int | None = None,
    check_units: bool = True,
    progress: Callable[[int], None] | None = None,
) -> AlignmentEcho:
    """Spin-alignment echo of a trajectory, in one pass: the mean over atoms, frames and directions of the field.

    The trajectory must be as long as the hops are rare: often that of a kinetic Monte Carlo simulation, or a model's
    predictions for it. Frames are taken one by one; memory grows with atoms × preparation times × directions × log₂ of
    the number of frames (300 bytes each), not with the frames.

    Args:
        frames: structures with EFG tensors, V/Å².
        preparation: times t_p, s.
        timestep: femtoseconds from one frame to the next.
        species: element of the atoms.
        indices: of the atoms, the same in every frame; without either all that have a tensor, of one element.
        isotope: nucleus of spin 1 or 3/2; None: the one that NMR uses.
        array: name of the tensors.
        frame: "fixed": components as they are; "crystal": in the frame that the cell carries with it, for cells that
            turn.
        directions: of the field: their number for a powder, which should be larger than (ω t_p)², or unit vectors for a
            single crystal.
        window: number of frames whose tensors are averaged first. Within t_p ions vibrate many times, so that ω is that
            of the mean tensor: in molecular dynamics take a window of some vibrations, shorter than the time of a hop.
        part: "sin" for the alignment echo; "cos" for its counterpart of Zeeman order.
        jump: Å; an atom that moves farther from one frame to the next is an error; None: any.
        check_units: an EFG that becomes larger or smaller by a factor between two units is an error.
        progress: called with the number of frames done.

    Raises:
        InputError: a time or count that is not positive; atoms of several elements; a nucleus of another spin; fewer
            than two windows of frames; as `average`.
    """
    times = _times(preparation, "preparation")
    if not (np.isfinite(timestep) and timestep > 0):
        raise InputError(
            f"a time step of {timestep} fs is not positive; give the time from one frame to the next, in fs"
        )
    if window < 1:
        raise InputError(f"a window of {window} frames has no mean; give 1 or more")
    field = _directions(directions)
    products = np.einsum("di,dj->ijd", field, field).reshape(9, -1)
    function = np.sin if part == "sin" else np.cos
    tracker, waiting, blocks, number = None, [], 0, 0
    for number, atoms in enumerate(each(frames), start=1):
        if tracker is None:
            tracker = TrackedTensors(
                atoms, array, True, species=species, indices=None if indices is None else listed(indices).tolist(),
                frame=frame, jump=None if jump is None else float(jump), check_units=check_units,
            )  # fmt: skip
            nucleus = _nucleus(tracker.symbols, isotope)
            factor = 2.0 * np.pi * _hertz(nucleus) * times[None, :, None]
            shape = (len(tracker.tracked), len(times), len(field))
            correlator, total = Correlator(shape[0] * shape[1], shape[2]), np.zeros(shape)
        waiting.append(tracker.of(atoms, number - 1)[1])
        if len(waiting) == window:
            tensors, waiting = np.mean(waiting, axis=0), []
            waves = function(factor * (tensors.reshape(-1, 9) @ products)[:, None, :])
            correlator.add(waves.reshape(-1, shape[2]))
            total, blocks = total + waves, blocks + 1
        if progress is not None:
            progress(number)
    if blocks < 2:
        raise InputError(
            f"{number} frames make {blocks} windows of {window}, and no time from one to the next; give a trajectory"
        )
    lags = correlator.lags * (window * timestep * FEMTOSECOND)
    by_atom = correlator.values.reshape(len(lags), shape[0], shape[1]).transpose(1, 2, 0) / shape[2]
    until = LONGEST * number * timestep * FEMTOSECOND
    source = f"{shape[0]} atoms, {number} frames, {in_time(number * timestep * FEMTOSECOND)}"
    return _of_atoms(
        by_atom, total / blocks, until, isotope=nucleus, preparation=times, mixing=lags, part=part, source=source
    )


def jump_echo(
    tensors: Sequence | np.ndarray,
    rates: Sequence | np.ndarray,
    preparation: Sequence[float] | Float[np.ndarray, " preparations"] | float,
    mixing: Sequence[float] | Float[np.ndarray, " mixings"] | None = None,
    *,
    isotope: Isotope | str,
    populations: Sequence[float] | Float[np.ndarray, " sites"] | None = None,
    directions: int | Float[np.ndarray, "directions 3"] = JUMP_DIRECTIONS,
    part: Part = "sin",
) -> AlignmentEcho:
    """Spin-alignment echo of ions that hop between sites with given rates, exact by the matrix exponential.

    The pure function, for `jit`, `vmap` and derivatives, is `two_time_echo`.

    Args:
        tensors: EFG at every site, in one frame of space, (n, 3, 3), V/Å².
        rates: from site i to site j, (n, n), 1/s; the diagonal does not matter.
        preparation: times t_p, s.
        mixing: times t_m, s; None: from before the first hop to the plateau.
        isotope: nucleus of spin 1 or 3/2.
        populations: of the sites, stationary under the rates; None: those that the rates lead to.
        directions, part: as for `alignment_echo`.

    Raises:
        InputError: shapes that do not fit, tensors that are no field gradients, negative rates, sites that exchange
            with none of the others and no populations, populations that the rates change, a time that is not positive,
            a nucleus of another spin.
    """
    times, nucleus = _times(preparation, "preparation"), find_isotope(isotope)
    tensors, rates = np.asarray(tensors, dtype=float), np.array(rates, dtype=float)
    count = len(tensors)
    if tensors.shape != (count, 3, 3) or rates.shape != (count, count):
        raise InputError(f"expected tensors (n, 3, 3) and rates (n, n), got {tensors.shape} and {rates.shape}")
    wrong = np.linalg.norm(tensors - tensors.swapaxes(1, 2), axis=(1, 2)) + abs(np.trace(tensors, axis1=1, axis2=2))
    if not (wrong <= TOLERANCE * np.linalg.norm(tensors, axis=(1, 2))).all():
        raise InputError(
            "tensors must be field gradients: finite, symmetric, without trace; correct those of the sites"
        )
    np.fill_diagonal(rates, 0.0)
    if not (np.isfinite(rates).all() and (rates >= 0.0).all()):
        raise InputError("rates must be finite and not negative: numbers of hops from site i to site j in a second")
    generator = rates - np.diag(rates.sum(axis=1))
    found = _populations(rates, generator, populations)
    mixing = _mixing_times(generator) if mixing is None else np.unique(_times(mixing, "mixing", "zero or positive"))
    mixing = np.concatenate([[0.0], mixing[mixing > 0.0]])
    field = _directions(directions)
    frequencies = _hertz(nucleus) * np.einsum("di,sij,dj->sd", field, tensors, field)
    with x64():
        given = map(jnp.asarray, (frequencies, rates, times, mixing, found))
        values, plateau = map(np.asarray, _two_time_echo(*given, part=part))
    decays = tuple(decay_of(mixing, one, float(end)) for one, end in zip(values, plateau, strict=True))
    unknown = tuple(Decay(np.nan, np.nan, np.nan) for _ in decays)
    return AlignmentEcho(
        nucleus, times, mixing, values, np.full_like(values, np.nan), plateau, np.full_like(plateau, np.nan), decays,
        unknown, part, f"{count} sites",
    )  # fmt: skip


def _of_atoms(
    by_atom: Float[np.ndarray, "atoms preparations mixings"],
    means: Float[np.ndarray, "atoms preparations directions"],
    until: float,
    **whose: Any,
) -> AlignmentEcho:
    """Means over atoms, and their errors from leaving groups of atoms out (jackknife)."""

    def numbers(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        values, plateau = by_atom[chosen].mean(axis=0), (means[chosen].mean(axis=0) ** 2).mean(axis=1)
        decays = [decay_of(whose["mixing"], *own, until) for own in zip(values, map(float, plateau), strict=True)]
        return values, plateau, np.array(decays)

    atoms = np.arange(len(by_atom))
    values, plateau, decays = numbers(atoms)
    groups = np.array_split(atoms, min(len(atoms), GROUPS))
    left_out = [numbers(np.setdiff1d(atoms, group)) for group in groups] if len(groups) > 1 else []
    errors = [np.full_like(one, np.nan) for one in (values, plateau, decays)]
    if left_out:
        errors = [np.sqrt(len(groups) - 1) * np.std(column, axis=0) for column in zip(*left_out, strict=True)]
    return AlignmentEcho(
        values=values, errors=errors[0], plateau=plateau, plateau_errors=errors[1],
        decays=tuple(Decay(*row) for row in decays.tolist()),
        decay_errors=tuple(Decay(*row) for row in errors[2].tolist()), **whose,
    )  # fmt: skip


def _nucleus(symbols: np.ndarray, given: Isotope | str | None) -> Isotope:
    elements = sorted(set(symbols.tolist()))
    if len(elements) > 1:
        raise InputError(
            f"an echo is that of one nucleus, not of {' and '.join(elements)}; choose species= (--species)"
        )
    nucleus = default_quadrupolar_isotope(elements[0]) if given is None else find_isotope(given)
    if nucleus is None or nucleus.symbol != elements[0]:
        raise InputError(f"{nucleus or 'nothing'} is no quadrupolar isotope of {elements[0]}; pass isotope=")
    return nucleus


def _hertz(nucleus: Isotope) -> float:
    """Hz of the satellite per V/Å² of n·V·n."""
    spin = float(nucleus.spin)
    if spin not in OFFSETS:
        raise InputError(
            f"{nucleus} has spin {spin:g}; alignment echoes of this form are those of spin 1 and 3/2, as ²H, ⁶Li, ⁷Li"
        )
    return OFFSETS[spin] * frequency_factor(spin) * coupling_factor(nucleus)


def _times(given: Any, name: str, least: str = "positive") -> Float[np.ndarray, " times"]:
    times = np.atleast_1d(np.asarray(given, dtype=float))
    fine = np.isfinite(times) & (times > 0.0 if least == "positive" else times >= 0.0)
    if times.ndim != 1 or not len(times) or not fine.all():
        raise InputError(f"{name} times must be {least}, in seconds, as 20e-6; got {given}")
    return times


def _directions(given: Any) -> Float[np.ndarray, "directions 3"]:
    if isinstance(given, int):
        return field_directions(given)
    field = np.asarray(given, dtype=float).reshape(-1, 3)
    lengths = np.linalg.norm(field, axis=1, keepdims=True)
    if not (len(field) and np.isfinite(lengths).all() and (lengths > 0.0).all()):
        raise InputError("directions of the field must be vectors, none of them zero, or their number")
    return field / lengths


def _populations(rates: np.ndarray, generator: np.ndarray, given: Any) -> Float[np.ndarray, " sites"]:
    if given is None:
        parts, names = connected_components(rates > 0.0, connection="strong")
        if parts > 1:
            groups = "; ".join(", ".join(map(str, np.flatnonzero(names == k))) for k in range(min(parts, 6)))
            raise InputError(
                f"the sites fall into {parts} groups without hops there and back ({groups}), so that the rates do not "
                "say how many ions are in each; pass populations="
            )
        with x64():
            return np.asarray(stationary_populations(jnp.asarray(rates)))
    found = np.asarray(given, dtype=float)
    if found.shape != (len(rates),) or (found < 0.0).any() or not np.isclose(found.sum(), 1.0, atol=1e-6):
        raise InputError(f"populations must be {len(rates)} numbers from 0 to 1 whose sum is 1, got {given}")
    if np.abs(found @ generator).max() > STATIONARY * max(float(rates.max()), 1e-300):
        raise InputError(
            "the rates change these populations: p_i k_ij summed over i must be p_j Σ_i k_ji; correct either"
        )
    return found


def _mixing_times(generator: np.ndarray) -> Float[np.ndarray, " mixings"]:
    """From before the fastest process to after the slowest one, evenly in the logarithm."""
    speeds = -np.linalg.eigvals(generator).real
    speeds = speeds[speeds > 1e-12 * speeds.max()]
    if not len(speeds):
        raise InputError("no ion hops; pass the mixing times")
    low, high = np.log10(1e-2 / speeds.max()), np.log10(30.0 / speeds.min())
    return np.logspace(low, high, int(np.ceil(PER_DECADE * (high - low))) + 1)
