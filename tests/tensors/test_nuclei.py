import dataclasses

import jax.numpy as jnp
import pytest

from efg_jax.errors import InputError
from efg_jax.tensors import Isotope, coupling_constant, default_isotope, isotope, isotopes, nuclei, register_isotope

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
EXCITED_STATE_MOMENTS = {"19F", "57Fe", "77Se", "119Sn"}
WRONG_SIGN_IN_SOPRANO = {"95Mo"}


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
        assert entry.gyromagnetic_ratio == pytest.approx(sign * peer["gamma"], rel=1e-7), entry
    assert compared > 80


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
