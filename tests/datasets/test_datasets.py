"""The data that ship are what their cards say: symmetric, traceless, whole, and nothing twice."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from efg_jax.datasets import card, describe, load, names
from efg_jax.errors import InputError
from efg_jax.structures.crystal_frame import field_direction


@pytest.fixture(scope="module", params=["lto-efg", "molecules-nmr", "silica-efg"])
def frames(request):
    return load(request.param)


def test_three_sets_ship():
    assert names() == ["lto-efg", "molecules-nmr", "silica-efg"]


def test_every_tensor_is_symmetric_and_traceless(frames):
    for atoms in frames:
        v = atoms.arrays["efg"]
        assert v.shape == (len(atoms), 3, 3)
        assert v.dtype == np.float64
        assert np.isfinite(v).all()
        assert_array_equal(v, v.swapaxes(1, 2))
        assert_allclose(np.trace(v, axis1=1, axis2=2), 0, atol=1e-10)


def test_energy_and_forces_are_there_and_belong_together(frames):
    for atoms in frames:
        assert np.isfinite(atoms.get_potential_energy())
        forces = atoms.get_forces()
        assert forces.shape == (len(atoms), 3)
        assert_allclose(forces.sum(axis=0), 0, atol=0.1)
        assert (atoms.pbc == (atoms.info["kind"] != "molecules")).all()


def test_nothing_is_there_twice(frames):
    assert len({(atoms.info["parent"], int(atoms.info["index"])) for atoms in frames}) == len(frames)
    assert len({atoms.arrays["efg"].round(3).tobytes() for atoms in frames}) == len(frames)
    energies = np.sort([atoms.get_potential_energy() for atoms in frames])
    assert np.diff(energies).min() > 0


def test_errors_about_them_name_the_set(frames):
    assert {atoms.info["source_file"] for atoms in frames} <= set(names())
    assert [atoms.info["source_frame"] for atoms in frames] == list(range(len(frames)))


def test_the_cells_lie_in_random_directions():
    directions = np.array([field_direction(atoms) for atoms in load("silica-efg")])
    assert np.linalg.norm(directions.mean(axis=0)) < 0.2


def test_quartz_oxygen_couples_as_quartz_does():
    # 5.74 MHz in the perfect crystal at this level of theory; rattling spreads it and does not move it far.
    quartz = [atoms for atoms in load("silica-efg") if atoms.info["parent"] == "quartz"]
    v = np.concatenate([atoms.arrays["efg"][atoms.symbols == "O"] for atoms in quartz])
    c_q = 2.4179892421e-3 * 25.58 * np.abs(np.linalg.eigvalsh(v)).max(axis=1)
    assert_allclose(np.median(c_q), 5.74, rtol=0.1)


def test_water_is_shielded_as_water_is():
    # 326.0 and 31.23 ppm at rest at this level of theory; displacements spread it and lower the mean of oxygen.
    waters = [atoms for atoms in load("molecules-nmr") if atoms.info["parent"] == "water"]
    sigma = np.stack([atoms.arrays["ms"] for atoms in waters])
    assert sigma.shape == (50, 3, 3, 3)
    oxygen, *hydrogens = np.median(np.trace(sigma, axis1=2, axis2=3) / 3.0, axis=0)
    assert_allclose(oxygen, 326.0, rtol=0.03)
    assert_allclose(hydrogens, 31.2, rtol=0.03)
    assert np.abs(sigma - sigma.swapaxes(2, 3)).max() > 1.0


def test_the_first_molecules_are_of_every_kind():
    kinds = [atoms.info["parent"] for atoms in load("molecules-nmr")]
    assert len(set(kinds[:42])) == len(set(kinds)) == 15


def test_the_table_is_counted_in_the_data():
    rows = {row.name: row for row in describe()}
    assert list(rows) == names()
    silica = rows["silica-efg"]
    assert silica.structures == len(load("silica-efg"))
    assert silica.tensors["O"] == 2 * silica.tensors["Si"]
    assert rows["lto-efg"].tensors == {
        symbol: n * rows["lto-efg"].structures for symbol, n in (("Li", 8), ("O", 24), ("Ti", 10))
    }
    for row in rows.values():
        assert ("PySCF" if row.name == "molecules-nmr" else "GPAW") in row.level_of_theory
        assert row.licence == "CC-BY-4.0"
        assert row.title


def test_cards_say_what_a_user_must_know():
    for name in names():
        text = card(name)
        assert f"# {name}" in text
        for needed in ("Level of theory", "Accuracy", "V/Å²", "CC-BY-4.0", "Provenance"):
            assert needed in text


def test_each_call_gives_new_structures():
    load("lto-efg")[0].arrays["efg"][:] = 0
    assert load("lto-efg")[0].arrays["efg"].any()


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(
        InputError,
        match=r"no data set is called 'silica'; did you mean 'silica-efg'.*lto-efg, molecules-nmr, silica-efg",
    ):
        load("silica")
    with pytest.raises(InputError, match="there are lto-efg, molecules-nmr, silica-efg"):
        load("../../secret")
