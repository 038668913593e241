"""Seeded partitions of structures; atoms of one structure stay together, because they are correlated."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

import numpy as np
from jaxtyping import Int

from efg_jax.errors import InputError

Frame = TypeVar("Frame")


def split(frames: Sequence[Frame], test: float = 0.2, seed: int = 0) -> tuple[list[Frame], list[Frame]]:
    """Split structures into a training and a test set.

    Args:
        frames: structures (or anything, one item a structure).
        test: fraction that is held out, in (0, 1); rounded to whole structures, at least one on each side.
        seed: the same seed gives the same split, on any machine.

    Returns:
        (train, test), each in the order of `frames`.

    Raises:
        InputError: fewer than two structures, `test` outside (0, 1), or a negative seed.
    """
    # `not (0 < test < 1)` rather than its opposite, so that NaN is refused as well.
    if not 0 < test < 1:
        raise InputError(f"test must be a fraction between 0 and 1, such as 0.2, got {test}")
    if len(frames) < 2:
        raise InputError(f"cannot split {len(frames)} structure(s) into train and test; pass at least 2")
    held_out = min(max(int(np.floor(test * len(frames) + 0.5)), 1), len(frames) - 1)
    chosen = set(_generator(seed).permutation(len(frames))[:held_out].tolist())
    train = [frame for i, frame in enumerate(frames) if i not in chosen]
    return train, [frame for i, frame in enumerate(frames) if i in chosen]


def folds(n_or_groups: int | Sequence[Hashable] | np.ndarray, k: int = 5, seed: int = 0) -> Int[np.ndarray, " items"]:
    """Fold of each item for k-fold cross-validation; the folds are as equal in size as they can be.

    Args:
        n_or_groups: number of items, or a group for each item; a group (say, the atoms of one structure) is never
            divided.
        k: number of folds.
        seed: the same seed gives the same folds.

    Returns:
        Fold label 0 … k−1 of each item.

    Raises:
        InputError: k below 2, fewer groups than folds, or a negative seed.
    """
    if isinstance(n_or_groups, int | np.integer):
        groups = np.arange(max(int(n_or_groups), 0))
    else:
        index: dict[Hashable, int] = {}
        groups = np.array(
            [index.setdefault(group, len(index)) for group in np.asarray(n_or_groups).tolist()], dtype=int
        )
    sizes = np.bincount(groups) if len(groups) else np.zeros(0, dtype=int)
    if k < 2:
        raise InputError(f"k={k} folds leave nothing to train on or to test; k must be at least 2")
    if len(sizes) < k:
        raise InputError(f"{len(sizes)} structure(s) cannot fill k={k} folds; pass more structures or a smaller k")
    order = _generator(seed).permutation(len(sizes))
    # Largest group first into the smallest fold; among equals the permutation decides (a stable sort keeps it).
    order = order[np.argsort(-sizes[order], kind="stable")]
    fold_of, filled = np.zeros(len(sizes), dtype=int), np.zeros(k, dtype=int)
    for group in order:
        fold_of[group] = np.argmin(filled)
        filled[fold_of[group]] += sizes[group]
    return fold_of[groups]


def _generator(seed: int) -> np.random.Generator:
    """PCG64 by name, because `default_rng` may change its generator between numpy versions."""
    if seed < 0:
        raise InputError(f"seed must be an integer from 0, got seed={seed}")
    return np.random.Generator(np.random.PCG64(seed))
