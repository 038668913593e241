"""Random tensors that look for trouble, and derivatives by differences."""

import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

# physics of one EFG (a.u.) and one shielding tensor (ppm), evaluated with Soprano 0.11.4
ORACLE_EFG = np.array([[-0.20, 0.05, 0.10], [0.05, 0.35, -0.12], [0.10, -0.12, -0.15]])
ORACLE_SHIELDING = np.array([[30.0, 5.0, -8.0], [2.0, 60.0, 4.0], [-6.0, 7.0, 120.0]])

seeds = st.integers(0, 2**32 - 1)


@st.composite
def rotations(draw) -> np.ndarray:
    """Proper rotations: uniform ones, and the axis-aligned ones that crystals have."""
    if draw(st.booleans()):
        return Rotation.random(random_state=draw(seeds)).as_matrix()
    return np.round(Rotation.create_group("O").as_matrix()[draw(st.integers(0, 23))])


@st.composite
def efg_tensors(draw, minimum_gap: float = 0.0) -> np.ndarray:
    """Traceless symmetric tensors of any η, among them η exactly or nearly 0 and 1, of any sign and of sizes from 1e-3
    to 1e3 V/Å².
    """
    special = st.sampled_from([0.0, 1e-12, 1e-7, 1e-3, 1.0 - 1e-3, 1.0 - 1e-9, 1.0])
    eta = draw(st.floats(0.0, 1.0) | special if minimum_gap == 0.0 else st.floats(minimum_gap, 1.0 - minimum_gap))
    v_zz = draw(st.sampled_from([-1.0, 1.0])) * 10.0 ** draw(st.integers(-3, 3))
    rotation = draw(rotations())
    return rotation @ np.diag([-v_zz * (1 - eta) / 2, -v_zz * (1 + eta) / 2, v_zz]) @ rotation.T


@st.composite
def any_tensors(draw) -> np.ndarray:
    """3×3 tensors with an isotropic, an antisymmetric and a symmetric traceless part, any of which may vanish."""
    rng = np.random.default_rng(draw(seeds))
    weights = [draw(st.sampled_from([0.0, 1.0, 100.0])) for _ in range(3)]
    general = rng.normal(size=(3, 3))
    return weights[0] * np.eye(3) + weights[1] * (general - general.T) + weights[2] * draw(efg_tensors())


def random_tensors(count: int, seed: int = 0) -> np.ndarray:
    """Normal 3×3 tensors without any symmetry."""
    return np.random.default_rng(seed).normal(size=(count, 3, 3))


def random_efgs(count: int, seed: int = 0) -> np.ndarray:
    """Normal symmetric traceless tensors."""
    tensors = random_tensors(count, seed)
    symmetric = tensors + tensors.transpose(0, 2, 1)
    return symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] * np.eye(3) / 3


def random_axes(count: int, seed: int = 0) -> np.ndarray:
    """Uniform proper rotations, scipy's."""
    return Rotation.random(count, random_state=seed).as_matrix()


def axial_tensor(v_zz: float, rotation: np.ndarray) -> np.ndarray:
    """An EFG with η = 0 to the last bit that rounding of the rotation leaves."""
    return v_zz * (1.5 * np.outer(rotation[:, 2], rotation[:, 2]) - 0.5 * np.eye(3))


def difference(function, x, step: float = 1e-4) -> np.ndarray:
    """Jacobian by central differences of fourth order: error step⁴, rounding ε/step. Axes of the output first."""
    x = np.asarray(x, dtype=float)
    columns = []
    for index in np.ndindex(x.shape):
        unit = np.zeros(x.shape)
        unit[index] = step
        near = np.asarray(function(jnp.asarray(x + unit))) - np.asarray(function(jnp.asarray(x - unit)))
        far = np.asarray(function(jnp.asarray(x + 2 * unit))) - np.asarray(function(jnp.asarray(x - 2 * unit)))
        columns.append((8 * near - far) / (12 * step))
    columns = np.stack(columns, axis=-1)
    return columns.reshape(columns.shape[:-1] + x.shape)
