"""Random crystals with analytic labels, and models fitted to them once for all tests."""

import pytest
from oracles.labelled_crystals import crystals
from strategies import SPECIES

from efg_jax import LambdaSOAP, TensorGPR


@pytest.fixture(scope="session")
def descriptor():
    return LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, sigma=0.5, species=SPECIES)


@pytest.fixture(scope="session")
def train():
    return crystals(8, seed=0)


@pytest.fixture(scope="session")
def test():
    return crystals(2, seed=1)


@pytest.fixture(scope="session")
def shielding_model(descriptor, train):
    return TensorGPR(descriptor, target="ms", regularisation=1e-5).fit(train)


@pytest.fixture(scope="session")
def efg_model(descriptor, train):
    return TensorGPR(descriptor, species="O", regularisation=1e-5).fit(train)
