"""Metrics against hand-computed tensors, independent programs, symmetry and central differences."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from efg_jax import metrics
from efg_jax.metrics import Scale
from efg_jax.tensors.efg import quadrupolar_frequency
from efg_jax.tensors.euler import euler_angles, euler_from_rotation, rotation_from_euler
from efg_jax.tensors.irreps import to_cartesian, to_spherical
from efg_jax.tensors.nuclei import isotope
from efg_jax.tensors.orientation import misfit_angle
from efg_jax.tensors.principal import principal_axes
from efg_jax.tensors.rotation import random_rotation

SCALE = Scale(30.0, 5.0)
OXYGEN = isotope("17O")
N = 40
IDENTITY = np.eye(3)

compiled = jax.jit(metrics.tensor_observables, static_argnames="isotope")
axes_errors = jax.jit(metrics.axes_errors)
axes_of = jax.jit(principal_axes)
scale_of = jax.jit(Scale.from_tensors)
loss_of = jax.jit(metrics.observable_loss)
percent_by_order = jax.jit(metrics.rmse_percent_by_order, static_argnums=2)


def observe(tensors, field, scale=SCALE, nucleus=OXYGEN):
    """Compiled once for all tests with N tensors."""
    return compiled(tensors, field, Scale(jnp.asarray(scale.mean), jnp.asarray(scale.std)), isotope=nucleus)


def traceless(key, n=N, size=30.0):
    """Random EFG tensors, V/Å²."""
    raw = np.random.default_rng(key).normal(size=(n, 3, 3), scale=size)
    symmetric = (raw + raw.transpose(0, 2, 1)) / 2
    return jnp.asarray(symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] * IDENTITY / 3)


def directions(key, n=N):
    raw = np.random.default_rng(key).normal(size=(n, 3))
    return jnp.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True))


def diagonal(eta, v_zz=30.0):
    """Tensor on its axes with this V_zz and η."""
    return v_zz * jnp.diag(jnp.asarray([-(1 - eta) / 2, -(1 + eta) / 2, 1.0]))


def turned(tensor, key=5):
    rotation = random_rotation(jax.random.key(key))
    return rotation @ tensor @ rotation.T


def numerical_gradient(function, x, step):
    """Central differences of 4th order in every entry."""
    flat, gradient = np.asarray(x).ravel(), []
    for i in range(flat.size):
        shifts = [np.where(np.arange(flat.size) == i, k * step, 0.0) for k in (1, -1, 2, -2)]
        a, b, c, d = (float(function(jnp.asarray((flat + s).reshape(x.shape)))) for s in shifts)
        gradient.append((8 * (a - b) - (c - d)) / (12 * step))
    return np.asarray(gradient).reshape(x.shape)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_observables_of_a_tensor_worked_out_by_hand(sign):
    # V_xx = −10, V_yy = −30, V_zz = 40 V/Å²: η = 1/2, C̃_Q = (40 − 30)/5, η̃ = (30 − 10)/30, for either sign of V_zz.
    tensor = sign * jnp.diag(jnp.asarray([-10.0, -30.0, 40.0]))
    field = jnp.asarray([[0.0, 0, 1], [1, 0, 0], [0, 1, 0], np.array([1, 1, 0]) / np.sqrt(2)])
    seen = observe(jnp.tile(tensor, (4, 1, 1)), field)
    assert_allclose(seen.v_zz, sign * 40.0)
    assert_allclose(seen.eta, 0.5)
    assert_allclose(seen.c_q_tilde, 2.0)
    assert_allclose(seen.eta_tilde, 2.0 / 3.0)
    assert_allclose(seen.theta, [0, np.pi / 2, np.pi / 2, np.pi / 2], atol=1e-12)
    assert_allclose(seen.phi, [0, 0, np.pi / 2, np.pi / 4], atol=1e-12)
    assert_allclose(seen.v_nn, sign * np.array([40.0, -10, -30, -20]))
    # C_Q[MHz] = 2.4179892421e-3 Q[mb] V_zz[V/Å²]; for I = 5/2 and the field along z, ν_Q = 3 C_Q/20.
    assert_allclose(seen.c_q, sign * 2.4179892421e3 * -25.58 * 40.0, rtol=1e-8)
    assert_allclose(seen.nu_q[0], 3 / 20 * seen.c_q[0])


def test_frequency_is_the_convention_free_one():
    tensors, field, nucleus = traceless(0), directions(1), isotope("17O")
    seen = observe(tensors, field)
    assert_allclose(seen.nu_q, quadrupolar_frequency(tensors, field, nucleus), rtol=1e-12)


def test_a_nucleus_of_spin_one_half_has_no_coupling():
    seen = observe(traceless(0), directions(1), nucleus=isotope("29Si"))
    assert seen.c_q is None
    assert seen.nu_q is None
    assert seen.v_nn.shape == (N,)


def test_the_four_scalars_hold_the_frequency_and_eta():
    tensors, field, nucleus = traceless(2), directions(3), isotope("17O")
    scale = scale_of(tensors)
    seen = observe(tensors, field, scale)
    again = metrics.scalar_observables(
        seen.c_q_tilde, seen.eta_tilde, seen.theta, seen.phi, jnp.sign(seen.v_zz), scale, nucleus
    )
    for name in ("v_zz", "eta", "c_q", "v_nn", "nu_q"):
        assert_allclose(getattr(again, name), getattr(seen, name), rtol=1e-9, atol=1e-9, err_msg=name)
    assert again.axes is None


def test_scale_uses_the_magnitude_of_v_zz():
    tensors = traceless(4)
    eigenvalues = np.linalg.eigvalsh(np.asarray(tensors))
    magnitude = np.abs(eigenvalues).max(axis=1)
    mixed = tensors * jnp.where(jnp.arange(N) % 2 == 0, 1.0, -1.0)[:, None, None]
    for given in (tensors, mixed):
        assert_allclose(scale_of(given), [magnitude.mean(), magnitude.std()], rtol=1e-12)


def test_scores_equal_numpy_and_scipy():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=50), rng.normal(size=50)
    got = metrics.scores(jnp.asarray(x), jnp.asarray(y))
    root = np.sqrt(np.mean((x - y) ** 2))
    expected = [np.mean(np.abs(x - y)), root, 100 * root / np.std(x), scipy.stats.pearsonr(x, y).statistic]
    assert_allclose(got, expected, rtol=1e-12)


def test_undefined_scores_are_nan_and_only_those():
    equal, varied = jnp.full(7, 0.1), jnp.linspace(0.0, 1.0, 7)
    assert np.isnan(metrics.pearson_r(equal, varied))
    assert np.isnan(metrics.pearson_r(varied, equal))
    assert np.isnan(metrics.rmse_percent(equal, varied))
    assert_allclose(metrics.rmse_percent(varied, equal), 100 * np.sqrt(np.mean((varied - 0.1) ** 2)) / np.std(varied))
    assert_allclose(metrics.pearson_r(varied, 3.0 * varied - 1.0), 1.0)


def test_rmse_percent_of_tensors():
    reference, predicted = traceless(6), traceless(7)
    value = metrics.rmse_percent(reference, predicted)
    x, y = np.asarray(reference), np.asarray(predicted)
    assert_allclose(value, 100 * np.sqrt(np.mean((x - y) ** 2) / np.mean((x - x.mean(axis=0)) ** 2)), rtol=1e-12)
    # The same from the five irreducible components as from the nine Cartesian ones, and 100 % for the mean tensor.
    assert_allclose(metrics.rmse_percent(to_spherical(reference, 2), to_spherical(predicted, 2)), value, rtol=1e-12)
    assert_allclose(percent_by_order(reference, predicted, (0, 1, 2))[2], value, rtol=1e-12)
    assert_allclose(metrics.rmse_percent(reference, jnp.tile(reference.mean(axis=0), (N, 1, 1))), 100.0)


def test_rmse_percent_by_order_separates_the_parts_of_a_shielding_tensor():
    reference = jnp.asarray(np.random.default_rng(8).normal(size=(N, 3, 3)))
    predicted = jnp.asarray(np.asarray(reference) + 0.1 * IDENTITY)  # wrong in the isotropic part alone
    percent = percent_by_order(reference, predicted, (0, 1, 2))
    isotropic = np.trace(np.asarray(reference), axis1=1, axis2=2) / 3
    assert_allclose(percent[0], 100 * 0.1 / isotropic.std(), rtol=1e-10)
    assert_allclose([percent[1], percent[2]], 0.0, atol=1e-10)


def test_mae_vij_sums_six_components_and_divides_by_n():
    reference = jnp.zeros((2, 3, 3))
    error = jnp.asarray([[1.0, 2, 3], [2, 4, 5], [3, 5, 6]])
    assert_allclose(metrics.mae_vij(reference, jnp.stack([error, 0 * error])), (1 + 2 + 3 + 4 + 5 + 6) / 2)


def test_nothing_depends_on_the_frame():
    reference, field, rotation = traceless(9), directions(10), random_rotation(jax.random.key(11))
    predicted = reference + traceless(12, size=3.0)

    @jax.jit
    def judged(turn):
        a, b, n = turn @ reference @ turn.T, turn @ predicted @ turn.T, field @ turn.T
        left, right = (observe(t, n) for t in (a, b))
        errors = axes_errors(left.axes, right.axes, n)
        frame_free = left._replace(axes=None, quaternion=None), right._replace(axes=None, quaternion=None)
        return frame_free, errors, metrics.rmse_percent(a, b), metrics.observable_loss(a, b, SCALE)

    jax.tree.map(lambda x, y: assert_allclose(x, y, rtol=1e-8, atol=1e-8), judged(jnp.eye(3)), judged(rotation))


@pytest.mark.parametrize("signs", [(1, -1, -1), (-1, 1, -1), (-1, -1, 1)])
def test_signs_of_axes_carry_no_physics(signs):
    reference, field = axes_of(traceless(13)).axes, directions(14)
    predicted = axes_of(traceless(13) + traceless(15, size=3.0)).axes
    flipped = jnp.asarray(np.asarray(predicted) * np.array(signs, dtype=float))
    errors = [axes_errors(reference, axes, field) for axes in (predicted, flipped)]
    jax.tree.map(lambda x, y: assert_allclose(x, y, atol=1e-7), *errors)
    assert_allclose(axes_errors(flipped, predicted, field).q_tilde, 1.0, rtol=1e-12)


def test_theta_and_phi_bound_the_errors_of_the_axes():
    tensors, field = traceless(16), directions(17)
    a = observe(tensors, field)
    b = observe(tensors + traceless(18, size=8.0), field, SCALE)
    errors = axes_errors(a.axes, b.axes, field)
    turn = metrics.direction_angle(a.theta, a.phi, b.theta, b.phi)
    assert np.all(np.abs(a.theta - b.theta) <= errors.z_axis + 1e-9)
    assert np.all(turn <= misfit_angle(errors.q_tilde) + 1e-7)
    assert_allclose(metrics.direction_angle(*(jnp.asarray(x) for x in (0.0, 1.3, 0.4, -2.0))), 0.4)


def test_reassignment_mends_an_ambiguous_order_of_eigenvalues():
    # η → 1: the two large eigenvalues change places through an error of 1 %, and with them the named axes.
    reference = turned(jnp.diag(jnp.asarray([-0.1, -9.9, 10.0])))[None]
    predicted = turned(jnp.diag(jnp.asarray([0.1, -10.0, 9.9])))[None]
    field = directions(19, 1)
    a, b = (observe(t, field, SCALE) for t in (reference, predicted))
    errors = axes_errors(a.axes, b.axes, field)
    assert_allclose(errors.z_axis, np.pi / 2)
    assert_allclose(errors.q_tilde, np.sqrt(0.5))
    assert_allclose(errors.q_tilde_reassigned, 1.0)
    assert_allclose([errors.theta_reassigned, errors.phi_reassigned], [a.theta, a.phi], atol=1e-9)
    assert sorted(np.asarray(errors.permutation[0])) == [0, 1, 2]
    assert errors.permutation[0, 2] != 2


@pytest.mark.parametrize("eta", [0.2, 0.5, 0.8])
def test_smooth_metrics_agree_with_the_exact_ones_away_from_the_edges(eta):
    tensor = turned(diagonal(eta, v_zz=-33.0))
    values = principal_axes(tensor).values
    exact = metrics.c_q_tilde(values[2], SCALE), metrics.eta_tilde(values, SCALE)
    smooth = metrics.smooth_c_q_tilde(tensor, SCALE, 1e-3), metrics.smooth_eta_tilde(tensor, SCALE, 1e-3)
    # μ/σ · width² for C̃_Q and width² for η̃, times a few.
    assert_allclose(smooth, exact, atol=3e-5)


@jax.jit
def smooth_metrics(c):
    """C̃_Q and η̃ of the tensor with these five spherical components, so that each is a free coordinate."""
    return jnp.stack(
        [metrics.smooth_c_q_tilde(to_cartesian({2: c}), SCALE), metrics.smooth_eta_tilde(to_cartesian({2: c}), SCALE)]
    )


slopes_of_smooth_metrics = jax.jit(jax.jacrev(smooth_metrics))


@pytest.mark.parametrize("tensor", [diagonal(0.0), diagonal(1.0), diagonal(0.4, -20.0), 0.1 * diagonal(0.3)])
def test_gradients_of_smooth_metrics_equal_central_differences(tensor):
    components = to_spherical(turned(tensor), 2)
    slopes = slopes_of_smooth_metrics(components)
    for row, slope in enumerate(slopes):
        # The rounding is 0.01 · 30 V/Å² wide: differences have to be finer.
        numerical = numerical_gradient(lambda c: smooth_metrics(c)[row], components, 3e-3)  # noqa: B023
        assert_allclose(slope, numerical, rtol=1e-6, atol=1e-7)


def losses(t, reference):
    """Everything that may serve as a loss, one number each."""
    values = principal_axes(t).values
    return jnp.stack(
        [
            metrics.observable_loss(reference, t, SCALE),
            jnp.sum(metrics.smooth_c_q_tilde(t, SCALE)),
            jnp.sum(metrics.smooth_eta_tilde(t, SCALE)),
            jnp.sum(metrics.tilt(reference, t)),
            metrics.rmse(reference, t),
            metrics.rmse_percent(reference, t),
            metrics.mae_vij(reference, t),
            metrics.mae(reference[:, 2, 2], metrics.c_q_tilde(values[:, 2], SCALE)),
            metrics.mae(reference[:, 2, 2], metrics.eta_tilde(values, SCALE)),
        ]
    )


gradients_of_all_losses = jax.jit(jax.jacrev(losses))


@pytest.mark.parametrize(
    "tensor", [diagonal(0.0), diagonal(1.0), diagonal(1.0, -30.0), diagonal(0.5), jnp.zeros((3, 3))]
)
def test_losses_have_finite_gradients_at_the_edges(tensor):
    reference = jnp.stack([turned(diagonal(0.3)), turned(tensor), turned(diagonal(0.0, -25.0))])
    predicted = jnp.stack([turned(tensor)] * 3)  # once equal to the reference
    assert np.all(np.isfinite(gradients_of_all_losses(predicted, reference)))


def test_smooth_c_q_tilde_has_no_jump_in_its_gradient_where_v_zz_changes_its_sign():
    def exact(tensor):
        return metrics.c_q_tilde(principal_axes(tensor).values[2], SCALE)

    def smooth(tensor):
        return metrics.smooth_c_q_tilde(tensor, SCALE)

    def jump(metric):
        slope, step = jax.jit(jax.grad(metric)), 1e-6 * jnp.diag(jnp.asarray([1.0, -0.5, -0.5]))
        return np.abs(slope(diagonal(1.0) + step) - slope(diagonal(1.0) - step)).max()

    assert jump(exact) > 0.1
    assert jump(smooth) < 1e-4


def test_gradient_of_the_observable_loss_equals_central_differences():
    reference = traceless(20, 4)
    components = to_spherical(reference + traceless(21, 4, size=5.0), 2)

    @jax.jit
    def loss(c):
        return metrics.observable_loss(reference, to_cartesian({2: c}), SCALE)

    gradient = jax.jit(jax.grad(loss))(components)
    assert_allclose(gradient, numerical_gradient(loss, components, 1e-2), rtol=1e-6, atol=1e-8)
    assert_allclose(loss(to_spherical(reference, 2)), 0.0, atol=1e-12)


def test_tilt_of_axial_tensors_is_the_angle_between_their_axes():
    angle = 0.2
    c, s = np.cos(angle), np.sin(angle)
    rotation = jnp.asarray([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    reference, predicted = diagonal(0.0, 30.0), rotation @ diagonal(0.0, 11.0) @ rotation.T
    assert_allclose(metrics.tilt(reference, predicted), s**2, rtol=1e-12)
    assert_allclose(metrics.tilt(reference, reference * 0.3), 0.0, atol=1e-15)
    assert metrics.tilt(reference, 0 * reference) == 0.0
    assert np.all(metrics.tilt(traceless(22), traceless(23)) >= 0)


def test_single_precision_stays_single():
    tensors, field = traceless(24).astype(jnp.float32), directions(25).astype(jnp.float32)
    double = scale_of(traceless(24))  # a scale of another precision is no obstacle
    seen = observe(tensors, field, double, nucleus=OXYGEN)
    errors = axes_errors(seen.axes, seen.axes, field)._replace(permutation=None)
    loss = loss_of(tensors, 1.1 * tensors, double)
    assert {leaf.dtype for leaf in jax.tree.leaves((seen._replace(shape=None), errors, loss))} == {jnp.dtype("float32")}
    reference = observe(tensors.astype(float), field.astype(float), double, nucleus=OXYGEN)
    assert_allclose(seen.nu_q, reference.nu_q, rtol=1e-4, atol=10.0)
    assert_allclose(loss, loss_of(tensors.astype(float), 1.1 * tensors.astype(float), double), rtol=1e-3)


def test_a_prediction_that_is_not_a_number_is_never_perfect():
    reference = jnp.asarray(np.random.default_rng(0).normal(size=(5, 3, 3)))
    predicted = reference.at[2, 0, 0].set(jnp.nan)
    assert jnp.isnan(metrics.rmse(reference, predicted))
    assert jnp.isnan(metrics.rmse_percent(reference, predicted))


@pytest.mark.parametrize("passive", [True, False])
def test_euler_differences_lead_to_the_predicted_tensor_by_the_shortest_way(passive):
    rotations = Rotation.random(40, random_state=7)
    reference = rotations.as_matrix()
    predicted = (rotations * Rotation.from_rotvec(0.2 * np.random.default_rng(8).normal(size=(40, 3)))).as_matrix()
    signs = np.diag([-1.0, -1.0, 1.0])  # the same tensor
    compare, angles_of, set_of = (
        jax.jit(partial(function, passive=passive))
        for function in (metrics.euler_differences, euler_angles, euler_from_rotation)
    )
    away = np.asarray(compare(jnp.asarray(reference), jnp.asarray(predicted @ signs)))
    own = np.asarray(angles_of(jnp.asarray(reference)))
    rebuilt = np.asarray(rotation_from_euler(jnp.asarray(own + away), passive=passive))
    values = np.diag([-0.3, -0.7, 1.0])
    assert_allclose(
        rebuilt @ values @ rebuilt.swapaxes(1, 2), predicted @ values @ predicted.swapaxes(1, 2), atol=1e-12
    )
    every = [[1, 1, 1], [-1, -1, 1], [1, -1, -1], [-1, 1, -1]]
    sets = [np.asarray(set_of(jnp.asarray(predicted * np.array(s, float)))) for s in every]
    brute = [np.linalg.norm((found - own + np.pi) % (2 * np.pi) - np.pi, axis=-1) for found in sets]
    assert_allclose(np.linalg.norm(away, axis=-1), np.min(brute, axis=0), atol=1e-12)
