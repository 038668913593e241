"""The numbers that scalar learning takes from EFG tensors, each learned by itself."""

import jax
import numpy as np
from jaxtyping import Float

from efg_jax.metrics import Scale, tensor_observables
from efg_jax.structures.environments import bucket
from efg_jax.structures.targets import KNOWN, to_irreps

METRICS = ("c_q_tilde", "eta_tilde", "theta", "phi", "v_nn")
"""The paper's four quantities, and n·V·n along the crystal's z axis, which is ν_Q up to a constant of the nucleus."""
Z_AXIS = tuple(f"z_axis_{m}" for m in range(-2, 3))
"""λ = 2 components, in the crystal frame, of z zᵀ of the principal z axis: an axis that five scalar models can give."""


def scalar_targets(
    tensors: Float[np.ndarray, "n 3 3"], frames: Float[np.ndarray, "n 3 3"], scale: Scale
) -> Float[np.ndarray, "n quantities"]:
    """The quantities METRICS + Z_AXIS of EFG tensors.

    Args:
        tensors: V/Å².
        frames: rows are the axes of each structure's crystal frame.
        scale: μ and σ of |V_zz|.
    """
    # Filled up with the last one: data sets of similar size share a compilation.
    rows, padding = len(tensors), (0, bucket(len(tensors)) - len(tensors))
    observables = _observables(
        np.pad(tensors, [padding, (0, 0), (0, 0)], mode="edge"),
        np.pad(frames[:, 2], [padding, (0, 0)], mode="edge"),
        scale,
    )
    z = np.einsum("nij,nj->ni", frames, np.asarray(observables.axes)[:rows, :, 2])
    dyads = to_irreps(KNOWN["efg"], z[:, :, None] * z[:, None, :])[2, 1]  # of which the trace is left out
    return np.column_stack([*(np.asarray(getattr(observables, name))[:rows] for name in METRICS), dyads])


_observables = jax.jit(lambda tensors, directions, scale: tensor_observables(tensors, directions, scale, None))
