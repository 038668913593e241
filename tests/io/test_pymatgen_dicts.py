"""Published VASP results as pymatgen dictionaries: signs and origins against chemistry, structures against pymatgen."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase.formula import Formula
from numpy.testing import assert_allclose, assert_array_equal

from efg_jax.errors import InputError
from efg_jax.io import iread, read, write

EXTERNAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "external"
EXAMPLES = EXTERNAL / "27al_vasp_examples.json"
external = pytest.mark.skipif(not EXTERNAL.is_dir(), reason=f"{EXTERNAL} is not here (published data, not shipped)")


def entry(**changes):
    lattice = {"matrix": [[4.0, 0, 0], [0, 5.0, 0], [0.5, 0, 6.0]]}
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": place, "label": symbol}
        for symbol, place in (("Al", [0, 0, 0]), ("O", [0.5, 0.5, 0.25]))
    ]
    structure = {"@module": "pymatgen.core.structure", "@class": "Structure", "lattice": lattice, "sites": sites}
    efg = [[[1.0, 0.5, 0], [0.5, 2.0, 0], [0, 0, -3.0]]] * 2
    cs = [[[200.0, 3.0, 0], [0, 210.0, 0], [0, 0, 220.0]], np.eye(3).tolist()]
    return {
        "structure": structure,
        "efg": efg,
        "cs": cs,
        "g0": {"@class": "array", "data": (-10 * np.eye(3)).tolist()},
    } | changes


@pytest.fixture
def save(tmp_path):
    def to_file(content, name="a.json"):
        (tmp_path / name).write_text(json.dumps(content))
        return tmp_path / name

    return to_file


def test_signs_and_sums(save):
    frames = read(save([entry(), entry(g0=None), entry(cs=None)]))
    assert_allclose(frames[0].positions[1], [2.125, 2.5, 1.5])
    assert_allclose(frames[0].arrays["ms"][0], [[-190, 0, 0], [-3, -200, 0], [0, 0, -210]])
    assert_allclose(frames[1].arrays["ms"][0], [[-200, 0, 0], [-3, -210, 0], [0, 0, -220]])
    assert "no cores" in frames[0].info["ms_origin"]
    assert "no G=0" in frames[1].info["ms_origin"]
    assert "ms" not in frames[2].arrays
    assert_array_equal(frames[0].arrays["efg"][0], entry()["efg"][0])
    assert [atoms.info["source_frame"] for atoms in frames] == [0, 1, 2]


def test_one_dictionary_a_bare_structure_compressed_and_streamed(save, tmp_path):
    assert len(read(save(entry()))) == 1
    (bare,) = read(save(entry()["structure"]), target=None)
    assert str(bare.symbols) == "AlO"
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(json.dumps([entry()] * 3).encode()))
    assert len(read(tmp_path / "b.json.gz", index="1:")) == 2
    assert [atoms.info["source_frame"] for atoms in iread(tmp_path / "b.json.gz", 1)] == [1, 2]


def test_what_is_wrong_is_said(save):
    def refused(content, match):
        with pytest.raises(InputError, match=match) as caught:
            read(save(content))
        assert "\n" not in str(caught.value)

    shared = entry()
    shared["structure"]["sites"][1]["species"] = [{"element": "O", "occu": 0.5}, {"element": "F", "occu": 0.5}]
    refused([entry(), shared], r"a\.json, frame 1, atom 1: is occupied by O 0\.5, F 0\.5; give ordered structures")
    refused([entry(efg=[[[1, 2, 3]]])], r"frame 0: 'efg' is no array of 2 3×3 matrices")
    refused([entry(cs="none")], r"'cs' is no array")
    refused([entry(efg=None)], "no 'efg' here")
    refused(
        [entry(), {"@class": "Structure"}],
        "frame 1: holds no structure as pymatgen writes it \\('structure' is missing",
    )
    path = save([entry()])
    path.write_text(path.read_text()[:-5])
    with pytest.raises(InputError, match="is no JSON"):
        read(path)


@external
def test_all_published_crystals_are_those_of_pymatgen():
    from pymatgen.core import Structure

    frames = read(EXAMPLES)
    assert len(frames) == 20
    assert sum(len(atoms) for atoms in frames) == 587
    for atoms, content in zip(frames, json.loads(EXAMPLES.read_text()), strict=True):
        structure = Structure.from_dict(content["structure"])
        assert atoms.get_chemical_symbols() == [site.specie.symbol for site in structure]
        assert_allclose(atoms.positions, structure.cart_coords, atol=1e-6)
        assert_allclose(atoms.arrays["efg"], content["efg"], atol=2e-3)
        assert atoms.arrays["ms"].shape == (len(atoms), 3, 3)


@external
def test_the_field_gradient_of_hydrogen_is_positive_along_its_bond():
    """²H has Q > 0 and C_Q > 0 in every O–H bond: the sign of V is that of +∂²V/∂x²."""
    found = 0
    for atoms in read(EXAMPLES):
        for i in np.flatnonzero(atoms.symbols == "H"):
            vectors = atoms.get_distances(i, np.arange(len(atoms)), mic=True, vector=True)
            oxygen = min(
                (v for v, s in zip(vectors, atoms.symbols, strict=True) if s == "O"), key=np.linalg.norm, default=None
            )
            if oxygen is None or np.linalg.norm(oxygen) > 1.1:
                continue
            values, axes = np.linalg.eigh(atoms.arrays["efg"][i])
            largest = np.abs(values).argmax()
            assert values[largest] > 0
            assert abs(axes[:, largest] @ oxygen) / np.linalg.norm(oxygen) > 0.99
            found += 1
    assert found >= 24


@external
def test_the_shielding_of_published_crystals_has_the_sign_of_a_shielding():
    """²⁷Al in AlO₄ (sodalite) resonates some 60 ppm above AlO₆ (AlCl₃·6H₂O, 0 ppm): it is less shielded.

    ¹H, which has no core, of methyl groups: δ = 0–3, σ(TMS) ≈ 31 ppm.
    """
    frames = read(EXAMPLES, target="ms")

    def mean(formula, symbol):
        (atoms,) = [atoms for atoms in frames if atoms.symbols.formula == Formula(formula)]
        return np.trace(atoms.arrays["ms"][atoms.symbols == symbol], axis1=1, axis2=2).mean() / 3

    assert 45 < mean("Al2H24Cl6O12", "Al") - mean("Na8Al6Si6O25", "Al") < 80
    assert 28 < mean("Al4Si4H36C12Cl8O4", "H") < 31


@external
def test_they_are_written_and_read_again(tmp_path):
    frames = read(EXAMPLES)
    write(tmp_path / "a.extxyz", frames)
    write(tmp_path / "a.magres", frames[3:4])
    for name in ("efg", "ms"):
        for one, other in zip(frames, read(tmp_path / "a.extxyz", target=name), strict=True):
            assert_allclose(other.arrays[name], one.arrays[name], atol=2e-8)
            assert other.info["ms_origin"] == one.info["ms_origin"]
        assert_allclose(
            read(tmp_path / "a.magres", target=name)[0].arrays[name], frames[3].arrays[name], rtol=1e-13, atol=1e-12
        )
