"""Distance from the training environments."""

import equinox as eqx
import jax
import numpy as np
import pytest
from numpy.testing import assert_allclose

import efg_jax as ej
from efg_jax.structures.environments import environments

SOAP = ej.LambdaSOAP(cutoff=3.5, nmax=3, lmax=2)


@pytest.fixture(scope="module")
def frames():
    return [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) <= 12][:9]


@pytest.fixture(scope="module")
def model(frames):
    return ej.TensorGPR(SOAP, species="Si", regularisation=1e-3).fit(frames[:6])


def test_zero_on_the_training_set_and_the_distance_of_features_elsewhere(model, frames):
    for distances, atoms in zip(model.training_distance(frames[:6]), frames[:6], strict=True):
        silicon = np.asarray(atoms.symbols) == "Si"
        assert_allclose(distances[silicon], 0, atol=1e-7)
        assert np.isnan(distances[~silicon]).all()
    descriptor = model.model.descriptor

    def features(structures):
        centres = [np.flatnonzero(np.asarray(atoms.symbols) == "Si") for atoms in structures]
        batch = environments(structures, 3.5, descriptor.species, centres, pad=False)
        p = np.asarray(eqx.filter_jit(descriptor)(batch, ((0, 1),))[0, 1][:, 0])
        return p / np.linalg.norm(p, axis=1, keepdims=True)

    known, new = np.split(features([*frames[:6], frames[8]]), [-frames[8].symbols.count("Si")])
    expected = [np.linalg.norm(row - known, axis=1).min() for row in new]
    found = model.training_distance(frames[8])
    assert_allclose(found[~np.isnan(found)], expected, atol=1e-8)
    assert min(expected) > 1e-3


def test_strange_structures_are_farther_away(frames):
    model = ej.TensorGPR(SOAP, species="Si", regularisation=1e-3, inducing=8).fit(frames[:6])
    strange = frames[7].copy()
    strange.set_cell(1.15 * strange.cell.array, scale_atoms=True)
    plain, stretched = (np.nanmean(model.training_distance(atoms)) for atoms in (frames[7], strange))
    assert stretched > 1.5 * plain


def test_models_from_files_have_distances_and_primal_ones_do_not(model, frames, tmp_path):
    model.save(tmp_path / "model.npz")
    again = ej.load(tmp_path / "model.npz")
    assert_allclose(again.training_distance(frames[8]), model.training_distance(frames[8]), atol=1e-9)
    primal = ej.TensorGPR(SOAP, species="Si", regularisation=1e-3, primal=True, zeta=1.0).fit(frames[:4])
    with pytest.raises(ej.InputError, match="primal model keeps no training environments"):
        primal.training_distance(frames[8])
    with pytest.raises(ej.InputError, match="not fitted"):
        ej.TensorGPR(SOAP).training_distance(frames[8])


def test_the_callers_precision_does_not_matter(model, frames):
    expected = model.training_distance(frames[8])
    with jax.enable_x64(False):
        np.testing.assert_array_equal(model.training_distance(frames[8]), expected)
