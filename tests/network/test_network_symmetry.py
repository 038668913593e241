"""What a network predicts turns with the structure, whatever its weights, in float64 to rounding."""

from functools import cache

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from numpy.testing import assert_allclose
from oracles.differences import directional
from oracles.fixed_shape import fixed_shape
from strategies import SPECIES, place, rotations, structures, turned

from efg_jax.network import Architecture
from efg_jax.network.backbone import Network
from efg_jax.precision import cast
from efg_jax.structures.environments import environments, with_positions
from efg_jax.structures.targets import IRREPS
from efg_jax.tensors.irreps import to_cartesian

CUTOFF = 3.5
SMALL = {"species": SPECIES, "cutoff": CUTOFF, "channels": 3, "bessels": 4, "radial_width": 8}
KINDS = {
    "two layers": {"lmax": 2, "layers": 2},
    "products": {"lmax": 2, "layers": 2, "decomposition": "products", "product_order": 2, "products": 4},
    "three layers": {"lmax": 2, "layers": 3},
    "lmax 4": {"lmax": 4, "layers": 2, "channels": 2},
    "products, ℓ = 1": {"lmax": 1, "layers": 2, "decomposition": "products", "product_order": 1, "products": 4},
    "products, ℓ = 3": {"lmax": 3, "layers": 1, "decomposition": "products", "product_order": 3, "products": 4},
}


@cache
def network(kind: str) -> Network:
    return cast(
        Network(Architecture(**SMALL | KINDS[kind]), {"ms": IRREPS["matrix"]}, jax.random.key(1)),
        np.dtype(np.float64),
    )


@eqx.filter_jit
def _tensors(network, batch):
    return to_cartesian({order: part for (order, _), part in network(batch)["ms"].items()})


def tensors(kind: str, atoms) -> np.ndarray:
    batch = fixed_shape(environments([atoms], CUTOFF, SPECIES, pad=False))
    return np.asarray(_tensors(network(kind), batch))[: len(atoms)]


def conjugated(tensors, matrix):
    return np.einsum("ik,nkl,jl->nij", matrix, tensors, matrix)


@pytest.mark.parametrize("kind", KINDS)
@given(atoms=structures(), rotation=rotations())
def test_tensors_turn_with_random_structures(kind, atoms, rotation):
    before = tensors(kind, atoms)
    close = {"rtol": 0, "atol": 1e-10 * max(np.abs(before).max(), 1.0)}
    assert_allclose(tensors(kind, turned(atoms, rotation)), conjugated(before, rotation), **close)
    assert_allclose(tensors(kind, turned(atoms, -np.eye(3))), before, **close)


@pytest.mark.parametrize("kind", KINDS)
def test_every_part_of_a_shielding_is_there(kind):
    atoms = place(np.random.default_rng(3), ["Si", "O", "O", "H"], 4.0 * np.eye(3), np.array([True] * 3))
    found = tensors(kind, atoms)
    antisymmetric = found - found.swapaxes(1, 2)
    assert np.abs(np.trace(found, axis1=1, axis2=2)).max() > 1e-3
    assert np.linalg.norm(antisymmetric, axis=(1, 2)).max() > 1e-3


def test_products_of_vectors_do_not_leave_a_mirror_plane():
    """Vectors of a planar molecule lie in its plane, so that the trace decides the components out of it."""
    atoms = Atoms("SiO2H", [[0.0, 0.0, 0.0], [1.6, 0.1, 0.0], [-0.5, 1.5, 0.0], [2.1, 0.9, 0.0]])

    def independent(kind):
        found = tensors(kind, atoms)
        third = np.trace(found, axis1=1, axis2=2) / 3.0
        return np.abs(np.abs(found[:, 2, 2] - third) - np.abs(third)).max() / np.abs(found).max()

    assert independent("products, ℓ = 1") < 1e-12
    assert independent("products") > 0.01


def test_products_of_odd_order_vanish_at_a_centre_of_inversion():
    """Oxygen in the middle of two silicons: what changes sign under inversion is zero there."""
    atoms = Atoms("SiOSi", [[-1.6, 0.1, 0.0], [0.0, 0.0, 0.0], [1.6, -0.1, 0.0]])
    sizes = {kind: np.abs(tensors(kind, atoms)).max(axis=(1, 2)) for kind in KINDS if "ℓ" in kind or kind == "products"}
    assert sizes["products, ℓ = 1"][1] < 1e-12 * sizes["products, ℓ = 1"][0]
    assert sizes["products, ℓ = 3"][1] < 1e-12 * sizes["products, ℓ = 3"][0]
    assert sizes["products"][1] > 0.01 * sizes["products"][0]


@pytest.mark.parametrize("change", ["permuted", "moved", "repeated", "another cell"])
def test_neither_order_nor_origin_nor_cell_matter(change):
    atoms = place(np.random.default_rng(5), ["Si", "O", "H"], np.diag([3.1, 3.9, 4.4]) + 0.4, np.array([True] * 3))
    before = tensors("two layers", atoms)
    changed, expected = atoms.copy(), before
    if change == "permuted":
        changed, expected = atoms[[2, 0, 1]], before[[2, 0, 1]]
    elif change == "moved":
        changed.positions += [11.3, -7.1, 0.4]
        changed.positions[1] += [3, -1, 2] @ changed.cell.array
    elif change == "repeated":
        changed, expected = atoms.repeat((1, 2, 1)), np.concatenate([before, before])
    else:
        changed.set_cell(np.array([[1, 2, 0], [0, 1, 0], [-1, 0, 1]]) @ atoms.cell.array)
    assert_allclose(tensors("two layers", changed), expected, rtol=0, atol=1e-11 * np.abs(before).max())


def test_derivatives_with_respect_to_positions_are_those_of_differences():
    atoms = place(np.random.default_rng(7), ["Si", "O", "O", "H"], 4.2 * np.eye(3), np.array([True, True, False]))
    batch = fixed_shape(environments([atoms], CUTOFF, SPECIES, pad=False))
    direction = np.zeros(np.shape(batch.positions))
    direction[: len(atoms)] = np.random.default_rng(8).normal(size=(len(atoms), 3))

    @jax.jit
    def value(positions):
        found = _tensors(network("two layers"), with_positions(batch, positions))
        return jnp.sum(found[: len(atoms)] ** 2)

    slope = np.sum(np.asarray(jax.grad(value)(jnp.asarray(batch.positions))) * direction)
    assert_allclose(slope, directional(lambda t: value(jnp.asarray(batch.positions + t * direction)), 1e-4), rtol=1e-7)


def test_a_neighbour_fades_out_smoothly_at_the_cutoff():
    def pair(distance):
        atoms = place(np.random.default_rng(0), ["O"], 20.0 * np.eye(3), np.array([False] * 3))
        atoms.positions[:] = 0.0
        atoms.append("H")
        atoms.positions[1] = [0.0, 0.0, distance]
        return tensors("two layers", atoms)[0]

    alone, close, touching = pair(CUTOFF + 0.1), pair(CUTOFF - 0.05), pair(CUTOFF - 1e-4)
    assert_allclose(pair(CUTOFF + 1.0), alone, rtol=0, atol=1e-12)
    assert_allclose(touching, alone, rtol=0, atol=1e-10)  # the envelope begins as a third power
    assert np.abs(close - alone).max() > 1e-8
