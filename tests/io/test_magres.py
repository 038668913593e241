"""magres files of CASTEP: units and signs against published values, and files that are none."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal

from efg_jax.errors import InputError
from efg_jax.io import read, write
from efg_jax.structures.checks import check_frames
from efg_jax.structures.targets import target_of

EXTERNAL = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "external"
external = pytest.mark.skipif(not EXTERNAL.is_dir(), reason=f"{EXTERNAL} is not here (published data, not shipped)")
MHZ_PER_MILLIBARN = 2.4179892421e-3

MAGRES = """#$magres-abinitio-v1.0
[atoms]
  units lattice Angstrom
  units atom Angstrom
  lattice 6.0 0.0 0.0 0.0 6.0 0.0 0.0 0.0 6.0
  atom H H 1 0.0 0.0 0.0
  atom O O 1 0.0 0.0 0.97
  atom H H 2 0.9 0.0 1.2
[/atoms]
[magres]
  units ms ppm
  units efg au
  ms H 1 30 1 2 3 31 4 5 6 32
  ms O 1 300 1 2 3 310 4 5 6 320
  ms H 2 29 1 2 3 28 4 5 6 27
  efg H 1 0.1 0.2 0.0 0.2 0.3 0.0 0.0 0.0 -0.4
  efg O 1 1.0 0.5 0.0 0.5 0.7 0.0 0.0 0.0 -1.7
  efg H 2 0.1 0.1 0.0 0.1 0.2 0.0 0.0 0.0 -0.3
[/magres]
"""


@pytest.fixture
def magres(tmp_path):
    """Write a magres file with some text replaced."""

    def make(*replacements, name="a.magres"):
        text = MAGRES
        for old, new in replacements:
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return make


def test_units_are_converted_and_shieldings_transposed(magres):
    (atoms,) = read(magres())
    assert str(atoms.symbols) == "HOH"
    expected = 97.173624424 * np.array([[1.0, 0.5, 0], [0.5, 0.7, 0], [0, 0, -1.7]])
    assert_allclose(atoms.arrays["efg"][1], expected, rtol=1e-12)
    assert_array_equal(atoms.arrays["ms"][0], [[30, 3, 5], [1, 31, 6], [2, 4, 32]])  # applied field first in the file
    assert target_of("ms", [atoms]).irreps == ((0, 1), (1, -1), (2, 1))
    assert (Path(atoms.info["source_file"]).name, atoms.info["source_frame"]) == ("a.magres", 0)
    assert "magres_units" not in atoms.info, "units that no longer hold"


def test_comments_are_left_out(magres):
    commented = magres(("[magres]\n", "[magres]\n# [notes] by hand\n"), ("units efg au", "units efg au  # as CASTEP"))
    expected, found = read(magres(name="b.magres"))[0], read(commented)[0]
    for name in ("efg", "ms"):
        assert_array_equal(found.arrays[name], expected.arrays[name])


def test_it_is_known_by_its_head_and_read_compressed(magres, tmp_path):
    expected = read(magres())[0].arrays["efg"]
    assert_array_equal(read(magres(name="output.txt"))[0].arrays["efg"], expected)
    (tmp_path / "b.magres.gz").write_bytes(gzip.compress(MAGRES.encode()))
    assert_array_equal(read(tmp_path / "b.magres.gz", index="-1")[0].arrays["efg"], expected)
    with pytest.raises(InputError, match="holds no frame 1; it has 1"):
        read(magres(), index=1)


def test_atoms_without_a_tensor_are_without_a_label(magres):
    path = magres(("  efg O 1 1.0 0.5 0.0 0.5 0.7 0.0 0.0 0.0 -1.7\n", ""))
    (atoms,) = read(path)
    assert np.isnan(atoms.arrays["efg"]).all(axis=(1, 2)).tolist() == [False, True, False]
    assert np.isfinite(atoms.arrays["ms"]).all()


def test_labels_and_indices_that_castep_ran_together(magres):
    path = magres(("H 2", "H 102"), ("efg H 102", "efg H102"))
    (atoms,) = read(path)
    assert np.isfinite(atoms.arrays["efg"]).all()
    assert_allclose(atoms.arrays["efg"][2, 2, 2], -0.3 * 97.173624424)


def test_a_file_with_structure_only(magres):
    head = MAGRES[: MAGRES.index("[magres]")]
    path = magres((MAGRES, head))
    assert len(read(path, target=None)[0]) == 3
    with pytest.raises(InputError, match=r"a\.magres, frame 0: no 'efg' here"):
        read(path)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[atoms]", "[no]", "block has no end"),
        (MAGRES[MAGRES.index("[atoms]") : MAGRES.index("[magres]")], "", r"has no \[atoms\] block"),
        ("[/magres]", "", r"the \[magres\] block has no end, so the file is cut short"),
        ("units efg au", "units efg V/m^2", r"efg V/m\^2.*efg in au"),
        ("units atom Angstrom", "units atom Bohr", "atom Bohr.*lengths must be in Angstrom"),
        ("efg O 1", "efg O 9", "every tensor must belong to an atom"),
        ("30 1 2", "30 one 2", r"line 13 \('ms H 1 30 one 2 3 31 4 5 6 32'\): 'one' is no number"),
        ("30 1 2", "30 1", "expected a label, an index and 9 numbers"),
        ("30 1 2", "30 1***** 2", r"'1\*\*\*\*\*' is no number"),
        ("atom H H 1", "atom Hw Hw 1", "'Hw' is no chemical element"),
        ("H 2 0.9", "H 1 0.9", r"line 13 .*: 2 atoms are called H 1, so which has this tensor is unknown"),
        ("[/magres]", "  ms H 2 29 1 2 3 28 4 5 6 26\n[/magres]", r"line 19 .*: another ms of H 2 stands above"),
        ("[/magres]", f"[/magres]\n{MAGRES.replace('0.97', '0.98')}", r"two \[atoms\] blocks of different structures"),
        ("#$magres", "# magres", "no magres file"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(magres, old, new, message):
    path = magres((old, new))
    with pytest.raises(InputError, match=message) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_binary_data_under_the_name(tmp_path):
    (tmp_path / "a.magres").write_bytes(b"\x1f\x8b" + bytes(50))
    with pytest.raises(InputError, match=r"a\.magres: is no text"):
        read(tmp_path / "a.magres")


# ---- published data --------------------------------------------------------------------------------------------------


@external
def test_ethanol_has_the_published_coupling_of_17o():
    (atoms,) = read(EXTERNAL / "soprano_ethanol.magres")
    values = np.linalg.eigvalsh(atoms.arrays["efg"][atoms.symbols == "O"][0])
    xx, yy, zz = values[np.argsort(np.abs(values))]
    assert_allclose(MHZ_PER_MILLIBARN * -25.58 * zz, 11.1884, rtol=1e-5)
    assert_allclose((xx - yy) / zz, 0.82329, atol=1e-5)


@external
def test_ethanol_has_the_published_couplings_and_shieldings_of_every_atom():
    (atoms,) = read(EXTERNAL / "soprano_ethanol.magres")

    def table(name):
        lines = (EXTERNAL / name).read_text().splitlines()
        return np.array([[float(x) for x in line.split()[1:]] for line in lines if line[:2] in ("H_", "C_", "O_")])

    values = np.linalg.eigvalsh(atoms.arrays["efg"])
    zz = np.take_along_axis(values, np.abs(values).argmax(axis=1)[:, None], axis=1)[:, 0]
    hydrogen = np.asarray(atoms.symbols == "H")
    # That table was made with a Q of ²H of 2.86 mb.
    assert_allclose(
        MHZ_PER_MILLIBARN * 2.86 * zz[hydrogen] * 1e6, table("soprano_ethanol_efg.dat")[hydrogen, 0], rtol=1e-4
    )
    isotropic = np.trace(atoms.arrays["ms"], axis1=1, axis2=2) / 3
    assert_allclose(isotropic, table("soprano_ethanol_ms.dat")[:, 0], atol=1e-6)


@external
def test_all_published_magres_files_are_read_and_written_again(tmp_path):
    frames = read(sorted(EXTERNAL.glob("*.magres")))
    assert sum(len(atoms) for atoms in frames) == 165
    write(tmp_path / "all.extxyz", frames)
    for one, other in zip(frames, read(tmp_path / "all.extxyz"), strict=True):
        assert_allclose(one.arrays["efg"], other.arrays["efg"], atol=2e-8)
    assert_allclose(read(tmp_path / "all.extxyz", target="ms")[1].arrays["ms"], frames[1].arrays["ms"], atol=1e-8)


@external
def test_tensors_printed_with_three_decimals_pass():
    crystals = json.loads((EXTERNAL / "27al_vasp_examples.json").read_text())
    frames = []
    for crystal in crystals:
        sites = crystal["structure"]["sites"]
        atoms = Atoms(
            [site["species"][0]["element"] for site in sites],
            positions=[site["xyz"] for site in sites],
            cell=crystal["structure"]["lattice"]["matrix"],
            pbc=True,
        )
        atoms.arrays["efg"], atoms.arrays["ms"] = np.array(crystal["efg"]), np.array(crystal["cs"])
        frames.append(atoms)
    checked = check_frames(check_frames(frames, target="efg"), target="ms")
    assert sum(len(atoms) for atoms in checked) == 587
    for before, after in zip(frames, checked, strict=True):
        v = after.arrays["efg"]
        assert_allclose(v, before.arrays["efg"], atol=2e-3)
        assert_allclose(np.trace(v, axis1=1, axis2=2), 0, atol=1e-10)
        assert_array_equal(after.arrays["ms"], before.arrays["ms"])
    assert target_of("ms", checked).irreps == ((0, 1), (1, -1), (2, 1))


# ---- several blocks, labels, isotopes --------------------------------------------------------------------------------


def without(tag):
    return "\n".join(line for line in MAGRES.splitlines() if tag not in line.split()) + "\n"


def test_blocks_of_one_structure_are_put_together(magres, tmp_path):
    (expected,) = read(magres())
    for name, text in (("b", without("ms") + without("efg")), ("c", without("efg") + without("ms")), ("d", MAGRES * 2)):
        (tmp_path / f"{name}.magres").write_text(text)
        (found,) = read(tmp_path / f"{name}.magres")
        assert len(found) == 3
        for tensor in ("efg", "ms"):
            assert_array_equal(found.arrays[tensor], expected.arrays[tensor])


def test_species_carry_numbers_and_marks(magres):
    """Quantum ESPRESSO: two letters of its species, its species as the label, a number that counts all atoms."""
    names = [("H H 1", "H1 H1 1"), ("H H 2", "H: H:a 3"), ("O O 1", "O- O-h 2")]
    rows = [(f"{tag} {old}", f"{tag} {new}") for tag in ("ms", "efg") for old, new in
            (("H 1", "H1 1"), ("H 2", "H:a 3"), ("O 1", "O-h 2"))]  # fmt: skip
    units = [("Angstrom", "Angstroms"), ("units efg au", "units efg a.u."), ("#$magres", "\n#$magres")]
    (plain,), (found,) = read(magres()), read(magres(*names, *rows, *units))
    assert str(found.symbols) == "HOH"
    assert found.arrays["labels"].tolist() == ["H1", "O-h", "H:a"]
    assert found.arrays["indices"].tolist() == [1, 2, 3]
    for tensor in ("efg", "ms"):
        assert_array_equal(found.arrays[tensor], plain.arrays[tensor])


# ---- other programs' dialects
# ------------------------------------------------------------------------------------------

COUPLINGS = """  units isc 10^19.T^2.J^-1
  units isc_fc 10^19.T^2.J^-1
  isc H 1 O 1 1 0 0 0 1 0 0 0 1
  isc_fc H 1 O 1 1 0 0 0 1 0 0 0 1
  isc H102 O1 1 0 0 0 1 0 0 0 1
"""


def test_couplings_break_nothing_even_where_labels_and_indices_ran_together(magres):
    (plain,), (coupled,) = (read(magres(*changes)) for changes in ((), (("[/magres]", f"{COUPLINGS}[/magres]"),)))
    assert_array_equal(plain.arrays["efg"], coupled.arrays["efg"])
    assert_array_equal(plain.arrays["ms"], coupled.arrays["ms"])
    assert set(coupled.arrays) == set(plain.arrays)


def test_quantum_espresso_s_tags(magres):
    tags = [(f"[{end}{block}]", f"<{end}{block}>") for block in ("atoms", "magres") for end in ("", "/")]
    calculation = "<calculation>\ncalc_code QE-GIPAW\ncalc_code_version 7.2\n</calculation>\n<atoms>"
    susceptibility = "<magres>\n  units sus 10^-6.cm^3.mol^-1\n  sus -30 0 0 0 -30 0 0 0 -30"
    (expected,), (found,) = (
        read(magres(*changes)) for changes in ((), (*tags, ("<atoms>", calculation), ("<magres>", susceptibility)))
    )
    assert_array_equal(found.arrays["efg"], expected.arrays["efg"])
    assert_array_equal(found.arrays["ms"], expected.arrays["ms"])
    with pytest.raises(InputError, match=r"the \[magres\] block has no end"):
        read(magres(*tags, ("</magres>", "")))


def test_parts_of_the_field_gradient_have_the_unit_of_the_whole(magres):
    part = "  efg_local O 1 0.5 0 0 0 0.5 0 0 0 -1.0\n[/magres]"
    (atoms,) = read(magres(("[/magres]", part)))
    assert_allclose(atoms.arrays["efg_local"][1], 97.173624424 * np.diag([0.5, 0.5, -1.0]))
    assert np.isnan(atoms.arrays["efg_local"][0]).all()


@pytest.mark.parametrize("tensor", ["ms ppm", "efg au"])
def test_tensors_without_a_unit_are_refused(magres, tensor):
    name = tensor.split()[0]
    with pytest.raises(InputError, match=f"has no unit for {name}; add the line 'units {tensor}'"):
        read(magres((f"  units {tensor}\n", "")))
