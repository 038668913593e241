import dataclasses
import math

import jax.numpy as jnp
import pytest

from efg_jax.errors import InputError
from efg_jax.tensors import (
    Isotope,
    coupling_constant,
    default_isotope,
    isotope,
    isotopes,
    nuclei,
    register_isotope,
    use_moments,
)

# Pyykkö, Mol. Phys. 106 (2008) 1965, in mb.
PYYKKO = {
    "2H": 2.86, "6Li": -0.808, "7Li": -40.1, "10B": 84.59, "11B": 40.59, "14N": 20.44, "17O": -25.58, "23Na": 104,
    "25Mg": 199.4,
    "27Al": 146.6, "35Cl": -81.65, "37Cl": -64.35, "39K": 58.5, "43Ca": -40.8, "47Ti": 302, "49Ti": 247, "51V": -52,
    "69Ga": 171,
    "71Ga": 107, "87Rb": 133.5, "139La": 200,
}  # fmt: skip

# Where Soprano's table differs for a reason: nuclear Q of excited (Mössbauer) states under a spin-1/2 ground state, and
# the sign of ⁹⁵Mo's
# moment, which is that of ⁹⁷Mo (μ = −0.914 and −0.934 nuclear magnetons).
EXCITED_STATE_MOMENTS = {"19F", "57Fe", "77Se", "119Sn", "169Tm"}
WRONG_SIGN_IN_SOPRANO = {"95Mo"}
WRONG_POWER_IN_SOPRANO = {"179Hf"}  # of ten, of γ

# Where mrsimulator's table, of older moments, differs by more than 26 % (Q) or 0.5 % (γ).
OLD_Q_IN_MRSIMULATOR = {"121Sb", "123Sb", "209Bi"}
OTHER_GAMMA_IN_MRSIMULATOR = {"155Gd", "157Gd", "165Ho", "197Au", "207Pb"}

# Quotients of the moments of two isotopes from their NQR or hyperfine frequencies, the same whatever the
# calculation of the field gradient: what a misprint would break.
QUOTIENTS = {
    ("35Cl", "37Cl"): 1.26878, ("79Br", "81Br"): 1.19707, ("39K", "41K"): 0.8217, ("63Cu", "65Cu"): 1.0806,
    ("69Ga", "71Ga"): 1.5870, ("85Rb", "87Rb"): 2.0669, ("10B", "11B"): 2.0841, ("121Sb", "123Sb"): 0.78455,
    ("113In", "115In"): 0.9863, ("185Re", "187Re"): 1.0567, ("151Eu", "153Eu"): 0.3744, ("161Dy", "163Dy"): 0.9470,
    ("155Gd", "157Gd"): 0.9390, ("177Hf", "179Hf"): 0.8872, ("191Ir", "193Ir"): 1.0869, ("143Nd", "145Nd"): 1.9093,
}  # fmt: skip
RARELY_MEASURED = {
    "99Tc", "176Lu", "179Hf", "189Os", "191Ir", "193Ir", "143Nd", "145Nd", "147Sm", "149Sm", "151Eu", "153Eu", "155Gd",
    "157Gd", "159Tb", "161Dy", "163Dy", "165Ho", "167Er", "173Yb", "235U",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _restored_table(monkeypatch):
    monkeypatch.setattr(nuclei, "_ISOTOPES", dict(nuclei._ISOTOPES))
    monkeypatch.setattr(nuclei, "_DEFAULTS", dict(nuclei._DEFAULTS))


def test_quadrupole_moments_are_those_of_pyykko():
    assert {name: isotope(name).quadrupole_moment for name in PYYKKO} == PYYKKO
    assert all("2008" in isotope(name).quadrupole_source for name in PYYKKO)


def test_table_agrees_with_soprano():
    table = pytest.importorskip("soprano.data.nmr")._get_nmr_data()
    compared = 0
    for entry in isotopes():
        peer = table.get(entry.symbol, {}).get(str(entry.mass_number))
        if peer is None:
            continue
        compared += 1
        assert entry.spin == peer["I"], entry
        if entry.name not in EXCITED_STATE_MOMENTS:
            assert (entry.quadrupole_moment or 0) == peer["Q"], entry
        sign = -1 if entry.name in WRONG_SIGN_IN_SOPRANO else 1
        power = 1e7 if entry.name in WRONG_POWER_IN_SOPRANO else 1.0
        assert entry.gyromagnetic_ratio == pytest.approx(sign * power * peer["gamma"], rel=1e-7), entry
    assert compared > 110


def test_table_agrees_with_mrsimulator_within_what_moments_have_changed():
    """An independent table (Stone's): spin, sign and size of Q and γ."""
    table = pytest.importorskip("mrsimulator.spin_system.isotope").ISOTOPE_DATA
    compared = [entry for entry in isotopes() if entry.name in table]
    assert len(compared) > 115
    assert {entry.name for entry in compared} >= RARELY_MEASURED
    for entry in compared:
        peer = table[entry.name]
        gamma = peer["gyromagnetic_ratio"] * 2e6 * math.pi
        assert peer["spin_multiplicity"] == 2 * entry.spin + 1, entry
        width = 0.02 if entry.name in OTHER_GAMMA_IN_MRSIMULATOR else 0.005
        assert entry.gyromagnetic_ratio == pytest.approx(gamma, rel=width), entry
        width = 0.55 if entry.name in OLD_Q_IN_MRSIMULATOR else 0.26
        assert (entry.quadrupole_moment or 0.0) == pytest.approx(1e3 * peer["quadrupole_moment"], rel=width), entry


@pytest.mark.parametrize("moments", list(nuclei.MOMENTS))
def test_moments_of_isotopes_keep_their_measured_quotients(moments):
    use_moments(moments)
    for (first, second), quotient in QUOTIENTS.items():
        found = isotope(first).quadrupole_moment / isotope(second).quadrupole_moment
        assert found == pytest.approx(quotient, rel=1e-2), (first, second)


def test_another_compilation_of_moments_can_be_chosen():
    """Values of 2018 that differ from those of 2008, their source, and back; what the user set stays."""
    before = isotopes()
    register_isotope(isotope("27Al").replace(quadrupole_moment=148.2))
    use_moments("pyykko2018")
    revised = {"2H": 2.85783, "33S": -69.4, "67Zn": 122, "75As": 311, "127I": -688.22, "139La": 206, "17O": -25.58}
    assert {name: isotope(name).quadrupole_moment for name in revised} == revised
    assert isotope("17O").quadrupole_source == "P. Pyykkö, Mol. Phys. 116 (2018) 1328"
    assert (isotope("27Al").quadrupole_moment, isotope("29Si").quadrupole_moment) == (148.2, None)
    used = nuclei.moments_used([isotope("33S"), None, isotope("27Al"), isotope("29Si"), isotope("33S")])
    assert used == "Q: 33S -69.4 mb (P. Pyykkö, Mol. Phys. 116 (2018) 1328); Q: 27Al 148.2 mb (user)"
    use_moments("pyykko2008")
    assert [entry for entry in isotopes() if entry.name != "27Al"] == [e for e in before if e.name != "27Al"]
    with pytest.raises(InputError, match="pyykko2008, pyykko2018"):
        use_moments("stone")


def test_where_the_shielding_alone_is_known_the_isotope_of_spin_half_is_taken():
    both = {entry.symbol for entry in isotopes() if entry.is_quadrupolar} & {
        entry.symbol for entry in isotopes() if not entry.is_quadrupolar
    }
    chosen = {symbol: (str(default_isotope(symbol)), str(default_isotope(symbol, gradient=False))) for symbol in both}
    assert chosen == {
        "H": ("2H", "1H"), "N": ("14N", "15N"), "Xe": ("131Xe", "129Xe"), "Hg": ("201Hg", "199Hg"),
        "Os": ("189Os", "187Os"), "Yb": ("173Yb", "171Yb"),
    }  # fmt: skip
    assert default_isotope("O", gradient=False) == isotope("17O")
    assert default_isotope("Og", gradient=False) is None


def test_elements_and_mass_numbers_exist_and_spins_fit_them():
    from ase.data import atomic_numbers

    for entry in isotopes():
        assert entry.mass_number >= atomic_numbers[entry.symbol], entry
        # An odd number of nucleons has a half-integer spin; even-even nuclei have none and are not in the table.
        assert (2 * entry.spin) % 2 == entry.mass_number % 2, entry
        assert entry.is_quadrupolar == (entry.quadrupole_moment is not None), entry


@pytest.mark.parametrize("text", ["17O", "O17", "O-17", "17-O", " 17o ", "o17"])
def test_isotopes_are_found_by_any_common_spelling(text):
    found = isotope(text)
    assert (found.symbol, found.mass_number, found.spin, str(found)) == ("O", 17, 2.5, "17O")
    assert isotope(found) is found


def test_deuterium_has_its_own_letter():
    assert isotope("D").name == "2H"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("18O", "did you mean 17O"),
        ("28Al", "27Al"),
        ("O", "17O"),
        ("17Q", "17O"),
        ("xyz", "write it as 17O"),
        ("", "write it as 17O"),
    ],
)
def test_unknown_isotopes_are_refused_with_names_near_them(text, hint):
    with pytest.raises(InputError, match=hint) as caught:
        isotope(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        *[
            ("H", "2H"),
            ("Li", "7Li"),
            ("B", "11B"),
            ("N", "14N"),
            ("O", "17O"),
            ("Na", "23Na"),
            ("Mg", "25Mg"),
            ("Al", "27Al"),
        ],
        *[
            ("Cl", "35Cl"),
            ("K", "39K"),
            ("Ca", "43Ca"),
            ("Ti", "47Ti"),
            ("V", "51V"),
            ("Ga", "71Ga"),
            ("Rb", "87Rb"),
            ("La", "139La"),
        ],
        *[("Si", "29Si"), ("C", "13C"), ("F", "19F"), ("P", "31P"), ("Pb", "207Pb"), ("Sn", "119Sn"), ("Y", "89Y")],
    ],
)
def test_each_element_has_the_default_that_nmr_uses(symbol, name):
    assert default_isotope(symbol).name == name


def test_elements_without_a_nucleus_in_the_table_have_no_default():
    assert default_isotope("Og") is None


def test_a_spin_half_names_its_quadrupolar_sibling_or_says_that_there_is_none():
    with pytest.raises(InputError, match=r"15N has spin 0\.5 and no quadrupole moment.*did you mean 14N\?"):
        coupling_constant(jnp.ones(1), "15N")
    with pytest.raises(InputError, match=r"29Si has spin 0\.5.*Si has no quadrupolar isotope"):
        coupling_constant(jnp.ones(1), isotope("29Si"))
    assert isotope("1H").quadrupolar_sibling.name == "2H"
    assert isotope("29Si").quadrupolar_sibling is None


def test_user_overrides_for_one_call_and_for_good():
    changed = isotope("27Al").replace(quadrupole_moment=148.2, quadrupole_source="Aerts and Brown 2019")
    assert (changed.quadrupole_moment, changed.quadrupole_source) == (148.2, "Aerts and Brown 2019")
    assert isotope("27Al").quadrupole_moment == 146.6
    assert dataclasses.replace(changed, quadrupole_moment=1.0).gyromagnetic_ratio == changed.gyromagnetic_ratio
    register_isotope(changed)
    assert isotope("27Al") == default_isotope("Al") == changed
    ratio = coupling_constant(jnp.ones(()), "27Al") / coupling_constant(
        jnp.ones(()), isotope("27Al").replace(quadrupole_moment=146.6)
    )
    assert float(ratio) == pytest.approx(148.2 / 146.6)


def test_a_changed_value_does_not_keep_the_source_of_the_old_one():
    changed = isotope("17O").replace(quadrupole_moment=-25.6)
    assert (changed.quadrupole_source, changed.gyromagnetic_source) == ("user", isotope("17O").gyromagnetic_source)


def test_new_isotopes_and_defaults_can_be_registered():
    register_isotope(Isotope("Og", 295, 2.5, 100.0, 1e7))
    assert default_isotope("Og").name == "295Og"
    register_isotope(isotope("49Ti"), default=True)
    assert default_isotope("Ti").name == "49Ti"


def test_isotopes_that_cannot_be_are_refused():
    with pytest.raises(InputError, match="multiple of 1/2"):
        Isotope("O", 17, 2.3, None, 1.0)
    with pytest.raises(InputError, match="quadrupole_moment=None"):
        Isotope("Si", 29, 0.5, 3.0, 1.0)
    with pytest.raises(InputError, match="no quadrupole moment is known for 17O"):
        Isotope("O", 17, 2.5, None, 1.0).require_quadrupole()
