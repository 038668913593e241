"""Initial networks of a training: random ones, or those of a fitted model with heads for new targets."""

from collections.abc import Sequence

import equinox as eqx
import jax
import numpy as np
from ase import Atoms

from efg_jax.errors import InputError
from efg_jax.network.architecture import Architecture
from efg_jax.network.backbone import Network
from efg_jax.network.committee import Committee, outputs
from efg_jax.network.rows import filled, in_rows
from efg_jax.network.trainer import PRECISION
from efg_jax.network.training_sets import TrainingData
from efg_jax.precision import cast, x64
from efg_jax.structures.environments import Environments, environments
from efg_jax.structures.targets import Target

CALIBRATING = 20
"""Number of structures from which a random network gets its units."""


def random_networks(
    architecture: Architecture, data: TrainingData, wanted: Sequence[str] | None, members: int, seed: int
) -> Committee:
    """A committee with random weights.

    Args:
        architecture: sizes; elements that it leaves open are those of the training set.
        data: training set.
        wanted: elements whose labels count; None: all that have any.
        members: number of networks.
        seed: of the first network; each of the others has the next one.

    Raises:
        InputError: a target with parts that this architecture cannot make.
    """
    architecture = data.settled(architecture)
    standards = data.standards(architecture.species, wanted)
    with x64(False):
        some = _some(list(data.training.values()), architecture)
        networks = tuple(
            _calibrated(Network(architecture, outputs(data.targets), jax.random.key(seed + member)), some)
            for member in range(members)
        )
    return Committee(architecture, data.targets, standards, data.scales(standards, architecture.species), networks, ())


def known_networks(known: Committee, data: TrainingData, wanted: Sequence[str] | None, seed: int) -> Committee:
    """A fitted committee, prepared for another training.

    A known target keeps its head and its units; elements that had no labels of it get units. A new target gets both.

    Args:
        known: the fitted committee.
        data: of the new training.
        wanted: elements whose labels count; None: all that have any.
        seed: of the weights of new heads; each of the other members has the next one.

    Raises:
        InputError: an element that the model does not know, a target of another shape than the known one of this
            name, or one with parts that the features cannot make.
    """
    species = known.architecture.species
    data.check_known(species)
    targets = {name: _same(known.targets.get(name, found), found) for name, found in data.targets.items()}
    data = data._replace(targets=targets)
    standards, scales = data.standards(species, wanted), {}
    for name, found in data.scales(standards, species).items():
        scales[name] = found | known.scales.get(name, {})
    for name in standards.keys() & known.standards.keys():
        standards[name] = known.standards[name].extended(standards[name])
    networks = tuple(
        network.with_heads(outputs(targets), jax.random.key(seed + member))
        for member, network in enumerate(known.networks)
    )
    return Committee(known.architecture, targets, standards, scales, networks, ())


@eqx.filter_jit
def _calibrated(network: Network, environments: Environments) -> Network:
    return network.calibrated(environments)


def _some(frames: Sequence[Atoms], architecture: Architecture) -> Environments:
    """Environments of a few structures, evenly spaced in the list."""
    chosen = [frames[number] for number in np.unique(np.linspace(0, len(frames) - 1, CALIBRATING, dtype=int))]
    found = in_rows(environments(chosen, architecture.cutoff, architecture.species, pad=False))
    return cast(filled(found), PRECISION)


def _same(known: Target, found: Target) -> Target:
    if known.kind != found.kind:
        raise InputError(
            f"'{known.name}' is a {found.kind} in these structures, and the model knows it as a {known.kind}; "
            "give the array another name"
        )
    if more := sorted(set(found.irreps) - set(known.irreps)):
        raise InputError(
            f"'{known.name}' has a part of order {more[0][0]} in these structures, and had none in those that the "
            "model was trained on; give the array another name, so that it gets a head of its own"
        )
    return known
