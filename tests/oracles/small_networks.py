"""Sizes of networks that compile in a moment, and crystals for what they are tested on."""

import numpy as np

from efg_jax.network import Architecture

TINY = Architecture(cutoff=3.5, lmax=2, channels=4, layers=2, bessels=4, radial_width=8, radial_depth=1)
# Invariant: for what has nothing to do with tensors.
SMALLEST = Architecture(cutoff=2.5, lmax=0, channels=2, layers=1, bessels=2, radial_width=2, radial_depth=1)


def with_scalars(frames: list) -> list:
    """The crystals with the isotropic shielding as an array of its own, "iso"."""
    changed = [atoms.copy() for atoms in frames]
    for atoms in changed:
        atoms.arrays["iso"] = np.trace(atoms.arrays["ms"], axis1=1, axis2=2) / 3.0
    return changed


def with_gaps(frames: list) -> list:
    """The crystals with labels missing: a third has no shieldings, a third no EFG, and the first atom of all is NaN."""
    changed = [atoms.copy() for atoms in frames]
    for number, atoms in enumerate(changed):
        for name in ("efg", "ms"):
            atoms.arrays[name][0] = np.nan
        if number % 3 < 2:
            del atoms.arrays[("ms", "efg")[number % 3]]
    return changed
