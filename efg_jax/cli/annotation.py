"""Predictions as arrays and info of the structures that they are for."""

from collections.abc import Mapping, Sequence
from typing import Literal

import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Float

from efg_jax.models import ScalarGPR, TensorGPR
from efg_jax.precision import float64
from efg_jax.tensors.efg import asymmetry, coupling_constant
from efg_jax.tensors.nuclei import Isotope, default_isotope
from efg_jax.tensors.principal import principal_axes


def add_tensors(
    model: TensorGPR,
    frames: Sequence[Atoms],
    variance: bool,
    precision: Literal["float64", "float32"],
    isotopes: Mapping[str, Isotope],
) -> None:
    """Predict, and put the target into each frame under its name, in place.

    Args:
        model: fitted.
        frames: structures; changed.
        variance: also add NAME_std, the square root of the posterior variance summed over components.
        precision: of the arithmetic.
        isotopes: nuclei by element for C_Q; for the others the one that NMR uses.
    """
    target = model.fitted.target
    values = model.predict(frames, variance=variance, precision=precision)
    values, variances = values if variance else (values, None)
    for number, atoms in enumerate(frames):
        home = atoms.arrays if target.per == "atom" else atoms.info
        home[target.name] = np.asarray(values[number])
        if variances is not None:
            home[f"{target.name}_std"] = np.sqrt(variances[number])
    if target.is_efg:
        add_couplings(values, frames, isotopes)


def add_scalars(model: ScalarGPR, frames: Sequence[Atoms]) -> None:
    """Predict, and put each scalar into the frames' arrays under its name, in place."""
    for atoms, scalars in zip(frames, model.predict(frames), strict=True):
        atoms.arrays.update(scalars)


def add_couplings(
    tensors: Sequence[Float[np.ndarray, "atoms 3 3"]], frames: Sequence[Atoms], isotopes: Mapping[str, Isotope]
) -> None:
    """Arrays ``c_q`` (MHz) and ``eta``; NaN where there is no prediction, and no C_Q without a quadrupole moment."""
    joined, symbols = np.concatenate(list(tensors)), np.concatenate([np.asarray(atoms.symbols) for atoms in frames])
    known = np.isfinite(joined).all(axis=(1, 2))
    c_q, eta = np.full(len(joined), np.nan), np.full(len(joined), np.nan)
    with float64():
        values = principal_axes(jnp.asarray(joined[known])).values
        eta[known] = np.asarray(asymmetry(values))
    v_zz = np.full(len(joined), np.nan)
    v_zz[known] = np.asarray(values[:, 2])
    for symbol in np.unique(symbols[known]):
        nucleus = isotopes.get(symbol) or default_isotope(symbol)
        if nucleus is not None and nucleus.quadrupole_moment is not None:
            chosen = known & (symbols == symbol)
            with float64():
                c_q[chosen] = np.asarray(coupling_constant(jnp.asarray(v_zz[chosen]), nucleus)) / 1e6
    ends = np.cumsum([len(atoms) for atoms in frames])[:-1]
    for atoms, own_c_q, own_eta in zip(frames, np.split(c_q, ends), np.split(eta, ends), strict=True):
        atoms.arrays["c_q"], atoms.arrays["eta"] = own_c_q, own_eta
