"""Environments in short rows say what the long ones say, and what pads them says nothing."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles.labelled_crystals import crystals
from oracles.small_networks import TINY

from efg_jax.network.backbone import Network
from efg_jax.network.rows import filled, in_rows, kinds_of_atoms
from efg_jax.precision import cast
from efg_jax.structures.environments import environments

SPECIES = ("H", "O", "Si")


@pytest.fixture(scope="module")
def frames():
    """Two small cells, so that atoms hear images of themselves, and a lone atom."""
    from ase import Atoms

    return [*crystals(2, seed=3), Atoms("O", positions=[[0.1, 0.2, 0.3]])]


@pytest.mark.parametrize("width", [1, 8, 200])
def test_every_pair_is_in_a_row_of_its_atom(frames, width):
    long = environments(frames, 5.5, SPECIES)
    short = in_rows(long, width)
    assert short.mask.shape[1] == width
    assert short.centre_mask.all()
    assert_array_equal(np.unique(short.centre), np.arange(sum(map(len, frames))))
    assert (np.diff(short.centre) >= 0).all()

    def pairs(batch):
        displacements = np.asarray(batch.displacements())
        rows, columns = np.nonzero(batch.mask)
        table = np.column_stack(
            [
                batch.centre[rows],
                batch.neighbour[rows, columns],
                batch.neighbour_species[rows, columns],
                batch.structure[rows],
                batch.centre_species[rows],
                displacements[rows, columns],
            ]
        )
        return table[np.lexsort(table.T.round(9))]

    expected = pairs(long)
    assert_allclose(pairs(short), expected, atol=1e-12)
    assert (expected[:, 0] == expected[:, 1]).any()


def test_a_network_says_the_same_of_short_rows_and_of_long_ones(frames):
    architecture = replace(TINY, species=SPECIES, cutoff=4.0)
    network = cast(Network(architecture, {"efg": ((2, 1),)}, jax.random.key(1)), np.dtype(np.float64))
    long = environments(frames, 4.0, SPECIES, pad=False)
    short = filled(in_rows(long))
    atoms = sum(map(len, frames))
    assert len(short.positions) > atoms
    assert_array_equal(np.asarray(kinds_of_atoms(short))[:atoms], long.centre_species)
    found, expected = (
        np.asarray(network(jax.tree.map(jnp.asarray, batch))["efg"][2, 1])[:atoms] for batch in (short, long)
    )
    assert_allclose(found, expected, rtol=0, atol=1e-12 * np.abs(expected).max())
    assert np.abs(expected).max() > 0.0
