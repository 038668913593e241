"""Padding: sizes in a few steps, so that data of similar size share one compilation, and zeros up to them."""

import numpy as np

SMALLEST_BUCKET = 16  # small molecules and cells share their shapes


def bucket(size: int) -> int:
    """The size rounded up to the next of 16, 24, 32, 48, 64, ...: beyond 16 at most a third is padding."""
    power = 1 << (max(size, SMALLEST_BUCKET) - 1).bit_length()
    return power * 3 // 4 if power > SMALLEST_BUCKET and size <= power * 3 // 4 else power


def lengthen(array: np.ndarray, length: int) -> np.ndarray:
    """Pad the first axis with zeros."""
    return np.pad(array, [(0, length - array.shape[0])] + [(0, 0)] * (array.ndim - 1))


def widen(array: np.ndarray, width: int) -> np.ndarray:
    """Pad the second axis, if there is one, with zeros."""
    if array.ndim < 2:
        return array
    return np.pad(array, [(0, 0), (0, width - array.shape[1])] + [(0, 0)] * (array.ndim - 2))


def in_bucket(array: np.ndarray) -> np.ndarray:
    """Pad the first axis with zeros up to its `bucket`."""
    return lengthen(array, bucket(len(array)))
