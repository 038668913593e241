"""Observables of sites against Soprano, MagresView's published tables of ethanol, and the tensors themselves."""

import csv
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

import efg_jax as ej
from efg_jax.errors import InputError

EXTERNAL = Path(__file__).resolve().parents[1].parent / "shared" / "data" / "external"
external = pytest.mark.skipif(not EXTERNAL.is_dir(), reason=f"{EXTERNAL} is not here (published data, not shipped)")
ATOMIC_UNIT = 97.173624424
V = ATOMIC_UNIT * np.array([[-0.20, 0.05, 0.10], [0.05, 0.35, -0.12], [0.10, -0.12, -0.15]])
SIGMA = np.array([[30.0, 5, -8], [2, 60, 4], [-6, 7, 120]])
ANGLES = ("alpha", "beta", "gamma")


def sites(symbols="OOSi", seed=0):
    rng = np.random.default_rng(seed)
    atoms = Atoms(symbols, positions=rng.normal(size=(len(Atoms(symbols)), 3)) * 3)
    v = rng.normal(size=(len(atoms), 3, 3)) * 40
    v = v + v.swapaxes(1, 2)
    atoms.arrays["efg"] = v - np.trace(v, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)
    atoms.arrays["ms"] = rng.normal(size=(len(atoms), 3, 3)) * 20 + 100 * np.eye(3)
    return atoms


def angles(table, name):
    return np.stack([table[f"{name}_{angle}_deg"] for angle in ANGLES], axis=1)


def matrices(degrees):
    """R_z(α) R_y(β) R_z(γ)."""
    return Rotation.from_euler("ZYZ", degrees, degrees=True).as_matrix()


def test_one_site_has_the_numbers_of_soprano_0_11_4():
    atoms = Atoms("O")
    atoms.arrays["efg"], atoms.arrays["ms"] = V[None], SIGMA[None]
    table = ej.site_observables(atoms, convention="all")
    expected = {"c_q_mhz": -2.27538397, "p_q_mhz": -2.398142, "eta_q": 0.5765708, "iso_ppm": 70.0}
    expected |= {
        "reduced_anisotropy_ppm": 50.98815,
        "anisotropy_ppm": 76.48222,
        "eta_cs": 0.60976,
        "span_ppm": 92.02753,
        "skew": 0.32432,
    }
    expected |= {"cs_11_ppm": 28.96061, "cs_22_ppm": 60.05124, "cs_33_ppm": 120.98815}
    expected |= {"nu_q_khz": -2.27538397e3 * 3 / (2 * 2.5 * 4), "v_zz": 0.37857453 * ATOMIC_UNIT}
    for name, value in expected.items():
        assert_allclose(table[name], [value], rtol=2e-6, atol=5e-6, err_msg=name)
    assert_allclose(angles(table, "efg"), [[267.2076, 77.7271, 138.7574]], atol=1e-4)
    passive = ej.site_observables(atoms, rotation="passive")
    assert_allclose(angles(passive, "efg"), [[41.2426, 77.7271, 272.7924]], atol=1e-4)
    # NQR to Haeberlen exchanges x and y: passive α moves by 90°.
    haeberlen = ej.site_observables(atoms, rotation="passive", efg_axes="haeberlen")
    assert_allclose(angles(haeberlen, "efg") - angles(passive, "efg"), [[90.0, 0.0, 0.0]], atol=1e-9)


@external
def test_ethanol_is_that_of_magresview():
    table = ej.site_observables(ej.io.read(EXTERNAL / "soprano_ethanol.magres"), convention="all")

    def published(name):
        lines = (EXTERNAL / name).read_text().splitlines()
        return np.array([[float(x) for x in line.split()[1:]] for line in lines if line[:2] in ("H_", "C_", "O_")])

    efg, ms = published("soprano_ethanol_efg.dat"), published("soprano_ethanol_ms.dat")
    measured = table["element"] != "C"
    assert_allclose(table["c_q_mhz"][measured] * 1e6, efg[measured, 0], rtol=1e-5)
    assert np.isnan(table["c_q_mhz"][~measured]).all()
    assert_allclose(table["eta_q"], efg[:, 1], atol=1e-7)
    for name, column in (("iso_ppm", 0), ("anisotropy_ppm", 1), ("reduced_anisotropy_ppm", 2), ("eta_cs", 3)):
        assert_allclose(table[name], ms[:, column], atol=1e-6, err_msg=name)
    for k in (1, 2, 3):
        assert_allclose(table[f"cs_{k}{k}_ppm"], np.sort(ms[:, 4:7], axis=1)[:, k - 1], atol=1e-6)
    # The published set may be any of the four that mean the same: the axes agree up to their signs.
    expected = matrices(np.loadtxt(EXTERNAL / "soprano_ethanol_efg_eulers.dat"))
    overlap = np.einsum("nij,nij->nj", matrices(angles(table, "efg")), expected)
    assert_allclose(np.abs(overlap), 1.0, atol=1e-9)
    assert table["label"].tolist() == ["H_1", "H_2", "H_3", "H_4", "H_5", "H_6", "C_1", "C_2", "O_1"]


@pytest.mark.parametrize("reference", [None, 287.5])
def test_soprano_agrees_on_random_tensors(reference):
    from soprano.nmr.tensor import ElectricFieldGradient, MagneticShielding, TensorConvention

    atoms = sites("O6", seed=4)
    table = ej.site_observables(atoms, reference=reference, convention="all")
    sense = "" if reference is None else "shift_"
    for i in range(6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ms = MagneticShielding(atoms.arrays["ms"][i], "17O", reference=reference)
            efg = ElectricFieldGradient(atoms.arrays["efg"][i] / ATOMIC_UNIT, "17O")
            assert_allclose(table["eta_q"][i], efg.asymmetry, rtol=1e-9)
            assert_allclose(table["v_zz"][i], efg.eigenvalues[2] * ATOMIC_UNIT, rtol=1e-9)
            # Soprano's span of a shift is that of the shielding: without the denominator.
            scale = 1.0 if reference is None else 1.0 - 1e-6 * reference
            ours = (
                table["iso_ppm"][i],
                table["span_ppm"][i] * scale,
                table["reduced_anisotropy_ppm"][i],
                table["eta_cs"][i],
            )
            theirs = [
                ms.isotropy if reference is None else ms.shift,
                ms.span,
                getattr(ms, f"{sense}reduced_anisotropy"),
                getattr(ms, f"{sense}asymmetry"),
            ]
            assert_allclose(ours, theirs, rtol=1e-9)
            # A site has one skew; Soprano's shift_skew is the skew of the shift read as a shift.
            assert_allclose(table["skew"][i], ms.skew, rtol=1e-9)
            ms.order = TensorConvention.Haeberlen
            assert_allclose(np.abs(np.sum(matrices(angles(table, "cs"))[i] * ms.eigenvectors, axis=0)), 1.0, atol=1e-9)
            equivalent = np.rad2deg(ms.equivalent_euler_to(efg, convention="zyz", passive=False))
        ours = matrices(angles(table, "rel")[i])
        theirs = matrices(equivalent.reshape(-1, 3))
        # Sixteen sets mean the same; ours is among those that Soprano gives, or in the frame that half turns make of
        # them.
        assert np.abs(np.abs(theirs) - np.abs(ours)).max(axis=(1, 2)).min() < 1e-6


@pytest.mark.parametrize("rotation", ["active", "passive"])
@pytest.mark.parametrize("order", ["nqr", "haeberlen"])
def test_the_angles_rebuild_the_tensors_and_their_relative_orientation(rotation, order):
    atoms = sites("O8", seed=2)
    table = ej.site_observables(atoms, rotation=rotation, efg_axes=order, convention="haeberlen")

    def axes(name):
        found = matrices(angles(table, name))
        return found.swapaxes(1, 2) if rotation == "passive" else found

    v_zz, eta = table["v_zz"], table["eta_q"]
    small, middle = -v_zz * (1 - eta) / 2, -v_zz * (1 + eta) / 2
    values = np.stack([small, middle, v_zz] if order == "nqr" else [middle, small, v_zz], axis=1)
    efg = axes("efg") @ (values[:, :, None] * np.eye(3)) @ axes("efg").swapaxes(1, 2)
    assert_allclose(efg, atoms.arrays["efg"], atol=1e-9)
    iso, zeta, eta = (table[name] for name in ("iso_ppm", "reduced_anisotropy_ppm", "eta_cs"))
    values = np.stack([iso - zeta * (1 + eta) / 2, iso - zeta * (1 - eta) / 2, iso + zeta], axis=1)
    ms = (atoms.arrays["ms"] + atoms.arrays["ms"].swapaxes(1, 2)) / 2
    assert_allclose(axes("cs") @ (values[:, :, None] * np.eye(3)) @ axes("cs").swapaxes(1, 2), ms, atol=1e-9)
    # In the frame of the field gradient, of which two axes may be reversed, the shielding is this.
    relative = axes("rel") @ (values[:, :, None] * np.eye(3)) @ axes("rel").swapaxes(1, 2)
    in_frame = axes("efg").swapaxes(1, 2) @ ms @ axes("efg")
    turned = [
        np.diag(signs) @ in_frame @ np.diag(signs) for signs in ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))
    ]
    assert_allclose(np.min([np.abs(one - relative).max(axis=(1, 2)) for one in turned], axis=0), 0.0, atol=1e-9)
    active = angles(ej.site_observables(atoms, efg_axes=order), "rel")
    assert (active[:, :2] <= 90 + 1e-9).all()
    assert (active[:, 2] < 180 + 1e-9).all()


def test_relative_angles_do_not_depend_on_the_crystal_s_orientation():
    atoms = sites("O8", seed=7)
    turned = atoms.copy()
    rotation = Rotation.random(rng=np.random.default_rng(1)).as_matrix()
    for name in ("efg", "ms"):
        turned.arrays[name] = rotation @ atoms.arrays[name] @ rotation.T
    one, other = ej.site_observables(atoms), ej.site_observables(turned)
    assert_allclose(angles(one, "rel"), angles(other, "rel"), atol=1e-6)
    assert_allclose(one["c_q_mhz"], other["c_q_mhz"], rtol=1e-12)
    assert np.abs(angles(one, "efg") - angles(other, "efg")).max() > 1


def test_shifts_and_shieldings():
    atoms = sites()
    shielding, shift = (
        ej.site_observables(atoms, convention="all"),
        ej.site_observables(atoms, reference={"O": 280.0, "Si": 330.0}, convention="all"),
    )
    reference = np.array([280.0, 280.0, 330.0])
    scale = 1 - 1e-6 * reference
    assert_allclose(shift["iso_ppm"], (reference - shielding["iso_ppm"]) / scale, rtol=1e-12)
    assert_allclose(shift["reduced_anisotropy_ppm"], -shielding["reduced_anisotropy_ppm"] / scale, rtol=1e-10)
    for name in ("skew", "eta_cs"):
        assert_allclose(shift[name], shielding[name], rtol=1e-9)
    assert_allclose(shift["cs_11_ppm"], (reference - shielding["cs_11_ppm"]) / scale, rtol=1e-12)
    assert (shift.sense, shielding.sense) == ("shift", "shielding")
    assert "δ_iso" in str(shift)
    assert "σ_iso" in str(shielding)


def test_what_is_absent_stays_empty():
    atoms, bare = sites("OOSiAr"), sites("OO", seed=3)
    atoms.arrays["efg"][0] = np.nan
    atoms.arrays["ms"][1] = np.nan
    del bare.arrays["ms"]
    table = ej.site_observables([atoms, bare])
    assert np.isnan(table["v_zz"]).tolist() == [True, False, False, False, False, False]
    assert np.isnan(table["iso_ppm"]).tolist() == [False, True, False, False, True, True]
    assert np.isnan(table["rel_beta_deg"]).tolist() == [True, True, False, False, True, True]
    # ²⁹Si has no moment, and argon no nucleus at all.
    assert np.isnan(table["c_q_mhz"]).tolist() == [True, False, True, True, False, False]
    assert table["isotope"].tolist() == ["17O", "17O", "29Si", "", "17O", "17O"]
    assert table["frame"].tolist() == [0, 0, 0, 0, 1, 1]
    assert ej.site_observables([atoms, bare], species="O", tensors="ms")["atom"].tolist() == [0]


def test_an_undefined_value_is_zero_in_arrays_a_dash_in_tables_and_null_in_files(tmp_path):
    """A cubic sodium site as it comes out of CASTEP: κ was 1.5 of a span of 1e-13 ppm."""
    atoms = Atoms("NaO", positions=[[0, 0, 0], [3, 0, 0]])
    atoms.arrays["ms"] = np.stack([np.diag([433.8188000000003, 433.8188000000002, 433.8188000000002]), SIGMA])
    found = ej.site_observables(atoms)
    assert_allclose(found["skew"], [0.0, 0.32432], atol=5e-6)
    assert found.undefined["skew"].tolist() == [True, False]
    lines = str(found).splitlines()
    row = next(line for line in lines if "Na_1" in line).split()
    assert row[row.index("433.819") :] == ["433.819", "0.000", *["–"] * 4]
    assert "–: undefined" in " ".join(str(found).split())
    assert [row["skew"] is None for row in found.rows()] == [True, False]
    found.to_json(tmp_path / "sites.json")
    saved = json.loads((tmp_path / "sites.json").read_text())
    assert saved["undefined"] == {name: [0] for name in ("skew", *(f"cs_{angle}_deg" for angle in ANGLES))}
    assert saved["sites"][0]["skew"] is None
    found.to_csv(tmp_path / "sites.csv")
    with open(tmp_path / "sites.csv", encoding="utf-8") as file:
        assert [row["skew"] == "" for row in csv.DictReader(file)] == [True, False]


def test_the_default_nucleus_follows_from_what_is_known_of_the_atom(tmp_path):
    """¹H, ¹⁵N, ¹²⁹Xe of a shielding alone; the quadrupolar isotope with a field gradient; D and T by their masses."""
    atoms = sites("HNXeOHHH")
    atoms.set_masses([1.008, 14.007, 131.29, 15.999, 2.014, 3.016, 3.024])
    both = ej.site_observables(atoms)
    assert both["isotope"].tolist() == ["2H", "14N", "131Xe", "17O", "2H", "3H", "2H"]
    shielded = ej.site_observables(atoms, tensors="ms")
    assert shielded["isotope"].tolist() == ["1H", "15N", "129Xe", "17O", "2H", "3H", "1H"]
    caption = " ".join(str(shielded).split())
    assert "By default 1H (of a shielding alone), 15N (of a shielding alone), 129Xe" in caption
    assert "another with --isotope 2H" in caption
    assert "By default 2H, 14N, 131Xe" in " ".join(str(both).split())
    chosen = ej.site_observables(atoms, isotopes={"H": "2H", "N": "14N", "Xe": "129Xe"}, tensors="ms")
    assert chosen["isotope"].tolist() == ["2H", "14N", "129Xe", "17O", "2H", "2H", "2H"]
    assert "By default" not in str(chosen)
    assert {name: one["by_default"] for name, one in shielded.to_dict()["isotopes"].items()}["15N"] is True
    del atoms.arrays["efg"]
    ej.io.write(tmp_path / "h.spinsys", atoms, species="H", sites=[0, 4], reference={"H": 30.0})
    assert "nuclei 1H 2H" in (tmp_path / "h.spinsys").read_text()


def test_nuclei_are_chosen_by_element():
    atoms = sites("TiOTi")
    by_default, chosen = ej.site_observables(atoms), ej.site_observables(atoms, isotopes={"Ti": "49Ti"})
    assert_allclose(chosen["c_q_mhz"][[0, 2]] / by_default["c_q_mhz"][[0, 2]], 247 / 302, rtol=1e-12)
    assert_allclose(chosen["nu_q_khz"][0], 1e3 * chosen["c_q_mhz"][0] * 3 / (2 * 3.5 * 6), rtol=1e-12)
    own = ej.tensors.isotope("49Ti").replace(quadrupole_moment=250.0)
    assert_allclose(
        ej.site_observables(atoms, isotopes={"Ti": own})["c_q_mhz"][0] / by_default["c_q_mhz"][0], 250 / 302, rtol=1e-12
    )


def test_sites_of_several_files_are_found_again():
    frames = [sites(seed=seed) for seed in range(3)]
    assert "source_frame" not in ej.site_observables(frames).values
    for atoms, (file, number) in zip(frames, (("a.extxyz", 4), ("a.extxyz", 5), ("b.extxyz", 0)), strict=True):
        atoms.info.update(source_file=file, source_frame=number)
    table = ej.site_observables(frames, species="Si")
    assert table["file"].tolist() == ["a.extxyz", "a.extxyz", "b.extxyz"]
    assert table["source_frame"].tolist() == [4, 5, 0]
    assert table["frame"].tolist() == [0, 1, 2]


def test_files_hold_what_the_table_holds(tmp_path):
    atoms = sites()
    atoms.arrays["efg"][0] = np.nan
    table = ej.site_observables(atoms, reference={"O": 280.0, "Si": 330.0}, convention=("haeberlen", "iupac"))
    table.to_csv(tmp_path / "a.csv")
    table.to_json(tmp_path / "a.json")
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    content = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    assert content["sites"][0]["v_zz"] is None
    assert content["isotopes"]["17O"]["quadrupole_moment_mb"] == -25.58
    assert content["units"]["delta_11_ppm"] == "ppm"
    for row, site in zip(rows, content["sites"], strict=True):
        assert {name: "" if value is None else str(value) for name, value in site.items()} == row
    assert [site["delta_iso_ppm"] for site in content["sites"]] == table["iso_ppm"].tolist()
    assert "span_ppm" not in rows[0]
    assert len(str(table).splitlines()) >= 2 + len(table)
    assert table.names("quadrupolar") == ["v_zz", "c_q_mhz", "p_q_mhz", "eta_q", "nu_q_khz"]
    parts = [name for part in ("quadrupolar", "shielding", "angles") for name in table.names(part)]
    assert sorted(parts) == sorted(table.names())


def test_what_is_wrong_is_said():
    atoms = sites("OHSi")

    def refused(match, frames=atoms, **options):
        with pytest.raises(InputError, match=match) as caught:
            ej.site_observables(frames, **options)
        assert "\n" not in str(caught.value)

    refused("1H has spin 0.5 and no quadrupole moment", isotopes={"H": "1H"})
    assert len(ej.site_observables(atoms, isotopes={"H": "1H"}, tensors="ms")) == 3
    refused(
        "a chemical shift of H needs the shielding of its reference compound.*--reference H=",
        reference={"O": 287.0, "Si": 330.0},
    )
    refused("one reference shielding for O, H, Si", reference=30.0)
    refused("unknown convention 'mehring'; known are haeberlen, maryland, iupac, all", convention="mehring")
    refused("unknown rotation 'zxz'; known are active, passive", rotation="zxz")
    refused("unknown efg_axes 'pas'; known are nqr, haeberlen", efg_axes="pas")
    refused("unknown tensors 'isc'; known are efg, ms", tensors="isc")
    refused("no atom of Al among the chosen; the elements here are H, O, Si", species="Al")
    refused("there are no structures", frames=[])
    refused("frame 0: carries no 'efg' and no 'ms'", frames=Atoms("O"))
    bare = atoms.copy()
    del bare.arrays["ms"]
    refused("a reference shielding is given, but no chosen site has a shielding", frames=bare, reference={"O": 1.0})
    bare.arrays["efg"][:] = np.nan
    refused("frame 0: no atom of O has a tensor; all are NaN", frames=bare, species="O")
    renamed = Atoms("O")
    renamed.arrays["V"] = V[None]
    refused("carries no 'efg' and no 'ms'; it carries 'V': name what that is with --array efg=NAME", frames=renamed)
    other_unit = atoms.copy()
    other_unit.arrays["efg"] = other_unit.arrays["efg"] * 1e20
    refused(
        r"frame 1, atom \d \(\w+\): 'efg' of .* V/Å² is no field gradient of an atom; in V/m² it must be "
        r"multiplied by 1e-20",
        frames=[atoms, other_unit],
    )
    with pytest.raises(InputError, match="unknown part 'eta'"):
        ej.site_observables(atoms).table("eta")
