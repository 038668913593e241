"""An average as files for programs."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from efg_jax.storage.atomic_write import atomic_write, write_rows
from efg_jax.trajectories.relaxation import Relaxation
from efg_jax.trajectories.sites import SiteAverage
from efg_jax.trajectories.tables import rows_of_sites

if TYPE_CHECKING:
    from efg_jax.trajectories.result import TrajectoryAverage


def plain(average: "TrajectoryAverage") -> dict[str, Any]:
    """Everything that the average says, as values that JSON has; NaN and infinity become None."""
    options = average.sums.options
    return {
        "target": average.target,
        "unit": average.sums.kind.unit,
        "frames": average.frames,
        "timestep_fs": average.timestep,
        "frame": options.frame,
        "direction": None if options.direction is None else options.direction.tolist(),
        "isotopes": {symbol: None if nucleus is None else str(nucleus) for symbol, nucleus in average.isotopes.items()},
        "sites": [_site(site) for site in average.sites],
        "relaxation": {symbol: _relaxation(found) for symbol, found in average.relaxations().items()},
    }


def write_json(average: "TrajectoryAverage", path: str | Path) -> None:
    """Write `plain`, whole or not at all."""
    text = json.dumps(plain(average), indent=1, allow_nan=False, ensure_ascii=False) + "\n"
    with atomic_write(path) as temporary:
        Path(temporary).write_text(text, encoding="utf-8")


def write_csv(average: "TrajectoryAverage", path: str | Path) -> None:
    """Write one row a site, with a header; whole or not at all."""
    rows = rows_of_sites(average.sites)
    names = list(dict.fromkeys(name for row in rows for name in row))
    write_rows(path, names, rows)


def _relaxation(found: Relaxation | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"error": found}
    entry = {name: _number(value) if isinstance(value, float) else value for name, value in found._asdict().items()}
    return entry | {"isotope": str(found.isotope)}


def _site(site: SiteAverage) -> dict[str, Any]:
    entry = {name: getattr(site, name) for name in ("atom", "symbol", "label", "frames")}
    entry["isotope"] = None if site.isotope is None else str(site.isotope)
    for name in ("tensor", "tensor_error", "values", "axes"):
        entry[name] = [[_number(x) for x in row] if np.ndim(row) else _number(row) for row in getattr(site, name)]
    entry["quantities"] = {
        name: estimate._asdict() | {"value": _number(estimate.value), "error": _number(estimate.error)}
        for name, estimate in site.quantities.items()
    }
    return entry


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
