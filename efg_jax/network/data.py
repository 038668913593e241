"""What a network is trained on: structures whose labels are checked, and the part of them that is held back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.io import check_frames
from efg_jax.io.checks import with_label
from efg_jax.metrics import Scale
from efg_jax.network.architecture import Architecture
from efg_jax.network.labels import Standard
from efg_jax.precision import float64
from efg_jax.splits import split
from efg_jax.structures import environments
from efg_jax.targets import Target, find, labels, missing, target_of


class TrainingData(NamedTuple):
    """Structures under the targets' own names.

    Attributes:
        targets: by name.
        training: what moves the weights.
        validation: what decides which are kept.
    """

    targets: dict[str, Target]
    training: list[Atoms]
    validation: list[Atoms]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        array: str | None,
        structures: Atoms | Iterable[Atoms],
        validation: Sequence[Atoms] | None,
        part: float,
        seed: int,
    ) -> "TrainingData":
        """Check labels, and divide.

        Args:
            names: targets; a structure need not carry all of them.
            array: name under which a single target is found, where it differs.
            structures: the training set.
            validation: the validation set; None: this ``part`` of the training set, drawn with ``seed``.

        Raises:
            InputError: bad structures or labels, a target that nothing carries or that is no tensor of atoms, or an empty validation set.
        """
        frames = _checked(names, array, structures, "the training set")
        targets = {name: _target(name, frames) for name in names}
        if validation is not None:
            held_back = _checked(names, array, validation, "the validation set")
        elif part > 0.0:
            frames, held_back = split(frames, part, seed)
        else:
            raise InputError(
                "the validation set is empty: early stopping watches it; give validation structures, or a part such as 0.1"
            )
        for where, chosen in (("training", frames), ("validation", held_back)):
            for name, target in targets.items():
                if not np.isfinite(labels(chosen, target)).any():
                    raise InputError(
                        f"no structure of the {where} set carries '{name}'; add labelled structures, or another seed"
                    )
        return cls(targets, frames, held_back)

    def settled(self, architecture: Architecture) -> Architecture:
        """With elements and the mean number of neighbours of the training set where they are not given."""
        species = architecture.species or tuple(sorted({symbol for atoms in self.training for symbol in atoms.symbols}))
        neighbours = architecture.neighbours
        if neighbours is None:
            counts = [
                environments([atoms], architecture.cutoff, species, pad=False).mask.sum() / len(atoms) - 1.0
                for atoms in self.training
            ]
            neighbours = max(float(np.mean(counts)), 1.0)
        return replace(architecture, species=species, neighbours=neighbours)

    def scales(self, standards: Mapping[str, Standard], species: Sequence[str]) -> dict[str, dict[str, Scale]]:
        """Of EFG targets μ and σ of |V_zz| in the training set, by element."""
        found = {}
        for name, target in self.targets.items():
            if target.is_efg:
                known = [symbol for symbol, there in zip(species, standards[name].labelled, strict=True) if there]
                found[name] = {symbol: _scale(labels(self.training, target, symbol)) for symbol in known}
        return found


def _checked(names: Sequence[str], array: str | None, structures: Atoms | Iterable[Atoms], what: str) -> list[Atoms]:
    """Structures with all labels in one form."""
    frames = check_frames(structures)
    if not frames:
        raise InputError(f"{what} is empty; pass at least one structure")
    for name in names:
        key = array or name
        frames = [
            atoms if find(atoms, key, "atom") is None else with_label(atoms, number, name, key, "atom")
            for number, atoms in enumerate(frames)
        ]
    return frames


def _target(name: str, frames: Sequence[Atoms]) -> Target:
    carrying = [atoms for atoms in frames if find(atoms, name, "atom") is not None]
    if not carrying:
        raise missing(name, frames[0], 0)
    return target_of(name, carrying, "atom")


def _scale(values: np.ndarray) -> Scale:
    values = values[np.isfinite(values).all(axis=(1, 2))]
    with float64():
        return Scale(*map(float, Scale.from_tensors(jnp.asarray(values))))
