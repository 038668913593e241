"""Training of a committee: one network after another, each with a checkpoint."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from efg_jax.network.backbone import Network
from efg_jax.network.batches import samples
from efg_jax.network.committee import Committee
from efg_jax.network.trainer import Progress, Trainer, Training, Watch
from efg_jax.network.training_loss import Objective
from efg_jax.network.training_sets import TrainingData
from efg_jax.precision import x64
from efg_jax.storage.checkpoint import Checkpoint
from efg_jax.storage.fingerprints import array_digest, fingerprint
from efg_jax.storage.plain_values import to_plain
from efg_jax.version import __version__

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Keeping:
    """Checkpoints and progress of a training.

    Attributes:
        folder: of the checkpoints; None: none are written.
        resume: False: first discard the checkpoints of this committee.
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
    """Train every network.

    Args:
        begun: initial weights.
        data: training and validation set, with the same targets.
        wanted: elements whose labels count; None: all that have any.
        options: of the training; the seed of each member is one more than that of the one before.
        frozen: train the heads alone.
        keeping: checkpoints and progress.

    Raises:
        InputError: a structure with an element that the networks do not know, an impossible objective, or a loss that
            became infinite.
    """
    architecture, targets = begun.architecture, list(begun.targets.values())
    sets = [samples(part, architecture, targets, begun.standards, wanted) for part in (data.training, data.validation)]
    objective = Objective(options.loss, targets, begun.standards, begun.scales, architecture.species)
    identity = _identity(begun, data) | {
        "species": None if wanted is None else list(wanted),
        "options": to_plain(options),
        "frozen": frozen,
    }
    own = [
        Checkpoint(keeping.folder, identity | {"member": member, "start": array_digest(_weights(network))})
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


def _identity(begun: Committee, data: TrainingData) -> dict[str, Any]:
    """What a checkpoint depends on besides options and initial weights."""
    return {
        "version": __version__,
        "training": fingerprint(list(data.training.values()), tuple(begun.targets)),
        "validation": fingerprint(list(data.validation.values()), tuple(begun.targets)),
        "architecture": to_plain(begun.architecture),
        "targets": {name: target.to_dict() for name, target in begun.targets.items()},
        "standards": array_digest([standard.pack() for standard in begun.standards.values()]),
    }


@cache
def _warn_of_others(folder: str) -> None:
    """Once a process: the fits of a learning curve share a folder."""
    logger.warning(
        "%s holds checkpoints of trainings with other data, architecture or options only; they are kept, and this "
        "training starts from the beginning",
        folder,
    )


def _weights(network: Network) -> PyTree:
    """Weights without the units, whose last digits depend on the number of cores."""
    return eqx.tree_at(lambda n: n.units, network, [None] * len(network.units))


def _trainable(network: Network, frozen: bool) -> PyTree:
    """True where a weight may change."""
    every = jax.tree.map(lambda _: not frozen, network)
    every = eqx.tree_at(lambda n: n.units, every, [False] * len(network.units))
    return eqx.tree_at(lambda n: n.heads, every, jax.tree.map(lambda _: True, network.heads))


def _of_member(progress: Progress | None, member: int, members: int) -> Progress | None:
    """Progress of one member as that of the whole committee."""
    if progress is None or members == 1:
        return progress
    return lambda done, epochs, what: progress(
        member * epochs + done, members * epochs, f"network {member + 1} of {members}: {what}"
    )
