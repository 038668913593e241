import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose
from tensor_testing import (
    ORACLE_EFG,
    axial_tensor,
    difference,
    efg_tensors,
    random_axes,
    random_efgs,
    rotations,
)
from tensors_compiled import (
    angular_quadrupolar_frequency,
    asymmetry,
    asymmetry_invariant,
    asymmetry_squared,
    invariant_strength,
    paper_quadrupolar_frequency,
    polar_angles,
    principal_axes,
    quadrupolar_frequency,
)

from efg_jax.errors import InputError
from efg_jax.tensors import (
    HZ_PER_MILLIBARN_V_PER_ANGSTROM2,
    V_PER_ANGSTROM2_PER_ATOMIC_UNIT,
    coupling_constant,
    isotope,
    principal_values,
    quadrupolar_product,
)


@pytest.fixture
def oracle(dtype):
    return jnp.asarray(ORACLE_EFG * V_PER_ANGSTROM2_PER_ATOMIC_UNIT, dtype=dtype)


def test_units_are_codata():
    constants = pytest.importorskip("scipy.constants")
    atomic_unit = constants.physical_constants["atomic unit of electric field gradient"][0]  # V/m²
    assert_allclose(V_PER_ANGSTROM2_PER_ATOMIC_UNIT, atomic_unit * 1e-20, rtol=1e-8)
    assert_allclose(HZ_PER_MILLIBARN_V_PER_ANGSTROM2, constants.e * 1e-31 * 1e20 / constants.h, rtol=1e-14)
    assert_allclose(HZ_PER_MILLIBARN_V_PER_ANGSTROM2 * 1e-6, 2.4179892421e-3, rtol=1e-10)
    assert_allclose(HZ_PER_MILLIBARN_V_PER_ANGSTROM2 * V_PER_ANGSTROM2_PER_ATOMIC_UNIT * 1e-6, 0.23496477847, rtol=1e-8)


@pytest.mark.parametrize(
    ("name", "megahertz", "last_digit"),
    [
        ("17O", -2.27538397, 1e-8),
        ("7Li", -3.56696, 1e-5),
        ("47Ti", 26.86341, 1e-5),
        ("49Ti", 21.97106, 1e-5),
        ("27Al", 13.04032, 1e-5),
        ("2H", 0.2544018, 1e-7),
        ("14N", 1.818172, 1e-6),
        ("23Na", 9.250975, 1e-6),
    ],
)
def test_coupling_constants_of_the_oracle_tensor(name, megahertz, last_digit, oracle, dtype, eps):
    c_q = coupling_constant(principal_axes(oracle).zz, name)
    assert c_q.dtype == dtype
    assert_allclose(c_q * 1e-6, megahertz, rtol=10 * eps, atol=0.51 * last_digit)


def test_asymmetry_and_product_of_the_oracle_tensor(oracle, eps):
    values = principal_axes(oracle).values
    for eta in (asymmetry(values), asymmetry_invariant(oracle), jnp.sqrt(asymmetry_squared(oracle))):
        assert_allclose(eta, 0.5765708, rtol=20 * eps, atol=0.51e-7)
    product = quadrupolar_product(values[2], asymmetry(values), "17O")
    assert_allclose(product * 1e-6, -2.398142, rtol=10 * eps, atol=0.51e-6)
    assert_allclose(coupling_constant(invariant_strength(oracle), "17O"), -jnp.abs(product), rtol=10 * eps)


def test_axis_order_decides_the_sign_in_the_angular_form(oracle, eps):
    """n·V·n/V_zz of the oracle tensor along the lab's z: −0.39622 with "+", −0.46822 with the paper's "−"."""
    found = principal_axes(oracle)
    theta, phi = polar_angles(found.axes, jnp.asarray([0.0, 0.0, 1.0], dtype=oracle.dtype))
    c_q = coupling_constant(found.zz, "17O")
    arguments = (c_q, asymmetry(found.values), theta, phi, 2.5)
    unit = c_q * 3 / 20  # 3/(2I(2I − 1)) at I = 5/2
    assert_allclose(angular_quadrupolar_frequency(*arguments) / unit, -0.39622, rtol=20 * eps, atol=0.51e-5)
    assert_allclose(paper_quadrupolar_frequency(*arguments) / unit, -0.46822, rtol=20 * eps, atol=0.51e-5)
    field = jnp.asarray([0.0, 0.0, -2.0], dtype=oracle.dtype)  # neither sense nor length of the field matters
    assert_allclose(quadrupolar_frequency(oracle, field, "17O") / unit, -0.39622, rtol=20 * eps, atol=0.51e-5)


@given(efg_tensors(), rotations())
def test_angular_form_equals_the_convention_free_one(tensor, rotation):
    tensor, field = jnp.asarray(tensor), jnp.asarray(rotation[:, 0])
    found = principal_axes(tensor)
    theta, phi = polar_angles(found.axes, field)
    c_q, eta = coupling_constant(found.zz, "27Al"), asymmetry(found.values)
    exact = quadrupolar_frequency(tensor, field, "27Al")
    assert_allclose(angular_quadrupolar_frequency(c_q, eta, theta, phi, 2.5), exact, rtol=0, atol=1e-13 * abs(c_q))
    # The paper's form is right for an azimuth from the intermediate axis, 90° away.
    assert_allclose(
        paper_quadrupolar_frequency(c_q, eta, theta, phi + np.pi / 2, 2.5), exact, rtol=0, atol=1e-13 * abs(c_q)
    )


def spin_operators(spin: float) -> np.ndarray:
    m = np.arange(spin, -spin - 1, -1)
    raising = np.diag(np.sqrt(spin * (spin + 1) - m[1:] * (m[1:] + 1)), k=1)
    return np.array([(raising + raising.T) / 2, (raising - raising.T) / 2j, np.diag(m)])


@pytest.mark.parametrize("name", ["2H", "7Li", "27Al", "43Ca"])
def test_frequency_is_the_splitting_of_the_quadrupolar_hamiltonian_in_a_strong_field(name):
    """Neighbouring transitions of H = ν_L I·n + eQ/(6I(2I−1)h) Σ V_ij [3/2(I_i I_j + I_j I_i) − δ_ij I(I+1)] lie
    ν_Q(n) apart.
    """
    nucleus = isotope(name)
    tensor, field = random_efgs(1, seed=9)[0], random_axes(1, seed=9)[0][:, 2]
    spin, operators = nucleus.spin, spin_operators(nucleus.spin)
    strength = HZ_PER_MILLIBARN_V_PER_ANGSTROM2 * nucleus.quadrupole_moment / (6 * spin * (2 * spin - 1))
    products = np.einsum("iab,jbc->ijac", operators, operators)
    quadrupolar = strength * 1.5 * np.einsum("ij,ijab->ab", tensor, products + products.transpose(1, 0, 2, 3))
    nu_q = float(quadrupolar_frequency(jnp.asarray(tensor), jnp.asarray(field), name))
    larmor = 1e7 * abs(nu_q)
    levels = np.linalg.eigvalsh(larmor * np.einsum("i,iab->ab", field, operators) + quadrupolar)
    assert_allclose(np.diff(levels, n=2), nu_q, rtol=1e-4)


def test_frequency_averages_to_zero_over_the_sphere():
    points, weights = np.polynomial.legendre.leggauss(8)
    azimuths = np.arange(8) * np.pi / 4
    directions = np.array(
        [[np.sqrt(1 - z * z) * np.cos(a), np.sqrt(1 - z * z) * np.sin(a), z] for z in points for a in azimuths]
    )
    tensors = jnp.broadcast_to(jnp.asarray(random_efgs(1)[0]), (64, 3, 3))
    frequencies = quadrupolar_frequency(tensors, jnp.asarray(directions), "17O")
    assert_allclose(np.repeat(weights, 8) @ frequencies, 0.0, atol=1e-10 * float(jnp.max(jnp.abs(frequencies))))


def test_one_field_direction_serves_all_atoms(dtype, eps):
    tensors = jnp.asarray(random_efgs(4), dtype=dtype)
    field = jnp.asarray([0.6, 0.0, 0.8], dtype=dtype)
    found = quadrupolar_frequency(tensors, field, "17O")
    assert found.dtype == dtype
    assert_allclose(found, quadrupolar_frequency(tensors, jnp.broadcast_to(field, (4, 3)), "17O"), rtol=10 * eps)


def test_soprano_agrees_on_random_tensors():
    soprano_tensor = pytest.importorskip("soprano.nmr.tensor")
    for efg in random_efgs(10, seed=2):
        peer = soprano_tensor.ElectricFieldGradient(efg, "27Al")
        tensor = jnp.asarray(efg * V_PER_ANGSTROM2_PER_ATOMIC_UNIT)
        values = principal_axes(tensor).values
        # 1e-8: Soprano takes the atomic unit from whichever CODATA scipy has.
        assert_allclose(coupling_constant(values[2], "27Al"), peer.Cq, rtol=1e-8)
        assert_allclose(asymmetry(values), peer.eta, rtol=0, atol=1e-12)
        assert_allclose(quadrupolar_product(values[2], asymmetry(values), "27Al"), peer.Pq, rtol=1e-8)
        along_z = quadrupolar_frequency(tensor, principal_axes(tensor).z_axis, "27Al")
        assert_allclose(along_z, peer.nuq, rtol=1e-8)


def test_castep_ethanol(external):
    from ase.io import read

    ethanol = read(external("soprano_ethanol.magres"), format="magres")
    rows = [line.split() for line in external("soprano_ethanol_efg.dat").read_text().splitlines()]
    expected = {row[0]: (float(row[1]), float(row[2])) for row in rows if row and row[0][:2] in ("H_", "O_", "C_")}
    found = principal_axes(jnp.asarray(ethanol.arrays["efg"] * V_PER_ANGSTROM2_PER_ATOMIC_UNIT))
    eta = asymmetry(found.values)
    for row, (name, index) in enumerate(zip(ethanol.arrays["labels"], ethanol.arrays["indices"], strict=True)):
        c_q, expected_eta = expected[f"{name}_{index}"]
        assert_allclose(eta[row], expected_eta, rtol=0, atol=1e-7)
        if name != "C":  # MagresView prints zero for a nucleus without a quadrupole moment
            # MagresView's conversion from atomic units is good to 5e-6.
            nucleus = {"H": "2H", "O": "17O"}[name]
            assert_allclose(abs(coupling_constant(found.zz[row], nucleus)), abs(c_q), rtol=1e-5)
    assert_allclose(abs(coupling_constant(found.zz[8], "17O")) * 1e-6, 11.1884, rtol=1e-5)
    assert_allclose(eta[8], 0.82329, atol=5e-6)


@given(efg_tensors())
def test_asymmetry_lies_between_zero_and_one_by_every_route(tensor):
    values = principal_axes(jnp.asarray(tensor)).values
    eta = float(asymmetry(values))
    assert -1e-13 <= eta <= 1 + 1e-13
    assert_allclose(asymmetry_squared(jnp.asarray(tensor)), eta**2, rtol=0, atol=1e-13)
    assert_allclose(asymmetry_invariant(jnp.asarray(tensor)), eta, rtol=0, atol=1e-6)
    assert_allclose(principal_values(values[2], asymmetry(values)), values, rtol=0, atol=1e-13 * np.abs(tensor).max())
    strength = abs(values[2]) * np.sqrt(1 + eta**2 / 3)
    assert_allclose(invariant_strength(jnp.asarray(tensor)), strength, rtol=1e-13)


def test_zero_tensor_has_no_asymmetry_and_finite_derivatives(dtype):
    zero = jnp.zeros((3, 3), dtype=dtype)
    functions = [
        lambda t: asymmetry(principal_axes(t).values),
        asymmetry_squared,
        asymmetry_invariant,
        invariant_strength,
        lambda t: quadrupolar_product(principal_axes(t).zz, asymmetry(principal_axes(t).values), "17O"),
    ]
    for function in functions:
        value, gradient = jax.jit(jax.value_and_grad(function))(zero)
        assert float(value) == 0.0
        assert gradient.dtype == dtype
        assert bool(jnp.all(jnp.isfinite(gradient)))


def test_gradients_equal_central_differences():
    tensor = random_efgs(1, seed=11)[0]
    field = jnp.asarray([0.3, -0.5, 0.8])
    functions = [
        lambda t: asymmetry(principal_axes(t).values),
        asymmetry_squared,
        asymmetry_invariant,
        invariant_strength,
        lambda t: coupling_constant(principal_axes(t).zz, "17O") * 1e-4,
        lambda t: quadrupolar_frequency(t, field, "17O") * 1e-4,
    ]
    for function in functions:
        found = jax.jit(jax.grad(function))(jnp.asarray(tensor))
        expected = difference(jax.jit(function), tensor)
        assert_allclose(found, expected, rtol=0, atol=1e-6 * np.abs(expected).max())


def test_squared_asymmetry_is_smooth_at_zero():
    """η² grows as (d_xx − d_yy)² + 4 d_xy² over V_zz² when an axial tensor changes by d: gradient 0, that Hessian."""
    axes, v_zz = random_axes(1, seed=12)[0], 2.0
    tensor = axial_tensor(v_zz, axes)
    gradient = np.asarray(jax.jit(jax.grad(asymmetry_squared))(jnp.asarray(tensor)))
    # Along the identity η² is not defined: an EFG has no trace.
    assert_allclose(gradient, np.trace(gradient) / 3 * np.eye(3), rtol=0, atol=1e-13)
    hessian = jax.jit(jax.hessian(asymmetry_squared))(jnp.asarray(tensor))
    change = random_efgs(1, seed=13)[0]
    in_axes = axes.T @ change @ axes
    exact = 2 * ((in_axes[0, 0] - in_axes[1, 1]) ** 2 + 4 * in_axes[0, 1] ** 2) / v_zz**2
    assert_allclose(np.einsum("ij,ijkl,kl", change, hessian, change), exact, rtol=1e-10)


def test_nuclei_without_quadrupole_moment_are_refused():
    with pytest.raises(InputError, match="13C has spin"):
        quadrupolar_frequency(jnp.eye(3), jnp.ones(3), "13C")
    with pytest.raises(InputError, match="it takes spin 1 or more"):
        paper_quadrupolar_frequency(*(jnp.ones(1),) * 4, 0.5)
