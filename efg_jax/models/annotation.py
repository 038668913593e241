"""Predictions as arrays and info of the structures that they are for."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.models.predicted import Predicted
from efg_jax.models.protocol import FittedModel
from efg_jax.precision import x64
from efg_jax.structures.declared_units import drop_units
from efg_jax.structures.padding import bucket
from efg_jax.structures.site_selection import usual_isotopes
from efg_jax.structures.targets import Target
from efg_jax.tensors.nuclei import Isotope, Nuclei
from efg_jax.tensors.nuclei import isotope as find_isotope
from efg_jax.tensors.quantities import QUANTITIES, Context, evaluate

COUPLINGS = (QUANTITIES["efg"]["c_q"], QUANTITIES["efg"]["eta"])


def annotated(
    fitted: FittedModel,
    structures: Atoms | Iterable[Atoms],
    isotopes: Mapping[str, Isotope | str] | None = None,
    **options: Any,
) -> Iterator[Atoms]:
    """Structures with what a model predicts for them, one by one.

    Args:
        fitted: model.
        structures: one or several, in a stream of any length.
        isotopes: isotope by element for C_Q, {"Ti": "49Ti"}; for the other elements the one that NMR uses.
        options: of `FittedModel.predict_targets`: targets, variance, dtype, species, indices, chunk.

    Yields:
        The objects that were passed, with each target under its name: in ``arrays`` (NaN for atoms that are not
        predicted), or in ``info`` if it belongs to the structure. With a variance also its square root, ``NAME_std``;
        with an EFG also the arrays ``c_q`` (MHz) and ``eta``.

    Raises:
        InputError: as `FittedModel.predict_targets`; an unknown isotope.
    """
    found = fitted.predict_targets(structures, **options)
    return (annotate(one, fitted.targets, isotopes or {}) for one in found)


def annotate(
    found: Mapping[str, Predicted], targets: Mapping[str, Target], isotopes: Mapping[str, Isotope | str]
) -> Atoms:
    """Put the predictions of one structure into it, in place.

    Args:
        found: the prediction of each target, by its name.
        targets: what they are.
        isotopes: by element, for C_Q of the first target that is an EFG.

    Returns:
        The structure.
    """
    for name, own in found.items():
        per_atom = isinstance(own.values, dict) or targets[name].per == "atom"
        (own.atoms.arrays if per_atom else own.atoms.info).update(own.arrays(name))
        if not isinstance(own.values, dict):
            drop_units(own.atoms, name)
            own.atoms.info.pop("magresblock_calculation", None)  # names the code that computed what was there
    tensors = [own for name, own in found.items() if targets[name].is_efg and not isinstance(own.values, dict)]
    if tensors:
        add_couplings(tensors[0].values, tensors[0].atoms, isotopes)
    return next(iter(found.values())).atoms


def add_couplings(tensors: Float[np.ndarray, "atoms 3 3"], atoms: Atoms, isotopes: Mapping[str, Isotope | str]) -> None:
    """Add arrays ``c_q`` (MHz, with its sign) and ``eta`` to a structure; NaN for atoms without a tensor.

    Args:
        tensors: EFG, V/Å².
        atoms: structure.
        isotopes: by element; for the others the one that NMR uses. Without a quadrupole moment C_Q is NaN.
    """
    rows = np.flatnonzero(np.isfinite(tensors).all(axis=(1, 2)))
    symbols = np.asarray(atoms.symbols)
    chosen = {symbol: find_isotope(nucleus) for symbol, nucleus in isotopes.items()}
    usual = usual_isotopes(atoms, np.ones(len(atoms), dtype=bool))
    # A few shapes, so that a trajectory compiles once.
    padding = bucket(len(rows)) - len(rows)
    nuclei = Nuclei.of([chosen.get(symbols[row], usual[row]) for row in rows] + [None] * padding)
    with x64():
        c_q, eta = _couplings(jnp.asarray(np.pad(tensors[rows], [(0, padding), (0, 0), (0, 0)])), nuclei)
    for name, values, unit in (("c_q", c_q, COUPLINGS[0].display_factor), ("eta", eta, 1.0)):
        atoms.arrays[name] = np.full(len(atoms), np.nan)
        atoms.arrays[name][rows] = np.asarray(values)[: len(rows)] / unit


@jax.jit
def _couplings(tensors: Float[Array, "n 3 3"], nuclei: Nuclei) -> tuple[Float[Array, " n"], ...]:
    return evaluate(COUPLINGS, Context(nuclei), efg=tensors)
