"""Files for other programs, read by these: ASE and Soprano (magres), Soprano (SIMPSON), chemiscope, csv."""

import csv
import gzip
import json
from pathlib import Path

import ase.io
import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.spatial.transform import Rotation
from strategies import structures

from efg_jax.errors import InputError
from efg_jax.io import read, write
from efg_jax.io.writing import FORMATS

EXTERNAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "external"
external = pytest.mark.skipif(not EXTERNAL.is_dir(), reason=f"{EXTERNAL} is not here (published data, not shipped)")
ATOMIC_UNIT = 97.173624424
REFERENCES = {"H": 30.5, "C": 170.0, "O": 287.5, "Si": 330.0}


def with_tensors(atoms, seed=0):
    """Random tensors; the second atom has no field gradient."""
    rng = np.random.default_rng(seed)
    v = rng.normal(size=(len(atoms), 3, 3)) * 40
    v = v + v.swapaxes(1, 2)
    atoms.arrays["efg"] = v - np.trace(v, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    atoms.arrays["ms"] = rng.normal(size=(len(atoms), 3, 3)) * 20 + 100 * np.eye(3)
    if len(atoms) > 1:
        atoms.arrays["efg"][1] = np.nan
    return atoms


def water(seed=0):
    atoms = Atoms(
        "OHHO", positions=[[0, 0, 0], [0.96, 0, 0], [-0.24, 0.93, 0], [2.5, 2.5, 2.5]], cell=[6, 6, 6], pbc=True
    )
    return with_tensors(atoms, seed)


# ---- magres ----------------------------------------------------------------------------------------------------------


@given(structures(), st.integers(0, 1000))
def test_magres_of_random_structures_comes_back(tmp_path_factory, atoms, seed):
    atoms.pbc = bool(atoms.pbc.any())
    path = tmp_path_factory.getbasetemp() / "random.magres"
    write(path, with_tensors(atoms, seed))
    for target in ("efg", "ms"):
        (back,) = read(path, target=target)
        assert_array_equal(back.numbers, atoms.numbers)
        assert_array_equal(back.pbc, atoms.pbc)
        assert_allclose(back.positions, atoms.positions, rtol=1e-15)
        assert_allclose(back.arrays[target], atoms.arrays[target], rtol=1e-13, atol=1e-12)


def test_ase_and_soprano_read_the_same_tensors(tmp_path):
    atoms = water()
    atoms.arrays["efg"][1] = atoms.arrays["efg"][2]
    write(tmp_path / "a.magres", atoms)
    there = ase.io.read(tmp_path / "a.magres")
    assert_allclose(there.arrays["efg"], atoms.arrays["efg"] / ATOMIC_UNIT, rtol=1e-13)
    assert_allclose(there.arrays["ms"], atoms.arrays["ms"].swapaxes(1, 2), rtol=1e-15)
    assert there.info["magres_units"] == {"ms": "ppm", "efg": "au"}
    assert there.arrays["labels"].tolist() == ["O", "H", "H", "O"]
    assert there.arrays["indices"].tolist() == [1, 1, 2, 2]
    from soprano.properties.nmr import EFGAsymmetry, EFGVzz, MSIsotropy

    from efg_jax import site_observables

    own = site_observables(atoms)
    assert_allclose(EFGVzz.get(there) * ATOMIC_UNIT, own["v_zz"], rtol=1e-10)
    assert_allclose(EFGAsymmetry.get(there), own["eta_q"], rtol=1e-9)
    assert_allclose(MSIsotropy.get(there), own["iso_ppm"], rtol=1e-12)


def test_magres_says_its_units_and_leaves_out_what_is_not_there(tmp_path):
    write(tmp_path / "a.magres", water())
    lines = [line.split() for line in (tmp_path / "a.magres").read_text().splitlines()]
    units = [line[1:] for line in lines if line[:1] == ["units"]]
    assert units == [["lattice", "Angstrom"], ["atom", "Angstrom"], ["ms", "ppm"], ["efg", "au"]]
    assert [line[1:3] for line in lines if line[:1] == ["efg"]] == [["O", "1"], ["H", "2"], ["O", "2"]]
    write(tmp_path / "b.magres.gz", water())
    assert gzip.decompress((tmp_path / "b.magres.gz").read_bytes()) == (tmp_path / "a.magres").read_bytes()


def test_labels_stay_while_they_tell_atoms_apart(tmp_path):
    atoms = water()
    atoms.arrays["labels"], atoms.arrays["indices"] = np.array(["Ow", "H", "H", "Of"]), np.array([1, 7, 9, 1])
    write(tmp_path / "a.magres", atoms)
    (back,) = read(tmp_path / "a.magres")
    assert back.arrays["labels"].tolist() == ["Ow", "H", "H", "Of"]
    assert back.arrays["indices"].tolist() == [1, 7, 9, 1]
    atoms.arrays["indices"][2] = 7
    write(tmp_path / "a.magres", atoms)
    assert read(tmp_path / "a.magres")[0].arrays["indices"].tolist() == [1, 1, 2, 2]


@external
@pytest.mark.parametrize("name", ["ethanol", "EDIZUM", "nacl"])
def test_published_magres_files_come_back_digit_by_digit(tmp_path, name):
    (atoms,) = read(EXTERNAL / f"soprano_{name}.magres", target=None)
    write(tmp_path / "a.magres", atoms)
    one, other = (ase.io.read(path) for path in (EXTERNAL / f"soprano_{name}.magres", tmp_path / "a.magres"))
    for array in ("ms", "efg", "labels", "indices", "positions"):
        if one.arrays[array].dtype.kind == "f":
            assert_allclose(other.arrays[array], one.arrays[array], rtol=1e-14, atol=1e-15)
        else:
            assert_array_equal(other.arrays[array], one.arrays[array])
    assert other.info["magresblock_calculation"] == one.info["magresblock_calculation"]


def test_what_magres_cannot_hold(tmp_path):
    def refused(frames, match):
        with pytest.raises(InputError, match=match):
            write(tmp_path / "a.magres", frames)
        assert not list(tmp_path.iterdir())

    refused([water(), water()], "a magres file holds one structure, and these are 2; choose one")
    slab = water()
    slab.pbc = [True, True, False]
    refused(slab, "crystals and molecules, nothing in between")
    refused(Atoms("O"), "carries none of ms, efg")
    for spoiled, match in ((np.nan, r"atom 2 \(H\): 'efg' is partly NaN"), (1e3, r"atom 2 \(H\): the trace of 'efg'")):
        atoms = water()
        atoms.arrays["efg"][2, 0, 0] = spoiled
        refused(atoms, match)


# ---- SIMPSON ---------------------------------------------------------------------------------------------------------


def tensor_from(iso, aniso, eta, angles):
    """δ from Haeberlen's parameters and passive ZYZ angles in degrees: T = R diag Rᵀ with Rᵀ = R_z(α) R_y(β) R_z(γ)."""
    principal = np.diag([iso - aniso * (1 + eta) / 2, iso - aniso * (1 - eta) / 2, iso + aniso])
    to_principal = Rotation.from_euler("ZYZ", angles, degrees=True).as_matrix()
    return to_principal.T @ principal @ to_principal


def parsed(text):
    """Tensors of a spinsys block by spin: shifts in ppm, and quadrupolar ones in Hz with C_Q as zz; and the header."""
    shifts, couplings, header = {}, {}, {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["shift"]:
            iso, aniso, eta, *angles = (float(word.rstrip("p")) for word in words[2:])
            shifts[int(words[1])] = tensor_from(iso, aniso, eta, angles)
        elif words[:1] == ["quadrupole"]:
            c_q, eta, *angles = map(float, words[3:])
            couplings[int(words[1])] = tensor_from(0.0, c_q, eta, angles)
        elif words[:1] in (["channels"], ["nuclei"]):
            header[words[0]] = words[1:]
    return shifts, couplings, header


def test_simpson_s_numbers_are_the_tensors(tmp_path):
    atoms = water(3)
    write(tmp_path / "a.spinsys", atoms, species="O", reference=287.5)
    shifts, couplings, header = parsed((tmp_path / "a.spinsys").read_text())
    assert header == {"channels": ["17O"], "nuclei": ["17O", "17O"]}
    for spin, atom in ((1, 0), (2, 3)):
        ms = (atoms.arrays["ms"][atom] + atoms.arrays["ms"][atom].T) / 2
        assert_allclose(shifts[spin], (287.5 * np.eye(3) - ms) / (1 - 287.5e-6), atol=2e-5)
        hertz = 2.4179892421e-3 * -25.58 * 1e6 * atoms.arrays["efg"][atom]
        assert_allclose(couplings[spin], hertz, atol=1e-6 * np.abs(hertz).max())


@pytest.mark.parametrize("seed", range(3))
def test_soprano_s_spin_system_has_the_same_tensors(tmp_path, seed):
    from soprano.calculate.nmr.simpson import write_spinsys

    atoms = water(seed)
    atoms.arrays["efg"][1] = atoms.arrays["efg"][2]
    peer = atoms.copy()
    peer.arrays["efg"] = peer.arrays["efg"] / ATOMIC_UNIT
    write(tmp_path / "a.in", atoms, reference=REFERENCES)
    own = parsed((tmp_path / "a.in").read_text())
    theirs = parsed(
        write_spinsys(
            peer, isotope_list=[17, 2, 2, 17], use_ms=True, q_order=2, ref=REFERENCES, include_cross_terms=False
        )
    )
    assert own[2]["nuclei"] == theirs[2]["nuclei"]
    for spin in (1, 2, 3, 4):
        assert_allclose(own[0][spin], theirs[0][spin], atol=2e-5)
        assert_allclose(own[1][spin], theirs[1][spin], rtol=0, atol=1e-5 * np.abs(theirs[1][spin]).max())


def test_nuclei_and_channels_are_chosen(tmp_path):
    atoms, path = water(), tmp_path / "a.spinsys"
    write(path, atoms, isotopes={"H": "1H"}, sites=[2, 0], reference=REFERENCES, order=1, observed="17O")
    text = path.read_text()
    shifts, couplings, header = parsed(text)
    assert header == {"channels": ["17O", "1H"], "nuclei": ["1H", "17O"]}
    assert (sorted(shifts), sorted(couplings)) == ([1, 2], [2])
    assert "quadrupole 2 1 " in text
    write(path, atoms, shift=False)
    assert parsed(path.read_text())[0] == {}


def test_what_simpson_cannot_be_given(tmp_path):
    def refused(match, frames=None, **options):
        with pytest.raises(InputError, match=match):
            write(tmp_path / "a.spinsys", water() if frames is None else frames, **options)
        assert not list(tmp_path.iterdir())

    refused("a chemical shift of O needs the shielding of its reference compound")
    refused("a chemical shift of H needs", reference={"O": 287.5})
    refused("one reference shielding for O, H", reference=287.5)
    refused("of one structure, and these are 2", frames=[water(), water()], reference=REFERENCES)
    refused("no atom of Si among the chosen; the elements here are H, O", species="Si")
    refused("has no atom 9", sites=[9])
    refused("order=3", order=3)
    refused("observed='29Si' is none of the chosen", observed="29Si", reference=REFERENCES)
    refused("27Al is no isotope of O", isotopes={"O": "27Al"})
    refused("an isotope of Al is named, but the chosen sites are of O", species="O", isotopes={"Al": "27Al"})
    refused("atom 3 is chosen twice; name it once", sites=[3, 0, 3])
    refused("a reference shielding of nan ppm for O has no meaning", species="O", reference=float("nan"))
    bare = water()
    del bare.arrays["ms"]
    refused("frame 0: a reference shielding is given, but no chosen site has", frames=bare, reference=REFERENCES)
    refused("'colour' is no option of the format simpson, which takes species, sites", colour="red")


# ---- chemiscope, csv, dispatch
# -----------------------------------------------------------------------------------------


def test_chemiscope_s_ellipsoids_have_the_principal_axes(tmp_path):
    atoms = water()
    write(tmp_path / "a.json.gz", [atoms, water(1)], species="O", size=1.5)
    content = json.loads(gzip.decompress((tmp_path / "a.json.gz").read_bytes()))
    assert len(content["structures"]) == 2
    assert [(one["structure"], one["center"]) for one in content["environments"]] == [(0, 0), (0, 3), (1, 0), (1, 3)]
    assert content["properties"]["c_q_mhz"]["units"] == "MHz"
    assert len(content["properties"]["c_q_mhz"]["values"]) == 4
    longest = []
    for name in ("efg", "ms"):
        shapes = content["shapes"][name]["parameters"]["atom"]
        assert len(shapes) == 8
        for shape, position, frame in ((shapes[3], 3, atoms), (shapes[0], 0, atoms)):
            tensor = frame.arrays[name][position]
            tensor = (tensor + tensor.T) / 2 - np.trace(tensor) / 3 * np.eye(3)
            axes = Rotation.from_quat(shape["orientation"]).as_matrix()
            drawn = axes @ np.diag(np.square(shape["semiaxes"])) @ axes.T
            assert_allclose(drawn / np.trace(drawn), tensor @ tensor / np.trace(tensor @ tensor), atol=1e-5)
        longest.append(max(max(shape["semiaxes"]) for shape in shapes))
        assert max(shapes[1]["semiaxes"]) < 0.01, "hydrogen is not chosen"
    assert_allclose(longest, 1.5, rtol=1e-5)


def test_chemiscope_takes_more_properties(tmp_path):
    write(tmp_path / "a.json", water(), species="O", properties={"region": {"values": ["one", "two"]}}, name="cell")
    content = json.loads((tmp_path / "a.json").read_text())
    assert content["properties"]["region"]["values"] == ["one", "two"]
    assert content["meta" if "meta" in content else "metadata"]["name"] == "cell"
    with pytest.raises(InputError, match="'region' has 1 values for 2 sites"):
        write(tmp_path / "b.json", water(), species="O", properties={"region": {"values": ["one"]}})
    assert not (tmp_path / "b.json").exists()


def test_what_some_sites_lack_is_not_on_the_map_and_said(tmp_path, caplog):
    write(tmp_path / "a.json", water())
    properties = json.loads((tmp_path / "a.json").read_text())["properties"]
    assert "iso_ppm" in properties
    assert "c_q_mhz" not in properties
    assert "as some of the 4 sites have no such value: v_zz, c_q_mhz, p_q_mhz" in caplog.text


def test_chemiscope_draws_field_gradients_that_are_zero(tmp_path):
    atoms = water()
    atoms.arrays["efg"] = np.zeros((4, 3, 3))
    del atoms.arrays["ms"]
    write(tmp_path / "a.json", atoms)
    shapes = json.loads((tmp_path / "a.json").read_text())["shapes"]["efg"]["parameters"]["atom"]
    assert_allclose([shape["semiaxes"] for shape in shapes], 1e-3)


def test_csv_has_one_line_a_site(tmp_path):
    from efg_jax import site_observables

    write(tmp_path / "a.csv", [water(), water(1)], reference=REFERENCES, convention="all")
    with (tmp_path / "a.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    table = site_observables([water(), water(1)], reference=REFERENCES, convention="all")
    assert len(rows) == len(table) == 8
    assert [float(row["delta_iso_ppm"]) for row in rows] == table["iso_ppm"].tolist()
    assert rows[1]["c_q_mhz"] == ""
    assert [row["element"] for row in rows] == ["O", "H", "H", "O"] * 2


def test_the_name_says_the_format(tmp_path):
    for name in ("a.xyz", "a.extxyz.gz", "plain"):
        write(tmp_path / name, [water()])
        assert len(ase.io.read(tmp_path / name, ":", format="extxyz")) == 1
    write(tmp_path / "b.dat", water(), format="magres")
    assert read(tmp_path / "b.dat")[0].arrays["efg"].shape == (4, 3, 3)
    with pytest.raises(InputError, match=r"what to write as \.cif is unknown; use one of \.extxyz"):
        write(tmp_path / "a.cif", water())
    with pytest.raises(InputError, match="unknown format 'castep'; known are extxyz, magres"):
        write(tmp_path / "a", water(), format="castep")
    with pytest.raises(InputError, match="'species' is no option of the format magres, which takes no options"):
        write(tmp_path / "a.magres", water(), species="O")
    for name in ("a.csv", "a.mrsim"):
        with pytest.raises(InputError, match=f"'colour' is no option of the format {name[2:]}, which takes"):
            write(tmp_path / name, water(), colour=1)
    for name in ("a.csv.gz", "a.spinsys.gz", "a.magres.bz2", "a.mrsim.gz", "a.json.xz"):
        with pytest.raises(InputError, match=f"is not written as {Path(name).suffix}"):
            write(tmp_path / name, water())
    with pytest.raises(InputError, match="chemiscope's files end in"):
        write(tmp_path / "map", water(), format="chemiscope")
    with pytest.raises(InputError, match="there are no structures"):
        write(tmp_path / "a.csv", [])


@pytest.mark.parametrize("name", sorted({format.suffixes[0] for format in FORMATS.values()} - {".extxyz"}))
def test_what_fails_leaves_nothing(tmp_path, name):
    path = tmp_path / f"a{name}"
    path.write_text("before")
    with pytest.raises(InputError):
        write(path, Atoms("O"))
    assert path.read_text() == "before"
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
