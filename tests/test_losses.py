"""The smooth q̃ and the losses made of it, against the exact metrics, means over noise and over rotations, and central
differences.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose

from efg_jax import metrics
from efg_jax.metrics import Scale
from efg_jax.tensors.irreps import to_cartesian, to_spherical
from efg_jax.tensors.orientation import rotation_from_quaternion
from efg_jax.tensors.principal import principal_axes

SCALE = Scale(30.0, 5.0)
WIDTH = 0.01
NOISE = WIDTH * SCALE.mean  # V/Å²
# η: at the edges, far within the width, on its scale, and away
EDGES = [0.0, 1e-3, WIDTH, 0.4, 1 - WIDTH, 1 - 1e-3, 1.0]
LOSSES = [metrics.observable_loss, metrics.tilt_loss]

smooth = jax.jit(lambda a, b, width=WIDTH: metrics.smooth_q_tilde(a, b, SCALE, width))
slope = jax.jit(jax.grad(lambda b, a, width=WIDTH: jnp.sum(metrics.smooth_q_tilde(a, b, SCALE, width))))
compiled_rotation, compiled_axes = jax.jit(rotation_from_quaternion), jax.jit(principal_axes)


@jax.jit
def exact(a, b):
    # One decomposition of both: two in one program, of thousands of tensors each, can deadlock (jaxlib 0.10.2, CPU).
    return metrics.q_tilde(*principal_axes(jnp.stack([a, b])).axes)


def rotations(rng, n):
    return np.asarray(compiled_rotation(rng.normal(size=(n, 4))))


def diagonal(eta, v_zz=SCALE.mean):
    eta = np.asarray(eta, dtype=float)
    return v_zz * np.stack([-(1 - eta) / 2, -(1 + eta) / 2, np.ones_like(eta)], axis=-1)[..., None] * np.eye(3)


def turned(tensors, rotation):
    return jnp.asarray(rotation @ tensors @ np.swapaxes(rotation, -1, -2))


def random_tensors(rng, n, size):
    """Traceless, the same in every frame; the off-diagonal elements with this standard deviation, V/Å²."""
    raw = rng.normal(size=(n, 3, 3), scale=size / np.sqrt(2.0))
    symmetric = raw + raw.transpose(0, 2, 1)
    return jnp.asarray(symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3)


def edge_pairs(rng):
    """All pairs of the edges and of both signs, once with the same axes, once 30° apart, and once anywhere."""
    pairs = np.array(list(itertools.product(EDGES, EDGES)))
    reference, predicted = diagonal(pairs[:, 0]), diagonal(pairs[:, 1], v_zz=-21.0)
    reference, predicted = np.tile(reference, (6, 1, 1)), np.concatenate([predicted] * 3 + [-predicted] * 3)
    frame = rotations(rng, len(reference))
    small = rng.normal(size=(len(reference), 4)) * [0.0, 1.0, 1.0, 1.0]
    small *= np.sin(np.pi / 12) / np.linalg.norm(small, axis=1, keepdims=True)
    small[:, 0] = np.cos(np.pi / 12)
    apart = np.array(compiled_rotation(small))
    n = len(pairs)
    for start in (0, 3 * n):
        apart[start : start + n] = np.eye(3)
        apart[start + 2 * n : start + 3 * n] = rotations(rng, n)
    return turned(reference, frame), turned(predicted, frame @ apart)


@pytest.fixture
def rng():
    return np.random.default_rng(7)


def test_equals_the_exact_q_tilde_away_from_the_edges(rng):
    """Error below (a few) exp(−(g/ν)²) with g from the eigenvalues: nothing at all where they are well apart."""
    reference = random_tensors(rng, 400, 20.0)
    predicted = reference + random_tensors(rng, 400, 4.0)
    truth = exact(reference, predicted)
    values = np.abs([compiled_axes(t).values for t in (reference, predicted)])
    g = np.minimum(values[..., 1] - values[..., 0], values[..., 0] / 1.5).min(axis=0)
    errors = []
    for width in (0.08, 0.04, 0.02, 0.01):
        error = np.abs(smooth(reference, predicted, width) - truth)
        noise = width * SCALE.mean
        # The 10 %: ν² beside j = Tr V²/2 in the smooth sign.
        assert np.all(error <= 2 * np.exp(-((0.9 * g / noise) ** 2)) + 1e-12)
        assert np.all(error[g > 6 * noise] < 1e-12)
        errors.append(error.mean())
    assert np.all(np.asarray(errors[1:]) < 0.7 * np.asarray(errors[:-1]))
    assert np.mean(g > 6 * NOISE) > 0.5  # of most, no single digit is lost


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_axis_aligned_tensors_in_every_order_of_axes(sign):
    values = np.diagonal(diagonal(0.4), axis1=-2, axis2=-1)
    orders = [np.diag(values[list(order)]) for order in itertools.permutations(range(3))]
    reference, predicted = (jnp.asarray(t) for t in zip(*itertools.product(orders, orders), strict=True))
    found = smooth(reference, sign * 0.7 * predicted)
    assert_allclose(found, exact(reference, sign * 0.7 * predicted), atol=1e-12)
    # Same axes 1; two exchanged, a turn of 90°, cos 45°; a cycle of three, a turn of 120°, cos 60°.
    assert_allclose(np.unique(np.round(found, 9)), [0.5, np.sqrt(0.5), 1.0], atol=1e-8)


@pytest.mark.parametrize("eta", EDGES)
def test_is_about_the_mean_of_the_exact_one_over_noise_of_this_width(eta, rng):
    """At and between the edges, where the exact one for a single tensor means nothing."""
    frame = rotations(rng, 1)
    reference, predicted = turned(diagonal([eta]), frame), turned(diagonal([0.6], v_zz=25.0), frame)
    n = 8000
    noisy = [t + random_tensors(rng, n, 0.5 * NOISE) for t in (reference, predicted)]
    assert_allclose(smooth(reference, predicted)[0], exact(*noisy).mean(), atol=0.015)


def test_lost_axes_count_as_the_mean_over_all_they_could_be(rng):
    tensor, n = diagonal(0.5), 40000
    anywhere = turned(np.tile(tensor, (n, 1, 1)), rotations(rng, n))
    everywhere = jnp.tile(jnp.asarray(tensor), (n, 1, 1))
    mean = exact(everywhere, anywhere).mean()
    assert_allclose(smooth(everywhere[:1], jnp.zeros((1, 3, 3))), [mean], atol=2e-3)
    angles = (np.arange(n) + 0.5) * 2 * np.pi / n
    zero, one, c, s = np.zeros(n), np.ones(n), np.cos(angles), np.sin(angles)
    about_z = np.moveaxis(np.array([[c, -s, zero], [s, c, zero], [zero, zero, one]]), -1, 0)
    mean = exact(everywhere, turned(tensor, about_z)).mean()
    assert_allclose(smooth(everywhere[:1], jnp.asarray(diagonal([0.0]))), [mean], atol=1e-6)


def test_symmetries(rng):
    reference, predicted = edge_pairs(rng)
    truth = smooth(reference, predicted)
    assert np.all((truth >= 0.5) & (truth <= 1 + 1e-12))
    assert_allclose(smooth(predicted, reference), truth, atol=1e-12)
    rotation = rotations(rng, 1)
    # At η = 0 and η = 1 as well: no choice that LAPACK makes among degenerate axes may show.
    assert_allclose(smooth(turned(reference, rotation), turned(predicted, rotation)), truth, atol=1e-9)
    assert_allclose(smooth(-reference, -predicted), truth, atol=1e-9)
    larger = metrics.smooth_q_tilde(8 * reference, 8 * predicted, Scale(8 * SCALE.mean, 1.0), WIDTH)
    assert_allclose(larger, truth, atol=1e-12)


def central_differences(function, c, step):
    """Fourth order, in each of the five spherical components of every tensor; function gives one number a tensor."""
    out = []
    for unit in np.eye(5):
        a, b, d, e = (np.asarray(function(c + k * step * unit[None])) for k in (1, -1, 2, -2))
        out.append((8 * (a - b) - (d - e)) / (12 * step))
    return np.stack(out, axis=-1)


def test_gradient_equals_central_differences_near_the_edges(rng):
    eta = rng.permutation(np.array(EDGES[1:-1] * 24))
    reference = turned(diagonal(eta), rotations(rng, len(eta)))
    predicted = turned(diagonal(rng.permutation(eta), v_zz=-19.0), rotations(rng, len(eta)))
    predicted = jnp.concatenate([predicted[:60], (reference + random_tensors(rng, len(eta), NOISE))[60:]])
    components = to_spherical(predicted, 2)

    @jax.jit
    def value(c):
        return smooth(reference, to_cartesian({2: c}))

    gradient = jax.jit(jax.grad(lambda c: jnp.sum(value(c))))(components)
    # Steps well below the smallest gap, 19e-3 V/Å², and so small that none meets a kink of the maximum over the four
    # frames.
    assert_allclose(gradient, central_differences(value, components, 5e-5), rtol=1e-5, atol=1e-7 / NOISE)
    assert np.median(np.abs(gradient).max(axis=1)) > 1e-3 / NOISE  # there is something to compare


def test_gradient_is_bounded_everywhere(rng):
    """0.26/(width·μ) was the largest that 2·10⁵ random pairs had; the exact q̃ has none."""
    reference, predicted = edge_pairs(rng)
    aligned = [jnp.asarray(diagonal(EDGES)[:, list(o)][:, :, list(o)]) for o in itertools.permutations(range(3))]
    aligned = jnp.concatenate([*aligned, jnp.zeros((2, 3, 3))])  # LAPACK sees exactly equal eigenvalues
    first, second = (aligned[np.array(i)] for i in zip(*itertools.product(range(len(aligned)), repeat=2), strict=True))
    tiny = random_tensors(rng, len(reference), 1.0) * 10.0 ** rng.uniform(-200, 0, size=(len(reference), 1, 1))
    for a, b in [(reference, predicted), (reference, reference), (first, second), (reference, tiny), (tiny, tiny)]:
        for width in (WIDTH, 1e-4):
            size = np.linalg.norm(slope(b, a, width), axis=(1, 2))
            assert np.all(np.isfinite(size))
            assert size.max() < 0.4 / (width * SCALE.mean)
    assert np.linalg.norm(slope(predicted, reference, 1e-4), axis=(1, 2)).max() > 0.02 / (1e-4 * SCALE.mean)


def test_paper_objective_is_the_mean_of_the_exact_maes(rng):
    """Rounding takes at most a width off each of two terms of three, and gives up on the axes of a few tensors at the
    edges.
    """
    reference = random_tensors(rng, 2000, 15.0)
    predicted = reference + random_tensors(rng, 2000, 1.5)
    scale = jax.jit(Scale.from_tensors)(reference)
    a, b = (compiled_axes(tensors).values for tensors in (reference, predicted))
    maes = [
        metrics.mae(metrics.c_q_tilde(a[:, 2], scale), metrics.c_q_tilde(b[:, 2], scale)),
        metrics.mae(metrics.eta_tilde(a, scale), metrics.eta_tilde(b, scale)),
        metrics.mae(jnp.ones(len(a)), exact(reference, predicted)),
    ]
    loss = jax.jit(metrics.observable_loss)
    errors = [abs(float(loss(reference, predicted, scale, width)) - np.mean(maes)) for width in (0.02, 0.01, 0.005)]
    assert errors[1] < WIDTH
    assert errors[2] < errors[1] < errors[0]
    assert errors[2] < 0.07 * np.mean(maes)


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_the_losses(loss, rng):
    reference, predicted = edge_pairs(rng)
    gradient = jax.jit(jax.grad(lambda b, a: loss(a, b, SCALE)))
    for b in (predicted, reference, 0 * reference):
        assert np.all(np.isfinite(gradient(b, reference)))
        assert np.all(np.isfinite(gradient(reference, b)))
    reference = random_tensors(rng, len(reference), 15.0)  # at the edges themselves some kinks are met
    value = jax.jit(lambda b, a: loss(a, b, SCALE))
    for size in (0.5, 5.0):
        b = reference + random_tensors(rng, len(reference), size)
        direction, step = random_tensors(rng, len(reference), 1.0), 1e-5
        u, v, x, y = (float(value(b + k * step * direction, reference)) for k in (1, -1, 2, -2))
        along = jnp.sum(gradient(b, reference) * direction)
        assert_allclose(along, (8 * (u - v) - (x - y)) / (12 * step), rtol=1e-6, atol=1e-8)


def test_tilt_loss_is_linear_in_the_angle_and_the_paper_objective_is_not():
    angle = np.radians(10.0)
    c, s = np.cos(angle), np.sin(angle)
    rotation = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    reference = jnp.asarray(diagonal([0.5]))
    turn = [float(loss(reference, turned(reference, rotation), SCALE)) for loss in LOSSES]
    # About y the pair of z and x turns, of gap 5/4, and Σλ² = 13/8 (V_zz = 1): ⅔ gap²/Σλ² · sin² of the angle.
    assert_allclose(turn[1], (np.hypot(np.sqrt(25 / 39) * s, WIDTH) - WIDTH) / 3, rtol=1e-9)
    assert_allclose(turn[0], (1 - np.cos(angle / 2)) / 3, rtol=1e-9)
    for eta in EDGES:
        reference = jnp.asarray(diagonal([eta]))
        assert_allclose(metrics.tilt_loss(reference, reference, SCALE), 0.0, atol=1e-12)


def test_single_precision(rng):
    reference, predicted = edge_pairs(rng)
    single = [t.astype(jnp.float32) for t in (reference, predicted)]
    found, gradient = smooth(*single), slope(single[1], single[0])
    assert found.dtype == gradient.dtype == jnp.float32
    assert_allclose(found, smooth(reference, predicted), atol=1e-4)
    assert np.linalg.norm(gradient, axis=(1, 2)).max() < 0.4 / NOISE
    for loss in LOSSES:
        assert jax.eval_shape(lambda a, b: loss(a, b, SCALE), *single).dtype == jnp.float32  # noqa: B023


def test_what_is_not_a_number_stays_so():
    tensors = jnp.asarray(diagonal([0.3, 0.4]))
    found = smooth(tensors, tensors.at[1, 0, 0].set(jnp.nan))
    assert_allclose(found[0], 1.0)
    assert jnp.isnan(found[1])
