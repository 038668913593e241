"""Ten small silica cells and models small enough to be compiled quickly."""

import pytest

import efg_jax as ej


@pytest.fixture(scope="session")
def frames():
    return [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) <= 9][:10]


@pytest.fixture(scope="session")
def descriptor():
    return ej.LambdaSOAP(cutoff=3.5, nmax=3, lmax=2, species=("O", "Si"))


@pytest.fixture(scope="session")
def model(descriptor):
    return ej.TensorGPR(descriptor, species="Si", regularisation=1e-3)
