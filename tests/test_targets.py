"""A target knows how it transforms; its labels come out of the frames in one form; its channels rotate as irreps."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import molecule
from ase.calculators.singlepoint import SinglePointCalculator
from numpy.testing import assert_allclose, assert_array_equal

from efg_jax.errors import InputError
from efg_jax.structures.targets import (
    EXTENSIVE,
    KNOWN,
    Target,
    find,
    from_irreps,
    labels,
    target_of,
    tensors_in,
    to_irreps,
)

RNG = np.random.default_rng(0)


def water(**arrays):
    atoms = molecule("H2O")
    atoms.arrays.update({name: np.asarray(value) for name, value in arrays.items()})
    return atoms


def matrices(n=3):
    return RNG.normal(size=(n, 3, 3))


def symmetric(n=3):
    v = matrices(n)
    return v + v.swapaxes(1, 2)


def traceless(n=3):
    v = symmetric(n)
    return v - np.trace(v, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)


# ---- what a target is ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "per", "kind", "irreps"),
    [
        ("efg", "atom", "matrix", ((2, 1),)),
        ("ms", "atom", "matrix", ((0, 1), (1, -1), (2, 1))),
        ("dipole", "structure", "vector", ((1, 1),)),
        ("polarizability", "structure", "matrix", ((0, 1), (2, 1))),
        ("polarisability", "structure", "matrix", ((0, 1), (2, 1))),
        ("dielectric", "structure", "matrix", ((0, 1), (2, 1))),
        ("energy", "structure", "scalar", ((0, 1),)),
    ],
)
def test_the_known_targets(name, per, kind, irreps):
    target = KNOWN[name]
    assert (target.name, target.per, target.kind, target.irreps) == (name, per, kind, irreps)


def test_units_and_symmetry():
    assert (KNOWN["efg"].unit, KNOWN["ms"].unit, KNOWN["energy"].unit) == ("V/Å²", "ppm", "eV")
    assert KNOWN["efg"].symmetric
    assert KNOWN["efg"].traceless
    assert not KNOWN["ms"].symmetric
    assert KNOWN["polarizability"].symmetric
    assert not KNOWN["polarizability"].traceless


def test_a_target_survives_json():
    for target in (*KNOWN.values(), Target("x", "atom", "vector", ((1, 1),), array="y")):
        assert Target.from_dict(json.loads(json.dumps(target.to_dict()))) == target


def test_a_known_target_is_found_in_flat_and_square_form():
    v = traceless()
    assert target_of("efg", [water(efg=v)]) == KNOWN["efg"]
    assert target_of("efg", [water(efg=v.reshape(3, 9))]) == KNOWN["efg"]
    assert target_of("ms", [water(ms=matrices())]) == KNOWN["ms"]
    other = target_of("efg", [water(tensor=v)], array="tensor")
    assert (other.name, other.key) == ("efg", "tensor")


def test_a_symmetric_shielding_has_no_antisymmetric_part_to_learn():
    target = target_of("ms", [water(ms=symmetric() + 50 * np.eye(3))])
    assert target.irreps == ((0, 1), (2, 1))
    assert target.symmetric


@pytest.mark.parametrize(
    ("value", "kind", "irreps"),
    [
        (np.arange(3.0), "scalar", ((0, 1),)),
        (np.ones((3, 1)), "scalar", ((0, 1),)),
        (np.ones((3, 3)), "vector", ((1, 1),)),
        (matrices(), "matrix", ((0, 1), (1, -1), (2, 1))),
        (symmetric().reshape(3, 9), "matrix", ((0, 1), (2, 1))),
        (traceless(), "matrix", ((2, 1),)),
        (np.broadcast_to(np.eye(3), (3, 3, 3)), "matrix", ((0, 1),)),
        (traceless() + 1e-9 * matrices(), "matrix", ((2, 1),)),
        (np.zeros((3, 9)), "matrix", ((0, 1), (1, -1), (2, 1))),
    ],
)
def test_an_unknown_name_takes_its_kind_from_the_data(value, kind, irreps):
    target = target_of("anything", [water(anything=value)])
    assert (target.per, target.kind, target.irreps) == ("atom", kind, irreps)


def test_structure_targets_are_found_in_info_and_in_calculators():
    atoms = molecule("H2O")
    atoms.info["hyper"] = matrices(1)[0]
    assert target_of("hyper", [atoms], extensive=True).per == "structure"
    atoms.calc = SinglePointCalculator(atoms, dipole=np.ones(3), energy=-3.0, forces=np.ones((3, 3)))
    assert target_of("dipole", [atoms]) == KNOWN["dipole"]
    assert target_of("energy", [atoms]) == KNOWN["energy"]
    forces = target_of("forces", [atoms])
    assert (forces.per, forces.kind) == ("atom", "vector")
    atoms.arrays["energy"] = np.ones(3)
    assert target_of("energy", [atoms], per="atom").per == "atom"
    atoms.calc.results["stress"] = np.arange(6.0)  # Voigt's order: xx, yy, zz, yz, xz, xy
    stress = target_of("stress", [atoms])
    assert (stress.kind, stress.extensive, stress.symmetric) == ("matrix", False, True)
    assert_array_equal(labels([atoms], stress)[0], [[0, 5, 4], [5, 1, 3], [4, 3, 2]])


def test_whether_a_structures_target_grows_with_the_cell_is_known_or_asked():
    atoms = molecule("H2O")
    atoms.info |= {"hyper": matrices(1)[0], "dielectric": np.eye(3), "energy": 1.0}
    assert target_of("hyper", [atoms], extensive=True).extensive
    assert not target_of("hyper", [atoms], extensive=False).extensive
    with pytest.raises(InputError, match="grows with the cell is not known; say extensive=True"):
        target_of("hyper", [atoms])
    assert target_of("energy", [atoms]).extensive
    assert not target_of("dielectric", [atoms]).extensive
    assert not target_of("eps", [_renamed(atoms)], extensive=False, array="dielectric").extensive
    assert not target_of("dielectric", [_renamed(atoms)], array="eps").extensive
    with pytest.raises(InputError, match="per atom, and only a target of structures"):
        target_of("efg", [water(efg=traceless())], extensive=True)
    for target in KNOWN.values():
        assert target.per == "atom" or target.extensive == EXTENSIVE[target.name]


def _renamed(atoms):
    renamed = atoms.copy()
    renamed.info["eps"] = renamed.info["dielectric"]
    return renamed


def test_frames_that_disagree_in_shape_are_both_named():
    frames = [water(x=np.ones((3, 3))), water(x=np.ones((3, 9)))]
    with pytest.raises(InputError, match="frame 1: 'x' is a matrix here but a vector in frame 0"):
        target_of("x", frames)
    frames[0].info.update(source_file="a.xyz", source_frame=4)
    with pytest.raises(InputError, match=r"frame 1: .* in a\.xyz, frame 4"):
        target_of("x", frames)


def test_frames_with_different_targets_are_both_named():
    with pytest.raises(InputError, match="frame 1: carries 'ms' but no 'efg', while frame 0 carries 'efg'"):
        target_of("efg", [water(efg=traceless()), water(ms=matrices())])
    # A frame that carries nothing is a frame without labels.
    assert target_of("efg", [molecule("H2O"), water(efg=traceless())]) == KNOWN["efg"]


def test_nowhere_to_be_found():
    with pytest.raises(InputError, match=r"frame 0: no 'efg' here; .*'mss'.*--array mss"):
        target_of("efg", [water(mss=matrices())])
    with pytest.raises(InputError, match="pass at least one"):
        target_of("efg", [])
    with pytest.raises(InputError, match="frame 0: 'efg' has shape"):
        target_of("efg", [water(efg=np.ones((3, 4)))])
    ragged = molecule("H2O")
    ragged.info["dipole"] = [[1], [1, 2]]
    with pytest.raises(InputError, match="'dipole' has shape"):
        target_of("dipole", [ragged])


def test_what_a_frame_carries():
    atoms = water(efg=traceless(), ms=matrices().reshape(3, 9), charges=np.ones(3))
    atoms.info["dipole"] = np.ones(3)
    assert tensors_in(atoms) == ["efg", "ms", "dipole"]
    assert find(atoms, "nothing") is None
    assert find(atoms, "dipole")[0] == "structure"
    assert find(atoms, "dipole", per="atom") is None


# ---- labels ----------------------------------------------------------------------------------------------------------


def test_labels_are_one_row_an_atom_in_order_with_nan_where_there_is_none():
    first, second = traceless(), traceless()
    second[1] = np.nan
    frames = [water(efg=first), molecule("CO2"), water(efg=second.reshape(3, 9))]
    values = labels(frames, KNOWN["efg"])
    assert values.shape == (9, 3, 3)
    assert_array_equal(values[:3], first)
    assert np.isnan(values[3:6]).all()
    assert_array_equal(values[6:], second)
    # In ASE's water the oxygen comes first.
    assert_array_equal(labels(frames, KNOWN["efg"], species="O"), values[[0, 4, 5, 6]])
    assert_array_equal(labels(frames, KNOWN["efg"], species=["H", "C"]), values[[1, 2, 3, 7, 8]])
    assert labels(frames, KNOWN["efg"], species="Si").shape == (0, 3, 3)


def test_labels_of_structures_are_one_row_a_structure():
    frames = [molecule("H2O"), molecule("CO2")]
    frames[1].info["dipole"] = [1, 2, 3]
    values = labels(frames, KNOWN["dipole"])
    assert_array_equal(values, [[np.nan] * 3, [1.0, 2.0, 3.0]])
    for i, atoms in enumerate(frames):
        atoms.info["energy"] = -float(i)
    assert labels(frames, KNOWN["energy"]).tolist() == [0.0, -1.0]


# ---- channels --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "values"),
    [("efg", traceless(5)), ("ms", matrices(5)), ("polarizability", symmetric(5)), ("dipole", RNG.normal(size=(5, 3)))],
)
def test_channels_go_there_and_back_and_keep_the_norm(name, values):
    target = KNOWN[name]
    channels = to_irreps(target, values)
    assert tuple(channels) == target.irreps
    assert all(part.shape == (5, 2 * order + 1) for (order, _), part in channels.items())
    assert_allclose(from_irreps(target, channels), values, atol=1e-14)
    total = sum((part**2).sum(axis=1) for part in channels.values())
    assert_allclose(total, (values.reshape(5, -1) ** 2).sum(axis=1), rtol=1e-12)


def test_scalars_are_their_own_channel():
    values = RNG.normal(size=4)
    channels = to_irreps(KNOWN["energy"], values)
    assert_array_equal(channels[0, 1], values[:, None])
    assert_array_equal(from_irreps(KNOWN["energy"], channels), values)


def test_components_have_the_documented_order_and_sign():
    v = matrices(1)
    channels = to_irreps(KNOWN["ms"], v)
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = v[0]
    r2, r6 = np.sqrt(2), np.sqrt(6)
    assert_allclose(channels[0, 1], [[(xx + yy + zz) / np.sqrt(3)]])
    assert_allclose(channels[1, -1], [[(zx - xz) / r2, (xy - yx) / r2, (yz - zy) / r2]])
    expected = [(xy + yx) / r2, (yz + zy) / r2, (2 * zz - xx - yy) / r6, (xz + zx) / r2, (xx - yy) / r2]
    assert_allclose(channels[2, 1], [expected])
    assert to_irreps(KNOWN["dipole"], np.array([[1.0, 2.0, 3.0]]))[1, 1].tolist() == [[2.0, 3.0, 1.0]]


def test_missing_labels_stay_missing_and_missing_channels_are_zero():
    values = matrices(2)
    values[0] = np.nan
    channels = to_irreps(KNOWN["ms"], values)
    assert all(np.isnan(part[0]).all() and np.isfinite(part[1]).all() for part in channels.values())
    isotropic = from_irreps(KNOWN["ms"], {(0, 1): channels[0, 1]})[1]
    assert_allclose(isotropic, np.trace(values[1]) / 3 * np.eye(3), atol=1e-14)


def test_channels_that_a_target_does_not_have_are_refused():
    with pytest.raises(InputError, match=r"no part of .*\(1, -1\)"):
        from_irreps(KNOWN["efg"], {(1, -1): np.zeros((2, 3))})
    with pytest.raises(InputError, match="no part of 'efg' was given"):
        from_irreps(KNOWN["efg"], {})


def test_channels_are_float64_even_where_jax_is_not():
    import jax

    with jax.enable_x64(False):
        channels = to_irreps(KNOWN["efg"], traceless(2))
        assert channels[2, 1].dtype == np.float64
        assert from_irreps(KNOWN["efg"], channels).dtype == np.float64


def test_an_empty_structure_list_has_no_labels():
    assert labels([], KNOWN["efg"]).shape == (0, 3, 3)
    assert labels([Atoms("H")], KNOWN["dipole"]).shape == (1, 3)
