"""What a learning curve is going to fit, settled and checked before the first fit."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms
from jaxtyping import Bool, Int

from efg_jax.errors import InputError
from efg_jax.metrics import Scale
from efg_jax.models import Model
from efg_jax.report.target_report import PER_STRUCTURE
from efg_jax.structures.checks import check_frames
from efg_jax.structures.site_selection import learned_elements
from efg_jax.structures.splits import split
from efg_jax.structures.targets import Target, labels, target_of

SMALLEST = 10  # structures of the first default size


class Learner(NamedTuple):
    """A model that is ready for any subset of the training structures.

    Attributes:
        model: knows every element of the data, so that no test structure is foreign to a small training set.
        counts: for each training structure the number of labelled atoms by element (those that add up to the target
            of a structure).
        needed: what a training set cannot do without, and which of the training structures have it.
    """

    model: Model
    counts: dict[str, Int[np.ndarray, " structures"]]
    needed: dict[str, Bool[np.ndarray, " structures"]]

    @property
    def description(self) -> dict[str, Any]:
        """All that a fit depends on besides its data, as JSON types."""
        return {"kind": self.model.kind, **self.model.to_dict()}


class Plan(NamedTuple):
    """The data of a learning curve and the models that learn from them.

    Attributes:
        target: what is learned.
        structures: all, with checked labels.
        training: those that training sets are drawn from.
        test: those that the models are judged on.
        learners: by name.
        scales: μ and σ of |V_zz| of all training structures by species (EFG only): the one unit of C̃_Q and η̃ for all
            sizes.
        test_counts: number of labels of each species in the test set.
    """

    target: Target
    structures: list[Atoms]
    training: list[Atoms]
    test: list[Atoms]
    learners: dict[str, Learner]
    scales: dict[str, Scale]
    test_counts: dict[str, int]


class Subset(NamedTuple):
    """Structures of one fit, in the order of the training set."""

    repeat: int
    indices: Int[np.ndarray, " structures"]

    @property
    def key(self) -> str:
        """Size and repeat in words, by which the fit is found again."""
        return f"{len(self.indices)} structures, repeat {self.repeat}"


def named(models: Model | Mapping[str, Model]) -> dict[str, Model]:
    """Models by name, all of the same target; one without a name is called by its kind.

    Raises:
        InputError: no models, one with several targets, or models of different targets.
    """
    models = dict(models) if isinstance(models, Mapping) else {models.kind: models}
    if not models:
        raise InputError("no model was given; pass one, or {'tensor': TensorGPR(...), 'scalar': ScalarGPR(...)}")
    for name, model in models.items():
        if len(model.targets) > 1:
            raise InputError(
                f"model '{name}' learns {' and '.join(model.targets)}, and a learning curve is of one target; "
                "give each target a model and a curve of its own"
            )
    if len(asked := {model.array or model.targets[0] for model in models.values()}) > 1:
        raise InputError(f"the models learn {' and '.join(sorted(asked))}; give each target a curve of its own")
    return models


def plan(models: Mapping[str, Model], structures: Atoms | Iterable[Atoms], test: float, seed: int) -> Plan:
    """Check data and models, hold out the test set, and settle what depends on the whole data.

    Raises:
        InputError: bad structures or labels, an element without labels to learn or to judge by, or a target that a
            model cannot learn.
    """
    first = next(iter(models.values()))
    name, per = first.targets[0], next((model.per for model in models.values() if model.per), None)
    extensive = next((model.extensive for model in models.values() if model.extensive is not None), None)
    structures = check_frames(structures, name, array=first.array, per=per)
    target = target_of(name, structures, per, extensive=extensive)
    training, held_out = split(structures, test, seed)
    elements = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    learners = {}
    for name, model in models.items():
        with _about(f"model '{name}'"):
            learners[name] = _learner(model, target, training, held_out, elements)
    species = dict.fromkeys(symbol for learner in learners.values() for symbol in learner.counts)
    scales = {symbol: Scale.of_data(labels(training, target, symbol)) for symbol in species} if target.is_efg else {}
    counts = {symbol: int(_labels_of(held_out, target, symbol).sum()) for symbol in species}
    return Plan(target, structures, training, held_out, learners, scales, counts)


@contextmanager
def _about(what: str) -> Iterator[None]:
    """Errors that say what they are about."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{what}: {error}") from error


def _learner(
    model: Model, target: Target, training: Sequence[Atoms], test: Sequence[Atoms], elements: Sequence[str]
) -> Learner:
    model.check_target(target)
    # From here on the labels are under the target's own name.
    model = replace(model.knowing(elements), array=None)
    learned = learned_elements(model.species, target, training)
    judged = learned if target.per == "atom" else (PER_STRUCTURE,)
    unjudged = [symbol for symbol in judged if not _labels_of(test, target, symbol).any()]
    if unjudged and (model.species is not None or len(unjudged) == len(judged)):
        what = "" if target.per == "structure" else f"{unjudged[0]} labels of "
        raise InputError(
            f"none of the {len(test)} held-out structures carries {what}'{target.name}'; "
            "choose another seed or test, or add structures"
        )
    if target.per == "structure":
        labelled = _labels_of(training, target, PER_STRUCTURE) > 0
        atoms = np.array([sum(symbol in learned for symbol in own.symbols) for own in training])
        needed = {f"structure with a label of '{target.name}'": labelled}
        for symbol in model.species or ():
            needed[f"{symbol} atom"] = labelled & np.array([symbol in own.symbols for own in training])
        return Learner(model, {PER_STRUCTURE: np.where(labelled, atoms, 0)}, needed)
    if unjudged:
        judged = tuple(symbol for symbol in learned if symbol not in unjudged)
        model = replace(model, species=judged)
    counts = {symbol: _labels_of(training, target, symbol) for symbol in judged}
    needed = {f"{symbol} atom with a label of '{target.name}'": count > 0 for symbol, count in counts.items()}
    return Learner(model, counts, needed)


def _labels_of(structures: Sequence[Atoms], target: Target, species: str) -> Int[np.ndarray, " structures"]:
    """Number of labels of an element in each structure; of a target per structure 1 or 0."""
    chosen = None if species == PER_STRUCTURE else species
    finite = (np.isfinite(labels([atoms], target, chosen)) for atoms in structures)
    return np.array([rows.all(axis=tuple(range(1, rows.ndim))).sum() for rows in finite])


def default_sizes(training: int) -> tuple[int, ...]:
    """10, 20, 40, ... and the whole training set; from 2 on where that has fewer than 20 structures."""
    sizes, size = [], SMALLEST if training >= 2 * SMALLEST else 2
    while size < training:
        sizes.append(size)
        size *= 2
    return (*sizes, training)


def checked_sizes(sizes: Iterable[int] | None, training: int) -> tuple[int, ...]:
    """Sizes in ascending order, each once.

    Raises:
        InputError: no sizes, one below 2 or not an integer, or one above the size of the training set.
    """
    if sizes is None:
        sizes = default_sizes(training)
    chosen = sorted(set(sizes))
    if not chosen:
        raise InputError("no sizes were given; name some, such as 10,20,40, or leave them out")
    if wrong := [size for size in chosen if isinstance(size, bool) or size != int(size) or size < 2]:
        raise InputError(f"size {wrong[0]} is no number of training structures; give whole numbers from 2 on")
    if chosen[-1] > training:
        raise InputError(
            f"size {chosen[-1]} is more than the {training} structures that are left to train on; give at most "
            f"{training}, or hold out a smaller part for the test"
        )
    return tuple(int(size) for size in chosen)


def subsets(training: int, sizes: Sequence[int], repeats: int, seed: int) -> list[Subset]:
    """The training sets: those of one repeat are the beginnings of one permutation, each contained in the next.

    The permutation of a repeat depends on the seed and its number alone. All repeats of the whole training set are the
    same fit, which stands in the first repeat only.
    """
    chosen = []
    for repeat in range(1, repeats + 1):
        generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(repeat,))))
        order = generator.permutation(training)
        chosen += [Subset(repeat, np.sort(order[:size])) for size in sizes if size < training or repeat == 1]
    return chosen


def check_subsets(learners: Mapping[str, Learner], chosen: Sequence[Subset]) -> None:
    """Refuse, before the first fit, training sets that cannot be fitted; the message names size and repeat."""
    for subset in chosen:
        place = f"the {len(subset.indices)} training structures of repeat {subset.repeat}"
        for name, learner in learners.items():
            for what, present in learner.needed.items():
                if not present[subset.indices].any():
                    raise InputError(
                        f"{place} have no {what}; start from a larger size, or choose another seed or fewer repeats"
                    )
            with _about(f"{place} cannot train model '{name}'"):
                learner.model.check_labels({symbol: own[subset.indices] for symbol, own in learner.counts.items()})
