"""Chemiscope in a notebook: structures with their tensors as ellipsoids, next to a map of their observables."""

from collections.abc import Sequence
from typing import Any

from ase import Atoms

from efg_jax.io.chemiscope_json import chemiscope_content, required_chemiscope


def view(frames: Atoms | Sequence[Atoms], **options: Any) -> Any:
    """An interactive view of structures with ``efg`` (V/Å²) or ``ms`` (ppm), to be the last line of a notebook's cell.

    Args:
        frames: structures.
        options: species, isotopes, reference, properties, size, cutoff, name: see `efg_jax.io.chemiscope_json.write_chemiscope`.

    Returns:
        Chemiscope's widget, with a point of the map and ellipsoids for each chosen site.

    Raises:
        InputError: chemiscope is not installed, or there are no tensors.
    """
    chemiscope = required_chemiscope()
    content = chemiscope_content([frames] if isinstance(frames, Atoms) else list(frames), **options)
    first = next(iter(content["shapes"]))
    return chemiscope.show(**content, settings={"structure": [{"shape": first, "unitCell": True}]})
