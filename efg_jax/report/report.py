"""The report: built from tensors or from scalars, read as text, JSON, arrays or figures."""

import html
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Group

from efg_jax.errors import InputError
from efg_jax.metrics import Observables, Scale
from efg_jax.report.evaluation import SpeciesResult, evaluate_scalars, evaluate_tensors
from efg_jax.report.selection import Arrays, predicted_scalars, predicted_tensors, selections
from efg_jax.report.tables import render, species_table
from efg_jax.tensors.nuclei import Isotope


class Report:
    """Result of evaluating a model, per species. Built by `Report.from_tensors` or `Report.from_scalars`.

    ``str(report)`` is its table, ``report.to_dict()`` its JSON, ``report["O"]`` all there is about one species, ``report.plot()`` its
    figures. What is undefined (C_Q of a spin-1/2 nucleus, the correlation of a single site, the axes of a scalar model) is None,
    null in JSON, and never NaN. Host side: device work runs in float64 whatever JAX's configuration is.
    """

    def __init__(self, results: Mapping[str, SpeciesResult], kind: str, title: str = ""):
        self.results = dict(results)
        self.kind = kind
        self.title = title

    @classmethod
    def from_tensors(
        cls,
        reference: Mapping[str, Arrays],
        predicted: Mapping[str, Arrays],
        directions: Mapping[str, Arrays] | None = None,
        scales: Mapping[str, Scale] | None = None,
        isotopes: Mapping[str, Isotope | str] | None = None,
        title: str = "",
    ) -> "Report":
        """Report on a model of the whole tensor.

        Args:
            reference: tensors by species, (n, 3, 3) or (n, 9), V/Å². Rows with NaN carry no label and are left out.
            predicted: the same for the model.
            directions: directions of the field by species, (n, 3) or (3,), in the frame of the tensors; the z axis without them.
            scales: μ and σ of |V_zz| by species; without them, those of the reference tensors given here.
            isotopes: nucleus by species; for a species that is left out, the one that NMR uses.
            title: heading of tables and figures.

        Raises:
            InputError: shapes that do not fit, nothing to evaluate, or predictions that are not finite.
        """
        chosen = selections(reference, directions, scales, isotopes)
        results = {s.species: evaluate_tensors(s, predicted_tensors(predicted, s)) for s in chosen}
        return cls(results, kind="tensor", title=title)

    @classmethod
    def from_scalars(
        cls,
        reference: Mapping[str, Arrays],
        predictions: Mapping[str, Mapping[str, Arrays]],
        directions: Mapping[str, Arrays] | None = None,
        scales: Mapping[str, Scale] | None = None,
        isotopes: Mapping[str, Isotope | str] | None = None,
        title: str = "",
    ) -> "Report":
        """Report on models of the scalars C̃_Q, η̃, θ, φ (and n·V·n), each learned by itself.

        C_Q, η and ν_Q follow from the four scalars: η unclipped, ν_Q by Eq. 5 with the right sign, and the sign of V_zz granted from the
        reference, because C̃_Q does not hold it. ν_Q of a model of n·V·n itself is ``nu_q_direct_khz``. There are no axes: the z axis
        lies somewhere on a cone of opening θ about the field, so that its error is at least that of θ, ``z_axis_lower_bound_deg``.

        Args:
            reference: tensors by species, as in `from_tensors`.
            predictions: by species, arrays (n,) named c_q_tilde, eta_tilde, theta, phi (rad) and, if it was learned, v_nn (V/Å²).
            directions: as in `from_tensors`.
            scales: as in `from_tensors`; those by which the models' targets were made.
            isotopes: as in `from_tensors`.
            title: heading of tables and figures.

        Raises:
            InputError: as in `from_tensors`, and for scalars that are missing or unknown.
        """
        chosen = selections(reference, directions, scales, isotopes)
        results = {s.species: evaluate_scalars(s, predicted_scalars(predictions, s)) for s in chosen}
        return cls(results, kind="scalar", title=title)

    @property
    def species(self) -> list[str]:
        """The species that were evaluated."""
        return list(self.results)

    def __getitem__(self, species: str) -> SpeciesResult:
        if species not in self.results:
            raise InputError(f"the report has no species {species!r}; it has {', '.join(self.results)}")
        return self.results[species]

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def arrays(self, species: str) -> tuple[Observables, Observables]:
        """Observables of the reference and of the prediction as NumPy arrays (V/Å², Hz, rad)."""
        return self[species].reference, self[species].predicted

    def to_dict(self) -> dict[str, dict[str, Any]]:
        """The report as plain numbers by species; every key is always there, None where a value is undefined."""
        return {species: result.metrics for species, result in self.results.items()}

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` to a file, whole or not at all."""
        from efg_jax.io.atomic import atomic_write

        text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        with atomic_write(path) as temporary:
            Path(temporary).write_text(text, encoding="utf-8")

    def table(self) -> Group:
        """One rich table per species."""
        return Group(*(species_table(self, species) for species in self.results))

    def __str__(self) -> str:
        return render(self.table())

    def __repr__(self) -> str:
        counts = ", ".join(f"{species}: {result.metrics['n']}" for species, result in self.results.items())
        return f"<Report on a {self.kind} model, tensors {{{counts}}}>"

    def _repr_html_(self) -> str:
        return f'<pre style="line-height: 1.2">{html.escape(str(self))}</pre>'

    def plot(self, directory: str | Path | None = None) -> list:
        """One figure per species: parity plots with the value distributions above them, and the errors of the orientation.

        Args:
            directory: existing folder to save them in as ``<species>-<kind>.png``. None: nowhere.

        Returns:
            The figures, which a notebook shows.
        """
        from efg_jax import plots

        figures = plots.Figures(plots.metrics_figure(self, species) for species in self.results)
        if directory is not None:
            for species, figure in zip(self.results, figures, strict=True):
                plots.save(figure, Path(directory) / f"{species}-{self.kind}.png")
        return figures
