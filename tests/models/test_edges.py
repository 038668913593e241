"""Few or symmetric data, and data of unusual shape: right numbers or a clear error."""

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from numpy.testing import assert_allclose
from oracles.labelled_crystals import crystals

from efg_jax import InputError, LambdaSOAP, ScalarGPR, TensorGPR, tune
from efg_jax.gp.variance import posterior_traces
from efg_jax.structures.checks import check_frames
from efg_jax.structures.environments import with_positions, with_strain

SOAP = LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, sigma=0.5)


@pytest.fixture(scope="module")
def frames():
    return crystals(3, seed=0)


@pytest.fixture(scope="module")
def model(frames):
    return TensorGPR(SOAP, species="O", regularisation=1e-3).fit(frames)


def carbon_monoxide(count: int) -> list[Atoms]:
    """Molecules in random orientation whose dipole is one along the bond, longer for longer bonds."""
    frames = []
    for seed in range(count):
        atoms = molecule("CO")
        rng = np.random.default_rng(seed)
        bond = rng.normal(size=3)
        bond *= rng.uniform(1.05, 1.25) / np.linalg.norm(bond)
        atoms.positions = [np.zeros(3), bond]
        atoms.info["dipole"] = bond
        frames.append(atoms)
    return frames


def test_structures_with_one_atom_of_each_element():
    frames = carbon_monoxide(12)
    model = TensorGPR(SOAP, target="dipole", regularisation=1e-6).fit(frames[:10])
    for atoms in frames[10:]:
        assert_allclose(model.predict(atoms), atoms.info["dipole"], atol=0.02)


def test_a_dipole_for_every_atom():
    frames = crystals(3, seed=0)
    for atoms in frames:
        atoms.arrays["dipole"] = np.random.default_rng(len(atoms)).normal(size=(len(atoms), 3))
    predicted = (
        TensorGPR(SOAP, species="O", target="dipole", per="atom", regularisation=1e-3).fit(frames).predict(frames[0])
    )
    assert predicted.shape == (len(frames[0]), 3)
    assert np.isfinite(predicted[np.asarray(frames[0].symbols) == "O"]).all()


def test_a_structure_that_nothing_contributes_to_is_refused():
    model = TensorGPR(SOAP, target="dipole", species="C", regularisation=1e-6).fit(carbon_monoxide(3))
    with pytest.raises(InputError, match=r"frame 1: contains no C"):
        model.predict([*carbon_monoxide(1), Atoms("O", positions=[[0, 0, 0]])])


def test_automatic_regularisation_needs_two_structures():
    with pytest.raises(InputError, match=r"only one has labels \(O efg\); use more structures, or give a number"):
        TensorGPR(SOAP, species="O").fit(crystals(1, seed=0))


def test_scalars_that_do_not_vary_are_refused():
    atoms = crystals(1, seed=0)[0]
    keep = np.flatnonzero(np.asarray(atoms.symbols) == "O")[0]
    atoms.arrays["efg"][[i for i in range(len(atoms)) if i != keep]] = np.nan
    with pytest.raises(InputError, match=r"all \|V_zz\| of O are the same"):
        ScalarGPR(SOAP, species="O").fit([atoms])


def test_a_single_structure_or_an_iterator_is_a_list_of_structures():
    frames = crystals(2, seed=0)
    model = TensorGPR(SOAP, species="O", regularisation=1e-3)
    assert_allclose(model.fit(iter(frames)).predict(frames[0]), model.fit(frames).predict(frames[0]))
    assert model.fit(frames[0]).evaluate(frames[0]).to_dict()["O"]["n"] == frames[0].symbols.count("O")
    assert check_frames(frame for frame in frames) == frames


def test_an_isotope_of_another_element_is_refused(frames, model):
    with pytest.raises(InputError, match="29Si is no isotope of O"):
        model.evaluate(frames, isotopes={"O": "29Si"})


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"species": ("O", "Xy")}, "got 'Xy'"),
        ({"species": ("O", "O")}, "twice"),
        ({"species": ("O", "Si"), "species_weights": [1.0]}, "one weight for each"),
        ({"nmax": 2.5}, "nmax must be an integer"),
        ({"cutoff": np.inf}, "cutoff must be positive, in Å, got inf"),
        ({"nmax": 40}, "linearly dependent"),
    ],
)
def test_impossible_descriptors_are_refused(options, says):
    with pytest.raises(InputError, match=says):
        TensorGPR(LambdaSOAP(**options), species="O", regularisation=1e-3).fit(crystals(1, seed=0))


def test_numpy_numbers_are_numbers():
    assert LambdaSOAP(nmax=np.int64(4)).nmax == 4
    assert TensorGPR(regularisation=np.float64(1e-4)).regularisation == 1e-4


def test_variance_compiles_once_for_structures_of_similar_size(frames, model):
    model.predict(frames[0], variance=True)
    compiled = posterior_traces._cache_size()
    model.predict(frames[1], variance=True)
    assert posterior_traces._cache_size() == compiled


def test_strained_environments_are_those_of_the_strained_crystal(frames, model):
    """A strained batch of environments predicts what the strained crystal does; a rigid shift changes nothing."""
    atoms = frames[0]
    environments = model.environments_of(atoms, "O")
    strain = 1e-3 * np.random.default_rng(1).normal(size=(3, 3))
    strained = atoms.copy()
    strained.set_cell(atoms.cell.array @ (np.eye(3) + strain).T, scale_atoms=True)
    oxygen = np.flatnonzero(np.asarray(atoms.symbols) == "O")
    predicted = model.tensors(with_strain(environments, jax.numpy.asarray(strain)))[oxygen]
    assert_allclose(predicted, model.predict(strained)[oxygen], rtol=1e-9, atol=1e-9)
    shifted = with_positions(environments, jax.numpy.asarray(environments.positions) + 0.3)
    assert_allclose(model.tensors(shifted), model.tensors(environments), rtol=1e-9, atol=1e-9)


def test_tuning_keeps_the_start_where_nothing_is_better():
    """Also a start that is switched off or outside the usual intervals."""
    frames = crystals(4, seed=0)
    start = TensorGPR(
        LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, sigma=1.2, scaling_exponent=0.0), species="O", regularisation=1e-3
    )
    tuned = tune(start, frames, budget=1, folds=2).model
    assert float(tuned.descriptor.scaling_exponent) == 0.0
    assert_allclose(tuned.fit(frames).predict(frames[0]), start.fit(frames).predict(frames[0]), rtol=0.05, atol=1e-3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"bounds": {"cutoff": (4.0, 3.0)}}, "give the lower one first"),
        ({"folds": 9}, "cannot fill 9 folds"),
    ],
)
def test_impossible_tuning_is_refused(options, says):
    with pytest.raises(InputError, match=says):
        tune(TensorGPR(SOAP, species="O"), crystals(2, seed=0), **{"folds": 2, **options})
