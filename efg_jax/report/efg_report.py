"""The report on a model of EFGs, built from tensors or from scalars."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from efg_jax.metrics import Observables, Scale
from efg_jax.report.base_report import BaseReport
from efg_jax.report.efg_evaluation import SpeciesResult, evaluate_scalars, evaluate_tensors
from efg_jax.report.score_tables import species_table
from efg_jax.report.selection import Arrays, predicted_scalars, predicted_tensors, selections
from efg_jax.tensors.nuclei import Isotope


class Report(BaseReport[SpeciesResult]):
    """Result of evaluating a model, per species. Built by `Report.from_tensors` or `Report.from_scalars`.

    ``str(report)`` is its table, ``report.to_dict()`` its JSON, ``report["O"]`` all there is about one species,
    ``report.plot()`` its figures. What is undefined (C_Q of a spin-1/2 nucleus, the correlation of a single site, the
    axes of a scalar model) is None, null in JSON, and never NaN. Host side: device work runs in float64 whatever JAX's
    configuration is."""

    counted = "tensors"

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
            directions: directions of the field by species, (n, 3) or (3,), in the frame of the tensors; the z axis
                without them.
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

        C_Q, η and ν_Q follow from the four scalars: η unclipped, ν_Q by Eq. 5 with the right sign, and the sign of V_zz
        granted from the reference, because C̃_Q does not hold it. ν_Q of a model of n·V·n itself is
        ``nu_q_direct_khz``. There are no axes: the z axis lies somewhere on a cone of opening θ about the field, so
        that its error is at least that of θ, ``z_axis_lower_bound_deg``. Where the z axis was learned besides (as the
        dyad z zᵀ in the crystal frame), ``z_axis_deg`` is its error.

        Args:
            reference: tensors by species, as in `from_tensors`.
            predictions: by species, arrays (n,) named c_q_tilde, eta_tilde, theta, phi (rad) and, where they were
                learned, v_nn (n,) (V/Å²) and z_axis (n, 3), vectors along the principal z axes in the frame of the
                tensors, whose signs have no meaning.
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

    def arrays(self, species: str) -> tuple[Observables, Observables]:
        """Observables of the reference and of the prediction as NumPy arrays (V/Å², Hz, rad)."""
        return super().arrays(species)

    def _table(self, species: str) -> Table:
        return species_table(self, species)

    def _figure(self, species: str) -> Any:
        """Parity plots with the value distributions above them, and the errors of the orientation."""
        from efg_jax.report.parity_figures import metrics_figure

        return metrics_figure(self, species)

    def _subject(self) -> str:
        return f"a {self.kind} model"
