"""The average over a trajectory, in one pass."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.models.protocol import FittedModel
from efg_jax.spectra.conditions import conditions
from efg_jax.structures.crystal_frame import unit_direction
from efg_jax.structures.declared_units import drop_units
from efg_jax.structures.site_selection import each, listed
from efg_jax.tensors.nuclei import Isotope, default_quadrupolar_isotope
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.trajectories.accumulation import Accumulator, Options
from efg_jax.trajectories.continuity import JUMP
from efg_jax.trajectories.frame_labels import Key
from efg_jax.trajectories.trajectory_average import TrajectoryAverage

SAMPLE = 10_000


def average(
    frames: Atoms | Iterable[Atoms],
    target: str = "efg",
    *,
    species: str | Sequence[str] | None = None,
    indices: Sequence[int] | None = None,
    label: Key | None = None,
    pool: bool = False,
    mask: Key | None = None,
    frame: Literal["fixed", "crystal"] = "fixed",
    direction: Sequence[float | int] | Float[np.ndarray, "3"] | None = None,
    isotope: Isotope | str | Mapping[str, Isotope | str] | None = None,
    field: float | int | None = None,
    timestep: float | int | None = None,
    array: str | None = None,
    jump: float | int | None = JUMP,
    check_units: bool = True,
    sample: int = SAMPLE,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> TrajectoryAverage:
    """Average the tensor of each atom over the frames, and then diagonalise it: what a nucleus shows that moves faster
    than it precesses.

    Frames are taken one by one, from a file (`efg_jax.io.iread`) or a model (`predicted`), and forgotten; memory does
    not grow with their number. Errors are standard errors of block averages (`BlockSums.errors`); those of C_Q(⟨V⟩) and
    η(⟨V⟩) follow from those of the tensor to first order, which is too little where η is within its error of 0 or 1.

    Args:
        frames: structures with the tensors (arrays, or results of a calculator).
        target: "efg" (V/Å²) or "ms" (shielding, ppm).
        species: elements to average.
        indices: of the atoms to average, the same in every frame; with ``species`` those that satisfy both; without
            either all that have a tensor in the first frame.
        label: name of an ``info`` entry (the phase of a frame) or of a per-atom array (the site where an atom is), or a
            function of the structure that returns either: every atom is averaged under each of its labels, over the
            frames in which it has it. Blocks then run over those frames as if they were consecutive. Empty labels do
            not count.
        pool: average over the atoms (of one element) as well: one tensor a label, the mean over frames of the mean of
            the atoms that have it then.
        mask: as ``label``, but true or false: which frames, or atoms in a frame, count.
        frame: "fixed": components as they are; "crystal": in the frame that the cell carries with it (`crystal_axes`),
            for cells that turn.
        direction: of the magnetic field in that frame, for the residual ν_Q; its length does not matter.
        isotope: nucleus, or nuclei by element; None: the one that NMR uses, and V_zz in V/Å² for elements without a
            quadrupolar one.
        field: T; for the second-order shift of the central transition, of ⟨V⟩ and its mean over the frames, and for T₁
            and T₂ beyond extreme narrowing.
        timestep: femtoseconds from one frame to the next, for times instead of frames.
        array: name under which the frames carry the target, where it differs.
        jump: Å; an atom that moves farther from one frame to the next (across periodic boundaries the shorter way) is
            an error, as it could be another one; None: any.
        check_units: an EFG that becomes larger or smaller by a factor between two units (97.17 from a.u. to V/Å²) is an
            error.
        sample: number of values that are kept of each distribution, chosen at random.
        seed: of that choice.
        progress: called with the number of frames done.

    Raises:
        InputError: a path instead of structures; no frame or no atom is left; frames of different composition or order
            of atoms; a tensor, label or mask is missing; a jump; mixed units; a cell that turns, or none where its
            frame is wanted; an isotope without quadrupole moment; a direction of length zero; a field that no magnet
            has, or without a quadrupolar nucleus.
    """
    options = Options(
        target=target,
        array=array or target,
        species=(species,) if isinstance(species, str) else None if species is None else tuple(species),
        indices=None if indices is None else tuple(listed(indices).tolist()),
        label=label,
        mask=mask,
        pool=pool,
        frame=frame,
        direction=None if direction is None else unit_direction(direction),
        jump=None if jump is None else float(jump),
        check_units=check_units,
        sample=sample,
        seed=seed,
    )
    if timestep is not None and not (np.isfinite(timestep) and timestep > 0):
        raise InputError(
            f"a time step of {timestep} fs is not positive; give the time from one frame to the next, in fs"
        )
    if options.frame not in ("fixed", "crystal"):
        raise InputError(f"frame = {frame!r} is unknown; choose 'fixed' or 'crystal'")
    sums = Accumulator(options)
    chosen = _isotopes(isotope, quadrupolar=sums.kind.name == "efg")
    for atoms in each(frames):
        sums.add(atoms)
        if progress is not None:
            progress(sums.frames)
    sums.finish()
    if sums.frames == 0:
        raise InputError("there are no frames to average; check the file, or pass a fresh iterator")
    if sums.counted == 0:
        raise InputError(f"none of the {sums.frames} frames counts: mask and labels leave no atom; check them")
    elements = sorted(set(sums.symbols.tolist()))
    if unused := sorted(set(chosen) - set(elements)):
        raise InputError(
            f"{chosen[unused[0]]} is no isotope of what is averaged ({', '.join(elements)}); "
            "leave it out, or choose its element"
        )
    nuclei: dict[str, Isotope | None] = dict.fromkeys(elements)
    if sums.kind.name == "efg":
        nuclei = {symbol: chosen.get(symbol) or default_quadrupolar_isotope(symbol) for symbol in elements}
    if field is not None:
        quadrupolar = [nucleus for nucleus in nuclei.values() if nucleus is not None]
        if not quadrupolar:
            raise InputError(
                "field= is for the second-order shift and the relaxation of quadrupolar nuclei, and "
                f"{' and '.join(elements)} of target='{sums.kind.name}' has none; leave it out"
            )
        field = conditions(quadrupolar[0], field=field, transitions="all").field
    return TrajectoryAverage(sums, nuclei, None if timestep is None else float(timestep), field)


def predicted(fitted: FittedModel, frames: Iterable[Atoms], *, target: str | None = None, **choice) -> Iterator[Atoms]:
    """Structures with the tensors that a model predicts for them, one by one, for `average`.

    Args:
        fitted: a model of tensors of atoms.
        frames: structures, from `efg_jax.io.iread`.
        target: which, of a model that predicts several; None: the only one.
        choice: arguments of `FittedModel.predict_stream`: species, indices, dtype, chunk.

    Yields:
        The same objects with ``arrays[target]`` set; NaN for atoms that are not predicted.

    Raises:
        InputError: a model without tensors of atoms, or one that does not predict what is asked for.
    """
    name = fitted.tensor_target(target).name
    for found in fitted.predict_stream(frames, target=name, **choice):
        found.atoms.arrays[name] = found.values
        drop_units(found.atoms, name)
        yield found.atoms


def _isotopes(given: Isotope | str | Mapping[str, Isotope | str] | None, *, quadrupolar: bool) -> dict[str, Isotope]:
    """Nuclei by element, checked before the work begins."""
    if isinstance(given, Isotope | str):
        given = {find_isotope(given).symbol: given}
    found = {symbol: find_isotope(name) for symbol, name in (given or {}).items()}
    for symbol, nucleus in found.items():
        if nucleus.symbol != symbol:
            raise InputError(f"{nucleus} is no isotope of {symbol}; write {nucleus.symbol}: {nucleus}")
        if quadrupolar:
            nucleus.require_quadrupole()
    return found
