"""Environments, predictions and sums that one device, several devices and several processes can all compute."""

import jax
import numpy as np
from ase import Atoms
from ase.build import bulk

from efg_jax.descriptors import INVARIANT, LambdaSOAP
from efg_jax.gp.predictor import Predictor
from efg_jax.structures.environments import Neighbours, environments

QUADRUPOLE = (2, 1)
DESCRIPTOR = LambdaSOAP(cutoff=3.0, nmax=2, lmax=1, species=("Cl", "Na"))


def frames(number: int) -> list[Atoms]:
    """Rattled rock salt, eight atoms each."""
    cell = bulk("NaCl", "rocksalt", a=5.0, cubic=True)
    generator = np.random.default_rng(0)
    rattled = [cell.copy() for _ in range(number)]
    for atoms in rattled:
        atoms.positions += generator.normal(scale=0.2, size=(8, 3))
    return rattled


def labelled(number: int) -> list[Atoms]:
    """The same with random EFG tensors, of which the last three Na have none."""
    generator, structures = np.random.default_rng(2), frames(number)
    for atoms in structures:
        tensors = generator.normal(size=(8, 3, 3))
        tensors = tensors + tensors.swapaxes(1, 2)
        atoms.arrays["efg"] = tensors - np.trace(tensors, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    structures[-1].arrays["efg"][np.flatnonzero(structures[-1].symbols == "Na")[-3:]] = np.nan
    return structures


def neighbours(structures: list[Atoms]) -> Neighbours:
    """Of all atoms, on the host; one row an atom, no padded ones."""
    batch = environments(structures, 3.0, DESCRIPTOR.species)
    return jax.tree.map(lambda leaf: np.asarray(leaf)[: 8 * len(structures)], batch.neighbours())


def predictor(batch: Neighbours) -> Predictor:
    """Of five random references, ζ = 2."""
    shapes = jax.eval_shape(lambda b: DESCRIPTOR(b, (INVARIANT, QUADRUPOLE)), batch)
    generator = np.random.default_rng(1)
    fields = {QUADRUPOLE: generator.normal(size=(5, shapes[QUADRUPOLE].shape[2]))}
    return Predictor(fields, generator.uniform(size=(5, shapes[INVARIANT].shape[2])), np.array(2.0))


def predict(model: Predictor, descriptor: LambdaSOAP, batch: Neighbours) -> dict:
    return model(descriptor, batch)


def sums(model: Predictor, descriptor: LambdaSOAP, batch: Neighbours) -> dict:
    """Those of `sums_of` as a function of the batch."""
    return sums_of(predict(model, descriptor, batch))


def sums_of(prediction: dict) -> dict:
    """Gram matrix of the predictions, and their sum."""
    rows = prediction[QUADRUPOLE]
    return {"gram": rows.T @ rows, "sum": rows.sum(axis=0)}


def difference(one, other) -> float:
    """Largest one between two PyTrees, over the largest value."""
    pairs = zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True)
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max() / np.abs(np.asarray(b)).max()) for a, b in pairs)
