"""Initial networks predict values of size one, whatever the structures; batches have the size that was asked for."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from oracles.small_networks import TINY
from scipy.spatial.transform import Rotation

from efg_jax import InputError
from efg_jax.network.backbone import Network, check_makes
from efg_jax.network.batches import common_shape, samples
from efg_jax.network.interaction import LEAST
from efg_jax.network.rows import filled, in_rows
from efg_jax.network.starts import random_networks
from efg_jax.network.training_sets import TrainingData, atomic_target
from efg_jax.precision import cast
from efg_jax.structures.environments import environments
from efg_jax.tensors.irreps import to_cartesian


def squeezed(frames, factor):
    """The same in other units of length."""
    changed = [atoms.copy() for atoms in frames]
    for atoms in changed:
        atoms.set_cell(factor * atoms.cell.array, scale_atoms=True)
    return changed


@pytest.mark.parametrize("factor", [1.0, 0.6])
@pytest.mark.parametrize("layers", [1, 3])
def test_predictions_begin_with_size_one(to_learn, layers, factor):
    frames = squeezed(to_learn[:8], factor)
    architecture = replace(TINY, cutoff=5.0, layers=layers, channels=16)
    data = TrainingData({"efg": atomic_target("efg", frames)}, dict(enumerate(frames)), {})
    begun = random_networks(architecture, data, None, 1, 0)
    environment = filled(in_rows(environments(frames, 5.0, begun.architecture.species, pad=False)))
    plain = Network(begun.architecture, {"efg": ((2, 1),)}, jax.random.key(0))
    size, before = (
        float(
            np.sqrt(
                np.mean(
                    np.asarray(cast(network, np.dtype(np.float64))(environment)["efg"][2, 1])[: sum(map(len, frames))]
                    ** 2
                )
            )
        )
        for network in (begun.networks[0], plain)
    )
    assert 0.1 < size < 4.0
    assert before > 10.0 * size


def strained_salt(seed):
    """CsCl under a small strain, where every atom stays a centre of inversion."""
    strain = np.random.default_rng(seed).normal(0.0, 0.02, (3, 3))
    atoms = Atoms("CsCl", scaled_positions=[[0.0] * 3, [0.5] * 3], cell=4.1 * (np.eye(3) + strain + strain.T), pbc=True)
    traceless = strain + strain.T - 2.0 * np.trace(strain) / 3.0 * np.eye(3)
    atoms.arrays["efg"] = np.stack([300.0 * traceless, -200.0 * traceless])
    return atoms


def test_couplings_that_vanish_by_symmetry_hear_no_rounding():
    rotation = Rotation.random(rng=np.random.default_rng(0)).as_matrix()
    frames = [strained_salt(seed) for seed in range(4)]
    data = TrainingData({"efg": atomic_target("efg", frames)}, dict(enumerate(frames)), {})
    begun = random_networks(replace(TINY, cutoff=5.0, layers=3), data, None, 1, 0)
    for layer in begun.networks[0].interactions:
        least, largest = float(layer.sizes.min()), float(layer.sizes.max())
        assert_allclose(least, LEAST * largest, rtol=1e-5)  # features of odd order are zero but for rounding

    def predicted(atoms):
        environment = filled(in_rows(environments([atoms], 5.0, begun.architecture.species, pad=False)))
        parts = cast(begun.networks[0], np.dtype(np.float32))(cast(environment, np.dtype(np.float32)))["efg"][2, 1][:2]
        return np.asarray(to_cartesian({2: jnp.asarray(parts)}))

    atoms = frames[0]
    turned, moved = atoms.copy(), atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation.T, scale_atoms=True)
    moved.rattle(1e-3, seed=0)
    whole = predicted(atoms)
    largest = np.abs(whole).max()
    assert_allclose(predicted(turned), rotation @ whole @ rotation.T, rtol=0, atol=1e-4 * largest)
    assert_allclose(predicted(moved), whole, rtol=0, atol=0.2 * largest)


def test_batches_have_about_the_pairs_that_were_asked_for(to_learn):
    frames = squeezed(to_learn, 1.7)  # few neighbours, and rows that are mostly padding
    targets = {"efg": atomic_target("efg", frames)}
    data = TrainingData(targets, dict(enumerate(frames)), {})
    architecture = data.settled(TINY)
    found = samples(data.training, architecture, list(targets.values()), data.standards(architecture.species, None))
    pairs = sum(sample.pairs for sample in found)
    assert pairs == sum(np.sum(sample.environments.mask) for sample in found)
    shape = common_shape(found, pairs // 3)
    whole = common_shape(found, 10 * pairs)
    assert 0.3 < shape.rows / whole.rows < 0.7  # sizes are rounded up


def test_what_products_never_make(to_learn):
    products = replace(TINY, decomposition="products")
    with pytest.raises(InputError, match="take decomposition='irreps'"):
        check_makes(products, {"dipole": ((1, 1),)})
    with pytest.raises(InputError, match="take a higher lmax"):
        check_makes(replace(products, product_order=1, lmax=1), {"other": ((4, 1),)})
