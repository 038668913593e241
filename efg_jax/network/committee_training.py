"""The networks of a committee, trained one after another, each with a state that is kept."""

import hashlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from efg_jax.network.backbone import Network
from efg_jax.network.batches import samples
from efg_jax.network.committee import Committee
from efg_jax.network.trainer import Progress, Trainer, Training, Watch
from efg_jax.network.training_loss import Objective
from efg_jax.network.training_sets import TrainingData
from efg_jax.precision import x64
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.storage.plain_values import to_plain
from efg_jax.version import __version__

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keeping:
    """Where the states of a committee in training are kept, and who is told.

    Attributes:
        folder: of the states; None: nothing is kept.
        resume: False: forget first what the folder has of this committee.
        progress: called after each epoch, with the epochs of all members counted together.
        watch: called after each epoch with its row of the history.
    """

    folder: str | Path | None = None
    resume: bool = True
    progress: Progress | None = None
    watch: Watch | None = None


def train_committee(
    begun: Committee,
    data: TrainingData,
    wanted: Sequence[str] | None,
    options: Training,
    frozen: bool,
    keeping: Keeping,
) -> Committee:
    """Every network trained.

    Args:
        begun: with the weights that training begins with.
        data: of the same targets.
        wanted: elements whose labels count; None: all that have any.
        options: how; the seed of a member is this one's and its number.
        frozen: train the heads alone.
        keeping: states and progress.

    Raises:
        InputError: a structure with an element that the networks do not know, an objective that cannot be, or a loss that became infinite.
    """
    architecture, targets = begun.architecture, list(begun.targets.values())
    sets = [samples(part, architecture, targets, begun.standards, wanted) for part in (data.training, data.validation)]
    objective = Objective(options.loss, targets, begun.standards, begun.scales, architecture.species)
    identity = {
        "version": __version__,
        "training": fingerprint(list(data.training.values()), tuple(begun.targets)),
        "validation": fingerprint(list(data.validation.values()), tuple(begun.targets)),
        "architecture": to_plain(architecture),
        "targets": {name: target.to_dict() for name, target in begun.targets.items()},
        "standards": _digest([standard.pack() for standard in begun.standards.values()]),
        "species": None if wanted is None else list(wanted),
        "options": to_plain(options),
        "frozen": frozen,
    }
    own = [
        Checkpoint(keeping.folder, identity | {"member": member, "start": _digest(_weights(network))})
        for member, network in enumerate(begun.networks)
    ]
    if not keeping.resume:
        for checkpoint in own:
            checkpoint.clear()
    elif all(checkpoint.others() for checkpoint in own):
        _warn_of_others(str(keeping.folder))
    with x64(False):
        trainer = Trainer(objective, *sets, options, _trainable(begun.networks[0], frozen))
        found = [
            trainer.train(
                network,
                options.seed + member,
                own[member],
                _of_member(keeping.progress, member, len(own)),
                keeping.watch,
            )
            for member, network in enumerate(begun.networks)
        ]
    for checkpoint in own:
        checkpoint.clear()
    return replace(
        begun, networks=tuple(each.network for each in found), histories=tuple(each.history for each in found)
    )


@cache
def _warn_of_others(folder: str) -> None:
    """Once a process: the fits of a learning curve share a folder."""
    logger.warning(
        "%s holds states of trainings with other data, architecture or options only; they are left alone, and this one begins anew",
        folder,
    )


def _weights(network: Network) -> PyTree:
    """Without the units: they follow from weights and data, and their last digits from the number of cores."""
    return eqx.tree_at(lambda n: n.units, network, [None] * len(network.units))


def _trainable(network: Network, frozen: bool) -> PyTree:
    """True where a weight may change."""
    every = jax.tree.map(lambda _: not frozen, network)
    every = eqx.tree_at(lambda n: n.units, every, [False] * len(network.units))
    return eqx.tree_at(lambda n: n.heads, every, jax.tree.map(lambda _: True, network.heads))


def _digest(tree: PyTree) -> str:
    """Checksum of all numbers."""
    checksum = hashlib.sha256()
    for leaf in jax.tree.leaves(tree):
        checksum.update(np.ascontiguousarray(leaf).tobytes())
    return checksum.hexdigest()[:32]


def _of_member(progress: Progress | None, member: int, members: int) -> Progress | None:
    """Progress of one member as that of the whole committee."""
    if progress is None or members == 1:
        return progress
    return lambda done, epochs, what: progress(
        member * epochs + done, members * epochs, f"network {member + 1} of {members}: {what}"
    )
