"""Energies and canonical averages against icet, where it is installed (`pip install 'efg-jax[icet]'`).

icet expands the energy in clusters of the crystal's symmetry and samples it with mchammer, a program that shares
nothing with ours.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from efg_jax.disorder import lattice_gas, metropolis, occupation_of
from efg_jax.disorder.spinel import CHARGES, DISORDERED, build_lto

icet = pytest.importorskip("icet", reason="icet is not installed: pip install 'efg-jax[icet]'")

LITHIUM, SITES = 21, 128  # two cubic cells along each axis: 4e23 arrangements
TEMPERATURE = 2000.0


@pytest.fixture(scope="module")
def gas():
    charges = dict(
        CHARGES, Ti=(2 * 256 - 64 - LITHIUM) / (SITES - LITHIUM)
    )  # a sixth of 128 is no number of Li: Ti makes the cell neutral
    return lattice_gas(build_lto(2, lithium=LITHIUM), DISORDERED, charges, dielectric=20.0)


@pytest.fixture(scope="module")
def arrangements():
    return np.stack([occupation_of(build_lto(2, lithium=LITHIUM, seed=seed), DISORDERED) for seed in range(60)])


@pytest.fixture(scope="module")
def structure_of():
    crystal = build_lto(2, lithium=LITHIUM)
    sublattice = crystal[crystal.arrays["site"] == "16d"]
    del sublattice.arrays["site"]

    def structure(occupation):
        sublattice.symbols = np.where(occupation, *DISORDERED)
        return sublattice.copy()

    return structure


@pytest.fixture(scope="module")
def expansion(gas, arrangements, structure_of):
    """All pairs of the cell (half its diagonal is 14.5 Å), fitted to two thirds of the arrangements."""
    primitive = build_lto(np.eye(3, dtype=int).tolist(), lithium=0)
    space = icet.ClusterSpace(primitive[primitive.arrays["site"] == "16d"], [14.6], list(DISORDERED))
    vectors = SITES * np.array([space.get_cluster_vector(structure_of(x)) for x in arrangements[:40]])
    weights, *_ = np.linalg.lstsq(vectors, np.asarray(gas.energy(arrangements[:40])), rcond=1e-10)
    return icet.ClusterExpansion(space, weights)


def test_pairs_have_the_symmetry_of_the_crystal(gas, arrangements, structure_of, expansion):
    expected = [SITES * expansion.predict(structure_of(x)) for x in arrangements[40:]]
    assert_allclose(gas.energy(arrangements[40:]), expected, atol=1e-9)


@pytest.mark.filterwarnings("ignore:.*inplace:DeprecationWarning")  # of pandas, within mchammer
def test_canonical_averages_are_those_of_mchammer(gas, arrangements, structure_of, expansion):
    from mchammer.calculators import ClusterExpansionCalculator
    from mchammer.ensembles import CanonicalEnsemble

    theirs = []
    for seed in range(4):
        structure = structure_of(arrangements[seed])
        chain = CanonicalEnsemble(
            structure,
            ClusterExpansionCalculator(structure, expansion),
            temperature=TEMPERATURE,
            random_seed=seed,
            ensemble_data_write_interval=SITES,
        )
        chain.run(1000 * SITES)
        theirs.append(chain.data_container.get("potential")[200:].mean())
    found = metropolis(gas, arrangements[:8], np.full(1000, TEMPERATURE), seed=0)
    ours = found.energy[:, 200:].mean(axis=1)
    error = np.hypot(np.std(theirs, ddof=1) / np.sqrt(4), ours.std(ddof=1) / np.sqrt(8))
    assert error < 0.05
    assert abs(ours.mean() - np.mean(theirs)) < 4 * error
