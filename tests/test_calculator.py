"""A model as an ASE calculator: the model's own tensors, each computed once, and files that hold them."""

import jaxtyping
import numpy as np
import pytest
from ase.io import read
from numpy.testing import assert_array_equal
from oracles.labelled_crystals import crystals

import efg_jax as ej
from efg_jax import InputError, TensorGPR
from efg_jax.structures.streaming import Dealer

SOAP = ej.LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, sigma=0.5)


@pytest.fixture(scope="module")
def model():
    return TensorGPR(SOAP, species="O", regularisation=1e-3).fit(crystals(3, seed=0))


@pytest.fixture
def computed(monkeypatch):
    """Structures whose neighbours were listed, in turn."""
    seen, add = [], Dealer.add

    def counted(self, number, atoms, centres):
        seen.append(atoms)
        return add(self, number, atoms, centres)

    monkeypatch.setattr(Dealer, "add", counted)
    return seen


def test_a_calculator_gives_what_the_model_predicts(model):
    atoms = crystals(1, seed=1)[0]
    expected, variance = model.predict(atoms, variance=True)
    atoms.calc = ej.TensorCalculator(model, variance=True)
    assert_array_equal(atoms.calc.get_property("efg", atoms), expected)
    assert_array_equal(atoms.calc.get_property("efg_std", atoms), np.sqrt(variance))


def test_annotation_replaces_the_arrays_in_place(model):
    atoms = crystals(1, seed=1)[0]
    assert ej.TensorCalculator(model).annotate(atoms) is atoms
    assert_array_equal(atoms.arrays["efg"], model.predict(atoms))


def test_a_structure_is_computed_once_until_it_changes(model, computed):
    calculator = ej.TensorCalculator(model)
    first, second = crystals(2, seed=1)
    for atoms in (first, second, first.copy(), second, first):
        atoms.calc = calculator
        calculator.get_property("efg", atoms)
        calculator.annotate(atoms)
    assert len(computed) == 2
    for change in (
        lambda atoms: atoms.positions.__setitem__((0, 0), atoms.positions[0, 0] + 1e-9),
        lambda atoms: atoms.set_cell(atoms.cell.array * 1.001),
        lambda atoms: atoms.set_pbc([True, True, False]),
        lambda atoms: atoms.symbols.__setitem__(0, "H"),
    ):
        changed = first.copy()
        change(changed)
        assert_array_equal(calculator.get_property("efg", changed), model.predict(changed))
        calculator.annotate(changed)
    assert len(computed) == 2 + 4 * 2  # the model's own prediction is counted as well


def test_what_is_remembered_is_not_the_callers_to_change(model):
    calculator, atoms = ej.TensorCalculator(model), crystals(1, seed=1)[0]
    calculator.annotate(atoms).arrays["efg"][:] = 0.0
    assert_array_equal(calculator.get_property("efg", atoms), model.predict(atoms))


def test_only_the_last_structures_are_remembered(model, computed):
    calculator = ej.TensorCalculator(model, remembered=2)
    frames = crystals(3, seed=1)
    for atoms in (*frames, frames[0], frames[0]):
        calculator.annotate(atoms)
    assert len(computed) == 4


def test_a_file_holds_what_a_calculator_knows(model, tmp_path):
    atoms = crystals(1, seed=1)[0]
    del atoms.arrays["efg"], atoms.arrays["ms"]
    atoms.calc = ej.TensorCalculator(model)
    ej.io.write(tmp_path / "one.extxyz", [atoms.calc.annotate(atoms)])
    found = read(tmp_path / "one.extxyz").arrays["efg"].reshape(-1, 3, 3)
    np.testing.assert_allclose(found, model.predict(atoms), atol=1e-7)


def test_a_calculator_needs_a_fitted_tensor_model(monkeypatch):
    scalars = ej.ScalarGPR(SOAP, species="O", regularisation=1e-3).fit(crystals(3, seed=0))
    with pytest.raises(InputError, match="a model of tensors, got a scalar model"):
        ej.TensorCalculator(scalars)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no type checks
    with pytest.raises(InputError, match="not fitted"):
        ej.TensorCalculator(TensorGPR(SOAP))
