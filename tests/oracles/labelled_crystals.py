"""Random crystals that carry analytic labels."""

import numpy as np
from oracles import analytic_labels
from strategies import place

CELL = np.array([[4.6, 0.3, 0.0], [1.1, 4.4, 0.2], [-0.4, 0.8, 4.9]])
SYMBOLS = ["Si", "O", "O", "H", "Si"]


def labelled(atoms):
    """The structure with `efg`, `ms`, `dipole` and `polarizability`, all analytic."""
    shieldings = analytic_labels.shieldings(atoms)
    atoms.arrays["efg"] = analytic_labels.field_gradients(atoms)
    atoms.arrays["ms"] = shieldings
    atoms.info["dipole"] = analytic_labels.fields(atoms).sum(axis=0)
    atoms.info["polarizability"] = (shieldings + shieldings.swapaxes(1, 2)).sum(axis=0)
    return atoms


def crystals(count: int, seed: int) -> list:
    """Random crystals of one composition, no two alike."""
    generator = np.random.default_rng(seed)
    return [
        labelled(place(generator, SYMBOLS, CELL + generator.normal(scale=0.2, size=(3, 3)), np.array([True] * 3)))
        for _ in range(count)
    ]
