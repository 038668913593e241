"""Streamed prediction: the values of each structure alone, in few compilations, with few structures in memory."""

import logging
import weakref

import jax
import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from numpy.testing import assert_allclose, assert_array_equal
from oracles.labelled_crystals import crystals

from efg_jax import InputError, TensorGPR, datasets
from efg_jax.structures import streaming


def mixed(count: int = 7) -> list[Atoms]:
    """Crystals of 6 to 300 atoms with atoms in and outside the cell, of different density and periodicity."""
    small = next(atoms for atoms in datasets.load("silica-efg") if len(atoms) == 6)
    generator = np.random.default_rng(0)
    frames = []
    for repeats, swell in zip(
        [(1, 1, 1), (2, 1, 1), (5, 5, 2), (2, 2, 2), (3, 1, 1), (2, 3, 3), (1, 2, 1)],
        [1.0, 0.9, 1.0, 0.85, 0.8, 1.1, 1.3],
        strict=True,
    ):
        atoms = small.repeat(repeats)
        atoms.calc = None
        atoms.set_cell(atoms.cell.array * swell, scale_atoms=True)
        atoms.positions += generator.normal(scale=0.05, size=atoms.positions.shape)
        atoms.pbc = generator.random(3) < 0.8
        frames.append(atoms)
    assert {len(atoms) for atoms in frames} >= {6, 300}
    return frames[:count]


def alone(model: TensorGPR, atoms: Atoms) -> np.ndarray:
    """The pure function of one structure's environments, its atoms' tensors put in their places."""
    values = np.full((len(atoms), 3, 3), np.nan)
    index = np.flatnonzero(np.isin(np.asarray(atoms.symbols), model.species))
    if len(index):
        values[index] = np.asarray(model.tensors(model.environments_of(atoms)))[index]
    return values


@pytest.mark.parametrize("chunk", ["auto", 16])
def test_a_stream_is_each_structure_by_itself(shielding_model, chunk):
    frames = [*mixed(2), Atoms("He"), *crystals(1, seed=3)]
    frames[2].symbols = ["H"]
    found = list(shielding_model.predict_stream(iter(frames), chunk=chunk))
    for atoms, one in zip(frames, found, strict=True):
        assert one.atoms is atoms
        expected = alone(shielding_model, atoms)
        assert_array_equal(one.centres, np.flatnonzero(np.isfinite(expected).all(axis=(1, 2))))
        assert_allclose(one.values, expected, rtol=1e-12, atol=1e-12 * np.nanmax(np.abs(expected)))


def test_large_cells_are_cut_and_give_the_same(efg_model, monkeypatch):
    atoms = mixed(3)[2]
    atoms = atoms.repeat((1, 1, 2))
    expected = efg_model.predict(atoms)
    monkeypatch.setattr(streaming, "neighbour_blocks", in_blocks_of(100))
    blocks = efg_model.predict(atoms)
    assert (expected != blocks)[np.isfinite(expected)].any()  # they were cut: rounding differs
    assert_allclose(blocks, expected, rtol=1e-12, atol=1e-12 * np.nanmax(np.abs(expected)))


def in_blocks_of(size: int):
    whole = streaming.neighbour_blocks
    return lambda atoms, centres, cutoff: whole(atoms, centres, cutoff, size)


def compilations(caplog, function) -> list[str]:
    """What XLA compiles while the function runs."""
    caplog.clear()
    with jax.log_compiles(), caplog.at_level(logging.WARNING):
        function()
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith("Finished XLA compilation")]


def test_a_mixed_data_set_compiles_at_most_four_times(efg_model, caplog):
    frames, unusual = mixed(), {"chunk": 120}  # of which nothing is compiled yet
    together = compilations(caplog, lambda: efg_model.predict(frames, **unusual))
    one_by_one = compilations(caplog, lambda: [efg_model.predict(atoms, **unusual) for atoms in frames])
    assert len(together) >= 1
    assert len(together) + len(one_by_one) <= 4, together + one_by_one
    assert compilations(caplog, lambda: efg_model.predict(frames[::-1], **unusual)) == []


def test_a_second_structure_of_similar_size_compiles_nothing(efg_model, caplog):
    first, second = crystals(2, seed=11)
    smaller = second.copy()
    del smaller[3]  # the hydrogen: one atom fewer
    unusual = {"chunk": 104}  # of which nothing is compiled yet
    assert len(compilations(caplog, lambda: efg_model.predict(first, **unusual))) > 0  # counting works
    assert compilations(caplog, lambda: efg_model.predict(first, **unusual)) == []
    assert compilations(caplog, lambda: efg_model.predict(second, **unusual)) == []
    assert compilations(caplog, lambda: efg_model.predict(smaller, **unusual)) == []


def test_few_structures_are_held(efg_model, monkeypatch):
    """A piece of a long trajectory keeps few structures alive, also where an element is rare."""
    monkeypatch.setattr(streaming, "HELD_ATOMS", 60)
    given, most = [], 0

    def trajectory():
        nonlocal most
        for seed in range(60):
            atoms = crystals(1, seed=seed % 3)[0]
            given.append(weakref.ref(atoms))
            most = max(most, sum(reference() is not None for reference in given))
            yield atoms

    numbers = [found.values.shape for found in efg_model.predict_stream(trajectory())]
    assert numbers == [(5, 3, 3)] * 60
    assert 5 < most < 20


def test_results_come_in_order_before_the_stream_ends(efg_model, monkeypatch):
    monkeypatch.setattr(streaming, "HELD_ATOMS", 20)
    frames = crystals(12, seed=5)
    taken = []
    found = efg_model.predict_stream(taken.append(number) or atoms for number, atoms in enumerate(frames))
    assert taken == []
    assert next(found).atoms is frames[0]
    assert len(taken) < len(frames)
    assert [one.atoms for one in found] == frames[1:]


def test_species_and_indices_choose_atoms(shielding_model, test):
    whole = shielding_model.predict(test)
    atoms = test[0]
    oxygen = np.asarray(atoms.symbols) == "O"
    chosen = shielding_model.predict(atoms, species="O")
    assert_allclose(chosen[oxygen], whole[0][oxygen], rtol=1e-12)
    assert np.isnan(chosen[~oxygen]).all()
    for atoms, everything, some in zip(test, whole, shielding_model.predict(test, indices=[4, 0]), strict=True):
        assert_allclose(some[[0, 4]], everything[[0, 4]], rtol=1e-12)
        assert np.isnan(some[1 : len(atoms) - 1]).all()


def test_variance_in_a_stream_is_each_structures_own(efg_model):
    frames = crystals(9, seed=8)
    found = list(efg_model.predict_stream(frames, variance=True, chunk=16))  # two oxygens each: a rest remains
    for atoms, one in zip(frames, found, strict=True):
        assert_allclose(one.variance, efg_model.predict(atoms, variance=True)[1], rtol=1e-9)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"species": "H"}, "predicts nothing for H; it was trained for O"),
        ({"indices": [0, 5]}, "frame 1: has no atom 5; its 5 atoms are numbered from 0"),
        ({"indices": [3]}, "nothing to predict: the model is for O"),
        ({"chunk": 0}, "chunk = 0"),
    ],
)
def test_impossible_choices_are_refused(efg_model, options, says):
    frames = crystals(2, seed=0)
    assert str(frames[0].symbols) == "SiO2HSi"
    if options.get("indices") == [0, 5]:
        frames[0] += Atoms("H", positions=[frames[0].positions[0] + [0.0, 0.0, 30.0]])
        frames[0].pbc = False
    with pytest.raises(InputError, match=says):
        efg_model.predict(frames, **options)


def test_an_unknown_element_is_named_with_its_structure(efg_model):
    frames = [*crystals(2, seed=0), molecule("CO")]
    with pytest.raises(InputError, match=r"frame 2, atom 1 \(C\): element C is not among those"):
        efg_model.predict(iter(frames))
