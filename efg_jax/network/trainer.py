"""Training of a network: AdamW with warm-up and cosine decay, averaged weights, early stopping, exact checkpoints."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, Int, PyTree

from efg_jax.errors import InputError, as_float, as_int
from efg_jax.models.protocol import Progress
from efg_jax.network.backbone import Network
from efg_jax.network.batches import Batch, Sample, common_shape, joined, named, packed
from efg_jax.network.training_history import EpochRow, History, percent_errors
from efg_jax.network.training_loss import Loss, Objective
from efg_jax.storage.checkpoint import Checkpoint

PRECISION = np.dtype(np.float32)
Watch = Callable[[EpochRow], None]
"""Called after each epoch with its row of the `History`; an exception ends the training."""


class TrainingFailed(InputError):
    """A training ended because a loss was not finite."""


@dataclass(frozen=True)
class Training:
    """Options of the training of a network.

    Attributes:
        epochs: largest number of passes through the training set.
        steps: least number of steps. A small training set has few batches in an epoch; epochs and patience are then
            raised to reach this number.
        learning_rate: largest learning rate of AdamW (Loshchilov & Hutter 2019).
        weight_decay: of AdamW.
        warmup: part of all steps over which the learning rate rises from zero; then it falls to a hundredth along
            half a cosine.
        clip: largest norm of a gradient; longer gradients are scaled down to it.
        average: decay per step of the running mean of the weights. The mean is validated and kept.
        batch_edges: approximate number of pairs of neighbours in a batch.
        validation: part of the structures that is held out for early stopping.
        patience: number of epochs without a better validation loss after which training ends.
        seed: of the initial weights, of the split, and of the order of the batches.
        loss: what is minimised, or its kind.
    """

    epochs: int = 300
    steps: int = 0
    learning_rate: float = 0.005
    weight_decay: float = 1e-4
    warmup: float = 0.05
    clip: float = 1.0
    average: float = 0.99
    batch_edges: int = 2048
    validation: float = 0.1
    patience: int = 60
    seed: int = 0
    loss: Loss | str = field(default_factory=Loss)

    def __post_init__(self):
        if isinstance(self.loss, str):
            object.__setattr__(self, "loss", Loss(self.loss))
        if not isinstance(self.loss, Loss):
            raise InputError(f"loss must be a Loss, or its kind 'irreps' or 'observables', got {self.loss!r}")
        for name in ("learning_rate", "weight_decay", "warmup", "clip", "average", "validation"):
            object.__setattr__(self, name, as_float(name, getattr(self, name)))
        for name in ("epochs", "steps", "batch_edges", "patience", "seed"):
            object.__setattr__(self, name, as_int(name, getattr(self, name)))
        for name in ("epochs", "learning_rate", "clip", "batch_edges", "patience"):
            if not 0.0 < getattr(self, name) < np.inf:
                raise InputError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("weight_decay", "warmup", "average", "validation"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise InputError(f"{name} must be at least 0 and below 1, got {getattr(self, name)}")
        for name in ("seed", "steps"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} must be 0 or more, got {getattr(self, name)}")


class State(eqx.Module):
    """Everything that changes from step to step."""

    weights: PyTree  # those that are trained
    average: PyTree  # their running mean
    optimiser: PyTree
    step: Int[Array, ""]


class Trained(NamedTuple):
    """The best network, and the history of its training."""

    network: Network
    history: History


class Trainer:
    """Trains networks of one architecture on the same data, each until early stopping or the last epoch.

    All share one compilation. Make and use it without x64 (`precision.x64(False)`).

    Args:
        objective: what is minimised.
        training_set: its loss changes the weights.
        validation_set: its loss decides which weights are kept.
        options: of the training.
        trainable: a tree like a network, True where a weight may change.
    """

    def __init__(
        self,
        objective: Objective,
        training_set: Sequence[Sample],
        validation_set: Sequence[Sample],
        options: Training,
        trainable: PyTree,
    ):
        self._training, self._validation, self._options = training_set, validation_set, options
        self._objective, self._trainable = objective, trainable
        self._shape = common_shape([*training_set, *validation_set], options.batch_edges)
        # Shuffling may give a batch more or less; the schedule does not depend on it.
        batches = sum(1 for _ in packed(training_set, range(len(training_set)), self._shape))
        self._epochs = max(options.epochs, ceil(options.steps / batches))
        self._patience = round(options.patience * self._epochs / options.epochs)
        self._rate = _schedule(options, batches * self._epochs)
        self._optimiser = optax.chain(
            optax.clip_by_global_norm(options.clip), optax.adamw(self._rate, weight_decay=options.weight_decay)
        )
        self._step, self._judge = eqx.filter_jit(self._step_of_batch), eqx.filter_jit(self._judged)

    def train(
        self,
        network: Network,
        seed: int,
        checkpoint: Checkpoint,
        progress: Progress | None = None,
        watch: Watch | None = None,
    ) -> Trained:
        """Train one network.

        Args:
            network: initial weights.
            seed: of the order of the batches.
            checkpoint: for the state after each epoch.
            progress, watch: called after each epoch, when the checkpoint is written.

        Returns:
            The averaged weights of the epoch with the lowest validation loss.

        Raises:
            TrainingFailed: a loss that is not finite; the batch is named, and the checkpoint holds the epoch before.
        """
        moving, still = eqx.partition(network, self._trainable)
        start = State(moving, moving, self._optimiser.init(moving), jnp.zeros((), jnp.int32))
        # Fixed weights are kept too: the last digits of the units depend on the number of cores.
        state, best, still, history = _restored(checkpoint.load("state"), (start, moving, still))
        for epoch in range(len(history.rows), self._epochs):
            if history.since_best >= self._patience:
                break
            try:
                state, training_loss = self._epoch(state, still, epoch, seed)
                history = history.with_row(self._validated(state, still, epoch, training_loss))
            except TrainingFailed as failure:
                if history.rows and checkpoint.keeps:
                    raise TrainingFailed(f"{failure}; the epoch before is kept in the checkpoint") from None
                raise
            if history.since_best == 0:
                best = state.average
            checkpoint.save("state", _arrays((state, best, still), history))
            if progress is not None:
                progress(epoch + 1, self._epochs, history.describe())
            if watch is not None:
                watch(history.rows[-1])
        return Trained(eqx.combine(best, still), history)

    def _step_of_batch(
        self, state: State, still: Network, batch: Batch
    ) -> tuple[State, Float[Array, ""], Float[Array, ""]]:
        """The next state, the loss, and the norm of its gradient."""

        def loss(moving):
            return self._objective(eqx.combine(moving, still)(batch.environments), batch)

        value, gradient = eqx.filter_value_and_grad(loss)(state.weights)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes its step count with floats
            updates, optimiser = self._optimiser.update(gradient, state.optimiser, state.weights)
        weights = eqx.apply_updates(state.weights, updates)
        step = state.step + 1
        # Nearly a plain mean at first; otherwise the initial weights would linger.
        count = step.astype(PRECISION)
        decay = jnp.minimum(self._options.average, count / (count + 9.0))
        average = jax.tree.map(lambda mean, new: decay * mean + (1.0 - decay) * new, state.average, weights)
        return State(weights, average, optimiser, step), value, optax.tree.norm(gradient)

    def _judged(self, network: Network, batch: Batch):
        predicted = network(batch.environments)
        return self._objective(predicted, batch), predicted

    def _epoch(self, state: State, still: Network, epoch: int, seed: int) -> tuple[State, float]:
        """State and mean loss after all batches, in the order of this epoch."""
        order = np.random.default_rng([seed, epoch]).permutation(len(self._training)).tolist()
        losses, counts = [], []
        for number, together in enumerate(packed(self._training, order, self._shape)):
            batch = self._joined(together)
            after, loss, norm = self._step(state, still, batch)
            if not (np.isfinite(loss) and np.isfinite(norm)):
                what = f"the loss is {float(loss)}, its gradient {float(norm)}, in batch {number} of epoch {epoch}"
                raise self._failure(eqx.combine(state.weights, still), together, what)
            state = after
            losses.append(float(loss))
            counts.append(_labels_of(batch))
        return state, float(np.average(losses, weights=counts))

    def _validated(self, state: State, still: Network, epoch: int, training_loss: float) -> EpochRow:
        """One row of the history."""
        losses, counts, judged = [], [], []
        network = eqx.combine(state.average, still)
        for number, together in enumerate(packed(self._validation, range(len(self._validation)), self._shape)):
            batch = self._joined(together)
            loss, predicted = self._judge(network, batch)
            if not np.isfinite(loss):
                what = f"the validation loss is {float(loss)} in batch {number} after epoch {epoch}"
                raise self._failure(network, together, what)
            losses.append(float(loss))
            counts.append(_labels_of(batch))
            judged.append((jax.tree.map(np.asarray, predicted), batch))
        return {
            "epoch": epoch,
            "learning_rate": self._learning_rate(state),
            "training_loss": training_loss,
            "validation_loss": float(np.average(losses, weights=counts)),
            **percent_errors(judged),
        }

    def _learning_rate(self, state: State) -> float:
        """Learning rate of the next step."""
        with jax.numpy_dtype_promotion("standard"):
            return float(self._rate(state.step))

    def _joined(self, together: Sequence[Sample]) -> Batch:
        return joined(together, self._shape, PRECISION)

    def _failure(self, network: Network, together: Sequence[Sample], what: str) -> TrainingFailed:
        """The error that names the batch, or those of its structures whose own loss is not finite."""
        guilty = [s for s in together if not np.isfinite(self._judge(network, self._joined([s]))[0])] or together
        return TrainingFailed(
            f"training failed: {what} ({named(guilty)}); look at these labels, or lower the learning rate "
            f"({self._options.learning_rate:g})"
        )


def _labels_of(batch: Batch) -> float:
    """Number of labels, the weight of a batch: the mean over batches of one target is then the mean over its atoms."""
    return float(sum(labelled.sum() for labelled in batch.labelled.values()))


def _arrays(tree: PyTree, history: History) -> dict[str, np.ndarray]:
    """Arrays of a checkpoint; `_restored` is the inverse."""
    return {f"leaf/{i}": np.asarray(leaf) for i, leaf in enumerate(jax.tree.leaves(tree))} | history.arrays()


def _restored(
    arrays: Mapping[str, np.ndarray], start: tuple[State, PyTree, PyTree]
) -> tuple[State, PyTree, PyTree, History]:
    """State, best weights, fixed weights and history from a checkpoint, or the initial ones."""
    if not arrays:
        return *start, History()
    leaves, structure = jax.tree.flatten(start)
    kept = [jnp.asarray(arrays[f"leaf/{i}"]) for i in range(len(leaves))]
    return *jax.tree.unflatten(structure, kept), History.from_arrays(arrays)


def _schedule(options: Training, steps: int) -> optax.Schedule:
    """Learning rate by step: from zero up, and down to a hundredth along half a cosine."""
    warmup = min(max(1, round(options.warmup * steps)), steps - 1)
    return optax.warmup_cosine_decay_schedule(
        0.0, options.learning_rate, warmup, max(steps, 2), 0.01 * options.learning_rate
    )
