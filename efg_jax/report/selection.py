"""What is evaluated: labelled tensors by species with their field directions, scale and nucleus, checked before anything is computed."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from efg_jax.errors import InputError
from efg_jax.metrics import Scale
from efg_jax.precision import float64
from efg_jax.tensors.nuclei import Isotope, default_isotope, isotope

Arrays = np.ndarray | jax.Array
SCALARS = ("c_q_tilde", "eta_tilde", "theta", "phi")  # what scalar learning has to give; "v_nn" may come with them


class Selection(NamedTuple):
    """The labelled nuclei of one species: `labelled` picks them out of the n that were passed."""

    species: str
    tensors: np.ndarray
    directions: np.ndarray
    labelled: np.ndarray
    scale: Scale
    isotope: Isotope | None


def selections(
    reference: Mapping[str, Arrays],
    directions: Mapping[str, Arrays] | None,
    scales: Mapping[str, Scale] | None,
    isotopes: Mapping[str, Isotope | str] | None,
) -> Iterator[Selection]:
    """One selection per species of the reference; see `Report.from_tensors` for the arguments and their defaults."""
    if not reference:
        raise InputError("nothing to evaluate: no species was given")
    for species, values in reference.items():
        tensors = as_tensors(values, species, "reference tensors")
        labelled = np.isfinite(tensors).all(axis=(1, 2))
        if not labelled.any():
            raise InputError(
                f"nothing to evaluate for {species}: none of its {len(labelled)} atoms carries a reference tensor"
            )
        tensors = tensors[labelled]
        yield Selection(
            species=species,
            tensors=tensors,
            directions=_directions(directions, species, len(labelled))[labelled],
            labelled=labelled,
            scale=_scale(scales, species, tensors),
            isotope=isotope(isotopes[species]) if isotopes and species in isotopes else default_isotope(species),
        )


def predicted_tensors(predicted: Mapping[str, Arrays], selection: Selection) -> np.ndarray:
    """The predicted tensors (n, 3, 3) of the labelled nuclei of one species."""
    values = _of_species(predicted, selection.species, "predicted tensors")
    tensors = as_tensors(values, selection.species, "predicted tensors")
    _require_length(tensors, selection, "predicted tensors")
    return _require_finite(tensors[selection.labelled], selection.species, "predicted tensors")


def predicted_scalars(predictions: Mapping[str, Mapping[str, Arrays]], selection: Selection) -> dict[str, np.ndarray]:
    """The predicted scalars (n,) of the labelled nuclei of one species, by name."""
    given = _of_species(predictions, selection.species, "predicted scalars")
    missing = [key for key in SCALARS if key not in given]
    unknown = [key for key in given if key not in (*SCALARS, "v_nn")]
    if missing or unknown:
        wrong = f"lack {', '.join(missing)}" if missing else f"hold {', '.join(unknown)}, which is none of them"
        raise InputError(
            f"the scalar predictions for {selection.species} {wrong}; give {', '.join(SCALARS)} and, if learned, v_nn"
        )
    scalars = {}
    for key, values in given.items():
        array = np.asarray(values, dtype=np.float64)
        if array.ndim != 1:
            raise InputError(
                f"predicted {key} for {selection.species} has shape {array.shape}; give one number per atom, (n,)"
            )
        _require_length(array, selection, f"predicted {key}")
        scalars[key] = _require_finite(array[selection.labelled], selection.species, f"predicted {key}")
    return scalars


def as_tensors(values: Arrays, species: str, what: str) -> np.ndarray:
    """(n, 3, 3) in float64 from (n, 3, 3) or (n, 9)."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 2 and array.shape[1] == 9:
        array = array.reshape(-1, 3, 3)
    if array.ndim != 3 or array.shape[1:] != (3, 3):
        raise InputError(f"{what} for {species} have shape {array.shape}; give (n, 3, 3) or (n, 9)")
    return array


def _directions(directions: Mapping[str, Arrays] | None, species: str, n: int) -> np.ndarray:
    """Unit vectors (n, 3); the z axis unless directions are given."""
    if directions is None:
        return np.tile([0.0, 0.0, 1.0], (n, 1))
    array = np.asarray(_of_species(directions, species, "field directions"), dtype=np.float64)
    if array.shape not in ((3,), (n, 3)):
        raise InputError(f"field directions for {species} have shape {array.shape}; give (3,) or ({n}, 3)")
    length = np.linalg.norm(array, axis=-1, keepdims=True)
    if not np.all(np.isfinite(length) & (length > 0)):
        raise InputError(
            f"a field direction for {species} has length 0 or is not finite; give vectors that point somewhere"
        )
    return np.broadcast_to(array / length, (n, 3))


def _scale(scales: Mapping[str, Scale] | None, species: str, tensors: np.ndarray) -> Scale:
    """μ and σ as Python floats, free of the precision in which they were computed."""
    if scales is not None:
        scale = _of_species(scales, species, "scales")
    else:
        with float64():
            scale = Scale.from_tensors(jnp.asarray(tensors))
    return Scale(float(scale.mean), float(scale.std))


def _of_species(mapping: Mapping, species: str, what: str):
    if species not in mapping:
        raise InputError(f"{what} for {species} are missing; they were given for {', '.join(mapping) or 'no species'}")
    return mapping[species]


def _require_length(array: np.ndarray, selection: Selection, what: str) -> None:
    n = len(selection.labelled)
    if len(array) != n:
        raise InputError(
            f"{what} for {selection.species} are {len(array)}, the reference tensors {n}; give one for each"
        )


def _require_finite(array: np.ndarray, species: str, what: str) -> np.ndarray:
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise InputError(
            f"{what} for {species} are not finite for {bad.sum()} of {len(array)} atoms, the first of them number {bad.argmax()}"
        )
    return array
