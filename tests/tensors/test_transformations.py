"""Every device function of efg_jax.tensors under jit and vmap, in both precisions, with strict promotion of ranks and
types.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from tensor_testing import random_axes, random_efgs, random_tensors

from efg_jax import tensors as t

BATCH = 5
TENSORS, EFGS = random_tensors(BATCH, seed=41), random_efgs(BATCH, seed=42)
AXES, OTHER_AXES = random_axes(BATCH, seed=43), random_axes(BATCH, seed=44)
DIRECTIONS = AXES[:, :, 0]
POSITIVE = np.random.default_rng(45).uniform(0.1, 1.0, size=(4, BATCH))

CASES = {
    "decompose": (t.decompose, TENSORS),
    "eigh3": (t.eigh3, TENSORS),
    "principal_axes": (t.principal_axes, EFGS),
    "principal_axes, haeberlen": (lambda v: t.principal_axes(v, "haeberlen"), TENSORS),
    "orient": (t.orient, AXES),
    "coupling_constant": (lambda v: t.coupling_constant(v, "17O"), POSITIVE[0]),
    "quadrupolar_product": (lambda v, e: t.quadrupolar_product(v, e, "17O"), POSITIVE[0], POSITIVE[1]),
    "principal_values": (t.principal_values, POSITIVE[0], POSITIVE[1]),
    "asymmetry": (t.asymmetry, EFGS[:, 0]),
    "asymmetry_squared": (t.asymmetry_squared, EFGS),
    "asymmetry_invariant": (t.asymmetry_invariant, EFGS),
    "invariant_strength": (t.invariant_strength, EFGS),
    "quadrupolar_frequency": (lambda v, n: t.quadrupolar_frequency(v, n, "17O"), EFGS, DIRECTIONS),
    "angular_quadrupolar_frequency": (lambda *a: t.angular_quadrupolar_frequency(*a, 2.5), *POSITIVE),
    "paper_quadrupolar_frequency": (lambda *a: t.paper_quadrupolar_frequency(*a, 2.5), *POSITIVE),
    "quaternion": (t.quaternion, AXES),
    "rotation_from_quaternion": (t.rotation_from_quaternion, POSITIVE.T),
    "quaternion_overlap": (lambda a, b: t.quaternion_overlap(t.quaternion(a), t.quaternion(b)), AXES, OTHER_AXES),
    "misfit_angle": (t.misfit_angle, 0.5 + POSITIVE[0] / 2),
    "polar_angles": (t.polar_angles, AXES, OTHER_AXES[:, 0]),
    "paper_angles": (t.paper_angles, AXES, OTHER_AXES[:, 0]),
    "z_axis_angle": (t.z_axis_angle, AXES, OTHER_AXES),
    "reassign_axes": (t.reassign_axes, AXES, OTHER_AXES),
    "euler_angles": (t.euler_angles, AXES),
    "euler_from_rotation": (lambda a: t.euler_from_rotation(a, passive=True), AXES),
    "rotation_from_euler": (t.rotation_from_euler, AXES[:, 0]),
    "equivalent_euler_angles": (t.equivalent_euler_angles, AXES[:, 0]),
    "rotate_cartesian": (t.rotate_cartesian, TENSORS, AXES),
    "rotate_spherical": (lambda v, r: t.rotate_spherical(t.to_spherical(v, 2), r, 2), TENSORS, AXES),
    "wigner_d": (lambda r: t.wigner_d(r, 3), AXES),
    "haeberlen": (t.haeberlen, TENSORS),
    "maryland": (lambda v: t.maryland(v, sense="shift"), TENSORS),
    "principal_from_haeberlen": (t.principal_from_haeberlen, *POSITIVE[:3]),
    "principal_from_maryland": (lambda *a: t.principal_from_maryland(*a, sense="shift"), *POSITIVE[:3]),
    "shift": (lambda s: t.shift(s, 30.0), POSITIVE[0]),
    "shift_tensor": (lambda s: t.shift_tensor(s, 30.0), TENSORS),
}


@pytest.mark.parametrize("name", CASES)
def test_a_compiled_batch_equals_its_members_in_the_precision_of_the_input(name, dtype, eps):
    function, *arguments = CASES[name]
    arguments = [jnp.asarray(argument, dtype=dtype) for argument in arguments]
    batched = jax.jit(function)(*arguments)
    # One precision is enough to see that leading axes and vmap mean the same.
    mapped = jax.jit(jax.vmap(function))(*arguments) if dtype == jnp.float64 else batched
    exact = jax.jit(function)(*(argument.astype(jnp.float64) for argument in arguments))
    for got, each, truth in zip(*map(jax.tree.leaves, (batched, mapped, exact)), strict=True):
        assert got.shape[0] == BATCH
        assert got.dtype == (dtype if jnp.issubdtype(truth.dtype, jnp.floating) else truth.dtype)
        scale = float(jnp.max(jnp.abs(truth))) + 1.0
        assert_allclose(each, got, rtol=0, atol=100 * eps * scale)
        assert_allclose(got, truth, rtol=0, atol=300 * eps * scale)


@pytest.mark.parametrize("name", CASES)
def test_an_empty_batch_is_no_exception(name):
    function, *arguments = CASES[name]
    shapes = jax.eval_shape(function, *(jax.ShapeDtypeStruct((0, *a.shape[1:]), jnp.float64) for a in arguments))
    assert all(leaf.shape[0] == 0 for leaf in jax.tree.leaves(shapes))
