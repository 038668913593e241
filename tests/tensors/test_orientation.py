import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation
from tensor_testing import difference, random_axes, random_efgs, rotations, seeds
from tensors_compiled import (
    misfit_angle,
    paper_angles,
    polar_angles,
    principal_axes,
    quadrupolar_frequency,
    quaternion,
    quaternion_overlap,
    reassign_axes,
    rotation_from_quaternion,
    z_axis_angle,
)

HALF_TURNS = [np.diag(signs).astype(float) for signs in ([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1])]
SIGNED_PERMUTATIONS = np.round(Rotation.create_group("O").as_matrix())


@given(rotations(), st.sampled_from(["float32", "float64"]))
def test_quaternion_is_that_of_scipy_and_rebuilds_the_matrix(rotation, name):
    dtype = jnp.dtype(name)
    tolerance = 10 * float(jnp.finfo(dtype).eps)
    q = quaternion(jnp.asarray(rotation, dtype=dtype))
    assert q.dtype == dtype
    assert float(q[0]) >= 0
    assert_allclose(np.linalg.norm(q), 1.0, rtol=tolerance)
    expected = Rotation.from_matrix(rotation).as_quat(scalar_first=True)
    assert_allclose(abs(np.asarray(q, dtype=float) @ expected), 1.0, rtol=tolerance)
    assert_allclose(rotation_from_quaternion(q), rotation, rtol=0, atol=tolerance)


def test_quaternion_is_differentiable_at_half_turns():
    """w = 0 and the trace is −1: where the textbook formula divides by zero."""
    generator = jnp.asarray(np.cross(np.eye(3), [0.6, 0.0, 0.8]))

    def turned(angle, half_turn):
        rodrigues = jnp.eye(3) + jnp.sin(angle) * generator + (1 - jnp.cos(angle)) * generator @ generator
        return quaternion(rodrigues @ half_turn)

    compiled, derivative = jax.jit(turned), jax.jit(jax.jacfwd(turned))
    for half_turn in map(jnp.asarray, HALF_TURNS[1:]):
        expected = difference(lambda angle, h=half_turn: compiled(angle, h), 0.01, step=1e-3)
        assert_allclose(derivative(jnp.asarray(0.01), half_turn), expected, rtol=0, atol=1e-9)


@given(rotations(), rotations())
def test_overlap_and_misfit_are_the_smallest_turn_between_equivalent_frames(first, second):
    turns = [Rotation.from_matrix(second @ half_turn @ first.T).magnitude() for half_turn in HALF_TURNS]
    overlap = quaternion_overlap(quaternion(jnp.asarray(first)), quaternion(jnp.asarray(second)))
    assert 0.5 - 1e-15 <= float(overlap) <= 1 + 1e-15
    assert_allclose(misfit_angle(overlap), min(turns), rtol=0, atol=1e-7)
    assert float(misfit_angle(overlap)) <= 2 * np.pi / 3 + 1e-12


def test_the_worst_misfit_is_120_degrees_about_the_cube_diagonal():
    cyclic = jnp.asarray(np.eye(3)[[2, 0, 1]])
    overlap = quaternion_overlap(quaternion(jnp.eye(3)), quaternion(cyclic))
    assert_allclose(overlap, 0.5)
    assert_allclose(misfit_angle(overlap), 2 * np.pi / 3)


def test_the_same_tensor_overlaps_with_itself_whatever_the_signs_of_its_axes(dtype, eps):
    axes = random_axes(20)
    for half_turn, sign in itertools.product(HALF_TURNS, (1.0, -1.0)):
        first = quaternion(jnp.asarray(axes, dtype=dtype))
        second = jnp.asarray(sign, dtype=dtype) * quaternion(jnp.asarray(axes @ half_turn, dtype=dtype))
        overlap = quaternion_overlap(first, second)
        assert overlap.dtype == dtype
        assert_allclose(overlap, 1.0, rtol=10 * eps)


def test_perfect_alignment_has_a_finite_derivative(dtype):
    q = quaternion(jnp.eye(3, dtype=dtype))
    gradient = jax.jit(jax.grad(lambda p: misfit_angle(quaternion_overlap(p, q))))(q)
    assert bool(jnp.all(jnp.isfinite(gradient)))


@given(rotations(), rotations(), st.sampled_from(HALF_TURNS), st.sampled_from([1.0, -3.0]))
def test_polar_angles_depend_neither_on_axis_signs_nor_on_the_sense_of_the_field(axes, other, half_turn, scale):
    field = other[:, 0]
    theta, phi = polar_angles(jnp.asarray(axes), jnp.asarray(field))
    again = polar_angles(jnp.asarray(axes @ half_turn), jnp.asarray(scale * field))
    assert_allclose(again, (theta, phi), rtol=0, atol=1e-12)
    assert 0 <= float(theta) <= np.pi / 2
    assert 0 <= float(phi) <= np.pi / 2
    expected = np.abs(axes.T @ field)
    rebuilt = [np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)]
    assert_allclose(rebuilt, expected, rtol=0, atol=1e-14)


@given(rotations(), rotations())
def test_paper_angles_give_the_field_or_its_opposite_in_half_a_sphere(axes, other):
    field = other[:, 1]
    theta, phi = (float(angle) for angle in paper_angles(jnp.asarray(axes), jnp.asarray(field)))
    assert 0 <= theta < np.pi
    assert -np.pi / 2 <= phi < np.pi / 2
    rebuilt = np.array([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)])
    expected = axes.T @ field
    assert_allclose(rebuilt * np.sign(rebuilt @ expected), expected, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ([0, 0, 1], (0.0, 0.0)),
        ([0, 0, -1], (0.0, 0.0)),
        ([0, 1, 0], (np.pi / 2, -np.pi / 2)),
        ([-1, 0, 0], (np.pi / 2, 0.0)),
        ([-1, 0, -1], (np.pi / 4, 0.0)),
        ([1, 0, -1], (3 * np.pi / 4, 0.0)),
        ([-1, 1, 0], (np.pi / 2, -np.pi / 4)),
    ],
)
def test_paper_angles_on_the_rim(field, expected):
    assert_allclose(paper_angles(jnp.eye(3), jnp.asarray(field, dtype=float)), expected, atol=1e-15)


def test_angles_of_many_atoms_in_one_field(dtype, eps):
    axes = jnp.asarray(random_axes(5), dtype=dtype)
    field = jnp.asarray([0.0, 0.6, 0.8], dtype=dtype)
    for function in (polar_angles, paper_angles):
        together = function(axes, field)
        assert all(angle.dtype == dtype and angle.shape == (5,) for angle in together)
        assert_allclose(together, function(axes, jnp.broadcast_to(field, (5, 3))), atol=10 * eps)


def test_angle_gradients_are_right_and_finite_at_the_poles():
    axes = jnp.asarray(random_axes(1)[0])

    def total(n):
        return sum(polar_angles(axes, n)) + sum(paper_angles(axes, n))

    field = np.array([0.3, 0.7, -0.2])
    found = jax.jit(jax.grad(total))(jnp.asarray(field))
    assert_allclose(found, difference(jax.jit(total), field, step=1e-3), rtol=0, atol=1e-8)
    at_poles = jax.jit(jax.vmap(jax.grad(lambda n: sum(polar_angles(jnp.eye(3), n)))))(jnp.eye(3))
    assert bool(jnp.all(jnp.isfinite(at_poles)))
    assert bool(jnp.all(jnp.isfinite(jax.jit(jax.grad(lambda a: z_axis_angle(a, axes)))(axes))))


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.3, 1.2, np.pi / 2, 2.5])
def test_z_axis_angle_is_the_angle_between_lines_to_full_relative_precision(angle):
    first = random_axes(1)[0]
    second = first @ Rotation.from_rotvec([angle, 0, 0]).as_matrix() @ Rotation.from_rotvec([0, 0, 0.7]).as_matrix()
    expected = min(angle, np.pi - angle)
    assert_allclose(
        z_axis_angle(jnp.asarray(first), jnp.asarray(second)),
        expected,
        rtol=1e-6 if angle == 1e-9 else 1e-13,
        atol=1e-15,
    )


def best_permutation(predicted: np.ndarray, reference: np.ndarray) -> list[int]:
    cosines = reference.T @ predicted
    return list(max(itertools.permutations(range(3)), key=lambda p: sum(cosines[i, p[i]] ** 2 for i in range(3))))


@given(seeds)
def test_reassignment_is_the_best_of_all_signed_permutations(seed):
    predicted, reference = random_axes(2, seed=seed)
    axes, permutation = reassign_axes(jnp.asarray(predicted), jnp.asarray(reference))
    assert permutation.tolist() == best_permutation(predicted, reference)
    assert_allclose(np.abs(np.asarray(axes)), np.abs(predicted[:, permutation]), atol=0)
    assert_allclose(np.linalg.det(axes), 1.0)
    # Of the proper signed versions of that permutation, the one nearest to the reference.
    candidates = [predicted @ turn for turn in SIGNED_PERMUTATIONS]
    same_order = [c for c in candidates if np.allclose(np.abs(c), np.abs(predicted[:, permutation]), atol=1e-12)]
    assert len(same_order) == 4
    assert_allclose(np.sum(axes * reference), max(np.sum(c * reference) for c in same_order), rtol=1e-12)


def test_reassignment_undoes_any_relabelling(dtype, eps):
    """Axes of one tensor, shuffled and re-signed in all 24 ways and slightly off, come back next to the reference."""
    reference = random_axes(24, seed=1)
    noise = Rotation.from_rotvec(0.1 * np.random.default_rng(2).normal(size=(24, 3))).as_matrix()
    predicted = noise @ reference @ SIGNED_PERMUTATIONS
    axes, permutation = reassign_axes(jnp.asarray(predicted, dtype=dtype), jnp.asarray(reference, dtype=dtype))
    assert axes.dtype == dtype
    assert_allclose(axes, noise @ reference, atol=10 * eps)
    assert_allclose(
        np.abs(np.take_along_axis(predicted, np.asarray(permutation)[:, None, :], axis=2)), np.abs(axes), atol=10 * eps
    )


def test_reassignment_mends_the_order_at_eta_near_one():
    """V_zz and V_yy change places under a tiny error; the frame of the tensor has hardly moved."""
    axes = random_axes(1, seed=3)[0]
    reference = principal_axes(jnp.asarray(axes @ np.diag([0.01, -1.0, 0.99]) @ axes.T))
    predicted = principal_axes(jnp.asarray(axes @ np.diag([-0.01, -0.99, 1.0]) @ axes.T))
    assert float(z_axis_angle(predicted.axes, reference.axes)) == pytest.approx(np.pi / 2)
    mended, permutation = reassign_axes(predicted.axes, reference.axes)
    assert_allclose(mended, reference.axes, atol=1e-12)
    assert_allclose(predicted.values[permutation], [-0.01, 1.0, -0.99], atol=1e-12)


def test_reassignment_is_differentiable(dtype):
    reference = jnp.asarray(random_axes(1, seed=4)[0], dtype=dtype)
    tensor = jnp.asarray(random_efgs(1)[0], dtype=dtype)

    def alignment(tensor):
        return jnp.sum(reassign_axes(principal_axes(tensor).axes, reference)[0] * reference)

    gradient = jax.jit(jax.grad(alignment))(tensor)
    assert bool(jnp.all(jnp.isfinite(gradient)))


def test_frequency_follows_from_angles_alone():
    """Two fields with the same folded angles feel the same ν_Q."""
    tensor = jnp.asarray(random_efgs(1)[0])
    axes = principal_axes(tensor).axes
    fields = axes @ jnp.asarray([[0.3, -0.3, 0.3], [0.5, 0.5, -0.5], [0.7, 0.7, 0.7]])
    frequencies = quadrupolar_frequency(jnp.broadcast_to(tensor, (3, 3, 3)), fields.T, "17O")
    assert_allclose(frequencies, frequencies[0], rtol=1e-12)
