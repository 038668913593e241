"""What motion between the frames of a trajectory does to their sites."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import jax.numpy as jnp
import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.precision import x64
from efg_jax.spectra.fluctuations import Fluctuations, compressed, mean_and_fluctuations
from efg_jax.spectra.nmr_sites import Sites
from efg_jax.structures.crystal_frame import TURN, crystal_axes, turn_between
from efg_jax.structures.targets import place_of

Motion = Literal["rigid", "intermediate", "fast"]


def moving_sites(found: Sites, motion: Motion) -> Sites:
    """Sites as they appear under motion between the structures that they come from.

    Args:
        found: sites of the frames of one trajectory, or of one structure.
        motion: "rigid": as they are. "fast", faster than the Larmor frequency: one site for each atom, with the mean
            tensors. "intermediate", between the coupling and the Larmor frequency: with the fluctuations as well.

    Raises:
        InputError: an unknown motion; frames of other atoms; "intermediate" for one structure without fluctuations.
    """
    if motion not in get_args(Motion):
        raise InputError(f"motion = {motion!r} is unknown; choose 'rigid', 'intermediate' or 'fast'")
    if motion == "rigid":
        return replace(found, fluctuations=None)
    found = found.select(np.lexsort((found.atom, found.frame)))
    numbers, counts = np.unique(found.frame, return_counts=True)
    states, per_state = len(numbers), int(counts[0])
    atoms = found.atom.reshape(states, per_state) if (counts == per_state).all() else np.zeros((0, 0))
    if not len(atoms) or (atoms != atoms[0]).any():
        raise InputError(
            f"motion={motion!r} (command line: --motion) is between the frames of one trajectory, but the "
            f"{found.isotope.symbol} atoms of the {states} structures are not the same ones; give frames of the same "
            "atoms in one order, or take motion='rigid', which adds the spectra of the structures up"
        )
    first = found.select(np.arange(per_state))
    gradient = np.zeros_like(found.shift) if found.efg is None else found.efg
    with x64():
        apart = (jnp.asarray(tensors.reshape(states, per_state, 3, 3)) for tensors in (gradient, found.shift))
        efg, shift, between = mean_and_fluctuations(*apart)
    mean = replace(
        first, efg=None if found.efg is None else np.asarray(efg), shift=np.asarray(shift), fluctuations=None
    )
    if motion == "fast" or found.efg is None:
        return mean
    parts = [Fluctuations(*map(np.asarray, between))]
    if found.fluctuations is not None:
        within = (np.moveaxis(part.reshape(states, per_state, -1, 3, 3), 0, 1) for part in found.fluctuations)
        parts.append(Fluctuations(*(part.reshape(per_state, -1, 3, 3) / np.sqrt(states) for part in within)))
    elif states == 1:
        raise InputError(
            "one structure says nothing of motion, which motion='intermediate' (command line: --motion) needs; give "
            "the frames of a trajectory, or the mean structure that efg-jax average writes (average(...).to_atoms()), "
            "which carries 'efg_fluctuation'"
        )
    joined = Fluctuations(*(np.concatenate(column, axis=1) for column in zip(*parts, strict=True)))
    return replace(mean, fluctuations=compressed(joined))


def require_one_orientation(frames: Sequence[Atoms]) -> None:
    """Refuse frames whose cell turns: their tensors have no mean.

    Raises:
        InputError: a cell is turned against the first one.
    """
    first = crystal_axes(frames[0])
    for number, atoms in enumerate(frames):
        if (angle := turn_between(crystal_axes(atoms), first)) > TURN:
            raise InputError(
                f"the cell is turned by {np.degrees(angle):.3g}° against the first frame, and its tensors with it, so "
                "that they have no mean; turn the frames back, or average(..., frame='crystal') and take its mean "
                "structure (command line: efg-jax average --frame crystal --out mean.extxyz)",
                **place_of(atoms, number),
            )


def refuse_intermediate(found: Sites, what: str) -> None:
    """Refuse sites whose second order is a mean over motion.

    Args:
        found: sites.
        what: of what cannot do it, in words.

    Raises:
        InputError: they are such.
    """
    if found.fluctuations is not None:
        raise InputError(f"{what} cannot average the second order over motion; take motion='fast' or 'rigid'")
