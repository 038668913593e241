"""Input of a report: labelled tensors by species with field directions, scale and nucleus, checked first."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import jax
import numpy as np

from efg_jax.errors import InputError
from efg_jax.metrics import Scale
from efg_jax.tensors.nuclei import Isotope, default_isotope, isotope

Arrays = np.ndarray | jax.Array
SCALARS = ("c_q_tilde", "eta_tilde", "theta", "phi")  # what scalar learning has to give
OPTIONAL = ("v_nn", "z_axis")  # what it may give besides


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
            isotope=_isotope(isotopes, species),
        )


def predicted_tensors(predicted: Mapping[str, Arrays], selection: Selection) -> np.ndarray:
    """The predicted tensors (n, 3, 3) of the labelled nuclei of one species."""
    values = of_species(predicted, selection.species, "predicted tensors")
    tensors = as_tensors(values, selection.species, "predicted tensors")
    require_length(tensors, len(selection.labelled), selection.species, "predicted tensors")
    return require_finite(tensors[selection.labelled], selection.species, "predicted tensors")


def predicted_scalars(predictions: Mapping[str, Mapping[str, Arrays]], selection: Selection) -> dict[str, np.ndarray]:
    """The predicted scalars (n,) of the labelled nuclei of one species by name, and unit vectors (n, 3) as "z_axis"
    where it is given.
    """
    given = of_species(predictions, selection.species, "predicted scalars")
    missing = [key for key in SCALARS if key not in given]
    unknown = [key for key in given if key not in SCALARS + OPTIONAL]
    if missing or unknown:
        wrong = f"lack {', '.join(missing)}" if missing else f"hold {', '.join(unknown)}, which is none of them"
        raise InputError(
            f"the scalar predictions for {selection.species} {wrong}; "
            f"give {', '.join(SCALARS)} and, if learned, {', '.join(OPTIONAL)}"
        )
    scalars = {}
    for key, values in given.items():
        array, what = np.asarray(values, dtype=np.float64), f"predicted {key}"
        shape, wanted = ((3,), "one vector per atom, (n, 3)") if key == "z_axis" else ((), "one number per atom, (n,)")
        if array.ndim == 0 or array.shape[1:] != shape:
            raise InputError(f"{what} for {selection.species} has shape {array.shape}; give {wanted}")
        require_length(array, len(selection.labelled), selection.species, what)
        scalars[key] = require_finite(array[selection.labelled], selection.species, what)
    if "z_axis" in scalars:
        scalars["z_axis"] = _unit(scalars["z_axis"], selection.species, "a predicted z_axis")
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
    array = np.asarray(of_species(directions, species, "field directions"), dtype=np.float64)
    if array.shape not in ((3,), (n, 3)):
        raise InputError(f"field directions for {species} have shape {array.shape}; give (3,) or ({n}, 3)")
    return np.broadcast_to(_unit(array, species, "a field direction"), (n, 3))


def _unit(vectors: np.ndarray, species: str, what: str) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    if not np.all(np.isfinite(length) & (length > 0)):
        raise InputError(f"{what} for {species} has length 0 or is not finite; give vectors that point somewhere")
    return vectors / length


def _scale(scales: Mapping[str, Scale] | None, species: str, tensors: np.ndarray) -> Scale:
    """μ and σ as Python floats, free of the precision in which they were computed."""
    if scales is None:
        return Scale.of_data(tensors)
    scale = of_species(scales, species, "scales")
    return Scale(float(scale.mean), float(scale.std))


def of_species(mapping: Mapping, species: str, what: str):
    """What a mapping holds for a species, which it must."""
    if species not in mapping:
        raise InputError(f"{what} for {species} are missing; they were given for {', '.join(mapping) or 'no species'}")
    return mapping[species]


def require_length(array: np.ndarray, n: int, species: str, what: str) -> None:
    """Refuse a prediction for more or fewer sites than there are references."""
    if len(array) != n:
        raise InputError(f"{what} for {species} are {len(array)}, those of the reference {n}; give one for each")


def require_finite(array: np.ndarray, species: str, what: str) -> np.ndarray:
    """The array itself, if all of it is finite."""
    bad = ~np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if bad.any():
        raise InputError(
            f"{what} for {species} are not finite in {bad.sum()} of {len(array)} cases, "
            f"the first of them number {bad.argmax()}"
        )
    return array


def _isotope(isotopes: Mapping[str, Isotope | str] | None, species: str) -> Isotope | None:
    """The nucleus that was asked for, which must be one of the element, or the one that NMR uses."""
    if not isotopes or species not in isotopes:
        return default_isotope(species)
    chosen = isotope(isotopes[species])
    if chosen.symbol != species:
        raise InputError(f"{chosen} is no isotope of {species}; give one, such as {default_isotope(species)}")
    return chosen
