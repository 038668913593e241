"""Predictions as arrays and info of the structure that they are for."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.gp import ScalarGPR, TensorGPR
from efg_jax.gp.prediction import Predicted
from efg_jax.network import EquivariantNetwork
from efg_jax.precision import x64
from efg_jax.structures.padding import bucket
from efg_jax.structures.targets import Target
from efg_jax.structures.units import drop_units
from efg_jax.tensors.efg import asymmetry, coupling_constant
from efg_jax.tensors.nuclei import Isotope, default_isotope
from efg_jax.tensors.principal import principal_axes


def annotate(
    found: Mapping[str, Predicted],
    model: TensorGPR | ScalarGPR | EquivariantNetwork,
    isotopes: Mapping[str, Isotope],
) -> None:
    """Put predictions into their structure under the names of what was predicted, in place.

    Args:
        found: of one structure the prediction of each target, by its name; with a variance also its square root, NAME_std.
        model: that predicted it.
        isotopes: nuclei by element for C_Q (of the first target that is an EFG); for the others the one that NMR uses.
    """
    if isinstance(model, ScalarGPR):
        for own in found.values():
            own.atoms.arrays.update(own.values)
        return
    targets = model.fitted.targets if isinstance(model, EquivariantNetwork) else {model.target: model.fitted.target}
    for name, own in found.items():
        _put(own, targets[name])
    for name, own in found.items():
        if targets[name].is_efg:
            add_couplings(own.values, own.atoms, isotopes)
            return


def _put(found: Predicted, target: Target) -> None:
    """One target into the structure."""
    atoms = found.atoms
    home = atoms.arrays if target.per == "atom" else atoms.info
    home[target.name] = found.values
    drop_units(atoms, target.name)
    atoms.info.pop("magresblock_calculation", None)  # the code that computed what was there
    if found.variance is not None:
        home[f"{target.name}_std"] = np.sqrt(found.variance)


def add_couplings(tensors: Float[np.ndarray, "atoms 3 3"], atoms: Atoms, isotopes: Mapping[str, Isotope]) -> None:
    """Arrays ``c_q`` (MHz) and ``eta``; NaN where there is no prediction, and no C_Q without a quadrupole moment."""
    known = np.flatnonzero(np.isfinite(tensors).all(axis=(1, 2)))
    symbols = np.asarray(atoms.symbols)[known]
    v_zz, asymmetries = _largest_and_asymmetry(tensors[known])
    c_q, eta = np.full(len(atoms), np.nan), np.full(len(atoms), np.nan)
    eta[known] = asymmetries
    for symbol in np.unique(symbols):
        nucleus = isotopes.get(symbol) or default_isotope(symbol)
        if nucleus is not None and nucleus.quadrupole_moment is not None:
            own = symbols == symbol
            # C_Q is linear in V_zz: its value for 1 V/Å² will do for all.
            with x64():
                c_q[known[own]] = v_zz[own] * float(coupling_constant(jnp.asarray(1.0), nucleus)) / 1e6
    atoms.arrays["c_q"], atoms.arrays["eta"] = c_q, eta


def _largest_and_asymmetry(
    tensors: Float[np.ndarray, "n 3 3"],
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """V_zz and η, padded to a few shapes so that a trajectory compiles once."""
    count = len(tensors)
    padded = np.pad(tensors, [(0, bucket(count) - count), (0, 0), (0, 0)])
    with x64():
        v_zz, eta = _compiled_largest_and_asymmetry(jnp.asarray(padded))
    return np.asarray(v_zz)[:count], np.asarray(eta)[:count]


@jax.jit
def _compiled_largest_and_asymmetry(tensors: Float[Array, "n 3 3"]) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
    values = principal_axes(tensors).values
    return values[:, 2], asymmetry(values)
