"""The public functions under `jax.jit`, as users run them.

Op by op, each of their steps would be compiled for itself.
"""

import jax

from efg_jax import tensors

principal_axes = jax.jit(tensors.principal_axes, static_argnames="convention")
orient = jax.jit(tensors.orient)
asymmetry = jax.jit(tensors.asymmetry)
asymmetry_squared = jax.jit(tensors.asymmetry_squared)
asymmetry_invariant = jax.jit(tensors.asymmetry_invariant)
invariant_strength = jax.jit(tensors.invariant_strength)
quadrupolar_frequency = jax.jit(tensors.quadrupolar_frequency, static_argnames="isotope")
angular_quadrupolar_frequency = jax.jit(tensors.angular_quadrupolar_frequency, static_argnames="spin")
paper_quadrupolar_frequency = jax.jit(tensors.paper_quadrupolar_frequency, static_argnames="spin")
quaternion = jax.jit(tensors.quaternion)
rotation_from_quaternion = jax.jit(tensors.rotation_from_quaternion)
quaternion_overlap = jax.jit(tensors.quaternion_overlap)
misfit_angle = jax.jit(tensors.misfit_angle)
polar_angles = jax.jit(tensors.polar_angles)
paper_angles = jax.jit(tensors.paper_angles)
z_axis_angle = jax.jit(tensors.z_axis_angle)
reassign_axes = jax.jit(tensors.reassign_axes)
rotation_from_euler = jax.jit(tensors.rotation_from_euler, static_argnames="passive")
euler_from_rotation = jax.jit(tensors.euler_from_rotation, static_argnames="passive")
euler_angles = jax.jit(tensors.euler_angles, static_argnames="passive")
equivalent_euler_angles = jax.jit(tensors.equivalent_euler_angles, static_argnames="passive")
haeberlen = jax.jit(tensors.haeberlen)
maryland = jax.jit(tensors.maryland, static_argnames="sense")
shift_tensor = jax.jit(tensors.shift_tensor)
