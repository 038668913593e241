"""Training and validation sets of a network: structures with checked labels."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.metrics import Scale
from efg_jax.network.architecture import Architecture
from efg_jax.network.standard_units import Standard
from efg_jax.structures.checks import check_frames, with_label
from efg_jax.structures.environments import species_of
from efg_jax.structures.site_selection import labelled_elements
from efg_jax.structures.splits import split
from efg_jax.structures.targets import Target, find, labels, missing, place_of, target_of


class TrainingData(NamedTuple):
    """Structures with labels under the targets' own names, by their position in the caller's list (for messages).

    Attributes:
        targets: by name.
        training: structures whose loss changes the weights.
        validation: structures whose loss decides which weights are kept.
    """

    targets: dict[str, Target]
    training: dict[int, Atoms]
    validation: dict[int, Atoms]

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        array: str | None,
        structures: Atoms | Iterable[Atoms],
        validation: Atoms | Iterable[Atoms] | None,
        part: float,
        seed: int,
        species: Sequence[str] | None,
    ) -> "TrainingData":
        """Check labels, and split off the validation set.

        Args:
            names: targets, of which each structure carries one or more.
            array: name under which a single target is found, where it differs.
            structures: the training set.
            validation: the validation set; None: a part of the training set.
            part: how large a part.
            seed: of the split.
            species: elements whose labels count; None: all.

        Raises:
            InputError: bad structures or labels, a structure without any target, a target of whole structures, an empty
                validation set, or no labels in one of the two sets.
        """
        frames = labelled_frames(names, array, structures, "the training set")
        targets = {name: atomic_target(name, frames) for name in names}
        numbered = list(enumerate(frames))
        if validation is not None:
            held_back = list(enumerate(labelled_frames(names, array, validation, "the validation set")))
        elif part > 0.0:
            numbered, held_back = split(numbered, part, seed)
        else:
            raise InputError(
                "the validation set is empty, and early stopping needs one; give validation structures, or a part such "
                "as 0.1"
            )
        found = cls(targets, dict(numbered), dict(held_back))
        found._check_elements(species)
        found._check_labels(species)
        return found

    def _check_elements(self, species: Sequence[str] | None) -> None:
        """Check that every wanted element is there, and has labels of a target."""
        frames = list(self.training.values())
        present = sorted({symbol for atoms in frames for symbol in atoms.symbols})
        for symbol in species or ():
            if symbol not in present:
                raise InputError(
                    f"no structure that is trained on contains {symbol}; choose among {', '.join(present)}"
                )
            if not any(np.isfinite(labels(frames, target, symbol)).any() for target in self.targets.values()):
                raise InputError(
                    f"no {symbol} atom that is trained on carries {' or '.join(self.targets)}; "
                    f"leave {symbol} out, or add labels"
                )

    def _check_labels(self, species: Sequence[str] | None) -> None:
        """Check that both sets have labels of every target, the validation set of an element that is learned."""
        for name, target in self.targets.items():
            learned = species
            for where, frames in (("training", self.training), ("validation", self.validation)):
                found = labelled_elements(target, list(frames.values()), learned)
                if not found:
                    of = f" of {', '.join(learned)}" if learned else ""
                    raise InputError(
                        f"no structure of the {where} set carries labels{of} of '{name}'; add some, or choose another "
                        "seed"
                    )
                learned = found

    def check_known(self, species: Sequence[str]) -> None:
        """Check that the network knows every element of both sets.

        Raises:
            InputError: one is not.
        """
        for frames in (self.training, self.validation):
            for number, atoms in frames.items():
                species_of(atoms, species, number)

    def settled(self, architecture: Architecture) -> Architecture:
        """The architecture with the elements of the training set where it names none.

        Raises:
            InputError: an element that is not among those given, or that only the validation set has.
        """
        frames = self.training.values()
        species = architecture.species or tuple(sorted({symbol for atoms in frames for symbol in atoms.symbols}))
        self.check_known(species)
        return replace(architecture, species=species)

    def standards(self, species: Sequence[str], wanted: Sequence[str] | None) -> dict[str, Standard]:
        """Units of each target from its labels in the training set."""
        frames = list(self.training.values())
        return {name: Standard.of(target, frames, species, wanted) for name, target in self.targets.items()}

    def scales(self, standards: Mapping[str, Standard], species: Sequence[str]) -> dict[str, dict[str, Scale]]:
        """μ and σ of |V_zz| in the training set by EFG target and element."""
        frames, found = list(self.training.values()), {}
        for name, target in self.targets.items():
            if target.is_efg:
                known = [symbol for symbol, there in zip(species, standards[name].labelled, strict=True) if there]
                found[name] = {symbol: Scale.of_data(labels(frames, target, symbol)) for symbol in known}
        return found


def labelled_frames(
    names: Sequence[str], array: str | None, structures: Atoms | Iterable[Atoms], what: str
) -> list[Atoms]:
    """Structures with all labels checked and under the targets' names.

    Args:
        names: targets, of which each structure carries one or more.
        array: name under which a single target is found, where it differs.
        structures: to be checked.
        what: name of the set, for messages.

    Raises:
        InputError: no structures, bad ones, bad labels, or one without any of the targets.
    """
    frames = check_frames(structures)
    if not frames:
        raise InputError(f"{what} is empty; pass at least one structure")
    for number, atoms in enumerate(frames):
        if all(find(atoms, array or name, "atom") is None for name in names):
            _check_per_atom(array or names[0], atoms, number)
            raise missing(array or names[0], atoms, number)
    for name in names:
        key = array or name
        frames = [
            atoms if find(atoms, key, "atom") is None else with_label(atoms, number, name, key, "atom")
            for number, atoms in enumerate(frames)
        ]
    return frames


def atomic_target(name: str, frames: Sequence[Atoms]) -> Target:
    """The target as the frames carry it; some may carry none.

    Raises:
        InputError: no frame carries it, or it belongs to whole structures.
    """
    carrying = [atoms for atoms in frames if find(atoms, name, "atom") is not None]
    if not carrying:
        _check_per_atom(name, frames[0], 0)
        raise missing(name, frames[0], 0)
    return target_of(name, carrying, "atom")


def _check_per_atom(key: str, atoms: Atoms, number: int) -> None:
    if find(atoms, key, "structure") is not None:
        raise InputError(
            f"'{key}' belongs to the whole structure, and networks learn targets of atoms; take a kernel model for it",
            **place_of(atoms, number),
        )
