"""Random crystals with analytic labels, and small networks fitted to them once for all tests."""

import pytest
from oracles.labelled_crystals import crystals
from oracles.small_networks import TINY, with_gaps

from efg_jax.network import EquivariantNetwork, Training


@pytest.fixture(scope="session")
def to_learn():
    return crystals(24, seed=0)


@pytest.fixture(scope="session")
def held_out():
    return crystals(6, seed=1)


@pytest.fixture(scope="session")
def both(to_learn, held_out):
    """A committee of two, trained briefly on EFG and shielding of crystals with gaps."""
    training = Training(epochs=3, learning_rate=0.01, batch_edges=600)
    model = EquivariantNetwork(TINY, target=("efg", "ms"), training=training, members=2)
    return model.fit(with_gaps(to_learn[:9]), validation=held_out)


@pytest.fixture(scope="session")
def oxygen(to_learn):
    """One network for the EFG of oxygen, trained until it knows something."""
    training = Training(epochs=50, learning_rate=0.05, batch_edges=1000, validation=0.15)
    return EquivariantNetwork(TINY, species="O", training=training).fit(to_learn)
