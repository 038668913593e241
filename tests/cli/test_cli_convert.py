"""`convert` and `observables`: from files, and from what `predict` wrote, to tables and other programs' files."""

import csv
import json

import ase.io
import numpy as np
import pytest
from numpy.testing import assert_allclose

from efg_jax import io, site_observables
from efg_jax.cli.parsing import parse_arrays, parse_references
from efg_jax.errors import InputError
from efg_jax.io.extended_xyz import FrameWriter
from efg_jax.models.annotation import add_couplings


@pytest.fixture
def shielded(structures, save):
    """Cells with shielding besides."""
    rng = np.random.default_rng(0)
    for atoms in structures:
        atoms.arrays["ms"] = rng.normal(size=(len(atoms), 9)) * 20 + 100 * np.eye(3).ravel()
    return save(structures[:3], "shielded.extxyz")


def test_the_table_is_that_of_the_library(efg_jax_command, shielded, tmp_path):
    result = efg_jax_command(
        "observables", shielded, "--species", "O", "--reference", "O=287.5", "--convention", "haeberlen,iupac",
        "--rotation", "passive",
        "--csv", tmp_path / "a.csv", "--json", tmp_path / "a.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    frames = io.read(shielded, target=None)
    table = site_observables(
        frames, species="O", reference=287.5, convention=("haeberlen", "iupac"), rotation="passive"
    )
    assert result.stdout.strip("\n") == str(table)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert_allclose([float(row["c_q_mhz"]) for row in rows], table["c_q_mhz"], rtol=1e-12)
    assert_allclose([float(row["delta_11_ppm"]) for row in rows], table["cs_11_ppm"], rtol=1e-12)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == table.to_dict()
    assert "wrote" in result.stderr


def test_what_predict_writes_is_read(efg_jax_command, structures, tmp_path):
    predicted = tmp_path / "p.extxyz"
    with FrameWriter(predicted, {}) as writer:
        for number, atoms in enumerate(structures):
            tensors = atoms.arrays["efg"].reshape(-1, 3, 3)
            tensors[atoms.symbols == "Si"] = np.nan  # of a model of oxygen
            atoms.arrays["efg"] = tensors
            add_couplings(tensors, atoms, {})
            writer.append(atoms, (0, number))
    written = ase.io.read(predicted, ":")
    result = efg_jax_command("observables", predicted, "--csv", tmp_path / "a.csv", "--quiet")
    assert result.exit_code == 0, result.stderr
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    assert {row["element"] for row in rows} == {"O"}
    for name, column in (("c_q", "c_q_mhz"), ("eta", "eta_q")):
        expected = np.concatenate([atoms.arrays[name][atoms.symbols == "O"] for atoms in written])
        assert_allclose([float(row[column]) for row in rows], expected, atol=1e-7)
    assert efg_jax_command("convert", predicted, "--index", "-1", "--out", tmp_path / "last.magres").exit_code == 0
    (back,) = io.read(tmp_path / "last.magres")
    assert_allclose(back.arrays["efg"], written[-1].arrays["efg"].reshape(-1, 3, 3), atol=1e-7)


@pytest.mark.parametrize("name", ["a.extxyz.gz", "a.json", "a.csv"])
def test_many_structures_are_converted(efg_jax_command, shielded, tmp_path, name):
    result = efg_jax_command("convert", shielded, "--out", tmp_path / name)
    assert result.exit_code == 0, result.stderr
    assert f"wrote {tmp_path / name} (3 structures)" in result.stderr
    io.write(tmp_path / f"b{name}", io.read(shielded, target=None))
    if name.endswith(".gz"):  # with the time in it
        assert (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b"
        for one, other in zip(io.read(tmp_path / name), io.read(shielded), strict=True):
            assert_allclose(one.positions, other.positions, atol=1e-8)
            for tensor in ("efg", "ms"):
                assert_allclose(one.arrays[tensor], other.arrays[tensor], atol=2e-8)
    else:
        assert (tmp_path / name).read_bytes() == (tmp_path / f"b{name}").read_bytes()


def test_a_spin_system_of_chosen_sites(efg_jax_command, shielded, tmp_path):
    out = tmp_path / "o17.spinsys"
    chosen = ("--index", "1", "--species", "O", "--indices", "2-3", "--reference", "O=287.5,Si=330", "--out", out)
    result = efg_jax_command("convert", shielded, *chosen)
    assert result.exit_code == 0, result.stderr
    frames = io.read(shielded, target=None, index=1)
    io.write(tmp_path / "b.in", frames, species="O", sites=[2, 3], reference=287.5)
    assert out.read_text() == (tmp_path / "b.in").read_text()


def test_a_file_for_mrsimulator_without_shielding(efg_jax_command, structures, save, tmp_path):
    out = tmp_path / "a.mrsim"
    chosen = ("--index", "0", "--isotope", "17O", "--shift", "5", "--out", out)
    result = efg_jax_command("convert", save(structures), *chosen)
    assert result.exit_code == 0, result.stderr
    systems = json.loads(out.read_text())["simulator"]["spin_systems"]
    shifts = [site["isotropic_chemical_shift"] for system in systems for site in system["sites"]]
    assert len(shifts) == 4
    assert_allclose([float(str(shift).split()[0]) for shift in shifts], 5.0)


def test_arrays_of_other_names(efg_jax_command, structures, save, tmp_path):
    for atoms in structures:
        atoms.arrays["V_dft"] = atoms.arrays.pop("efg")
    file = save(structures)
    result = efg_jax_command("observables", file)
    assert result.exit_code == 2
    assert "it carries 'V_dft': name what that is with --array efg=NAME" in result.stderr
    result = efg_jax_command("convert", file, "--array", "efg=V_dft", "--out", tmp_path / "a.extxyz")
    assert result.exit_code == 0, result.stderr
    assert io.read(tmp_path / "a.extxyz")[0].arrays["efg"].shape == (6, 3, 3)
    structures[1].info["V_dft_units"] = "au"
    result = efg_jax_command("observables", save(structures), "--array", "efg=V_dft")
    assert result.exit_code == 2
    assert "frame 1: 'V_dft' is in au" in result.stderr


def test_a_model_s_tensors_are_not_said_to_be_the_code_s(efg_jax_command, trained, structures, tmp_path):
    atoms = structures[0]
    atoms.arrays["efg"] = atoms.arrays["efg"].reshape(-1, 3, 3)
    atoms.info["magresblock_calculation"] = {"calc_code": [["CASTEP"]], "calc_code_version": [["24.1"]]}
    computed, predicted, out = (tmp_path / name for name in ("a.magres", "p.extxyz", "p.magres"))
    io.write(computed, atoms)
    assert "CASTEP" in computed.read_text()
    result = efg_jax_command("predict", trained.model, computed, "--out", predicted)
    assert result.exit_code == 0, result.stderr
    assert efg_jax_command("convert", predicted, "--out", out).exit_code == 0
    assert "CASTEP" not in out.read_text()


def test_data_sets_that_ship(efg_jax_command):
    result = efg_jax_command(
        "observables", "lto-efg", "--index", "0", "--species", "Ti", "--isotope", "49Ti", "--quiet"
    )
    assert result.exit_code == 0, result.stderr
    assert "49Ti 247 mb" in result.stdout


def test_pure_quadrupole_resonance(shielded, efg_jax_command, tmp_path):
    out = tmp_path / "nqr.csv"
    result = efg_jax_command("observables", shielded, "--species", "O", "--nqr", "--csv", out, "--quiet")
    assert result.exit_code == 0, result.stderr
    assert "1/2–3/2" in result.stdout
    rows = list(csv.DictReader(out.read_text(encoding="utf-8").splitlines()))
    # Spin 5/2 with a small η: about 3|C_Q|/20, and twice that.
    for row in rows:
        if float(row["eta_q"]) < 0.2 and row["transition"] != "1/2–5/2":
            multiple = {"1/2–3/2": 3 / 20, "3/2–5/2": 6 / 20}[row["transition"]]
            np.testing.assert_allclose(float(row["frequency_mhz"]), multiple * abs(float(row["c_q_mhz"])), rtol=0.05)
    assert {row["transition"] for row in rows} >= {"1/2–3/2", "3/2–5/2"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("observables", "--species", "Al"), "no atom of Al"),
        (("observables", "--reference", "O=287"), "a chemical shift of Si needs"),
        (("observables", "--reference", "O"), "not of the form O=287.5"),
        (("observables", "--isotope", "29Si"), "29Si has spin 0.5 and no quadrupole moment"),
        (("observables", "--isotope", "29Si"), "--tensor ms"),
        (("observables", "--isotope", "2H"), "an isotope of H is named, but the chosen sites are of O, Si"),
        (("observables", "--convention", "mehring"), "known are haeberlen, maryland, iupac, all"),
        (("observables", "--index", "9"), "holds no frame 9"),
        (("observables", "--nqr", "--reference", "O=287"), "--reference does not go with --nqr"),
        (("observables", "--nqr", "--tensor", "ms"), "--tensor does not go with --nqr"),
        (("observables", "--array", "isc=K"), "--array isc=K is not of the form"),
        (("convert", "--out", "a.magres"), "a magres file holds one structure, and these are 3"),
        (("convert", "--out", "a.spinsys", "--index", "0"), "needs the shielding of its reference compound"),
        (("convert", "--out", "a.cif"), "what to write as .cif is unknown"),
        (("convert", "--out", "a.extxyz", "--species", "O"), "--species is for formats of sites"),
        (("convert", "--out", "a.csv", "--indices", "0-3"), "--indices is for simpson and mrsim, not for csv"),
        (("convert", "--out", "a.csv", "--shift", "0"), "--shift is for mrsim, not for csv"),
        (("convert", "--out", "map", "--format", "chemiscope"), "chemiscope's files end in .json or .json.gz"),
        (("convert", "--out", "a.json.xz"), "chemiscope is not written as .xz; end the name in .gz, or leave .xz out"),
        (("convert", "--out", "a.csv.gz"), "csv is not written as .gz; leave .gz out"),
        (("convert", "--out", "a.spinsys", "--index", "0", "--species", "O", "--isotope", "27Al"), "an isotope of Al"),
        (("convert", "--out", "a.mrsim"), "name it, as --isotope 17O"),
        (("convert", "--out", "a.mrsim", "--isotope", "17O", "--reference", "Si=330"), "--reference must be that of O"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_written(efg_jax_command, shielded, tmp_path, monkeypatch, arguments, says):
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    result = efg_jax_command(arguments[0], shielded, *arguments[1:])
    assert result.exit_code == 2
    assert says in result.stderr
    assert not list((tmp_path / "work").iterdir())


def test_references_and_arrays_are_read_from_texts():
    assert parse_references(["O=287.5,Si=330", "H=-1"]) == {"O": 287.5, "Si": 330.0, "H": -1.0}
    assert parse_arrays(["V", "ms=sigma"]) == {"efg": "V", "ms": "sigma"}
    for parse, bad in (
        (parse_references, ["O=1", "O=2"]),
        (parse_references, ["O=nan"]),
        (parse_arrays, ["efg=a", "b"]),
    ):
        with pytest.raises(InputError):
            parse(bad)
