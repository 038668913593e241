"""Spectra: axes, intensities and metadata, to draw or write."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import Float

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import atomic_write
from efg_jax.tensors.nuclei import Isotope


@dataclass(frozen=True)
class Spectrum:
    """A one-dimensional spectrum.

    Attributes:
        isotope: nucleus.
        frequency: axis, Hz from the reference of the shift, ascending.
        larmor: Larmor frequency, Hz: 1 ppm is 10⁻⁶ of it.
        total: intensity per Hz; its integral is the number of nuclei.
        per_site: the contribution of each site; None where it was not asked for.
        labels: names of the sites.
        metadata: what it was computed from and how.
    """

    isotope: Isotope
    frequency: Float[np.ndarray, " points"]
    larmor: float
    total: Float[np.ndarray, " points"]
    per_site: Float[np.ndarray, "sites points"] | None
    labels: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ppm(self) -> Float[np.ndarray, " points"]:
        """The axis in ppm."""
        return self.frequency / (self.larmor * 1e-6)

    @property
    def integral(self) -> float:
        """Number of nuclei within the window."""
        return float(self.total.sum() * (self.frequency[1] - self.frequency[0]))

    @property
    def centre_of_gravity(self) -> float:
        """Mean of the axis under the total, ppm."""
        return float((self.ppm * self.total).sum() / self.total.sum())

    def normalised(self) -> "Spectrum":
        """The same with the highest point of the total at 1."""
        highest = self.total.max()
        per_site = None if self.per_site is None else self.per_site / highest
        return replace(self, total=self.total / highest, per_site=per_site)

    def plot(self, **options: Any) -> Any:  # a matplotlib figure, whose import takes half a second
        """A picture, see :func:`efg_jax.spectra.spectrum_figures.spectrum_figure`."""
        from efg_jax.spectra.spectrum_figures import spectrum_figure

        return spectrum_figure(self, **options)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Columns frequency_hz, shift_ppm, total and one a site; the metadata are lines that begin with #.

        Raises:
            InputError: the file cannot be written.
        """
        columns = {"frequency_hz": self.frequency, "shift_ppm": self.ppm, "total": self.total}
        for label, values in zip(self.labels, () if self.per_site is None else self.per_site, strict=False):
            columns[label.replace(",", " ")] = values
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"# {name}: {value}\n" for name, value in self.metadata.items())
            file.write(",".join(columns) + "\n")
            np.savetxt(file, np.column_stack(list(columns.values())), fmt="%.9g", delimiter=",")


@dataclass(frozen=True)
class Spectrum2D:
    """A sheared multiple-quantum spectrum.

    Attributes:
        isotope: nucleus.
        quanta: 3, 5, 7 or 9.
        isotropic: first axis, ppm, ascending: δ_iso − (10/17) δ_QIS for three quanta of any spin. Shifts run as on the
            second axis.
        mas: second axis, ppm, ascending.
        larmor: Larmor frequency, Hz.
        total: intensity per ppm²; its integral is the number of nuclei.
        per_site: of each site, or None.
        labels: names of the sites.
        metadata: how it was computed.
    """

    isotope: Isotope
    quanta: int
    isotropic: Float[np.ndarray, " isotropic"]
    mas: Float[np.ndarray, " mas"]
    larmor: float
    total: Float[np.ndarray, "isotropic mas"]
    per_site: Float[np.ndarray, "sites isotropic mas"] | None
    labels: tuple[str, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def isotropic_projection(self) -> Float[np.ndarray, " isotropic"]:
        """Sum over the MAS axis, per ppm."""
        return self.total.sum(axis=1) * (self.mas[1] - self.mas[0])

    @property
    def mas_projection(self) -> Float[np.ndarray, " mas"]:
        """Sum over the isotropic axis, per ppm."""
        return self.total.sum(axis=0) * (self.isotropic[1] - self.isotropic[0])

    def plot(self, **options: Any) -> Any:  # a matplotlib figure, whose import takes half a second
        """A picture, see :func:`efg_jax.spectra.spectrum_figures.mqmas_figure`."""
        from efg_jax.spectra.spectrum_figures import mqmas_figure

        return mqmas_figure(self, **options)

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """A table: the first row holds the MAS axis in ppm, the first column the isotropic one; the metadata are lines
        that begin with #.

        Raises:
            InputError: the file cannot be written.
        """
        with atomic_write(path) as temporary, temporary.open("w", encoding="utf-8") as file:
            file.writelines(f"# {name}: {value}\n" for name, value in self.metadata.items())
            file.write("isotropic_ppm\\mas_ppm," + ",".join(f"{value:.6f}" for value in self.mas) + "\n")
            rows = np.column_stack([self.isotropic, self.total])
            np.savetxt(file, rows, fmt=["%.6f"] + ["%.6g"] * len(self.mas), delimiter=",")


def require_sites(spectrum: Spectrum | Spectrum2D) -> None:
    """Refuse a spectrum without contributions.

    Raises:
        InputError: it was made without them.
    """
    if spectrum.per_site is None:
        raise InputError("the spectrum has no contributions of sites; make it with per_site=True")
