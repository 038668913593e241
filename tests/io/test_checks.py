"""Every bad structure or label is refused in one line that names where and how to mend it; good ones pass unchanged."""

import time

import ase.io
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, molecule
from ase.geometry import find_mic
from ase.neighborlist import neighbor_list
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from efg_jax.errors import InputError
from efg_jax.structures.checks import check_frames
from efg_jax.structures.declared_units import drop_units
from efg_jax.structures.neighbour_lists import closest_pair


def tensors(n, seed=0, scale=30.0):
    v = np.random.default_rng(seed).normal(size=(n, 3, 3)) * scale
    v = v + v.swapaxes(1, 2)
    return v - np.trace(v, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)


def frame(seed=0, array="efg"):
    atoms = bulk("NaCl", "rocksalt", a=5.6, cubic=True)
    atoms.rattle(0.05, seed=seed)
    atoms.arrays[array] = tensors(len(atoms), seed)
    return atoms


def refused(frames, *parts, **options):
    """The one line with which the frames are refused; it must hold all these parts."""
    with pytest.raises(InputError) as caught:
        check_frames(frames, **options)
    line = str(caught.value)
    assert "\n" not in line
    for part in parts:
        assert part in line, line
    return line


# ---- structures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_position_that_is_not_finite(bad):
    frames = [frame(), frame()]
    frames[1].positions[3, 2] = bad
    line = refused(frames, "frame 1, atom 3 (Cl): position", str(bad), "not finite")
    assert line.startswith("frame 1")


def test_the_place_is_that_of_the_file_where_there_is_one():
    atoms = frame()
    atoms.info.update(source_file="a/b.extxyz", source_frame=7)
    atoms.positions[0, 0] = np.nan
    refused([frame(), atoms], "a/b.extxyz, frame 7, atom 0 (Na): ")


def test_a_cell_that_is_not_finite_or_zero_or_flat():
    atoms = frame()
    atoms.cell[1, 0] = np.nan
    refused([atoms], "frame 0: cell vector b is [nan 5.6 0]")
    atoms = frame()
    atoms.cell[2] = 0
    refused([atoms], "frame 0: is periodic along c but that cell vector is zero", "pbc to False")
    atoms = frame()
    atoms.cell[2] = atoms.cell[0] + 2 * atoms.cell[1]
    refused([atoms], "frame 0: its cell vectors are not independent")


def test_no_atoms():
    refused([frame(), Atoms()], "frame 1: has no atoms")


def test_structures_that_are_unusual_and_right():
    slab = frame()
    slab.pbc = [True, True, False]
    slab.cell[2] = 0
    wire = frame()
    wire.pbc = [False, False, True]
    outside = frame()
    outside.positions += [50.0, -70.0, 0.3]
    left_handed = frame()
    left_handed.set_cell(left_handed.cell * [[1], [1], [-1]])
    skewed = frame()
    skewed.set_cell(np.array([[1, 0, 0], [6, 1, 0], [-9, 14, 1]]) @ skewed.cell)
    no_cell = molecule("CH3CH2OH")
    tiny = Atoms("Li", cell=np.eye(3) * 2.4, pbc=True)
    strange_cell_without_use = Atoms("CO", [[0, 0, 0], [0, 0, 1.1]], cell=[[1, 0, 0], [1, 0, 0], [0, 0, 1]])
    frames = [slab, wire, outside, left_handed, skewed, no_cell, tiny, strange_cell_without_use]
    assert check_frames(frames) == frames


def test_atoms_on_top_of_each_other():
    atoms = frame()
    atoms.positions[5] = atoms.positions[2] + [0.03, 0.04, 0]
    refused([frame(), atoms], "frame 1, atom 5 (Cl): lies 0.05 Å from atom 2 (Na); remove one")


def test_atoms_on_top_of_each_other_through_a_boundary():
    atoms = frame()
    atoms.positions[0], atoms.positions[6] = [0.01, 2, 2], [5.57, 2, 2]
    refused([atoms], "frame 0, atom 6 (Na): lies 0.04 Å from atom 0 (Na) (through a periodic boundary)")
    atoms.pbc = [False, True, True]
    check_frames([atoms])


def test_a_lattice_vector_in_the_wrong_unit():
    refused([Atoms("Li", cell=np.eye(3) * 0.24, pbc=True)], "frame 0: a lattice vector is 0.24 Å short", "unit")


@given(st.integers(0, 10**6), st.sampled_from([(1, 1, 1), (1, 1, 0), (0, 1, 0), (0, 0, 0)]))
def test_the_closest_pair_is_that_of_a_neighbour_list(seed, pbc):
    rng = np.random.default_rng(seed)
    # Crowded on purpose, in a skewed cell, with atoms outside of it.
    cell = rng.normal(size=(3, 3)) * 0.8 + np.diag([2.5, 3.0, 3.5])
    cell = np.array([[1, 0, 0], [rng.integers(-2, 3), 1, 0], [rng.integers(-2, 3), rng.integers(-2, 3), 1]]) @ cell
    atoms = Atoms("H12", positions=rng.normal(size=(12, 3)) * 3, cell=cell, pbc=pbc)
    found = closest_pair(atoms, 0.5)
    if found is not None and found[0] == found[1]:
        return
    i, j, d = neighbor_list("ijd", atoms, 0.5)
    if found is None:
        assert len(d) == 0
        return
    nearest = np.argmin(d)
    assert sorted((i[nearest], j[nearest])) == list(found[:2])
    assert_allclose(found[2], d.min(), rtol=1e-10)
    assert_allclose(find_mic(atoms.positions[found[0]] - atoms.positions[found[1]], cell, pbc)[1], found[2], rtol=1e-8)
    direct = np.linalg.norm(atoms.positions[found[0]] - atoms.positions[found[1]])
    if not any(pbc):
        assert not found[3]
    assert direct >= found[2] - 1e-12


# ---- labels ----------------------------------------------------------------------------------------------------------


def test_a_missing_array_names_those_that_are_there_and_the_option():
    refused(
        [frame(array="tensor")],
        "frame 0: no 'efg' here",
        "'tensor' ((3, 3) an atom)",
        "array='tensor'",
        "--array tensor",
        target="efg",
    )
    refused(
        [bulk("NaCl", "rocksalt", a=5.6)], "no arrays besides elements and positions; add the tensors", target="efg"
    )
    refused([frame()], "frame 0: no 'ms' here; it carries 'efg'", "--target efg", target="ms")


def test_another_name_of_the_array():
    checked = check_frames([frame(array="tensor")], target="efg", array="tensor")
    assert_array_equal(checked[0].arrays["efg"], frame().arrays["efg"])
    assert "tensor" not in checked[0].arrays


def test_two_frames_with_different_targets_are_both_named():
    frames = [frame(), frame(array="ms")]
    for i, name in enumerate("ab"):
        frames[i].info.update(source_file=f"{name}.extxyz", source_frame=0)
    refused(frames, "b.extxyz, frame 0: carries 'ms' but no 'efg', while a.extxyz, frame 0 carries 'efg'", target="efg")


@pytest.mark.parametrize("shape", [(8, 6), (8, 2, 3), (8, 3)])
def test_a_wrong_shape(shape):
    atoms = frame()
    atoms.arrays["efg"] = np.ones(shape)
    refused([atoms], "frame 0: 'efg' has shape", str(shape), "give nine numbers", "an atom", target="efg")


def test_values_that_are_no_numbers():
    atoms = frame()
    atoms.arrays["efg"] = np.full((8, 9), "x")
    refused([atoms], "type <U1", target="efg")


def test_nine_numbers_become_a_matrix_row_by_row():
    flat = frame()
    flat.arrays["efg"] = flat.arrays["efg"].reshape(-1, 9).astype(np.float32)
    before = flat.arrays["efg"].copy()
    (checked,) = check_frames([flat], target="efg")
    assert checked.arrays["efg"].shape == (8, 3, 3)
    assert checked.arrays["efg"].dtype == np.float64
    assert_allclose(checked.arrays["efg"].reshape(-1, 9), before, rtol=1e-5)
    assert_array_equal(flat.arrays["efg"], before), "the caller's structure stays as it was"


def test_rows_of_nan_are_no_labels_and_half_ones_are_mistakes():
    atoms = frame()
    atoms.arrays["efg"][2] = np.nan
    assert check_frames([atoms], target="efg")[0] is atoms
    atoms.arrays["efg"][5, 0, 1] = np.nan
    refused([atoms], "frame 0, atom 5 (Cl): 'efg' is partly NaN", "all NaN", target="efg")
    atoms.arrays["efg"][5] = np.inf
    refused([atoms], "frame 0, atom 5 (Cl): 'efg' is infinite", target="efg")


def test_an_asymmetric_efg_is_refused_with_what_was_measured():
    atoms = frame()
    atoms.arrays["efg"][4, 0, 1] += 5.0
    norm = np.linalg.norm(atoms.arrays["efg"][4])
    refused(
        [atoms],
        "frame 0, atom 4 (Na): the asymmetry |V − Vᵀ| of 'efg' is 7.07 V/Å²",
        f"{5 * np.sqrt(2) / norm:.2g} of its norm",
        "at most 0.001",
        target="efg",
    )


def test_an_efg_with_a_trace_is_refused_and_a_shielding_is_not():
    atoms = frame()
    atoms.arrays["efg"][6] += 100 * np.eye(3)
    refused([atoms], "frame 0, atom 6 (Na): the trace of 'efg' is 300 V/Å²", "'ms'", target="efg")
    atoms.arrays["ms"] = atoms.arrays.pop("efg")
    assert check_frames([atoms], target="ms")[0] is atoms


def test_rounding_is_taken_out_and_checking_twice_changes_nothing():
    exact = frame()
    rounded = frame()
    rounded.arrays["efg"] = exact.arrays["efg"] + np.random.default_rng(1).uniform(-5e-4, 5e-4, size=(8, 3, 3))
    (once,) = check_frames([rounded], target="efg")
    v = once.arrays["efg"]
    assert_array_equal(v, v.swapaxes(1, 2))
    assert_allclose(np.trace(v, axis1=1, axis2=2), 0, atol=1e-12)
    assert_allclose(v, exact.arrays["efg"], atol=1e-3)
    assert check_frames([once], target="efg")[0] is once


@given(st.integers(0, 10**6), st.floats(-3, 4))
def test_checking_twice_changes_nothing_at_any_scale(seed, exponent):
    atoms = frame()
    noise = np.random.default_rng(seed).normal(size=(8, 3, 3)) * 1e-5
    atoms.arrays["efg"] = (tensors(8, seed, 1.0) + noise) * 10.0**exponent
    (once,) = check_frames([atoms], target="efg")
    assert check_frames([once], target="efg")[0] is once


def test_the_tolerance_is_an_argument():
    atoms = frame()
    atoms.arrays["efg"][4, 0, 1] += 5.0
    check_frames([atoms], target="efg", tolerance=1.0)


def test_targets_of_structures_move_into_info():
    from ase.calculators.singlepoint import SinglePointCalculator

    atoms = molecule("H2O")
    atoms.calc = SinglePointCalculator(atoms, dipole=np.array([0.0, 0.0, 0.4]), energy=-1.0)
    (checked,) = check_frames([atoms], target="dipole")
    assert checked.info["dipole"].tolist() == [0.0, 0.0, 0.4]
    assert checked.calc is atoms.calc
    assert check_frames([checked], target="dipole")[0] is checked

    atoms.info["polarizability"] = [1.0, 0, 0, 0, 2, 0, 0, 0, 3]
    (checked,) = check_frames([atoms], target="polarizability")
    assert_array_equal(checked.info["polarizability"], np.diag([1.0, 2.0, 3.0]))
    atoms.info["polarizability"] = np.array([[1.0, 1, 0], [0, 2, 0], [0, 0, 3]])
    refused([atoms], "frame 0: the asymmetry", "'polarizability'", target="polarizability")
    refused([molecule("H2O")], "frame 0: no 'dipole' here", target="dipole")


def test_an_unknown_name_takes_the_shape_that_it_has():
    atoms = frame(array="anything")
    atoms.arrays["anything"] = np.arange(72.0).reshape(8, 9)
    assert check_frames([atoms], target="anything")[0].arrays["anything"].shape == (8, 3, 3)
    atoms.arrays["vectors"] = np.ones((8, 3))
    assert check_frames([atoms], target="vectors")[0] is atoms


def test_two_thousand_frames_take_seconds():
    frames = [frame(seed) for seed in range(40)] * 50
    start = time.process_time()
    check_frames(frames, target="efg")
    assert time.process_time() - start < 8


# ---- units -----------------------------------------------------------------------------------------------------------


def test_tensors_that_ase_read_in_atomic_units_are_refused_wherever_they_are_used(tmp_path):
    from efg_jax import io, site_observables, spectra
    from efg_jax.trajectories import average

    io.write(tmp_path / "a.magres", frame())
    foreign = ase.io.read(tmp_path / "a.magres")
    for use in (
        site_observables,
        lambda atoms: check_frames(atoms, "efg"),
        lambda atoms: spectra.sites(atoms, "23Na", shift=0.0),
        lambda atoms: average([atoms]),
        lambda atoms: io.write(tmp_path / "b.magres", atoms),
    ):
        with pytest.raises(InputError, match=r"'efg' is in au .* 97\.17.*drop that note \(info\['magres_units'\]\)"):
            use(foreign)
    assert not (tmp_path / "b.magres").exists()
    foreign.arrays["efg"] *= 97.173624424
    drop_units(foreign, "efg")
    assert_allclose(site_observables(foreign)["v_zz"], site_observables(frame())["v_zz"], rtol=1e-9)


@pytest.mark.parametrize("note", ["efg_units", "V_dft_unit"])
def test_notes_on_an_array_of_another_name_are_heeded(note):
    atoms = frame(array="V_dft")
    atoms.info[note] = "au"
    refused([frame(array="V_dft"), atoms], "frame 1: 'V_dft' is in au", note, target="efg", array="V_dft")


def test_small_field_gradients_are_judged_alike_everywhere():
    from efg_jax import spectra
    from efg_jax.trajectories import average

    atoms = bulk("NaCl", "rocksalt", a=5.6)
    atoms.arrays["efg"] = np.array([np.diag([1e-3, 1e-3, -1e-3])] * 2)  # printed with three decimals
    check_frames(atoms, "efg")
    assert len(spectra.sites(atoms, "23Na", shift=0.0)) == 1
    assert average([atoms] * 2, species="Na").frames == 2
