"""Features written in place, against those of single environments and of the map used for derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase.build import bulk
from numpy.testing import assert_allclose

from efg_jax.descriptors import LambdaSOAP
from efg_jax.descriptors.power_spectrum import coupled_pairs, invariant_norm, power_spectrum
from efg_jax.structures.environments import Neighbours, environments

CUTOFF = 3.0
IRREPS = ((0, 1), (1, -1), (2, 1))


def neighbours(count: int) -> Neighbours:
    """Of atoms of a rattled crystal; as many centres as asked for and a padded one in their midst."""
    crystal = bulk("Si", cubic=True).repeat((2, 1, 1))
    crystal.rattle(0.1, seed=0)
    batch = environments([crystal], CUTOFF, ("Si",), [np.arange(count)], pad=False).neighbours()
    return Neighbours(
        batch.displacements, batch.species, batch.mask, batch.centre_species, np.arange(count) != min(3, count - 1)
    )


@pytest.mark.parametrize(
    ("nmax", "count"), [(2, 11), (3, 8), (1, 2)]
)  # even, odd and single channels; pieces and a rest
def test_a_batch_is_its_environments_one_by_one(nmax, count):
    soap = LambdaSOAP(cutoff=CUTOFF, nmax=nmax, lmax=2, species=("Si",))
    batch = neighbours(count)
    together = jax.jit(lambda b: soap(b, IRREPS))(batch)
    one = jax.jit(lambda *arguments: soap.environment_features(*arguments, irreps=IRREPS))
    for row in range(count):
        alone = one(
            *(jnp.asarray(a[row]) for a in (batch.displacements, batch.species, batch.mask, batch.centre_species))
        )
        for irrep in IRREPS:
            expected = alone[irrep] if batch.centre_mask[row] else np.zeros(alone[irrep].shape)
            assert_allclose(together[irrep][row], expected, rtol=0, atol=1e-13)


def test_other_devices_work_on_more_at_a_time(monkeypatch):
    """With the pieces of an accelerator, of which the batch fills one and a half."""
    soap, batch = LambdaSOAP(cutoff=CUTOFF, nmax=2, lmax=2, species=("Si",)), neighbours(16)
    monkeypatch.setattr("efg_jax.descriptors.lambda_soap._ACCELERATOR_CHUNK", 11)
    here = jax.jit(lambda b: soap(b, IRREPS))(batch)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    there = jax.jit(lambda b: soap(b, IRREPS))(batch)
    for irrep in IRREPS:
        assert_allclose(there[irrep], here[irrep], rtol=0, atol=1e-14)


def test_what_is_differentiated_is_what_is_computed():
    batch = neighbours(11)

    def features(sigma):
        return LambdaSOAP(cutoff=CUTOFF, sigma=sigma, nmax=3, lmax=2, species=("Si",))(batch, IRREPS)

    sigma = jnp.asarray(0.5)
    plain, _ = jax.jit(lambda s: jax.jvp(features, (s,), (jnp.ones_like(s),)))(sigma)
    in_place = jax.jit(features)(sigma)
    for irrep in IRREPS:
        assert_allclose(in_place[irrep], plain[irrep], rtol=0, atol=1e-14)


@pytest.mark.parametrize("channels", [1, 4, 5])
def test_norm_without_features_is_that_of_the_features(channels):
    density = [jnp.asarray(np.random.default_rng(l).normal(size=(channels, 2 * l + 1))) for l in range(4)]
    assert_allclose(invariant_norm(density)[0, 0], jnp.sum(power_spectrum(density, 0) ** 2), rtol=1e-13)


@pytest.mark.parametrize(("order", "parity"), [(0, 1), (1, 1), (1, -1), (2, 1), (2, -1)])
@pytest.mark.parametrize("channels", [4, 5])
def test_as_many_features_as_symmetry_leaves(order, parity, channels):
    """Pairs of channels, in both orders where l ≠ l', once where l = l'."""
    density = [jnp.ones((channels, 2 * l + 1)) for l in range(3)]
    pairs = coupled_pairs(2, order, parity)
    expected = sum(channels**2 if l1 != l2 else channels * (channels + 1) // 2 for l1, l2 in pairs)
    assert power_spectrum(density, order, parity).shape == (2 * order + 1, expected)
