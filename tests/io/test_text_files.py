"""Text as editors, Fortran and other programs leave it is read; what cannot be read is refused for the right reason."""

import bz2
import json
import lzma

import ase.io
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal
from oracles.outcar import outcar

from efg_jax.errors import InputError
from efg_jax.io import iread, read, write
from efg_jax.io.text_files import with_exponents

ISOTOPES = {"D": 2.014, "T": 3.016}


def crystal():
    atoms = Atoms("HOSi", positions=[[0, 0, 0], [2, 0.1, 0], [0, 2, 0.3]], cell=[8, 8, 8], pbc=True)
    v = np.random.default_rng(0).normal(size=(3, 3, 3)) * 10
    v = np.round(v + v.swapaxes(1, 2), 3)
    v[:, 2, 2] = -v[:, 0, 0] - v[:, 1, 1]
    atoms.arrays["efg"] = v
    return atoms


def texts(folder):
    """The same crystal in every format of text; for extended XYZ three frames."""
    atoms = crystal()
    for name in ("a.magres", "a.extxyz"):
        write(folder / name, [atoms] * (3 if name == "a.extxyz" else 1))
        yield folder / name
    (folder / "OUTCAR").write_text(outcar(atoms, [atoms.arrays["efg"]]))
    yield folder / "OUTCAR"
    sites = [
        {"species": [{"element": symbol, "occu": 1}], "abc": place.tolist(), "label": symbol}
        for symbol, place in zip(atoms.symbols, atoms.get_scaled_positions(), strict=True)
    ]
    structure = {"@class": "Structure", "lattice": {"matrix": atoms.cell.tolist()}, "sites": sites}
    (folder / "a.json").write_text(json.dumps({"structure": structure, "efg": atoms.arrays["efg"].tolist()}))
    yield folder / "a.json"
    for name in ("POSCAR", "a.cif", "a.gen"):
        ase.io.write(folder / name, atoms)
        yield folder / name


def windows(text):
    return ("\ufeff" + text).replace("\n", "\r\n").encode()


def utf16(text):
    return text.encode("utf-16")


def umlaut(text):
    """A comment in latin-1, where the format has one."""
    old, new = {
        "#": ("[atoms]", "[calculation]\ncalc_comment K\xf6cher\n[/calculation]\n[atoms]"),
        "3": ('pbc="T', 'note="K\xf6cher" pbc="T'),
        "{": ('"label": "H"', '"label": "H\xf6"'),
        "v": ("executed on", "executed on K\xf6cher"),
    }.get(text.lstrip()[0], ("\n", "\n"))
    return text.replace(old, new).encode("latin-1")


@pytest.mark.parametrize("spoil", [windows, utf16, umlaut])
def test_encodings(tmp_path, spoil):
    for path in texts(tmp_path):
        if spoil is utf16 and path.name not in ("a.magres", "a.extxyz", "a.json"):
            continue
        expected = read(path, target=None)
        path.write_bytes(spoil(path.read_text()))
        for found in (read(path, target=None), list(iread(path))):
            assert len(found) == len(expected), path.name
            for one, other in zip(found, expected, strict=True):
                assert_allclose(one.positions, other.positions, atol=1e-12)
                assert set(one.arrays) == set(other.arrays)
                if "efg" in other.arrays:
                    assert_array_equal(one.arrays["efg"].ravel(), other.arrays["efg"].ravel())


@pytest.mark.parametrize(
    ("text", "number"),
    [("1.0D0", 1.0), ("-0.5d1", -5.0), ("1.0D02", 100.0), (".5D-01", 0.05), ("2.D+1", 20.0)],
)
def test_exponents_with_and_without_sign(text, number):
    assert float(with_exponents(text)) == number
    mended = text.upper().replace("D", "E")
    assert with_exponents(f"H {text} {text}\nD2 3D a1.0D0") == f"H {mended} {mended}\nD2 3D a1.0D0"


def with_d(value):
    return f"{value:.9E}".replace("E", "D")


def test_fortran_s_exponents(tmp_path):
    atoms = crystal()
    place = np.array2string(atoms.positions[1], formatter={"float": with_d})[1:-1]
    for path in texts(tmp_path):
        text, (expected, *_) = path.read_text(), read(path, target=None)
        if path.name in ("POSCAR", "a.magres", "a.extxyz", "a.gen"):
            lines = [
                " ".join(with_d(float(word)) if "." in word and word[-1].isdigit() else word for word in line.split())
                if line.split()[:1] not in (["#$magres-abinitio-v1.0"], ["Lattice"]) and "=" not in line
                else line
                for line in text.split("\n")
            ]
            path.write_text("\n".join(lines))
            assert "D+0" in path.read_text() or "D-0" in path.read_text()
            found = read(path, target=None)[-1]
            assert_allclose(found.positions, expected.positions, atol=1e-8)
            if "efg" in expected.arrays:
                assert_allclose(found.arrays["efg"].ravel(), expected.arrays["efg"].ravel(), rtol=1e-8)
    assert place.count("D") == 3


@pytest.mark.parametrize("symbol", ISOTOPES)
def test_heavy_hydrogen_is_hydrogen_with_its_mass(tmp_path, symbol):
    for path in texts(tmp_path):
        text = path.read_text()
        if path.name == "a.magres":
            text = text.replace("atom H H 1", f"atom {symbol} {symbol} 1").replace("efg H 1", f"efg {symbol} 1")
        elif path.name == "a.extxyz":  # the second frame only
            head, first, second, third = text.partition("\n3\n")[0], *text.split("3\nLattice")[1:]
            assert head
            text = "3\nLattice".join(["", first, second.replace("\nH ", f"\n{symbol} "), third])
        elif path.name == "a.json":
            text = text.replace('"element": "H"', f'"element": "{symbol}"')
        elif path.name == "a.cif" and symbol == "D":
            text = text.replace("  H  ", "  D  ").replace(" H1 ", " D1 ")
        else:
            continue
        path.write_text(text)
        for frames in (read(path, target=None), list(iread(path)), read(path, target=None, index="-1")):
            for atoms in frames:
                assert str(atoms.symbols) == "HOSi"
                heavy = path.name != "a.extxyz" or atoms.info["source_frame"] == 1
                assert_allclose(atoms.get_masses()[0], ISOTOPES[symbol] if heavy else 1.008, atol=1e-3)
        if path.name == "a.extxyz":
            assert_allclose(read(path, target=None, index="1::2")[0].get_masses()[0], ISOTOPES[symbol], atol=1e-3)


def test_the_wrong_thing_is_named(tmp_path):
    def refused(name, text, match):
        (tmp_path / name).write_text(text)
        for use in (lambda path: read(path, target=None), lambda path: list(iread(path))):
            with pytest.raises(InputError, match=match) as caught:
                use(tmp_path / name)
            assert "\n" not in str(caught.value)
            assert "damaged" not in str(caught.value)

    by_name = {path.name: path.read_text() for path in texts(tmp_path)}
    xyz = by_name["a.extxyz"]
    last = xyz.rindex("3\nLattice")
    refused(
        "b.extxyz", xyz[:last] + xyz[last:].replace(":efg:R:9", ":mtt::efg:R:9"),
        r"b\.extxyz, frame 2: the column 'mtt::efg' has '::' in its name.*rename it, for example to mtt_efg",
    )  # fmt: skip
    refused(
        "c.xyz", xyz[:last] + xyz[last:].replace("\nO ", "\nO1 "),
        r"c\.xyz, frame 2, atom 1: 'O1' is no chemical element",
    )  # fmt: skip
    refused(
        "d.extxyz", xyz[:last] + xyz[last:].replace("\nO ", "\nO 1.0 2.0\nO ").replace("3\n", "4\n", 1),
        r"d\.extxyz, frame 2, atom 1: its line has 3 columns, and the frame has 13; complete it",
    )  # fmt: skip
    poscar = by_name["POSCAR"].replace("H   O", "D   O").replace("H  O", "D  O").replace("H O", "D O")
    assert poscar != by_name["POSCAR"]
    (tmp_path / "p").mkdir()
    refused("p/POSCAR", poscar, r"POSCAR: 'D' is no chemical element to ASE; .*H for D and T")
    refused(
        "e.json", by_name["a.json"].replace('"element": "O"', '"element": "Ow"'), r"atom 1: 'Ow' is no chemical element"
    )


@pytest.mark.parametrize(("suffix", "pack"), [("bz2", bz2.compress), ("xz", lzma.compress)])
def test_magres_is_read_in_every_compression(tmp_path, suffix, pack):
    """By our reader: ASE's would leave atomic units and the order of the file."""
    write(tmp_path / "a.magres", crystal())
    (tmp_path / f"a.magres.{suffix}").write_bytes(pack((tmp_path / "a.magres").read_bytes()))
    assert_array_equal(
        read(tmp_path / f"a.magres.{suffix}")[0].arrays["efg"], read(tmp_path / "a.magres")[0].arrays["efg"]
    )
