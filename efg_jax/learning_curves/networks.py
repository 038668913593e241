"""Networks on a learning curve: what is settled and refused before the first of them is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from efg_jax.errors import InputError
from efg_jax.network import EquivariantNetwork
from efg_jax.network.backbone import check_makes
from efg_jax.structures.splits import split
from efg_jax.structures.targets import Target


def of_one_target(name: str, model: EquivariantNetwork) -> EquivariantNetwork:
    """The network of this name, its target no longer a tuple.

    Raises:
        InputError: it has several.
    """
    if len(model.targets) > 1:
        raise InputError(
            f"network '{name}' learns {' and '.join(model.targets)}, and a learning curve is of one target; give each target a network and "
            "a curve of its own"
        )
    return replace(model, target=model.targets[0])


def knowing(name: str, model: EquivariantNetwork, target: Target, elements: Sequence[str]) -> EquivariantNetwork:
    """The network with all elements of the data.

    Args:
        name: of the network, for messages.
        model: as it was given.
        target: what is learned.
        elements: of the data, in order.

    Raises:
        InputError: a target of whole structures or with a part that the architecture cannot make, no validation, or an element that the
            architecture does not have.
    """
    if target.per != "atom":
        raise InputError(
            f"network '{name}' learns what belongs to atoms, and '{target.name}' belongs to whole structures; take a tensor model for it"
        )
    if model.training.validation == 0.0:
        raise InputError(
            f"network '{name}' has an empty validation set, which early stopping watches; give a part such as validation=0.1"
        )
    architecture = model.architecture
    if architecture.species is None:
        architecture = replace(architecture, species=tuple(elements))
    elif foreign := [symbol for symbol in elements if symbol not in architecture.species]:
        raise InputError(
            f"network '{name}' knows {', '.join(architecture.species)}, and the structures contain {', '.join(foreign)} too; leave the "
            "species of its architecture out"
        )
    check_makes(architecture, {target.name: target.irreps})
    return replace(model, architecture=architecture)


def check_division(
    name: str, model: EquivariantNetwork, counts: Mapping[str, np.ndarray], indices: np.ndarray, place: str
) -> None:
    """Make sure that a network can train on one part of a training set and be watched on the other.

    Args:
        name: of the network, for messages.
        model: whose fit will divide.
        counts: for each training structure the labelled atoms of each species.
        indices: of the structures of this training set, in its order.
        place: what the training set is called.

    Raises:
        InputError: a species without labels to train on, or nothing to watch.
    """
    options = model.training
    moving, watched = split(indices.tolist(), options.validation, options.seed)
    mend = "start from a larger size, or choose another seed or part for the validation"
    for symbol, count in counts.items():
        if not count[moving].any():
            raise InputError(
                f"of {place} network '{name}' holds back for validation all that carry {symbol} labels; {mend}"
            )
    if not any(count[watched].any() for count in counts.values()):
        raise InputError(f"of {place} network '{name}' holds back none for validation that carries labels; {mend}")
