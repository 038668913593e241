"""Averages over a trajectory: sites, correlations, relaxation, distributions; as table, files, structure, figures."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from ase import Atoms
from jaxtyping import Float, Int
from rich.table import Table

from efg_jax.errors import InputError
from efg_jax.storage.results import ResultWithRows
from efg_jax.tensors.nuclei import Isotope
from efg_jax.tensors.quantities import QUANTITIES
from efg_jax.trajectories.accumulation import Accumulator
from efg_jax.trajectories.autocorrelation import Autocorrelation, autocorrelate
from efg_jax.trajectories.average_table import relaxation_lines, sites_table
from efg_jax.trajectories.averaged_tensors import AveragedTensor
from efg_jax.trajectories.blocks import BlockSums
from efg_jax.trajectories.distributions import Density, kernel_density
from efg_jax.trajectories.relaxation import Relaxation, relaxation
from efg_jax.trajectories.running_means import Snapshot
from efg_jax.trajectories.samples import sampled
from efg_jax.trajectories.site_averages import SiteAverage, frequency_factors, plain, sites_of

FEMTOSECOND = 1e-15


@dataclass(frozen=True)
class TrajectoryAverage(ResultWithRows):
    """Result of `average`.

    Args:
        sums: of the pass over the trajectory.
        isotopes: nucleus by element of the tracked atoms; None: V_zz stays in V/Å².
        timestep: fs from frame to frame.
        field: T; None: no second-order shifts, and relaxation in extreme narrowing.
    """

    sums: Accumulator
    isotopes: Mapping[str, Isotope | None]
    timestep: float | None
    field: float | None = None

    width: ClassVar[int] = 180

    @property
    def target(self) -> str:
        """ "efg" or "ms"."""
        return self.sums.kind.name

    @property
    def frames(self) -> int:
        """Number of frames that were averaged."""
        return self.sums.counted

    @property
    def tracked(self) -> Int[np.ndarray, " tracked"]:
        """Indices of the atoms that were averaged."""
        return self.sums.tracked

    @property
    def labels(self) -> list[str]:
        """The labels that occurred."""
        return sorted(self.sums.by_label)

    @cached_property
    def overall(self) -> tuple[SiteAverage, ...]:
        """The average of each atom over all frames, whatever their labels."""
        atoms = self.tracked.tolist()
        return tuple(self._sites(self.sums.overall, atoms, self.sums.symbols.tolist(), None))

    @cached_property
    def sites(self) -> tuple[SiteAverage, ...]:
        """What was asked for: each atom; under each label, where there are labels; all atoms together, where they are
        pooled.
        """
        if not self.sums.by_label:
            return self.overall
        atoms, symbols = self.tracked.tolist(), self.sums.symbols.tolist()
        if self.sums.options.pool:
            atoms, symbols = [None], symbols[:1]
        return tuple(
            site for label in self.labels for site in self._sites(self.sums.by_label[label], atoms, symbols, label)
        )

    def autocorrelation(
        self,
        of: Literal["tensor", "nu_q"] = "tensor",
        *,
        species: str | None = None,
        atom: int | None = None,
        fluctuation: bool = True,
    ) -> Autocorrelation:
        """⟨V(0):V(t)⟩ = ⟨Σ_ij V_ij(0) V_ij(t)⟩, which no rotation of the frame changes (of a shielding its traceless
        symmetric part), or ⟨ν_Q(0) ν_Q(t)⟩.

        Args:
            of: the tensor, or ν_Q along the direction that was given: in Hz² where all of the atoms have a quadrupolar
                isotope, and where none has one n·V·n in (V/Å²)²; the result says which.
            species: element over whose atoms to take the mean; None: all of them.
            atom: index of one atom instead.
            fluctuation: of the deviation from the mean over the trajectory, V − ⟨V⟩. Its integral over all lags of the
                trajectory is zero: look at lags much shorter than that.

        Raises:
            InputError: a mask or labels left out frames, so that frames are no measure of time; something else than
                these two; no direction; ν_Q of elements with and without a quadrupolar isotope together; no such atom.
        """
        return autocorrelate(
            self.sums, self.isotopes, self.timestep, of, species=species, atom=atom, fluctuation=fluctuation
        )

    def relaxation(
        self,
        *,
        species: str | None = None,
        field: float | int | None = None,
        until: float | int | None = None,
        fluctuation: bool = True,
    ) -> Relaxation:
        """Quadrupolar T₁ and T₂ from the tensor's autocorrelation, in a field or in the limit of extreme narrowing; see
        `quadrupolar_rates` and `quadrupolar_t1` for formulae and limits, and `relaxation` for errors.

        Args:
            species: element; may be left out where there is one.
            field: T; None: that of the average, and extreme narrowing where it has none.
            until: lag at which to end the integral, fs, the first step at least; None: where it does not change
                significantly any more.
            fluctuation: False: of the whole tensor, for a liquid whose mean tensor is zero but for the shortness of the
                trajectory.

        Raises:
            InputError: no time step, labels, several elements, no quadrupolar isotope, or as `autocorrelation`.
        """
        if self.target != "efg":
            raise InputError("a shielding gives no quadrupolar relaxation; average target='efg'")
        if self.timestep is None:
            raise InputError(
                "T₁ needs the time from one frame to the next; pass timestep= in fs (command line: --timestep)"
            )
        if self.sums.options.label is not None:
            raise InputError(
                "steps from one label to another are no motion within either; "
                "average each phase or site in a file of its own, without label="
            )
        symbol = self._element(species, "T₁")
        if self.isotopes[symbol] is None:
            raise InputError(f"{symbol} has no quadrupolar isotope in the table; pass isotope=")
        found = self.autocorrelation(species=symbol, fluctuation=fluctuation)
        return relaxation(
            found.lags * FEMTOSECOND,
            found.by_atom,
            self.isotopes[symbol],
            duration=self.sums.frames * self.timestep * FEMTOSECOND,
            spacings=found.spacings * FEMTOSECOND,
            field=self.field if field is None else field,
            until=None if until is None else until * FEMTOSECOND,
            centred=fluctuation,
        )

    def relaxations(self) -> dict[str, Relaxation | str]:
        """T₁ and T₂ of every element with a quadrupolar isotope, or why there is none; empty where nobody asks (a
        shielding, no time step, one frame).
        """
        return dict(self._relaxations)

    @cached_property
    def _relaxations(self) -> dict[str, Relaxation | str]:
        if self.target != "efg" or self.timestep is None or self.frames < 2:
            return {}
        found: dict[str, Relaxation | str] = {}
        for symbol in (symbol for symbol, nucleus in self.isotopes.items() if nucleus is not None):
            try:
                found[symbol] = self.relaxation(species=symbol)
            except InputError as error:
                found[symbol] = str(error)
        return found

    def distribution(
        self,
        quantity: str,
        *,
        species: str | None = None,
        label: str | None = None,
        reference: float | int | None = None,
    ) -> Density:
        """Kernel density of what single frames show, all atoms of an element together.

        Args:
            quantity: "c_q", "abs_c_q", "nu_q" (Hz), "v_zz", "abs_v_zz", "v_nn" (V/Å²), "eta"; of a shielding
                "sigma_iso", "delta_iso", "span" (ppm), "skew".
            species: element; may be left out where there is one.
            label: of these frames or atoms only; None: all.
            reference: σ_ref in ppm, for "delta_iso".

        Raises:
            InputError: an unknown quantity, element or label; no reference, no direction, no isotope; values that are
                all alike.
        """
        values = self.sampled(quantity, species=species, label=label, reference=reference)
        known = QUANTITIES["efg"] if self.target == "efg" else QUANTITIES["shift"] | QUANTITIES["shielding"]
        return kernel_density(values, known[quantity].bounds)

    def sampled(
        self,
        quantity: str,
        *,
        species: str | None = None,
        label: str | None = None,
        reference: float | int | None = None,
    ) -> Float[np.ndarray, " sample"]:
        """The sample of which `distribution` is the density; same arguments. All labels together are weighted by their
        numbers of frames.
        """
        symbol = self._element(species, "distribution")
        return sampled(self.sums, symbol, self.isotopes[symbol], quantity, label=label, reference=reference)

    def running(self) -> tuple[Int[np.ndarray, " snapshots"], Snapshot]:
        """Numbers of frames, and C_Q(⟨V⟩) (V_zz without an isotope; Ω of a shielding) after each of them with its
        error, and ⟨C_Q⟩, (snapshots, tracked); NaN before an atom is first counted.
        """
        series = self.sums.running.series()
        if self.target == "ms":
            return self.sums.running.frames, series
        nuclei = [self.isotopes[symbol] for symbol in self.sums.symbols.tolist()]
        factor = np.array([1.0 if nucleus is None else frequency_factors(nucleus)["v_zz"] for nucleus in nuclei])
        return self.sums.running.frames, Snapshot(
            series.right * factor, series.error * np.abs(factor), series.wrong * factor
        )

    def to_atoms(self, label: str | None = None) -> Atoms:
        """The mean structure with the mean tensors (NaN for atoms that were not averaged), for spectra, observables and
        files.

        Positions and cell are means over the same frames (over all that count, where labels belong to atoms); atoms
        that diffuse have no meaningful ones. An EFG has its fluctuations beside it, ``arrays["efg_fluctuation"]`` (n,
        45): five tensors F_k an atom, Σ_k F_k ⊗ F_k = ⟨δV ⊗ δV⟩, for spectra of motion between C_Q and ν_L
        (``spectrum(..., motion="intermediate")``).

        Args:
            label: of these frames, or atoms; None: the average over all.

        Raises:
            InputError: no such label, or atoms were pooled.
        """
        if self.sums.options.pool:
            raise InputError("pooled atoms have no structure; average with pool=False")
        if label is not None and label not in self.labels:
            raise InputError(f"there is no label {label!r}; there are {', '.join(self.labels) or 'none'}")
        places = self.sums.places.get(label, self.sums.places[None])
        atoms = self.sums.reference.copy()
        reference = {name: atoms.info[name] for name in ("source_file",) if name in atoms.info}
        atoms = Atoms(atoms.symbols, positions=places.positions, cell=places.cell, pbc=atoms.pbc, info=reference)
        atoms.info["averaged_frames"] = places.frames
        if label is not None:
            atoms.info["label"] = label
        tensors = np.full((len(atoms), 3, 3), np.nan)
        for site in self.overall if label is None else (site for site in self.sites if site.label == label):
            tensors[site.atom] = site.tensor
        atoms.arrays[self.target] = tensors
        if self.target == "efg":
            sums = self.sums.overall if label is None else self.sums.by_label[label]
            fluctuations = np.full((len(atoms), 45), np.nan)
            fluctuations[self.tracked[sums.count > 0]] = _fluctuations(self.sums.kind, sums)[sums.count > 0]
            atoms.arrays["efg_fluctuation"] = fluctuations
        return atoms

    def to_dict(self) -> dict[str, Any]:
        """Sites, relaxation and options as plain values; NaN and infinity become None."""
        options = self.sums.options
        relaxations = {
            symbol: {"error": one} if isinstance(one, str) else plain(one._asdict() | {"isotope": str(one.isotope)})
            for symbol, one in self.relaxations().items()
        }
        return {
            "target": self.target,
            "unit": self.sums.kind.unit,
            "frames": self.frames,
            "timestep_fs": self.timestep,
            "field_t": self.field,
            "frame": options.frame,
            "direction": None if options.direction is None else options.direction.tolist(),
            "isotopes": {symbol: None if one is None else str(one) for symbol, one in self.isotopes.items()},
            "sites": [site.to_dict() for site in self.sites],
            "relaxation": relaxations,
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row for each site: C_Q and ν_Q in Hz, tensors in V/Å² or ppm, standard errors in columns that end in
        _error.
        """
        return [site.row() for site in self.sites]

    def table(self) -> Table:
        """The sites: the right average and the wrong ones side by side, with standard errors in last digits."""
        time = "" if self.timestep is None else f" · {self.timestep * self.sums.frames * 1e-3:.4g} ps"
        title = f"{self.target} averaged over {self.frames} frames{time}"
        return sites_table(self.sums.kind, self.sites, title, relaxation_lines(self.relaxations(), self.isotopes))

    def plot(self) -> Any:
        """Running average, distribution, autocorrelation, wrong order against right: a `plots.Picture`."""
        from efg_jax.trajectories.trajectory_figures import trajectory_figure

        return trajectory_figure(self)

    def __repr__(self) -> str:
        counts = f"{self.frames} frames, {len(self.tracked)} atoms, {len(self.sites)} sites"
        return f"<TrajectoryAverage of {self.target}: {counts}>"

    def _sites(self, sums: BlockSums, atoms: list, symbols: list[str], label: str | None) -> list[SiteAverage]:
        direction = self.sums.options.direction
        return sites_of(self.sums.kind, sums, atoms, symbols, label, self.isotopes, direction, self.field)

    def _element(self, species: str | None, wanted: str) -> str:
        """The element that is asked for, or the only one."""
        symbol = species or (next(iter(self.isotopes)) if len(self.isotopes) == 1 else None)
        if symbol not in self.isotopes:
            raise InputError(f"name the element whose {wanted} is wanted: {' or '.join(self.isotopes)}")
        return symbol


def _fluctuations(kind: AveragedTensor, sums: BlockSums) -> Float[np.ndarray, "atoms 45"]:
    """Tensors F_k with Σ_k F_k ⊗ F_k = ⟨δV ⊗ δV⟩: a traceless tensor has five of them at most."""
    values, axes = np.linalg.eigh(sums.covariance[:, : kind.width, : kind.width])
    parts = np.sqrt(np.maximum(values[:, None, -5:], 0.0)) * axes[:, :, -5:]
    return kind.unpack(parts.swapaxes(1, 2).reshape(-1, kind.width)).reshape(-1, 45)
