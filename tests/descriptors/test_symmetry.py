"""Features of structures that are turned, inverted, permuted, moved, repeated or described by another cell."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from oracles.fixed_shape import fixed_shape
from strategies import SPECIES, rotations, structures, turned, unimodular

from efg_jax.descriptors import LambdaSOAP
from efg_jax.structures.environments import environments
from efg_jax.tensors.rotation import wigner_d

CUTOFF = 3.5
IRREPS = ((0, 1), (1, 1), (1, -1), (2, 1), (2, -1), (3, 1))
SOAP = LambdaSOAP(cutoff=CUTOFF, nmax=2, lmax=3, sigma=0.5, species=SPECIES, normalise="invariant")
NORMALISED = LambdaSOAP(cutoff=CUTOFF, nmax=2, lmax=3, sigma=0.5, species=SPECIES, normalise="environment")

_compiled = eqx.filter_jit(lambda soap, batch: soap(batch, IRREPS))


def features(atoms: Atoms, centres=None, soap=SOAP) -> dict:
    centres = np.arange(len(atoms)) if centres is None else np.asarray(centres)
    batch = fixed_shape(environments([atoms], CUTOFF, SPECIES, [centres], pad=False), atoms=48)
    return {irrep: np.asarray(p)[: len(centres)] for irrep, p in _compiled(soap, batch).items()}


def require_equal(one: dict, other: dict) -> None:
    for irrep in IRREPS:  # in units of the λ = 0 features, whose norm is 1
        assert_allclose(one[irrep], other[irrep], rtol=0, atol=1e-10, err_msg=str(irrep))


@given(structures(), rotations())
def test_features_turn_with_the_structure(atoms, rotation):
    before, after = features(atoms), features(turned(atoms, rotation))
    d = {order: np.asarray(wigner_d(jnp.asarray(rotation), order)) for order in range(4)}
    require_equal(after, {irrep: np.einsum("uv,ivf->iuf", d[irrep[0]], p) for irrep, p in before.items()})


@given(structures())
def test_inversion_gives_the_parity_of_each_irrep(atoms):
    before, after = features(atoms), features(turned(atoms, -np.eye(3)))
    require_equal(after, {(order, parity): parity * (-1) ** order * p for (order, parity), p in before.items()})


@given(structures(), st.randoms(use_true_random=False))
def test_permuted_atoms_have_permuted_features(atoms, random):
    order = list(range(len(atoms)))
    random.shuffle(order)
    before, after = features(atoms), features(atoms[order])
    require_equal(after, {irrep: p[order] for irrep, p in before.items()})


@given(structures(), st.tuples(*[st.floats(-30, 30)] * 3), st.lists(st.integers(-2, 2), min_size=3, max_size=3))
def test_moved_atoms_have_the_same_features(atoms, by, cells):
    moved = atoms.copy()
    moved.positions += by
    moved.positions[0] += (np.array(cells) * atoms.pbc) @ atoms.cell.array
    require_equal(features(atoms), features(moved))


@settings(max_examples=12)
@given(structures(max_atoms=3), st.sampled_from([(2, 1, 1), (1, 2, 2), (1, 1, 3)]))
def test_repeated_cells_have_the_same_environments(atoms, repeats):
    repeats = np.where(atoms.pbc, repeats, 1)
    require_equal(features(atoms), features(atoms.repeat(repeats), centres=np.arange(len(atoms))))


@given(structures(pbc=(True, True, True)), unimodular())
def test_another_choice_of_cell_vectors_is_the_same_crystal(atoms, matrix):
    other = atoms.copy()
    other.set_cell(matrix @ atoms.cell.array)
    require_equal(features(atoms), features(other))


@given(structures(), rotations())
def test_features_normalised_by_themselves_turn_too(atoms, rotation):
    before, after = features(atoms, soap=NORMALISED), features(turned(atoms, rotation), soap=NORMALISED)
    size = {irrep: np.linalg.norm(p, axis=(1, 2)) for irrep, p in features(atoms).items()}
    for irrep in IRREPS:
        d = np.asarray(wigner_d(jnp.asarray(rotation), irrep[0]))
        well = size[irrep] > 1e-3  # what is nearly zero by symmetry has its relative errors magnified
        assert_allclose(after[irrep][well], np.einsum("uv,ivf->iuf", d, before[irrep])[well], rtol=0, atol=1e-10)


@pytest.mark.parametrize("soap", [SOAP, NORMALISED], ids=["invariant", "environment"])
@pytest.mark.parametrize("crystal", ["diamond", "fcc", "bcc"])
def test_a_cubic_site_has_no_vector_and_no_field_gradient(soap, crystal):
    """Not noise blown up to norm one: on a site of cubic symmetry λ = 1 and 2 are zero."""
    lattice = {"diamond": bulk("Si"), "fcc": bulk("Si", "fcc", a=3.9), "bcc": bulk("Si", "bcc", a=3.1)}[crystal]
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    found = features(turned(lattice, turn), soap=soap)
    assert_allclose(np.linalg.norm(found[0, 1], axis=(1, 2)), 1.0, rtol=1e-12)
    for irrep in ((1, 1), (1, -1), (2, 1)):
        assert np.abs(found[irrep]).max() < (1e-12 if soap is SOAP else 1e-4)
