"""Environments of one fixed shape, so that a property test compiles once whatever structures it draws."""

from dataclasses import fields, replace

import numpy as np

from efg_jax.structures.environments import Environments

CENTRES, NEIGHBOURS, ATOMS = 8, 96, 24


def fixed_shape(batch: Environments, centres=CENTRES, neighbours=NEIGHBOURS, atoms=ATOMS, structures=2) -> Environments:
    """The same environments with all axes padded to the given lengths."""
    length = {"positions": (atoms,), "cells": (structures,), "neighbour": (centres, neighbours)}
    length |= dict.fromkeys(("shift", "mask", "neighbour_species"), (centres, neighbours))
    padded = {}
    for field in fields(batch):
        value = np.asarray(getattr(batch, field.name))
        wanted = length.get(field.name, (centres,))
        assert all(have <= want for have, want in zip(value.shape, wanted, strict=False)), (field.name, value.shape)
        widths = [(0, want - have) for have, want in zip(value.shape, wanted, strict=False)]
        padded[field.name] = np.pad(value, widths + [(0, 0)] * (value.ndim - len(widths)))
    return replace(batch, **padded)
