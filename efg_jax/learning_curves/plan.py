"""What a learning curve is going to fit, settled and checked before anything is fitted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.gp import ScalarGPR, TensorGPR
from efg_jax.gp.labelled import groups_of
from efg_jax.gp.packing import pack_descriptor
from efg_jax.learning_curves.networks import check_division, knowing, of_one_target
from efg_jax.metrics import Scale
from efg_jax.network import EquivariantNetwork
from efg_jax.report.target_report import PER_STRUCTURE
from efg_jax.structures.checks import check_frames
from efg_jax.structures.splits import split
from efg_jax.structures.targets import Target, labels, target_of

Model = TensorGPR | ScalarGPR | EquivariantNetwork
NAMES = {TensorGPR: "tensor", ScalarGPR: "scalar", EquivariantNetwork: "network"}
SMALLEST = 10  # structures of the first default size


class Learner(NamedTuple):
    """A model that is ready for any subset of the training structures.

    Attributes:
        model: unfitted; its descriptor or architecture knows every element of the data, so that no test structure is foreign to a small
            training set.
        counts: for each training structure the labelled atoms of each species (those that add up to the target of a structure).
        needed: what a training set cannot do without, and which of the training structures have it.
    """

    model: Model
    counts: dict[str, np.ndarray]
    needed: dict[str, np.ndarray]


class Plan(NamedTuple):
    """The data of a learning curve and the models that learn from them.

    Attributes:
        scales: μ and σ of |V_zz| of all training structures by species (EFG only): the one unit of C̃_Q and η̃ for all sizes.
        test_counts: labelled values of each species that the models are judged on.
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
    indices: np.ndarray


def named(models: Model | Mapping[str, Model]) -> dict[str, Model]:
    """Models by name, all of the same target; one without a name is called by its kind."""
    if isinstance(models, Model):
        models = {NAMES[type(models)]: models}
    if not models:
        raise InputError("no model was given; pass one, or {'tensor': TensorGPR(...), 'scalar': ScalarGPR(...)}")
    models = {
        name: of_one_target(name, model) if isinstance(model, EquivariantNetwork) else model
        for name, model in models.items()
    }
    if len(asked := {model.array or model.target for model in models.values()}) > 1:
        raise InputError(f"the models learn {' and '.join(sorted(asked))}; give each target a curve of its own")
    return models


def plan(models: Mapping[str, Model], structures: Atoms | Iterable[Atoms], test: float, seed: int) -> Plan:
    """Check data and models, hold out the test set, and settle what depends on the whole data.

    Raises:
        InputError: bad structures or labels, an element without labels to learn or to judge by, a scalar model of what is no EFG, or a
            network of what it cannot learn.
    """
    first = next(iter(models.values()))
    per = next((model.per for model in models.values() if getattr(model, "per", None)), None)
    structures = check_frames(structures, first.target, array=first.array, per=per)
    target = target_of(first.target, structures, per)
    training, held_out = split(structures, test, seed)
    elements = sorted({symbol for atoms in structures for symbol in atoms.symbols})
    learners = {name: _learner(name, model, target, training, held_out, elements) for name, model in models.items()}
    species = dict.fromkeys(symbol for learner in learners.values() for symbol in learner.counts)
    scales = {symbol: Scale.of_data(labels(training, target, symbol)) for symbol in species} if target.is_efg else {}
    return Plan(target, structures, training, held_out, learners, scales, _labelled(held_out, target, species))


def _learner(
    name: str, model: Model, target: Target, training: Sequence[Atoms], test: Sequence[Atoms], elements: list[str]
) -> Learner:
    if isinstance(model, ScalarGPR) and not (target.irreps == ((2, 1),) and target.per == "atom"):
        raise InputError(
            f"model '{name}' learns scalars, which only field gradients of atoms have; '{target.name}' needs a tensor model"
        )
    mend = "choose another seed or test, or add structures"
    groups = groups_of(model.species, target, training)
    if target.per == "atom":
        judged = {symbol for (symbol,) in groups if _labelled(test, target, (symbol,))[symbol]}
        missing = [symbol for (symbol,) in groups if symbol not in judged]
        if missing and (model.species is not None or not judged):
            raise InputError(
                f"none of the {len(test)} held-out structures carries {missing[0]} labels of '{target.name}'; {mend}"
            )
        species = tuple(symbol for (symbol,) in groups if symbol in judged)
        counts = {symbol: _per_structure(training, target, symbol) for symbol in species}
        needed = {f"{symbol} atom with a label of '{target.name}'": counts[symbol] > 0 for symbol in species}
    else:
        species = model.species
        labelled = _has_label(training, target)
        if not _has_label(test, target).any():
            raise InputError(f"none of the {len(test)} held-out structures carries '{target.name}'; {mend}")
        atoms_of = np.array([sum(symbol in groups[0] for symbol in atoms.symbols) for atoms in training])
        counts = {PER_STRUCTURE: np.where(labelled, atoms_of, 0)}
        needed = {f"structure with a label of '{target.name}'": labelled}
        for symbol in species or ():
            needed[f"{symbol} atom"] = labelled & np.array([symbol in atoms.symbols for atoms in training])
    # The labels are under the target's own name now, and what an earlier fit left behind is not wanted.
    model = replace(model, target=target.name, array=None, fitted=None)
    if isinstance(model, EquivariantNetwork):
        return Learner(knowing(name, model, target, elements), counts, needed)
    descriptor = model.descriptor
    if descriptor.species is None:
        descriptor = descriptor.with_species(elements)
    elif foreign := [symbol for symbol in elements if symbol not in descriptor.species]:
        raise InputError(
            f"the descriptor of model '{name}' knows {', '.join(descriptor.species)}, and the structures contain {', '.join(foreign)} too; "
            "leave its species out, or tune it on structures that contain all elements"
        )
    return Learner(replace(model, descriptor=descriptor, species=species), counts, needed)


def _per_structure(structures: Sequence[Atoms], target: Target, symbol: str) -> np.ndarray:
    """Number of labelled atoms of an element in each structure."""
    finite = (np.isfinite(labels([atoms], target, symbol)) for atoms in structures)
    return np.array([int(rows.reshape(len(rows), -1).all(axis=1).sum()) if len(rows) else 0 for rows in finite])


def _has_label(structures: Sequence[Atoms], target: Target) -> np.ndarray:
    rows = labels(structures, target)
    return np.isfinite(rows).reshape(len(rows), -1).all(axis=1)


def _labelled(structures: Sequence[Atoms], target: Target, species: Iterable[str]) -> dict[str, int]:
    if target.per == "structure":
        return {PER_STRUCTURE: int(_has_label(structures, target).sum())}
    return {symbol: int(_per_structure(structures, target, symbol).sum()) for symbol in species}


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
        InputError: no sizes, one below 2 or no whole number, or one above the size of the training set.
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
            f"size {chosen[-1]} is more than the {training} structures that are left to train on; give at most {training}, or hold out "
            "a smaller part for the test"
        )
    return tuple(int(size) for size in chosen)


def subsets(training: int, sizes: Sequence[int], repeats: int, seed: int) -> list[Subset]:
    """The training sets: those of one repeat are the beginnings of one permutation, each contained in the next.

    The permutation of a repeat depends on the seed and its number alone. All repeats of the whole training set are the same fit, which stands in
    the first repeat only.
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
                        f"{place} hold no {what}; start from a larger size, or choose another seed or fewer repeats"
                    )
            if isinstance(learner.model, EquivariantNetwork):
                check_division(name, learner.model, learner.counts, subset.indices, place)
            elif learner.model.regularisation == "auto":
                _check_automatic(learner.counts, subset.indices, place)


def _check_automatic(counts: Mapping[str, np.ndarray], indices: np.ndarray, place: str) -> None:
    for symbol, count in counts.items():
        if (count[indices] > 0).sum() < 2:
            what = "a label" if symbol == PER_STRUCTURE else f"{symbol} labels"
            raise InputError(
                f"only one of {place} carries {what}, and regularisation 'auto' predicts each structure from the others; "
                "start from a larger size, choose another seed, or give a number such as 1e-4"
            )


def describe(model: Model) -> dict[str, Any]:
    """All that a fit depends on besides its data, as JSON types."""
    common = {"kind": type(model).__name__, "species": None if model.species is None else list(model.species)}
    if isinstance(model, EquivariantNetwork):
        return common | {
            "target": model.target,
            "architecture": model.architecture.to_dict(),
            "training": model.training.to_dict(),
            "members": model.members,
        }
    if isinstance(model, TensorGPR) and (model.inducing is not None or model.primal):
        common |= {"inducing": model.inducing, "selection": model.selection, "primal": model.primal}
    return common | {
        "descriptor": pack_descriptor(model.descriptor),
        "zeta": float(model.zeta),
        "regularisation": model.regularisation,
    }
