import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from tensor_testing import ORACLE_SHIELDING, any_tensors, difference, random_axes, random_tensors
from tensors_compiled import haeberlen, maryland, shift_tensor

from efg_jax.errors import InputError
from efg_jax.tensors import (
    isotropic,
    principal_components,
    principal_from_haeberlen,
    principal_from_maryland,
    shielding_from_shift,
    shift,
    to_spherical,
)

SENSES = ("shielding", "shift")


def test_oracle_tensor_in_every_convention(dtype, eps):
    tensor = jnp.asarray(ORACLE_SHIELDING, dtype=dtype)
    found, other = haeberlen(tensor), maryland(tensor, sense="shielding")
    assert {value.dtype for value in (*found, *other)} == {dtype}
    to_last_digit = {"rtol": 10 * eps, "atol": 0.51e-5}
    assert_allclose(
        [found.iso, found.zeta, found.anisotropy, found.eta], [70, 50.98815, 76.48222, 0.60976], **to_last_digit
    )
    assert_allclose([other.iso, other.span, other.skew], [70, 92.02753, 0.32432], **to_last_digit)
    components = principal_components(tensor, sense="shielding")
    assert_allclose(components, [28.96061, 60.05124, 120.98815], **to_last_digit)


def test_soprano_agrees_on_random_tensors():
    soprano_tensor = pytest.importorskip("soprano.nmr.tensor")
    for tensor in 50 * random_tensors(10, seed=31):
        peer = soprano_tensor.MagneticShielding(tensor, species="29Si", reference=330.0)
        sigma = jnp.asarray(tensor)
        delta = shift_tensor(sigma, 330.0)
        found, shifted = haeberlen(sigma), haeberlen(delta)
        assert_allclose([found.iso, found.zeta, found.anisotropy, found.eta], peer.haeberlen_shielding, rtol=1e-10)
        assert_allclose([shifted.iso, shifted.zeta, shifted.anisotropy, shifted.eta], peer.haeberlen_shift, rtol=1e-10)
        assert_allclose(maryland(sigma, sense="shielding"), peer.maryland_shielding, rtol=1e-10)
        assert_allclose(principal_components(sigma, sense="shielding"), peer.iupac_shielding[1:], rtol=1e-10)
        assert_allclose(principal_components(delta, sense="shift"), peer.iupac_shift[1:], rtol=1e-10)
        # Soprano 0.11.4 documents κ = 3(δ_22 − δ_iso)/Ω for a shift and returns the opposite; and its span of the shift
        # is that of σ.
        iso, _, skew = maryland(delta, sense="shift")
        assert_allclose([iso, skew], [peer.maryland_shift[0], -peer.maryland_shift[2]], rtol=1e-10)


def test_castep_ethanol(external):
    from ase.io import read

    ethanol = read(external("soprano_ethanol.magres"), format="magres")
    rows = [line.split() for line in external("soprano_ethanol_ms.dat").read_text().splitlines()]
    expected = {
        row[0]: [float(value) for value in row[1:8]] for row in rows if row and row[0][:2] in ("H_", "O_", "C_")
    }
    tensors = jnp.asarray(ethanol.arrays["ms"])
    found = haeberlen(tensors)
    components = principal_components(tensors, sense="shielding")
    for row, (name, index) in enumerate(zip(ethanol.arrays["labels"], ethanol.arrays["indices"], strict=True)):
        iso, anisotropy, zeta, eta, *principal = expected[f"{name}_{index}"]
        got = [found.iso[row], found.anisotropy[row], found.zeta[row], found.eta[row]]
        assert_allclose(got, [iso, anisotropy, zeta, eta], rtol=0, atol=2e-7)
        assert_allclose(components[row], sorted(principal), rtol=0, atol=2e-7)


@given(any_tensors())
def test_haeberlen_parameters_rebuild_the_principal_values(tensor):
    tensor, scale = jnp.asarray(tensor), np.abs(tensor).max() + 1e-300
    found = haeberlen(tensor)
    values = np.asarray(principal_from_haeberlen(*found))
    assert_allclose(np.sort(values), np.linalg.eigvalsh((tensor + tensor.T) / 2), rtol=0, atol=1e-13 * scale)
    deviations = np.abs(values - values.mean())
    slack = 1e-13 * scale
    assert deviations[2] >= deviations[0] - slack
    assert deviations[0] >= deviations[1] - slack
    assert -1e-12 <= float(found.eta) <= 1 + 1e-12


@given(any_tensors(), st.sampled_from(SENSES))
def test_maryland_parameters_rebuild_the_principal_components(tensor, sense):
    tensor, scale = jnp.asarray(tensor), np.abs(tensor).max() + 1e-300
    found = maryland(tensor, sense=sense)
    components = principal_components(tensor, sense=sense)
    assert_allclose(principal_from_maryland(*found, sense=sense), components, rtol=0, atol=1e-13 * scale)
    assert np.all(np.diff(components) * (1 if sense == "shielding" else -1) >= 0)
    assert float(found.span) >= 0
    assert abs(float(found.skew)) <= 1 + 1e-12


@given(st.floats(-500, 500), st.floats(0.1, 100), st.floats(-1, 1), st.sampled_from(SENSES))
def test_tensors_are_made_from_maryland_parameters(iso, span, skew, sense):
    axes = random_axes(1)[0]
    components = principal_from_maryland(*(jnp.asarray(value) for value in (iso, span, skew)), sense=sense)
    found = maryland(jnp.asarray(axes @ np.diag(components) @ axes.T), sense=sense)
    assert_allclose(found, [iso, span, skew], rtol=1e-9, atol=1e-9)


@given(st.floats(-500, 500), st.sampled_from([-1.0, 1.0]), st.floats(0.1, 100), st.floats(0, 1))
def test_tensors_are_made_from_haeberlen_parameters(iso, sign, size, eta):
    axes = random_axes(1, seed=5)[0]
    values = principal_from_haeberlen(*(jnp.asarray(value) for value in (iso, sign * size, eta)))
    found = haeberlen(jnp.asarray(axes @ np.diag(values) @ axes.T))
    assert_allclose([found.iso, abs(found.zeta), found.eta], [iso, size, eta], rtol=1e-9, atol=1e-9)
    if eta < 1 - 1e-6:  # at η = 1 both ends are equally far from the mean
        assert_allclose(found.zeta, sign * size, rtol=1e-9)


def test_passing_to_shift_flips_zeta_and_nothing_else():
    sigma = jnp.asarray(ORACLE_SHIELDING)
    before, after = haeberlen(sigma), haeberlen(shift_tensor(sigma, 0.0))
    assert_allclose([after.iso, after.zeta, after.eta], [-before.iso, -before.zeta, before.eta], rtol=1e-13)
    # One site has one skew, read from either tensor in its own sense; the same numbers in the other sense have the
    # opposite one.
    skew = maryland(sigma, sense="shielding").skew
    assert_allclose(maryland(shift_tensor(sigma, 0.0), sense="shift").skew, skew, rtol=1e-13)
    assert_allclose(maryland(sigma, sense="shift").skew, -skew, rtol=1e-13)


def test_shift_is_the_relative_difference_of_frequencies():
    """δ = (ν − ν_ref)/ν_ref with ν = ν_0(1 − σ), in ppm, the denominator included (IUPAC 2008)."""
    sigma, reference = 5000.0, 12000.0  # ppm, as of heavy nuclei: the denominator is 1.2 %
    exact = ((1 - sigma * 1e-6) - (1 - reference * 1e-6)) / (1 - reference * 1e-6) * 1e6
    found = shift(jnp.asarray([sigma]), reference)
    assert_allclose(found, [exact], rtol=1e-12)
    assert_allclose(found, [(reference - sigma) / 0.988], rtol=1e-12)
    assert_allclose(shielding_from_shift(found, reference), [sigma], rtol=1e-12)


def test_shift_of_a_tensor_keeps_its_trace_and_its_antisymmetric_part(dtype, eps):
    sigma = jnp.asarray(np.stack([ORACLE_SHIELDING, 2 * ORACLE_SHIELDING]), dtype=dtype)
    references = jnp.asarray([150.0, 160.0], dtype=dtype)
    delta = shift_tensor(sigma, references)
    assert delta.dtype == dtype
    assert_allclose(isotropic(delta), shift(isotropic(sigma), references), rtol=20 * eps)
    scale = -1 / (1 - 1e-6 * np.array([[150.0], [160.0]]))
    assert_allclose(to_spherical(delta, 1), scale * np.asarray(to_spherical(sigma, 1)), rtol=20 * eps)
    assert_allclose(shift_tensor(sigma, 150.0)[0], delta[0], rtol=10 * eps)


def test_a_shift_without_a_reference_is_an_error():
    for function, argument in ((shift, jnp.ones(2)), (shift_tensor, jnp.eye(3)), (shielding_from_shift, jnp.ones(2))):
        with pytest.raises(InputError, match="needs the shielding of a reference compound"):
            function(argument, None)
        with pytest.raises(TypeError, match="reference"):
            function(argument)


def test_the_sense_is_never_guessed():
    with pytest.raises(InputError, match="unknown sense 'delta'"):
        maryland(jnp.eye(3), sense="delta")
    with pytest.raises(TypeError, match="sense"):
        maryland(jnp.eye(3))


def test_isotropic_sites_have_no_shape_and_finite_derivatives(dtype):
    tensor = 100 * jnp.eye(3, dtype=dtype)
    for function in (lambda t: sum(haeberlen(t)), lambda t: sum(maryland(t, sense="shift"))):
        value, gradient = jax.jit(jax.value_and_grad(function))(tensor)
        assert float(value) == 100.0
        assert bool(jnp.all(jnp.isfinite(gradient)))


def test_gradients_equal_central_differences():
    for function in (lambda t: jnp.stack(haeberlen(t)), lambda t: jnp.stack(maryland(t, sense="shielding"))):
        found = jax.jit(jax.jacrev(function))(jnp.asarray(ORACLE_SHIELDING))
        assert_allclose(found, difference(jax.jit(function), ORACLE_SHIELDING, step=1e-2), rtol=0, atol=1e-9)
