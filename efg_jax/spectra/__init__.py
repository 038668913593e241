"""From tensors to spectra: NMR sites, powder spectra, MQMAS, and differentiable line shapes."""

from efg_jax.spectra.bridge import to_mrsimulator
from efg_jax.spectra.broadening import Broadening, broaden, parse_broadening
from efg_jax.spectra.crystallites import Lines
from efg_jax.spectra.export import write_mrsim
from efg_jax.spectra.fluctuations import Fluctuations, mean_and_fluctuations
from efg_jax.spectra.frequencies import larmor_frequency
from efg_jax.spectra.lineshape import powder_spectrum
from efg_jax.spectra.merging import merge
from efg_jax.spectra.mqmas import mqmas
from efg_jax.spectra.nmr_sites import Site, Sites, sites
from efg_jax.spectra.regions import UNASSIGNED, Regions, find_regions
from efg_jax.spectra.simulate import spectrum
from efg_jax.spectra.single_crystal import transition_frequencies
from efg_jax.spectra.spectrum_result import Spectrum, Spectrum2D

__all__ = [
    "UNASSIGNED",
    "Broadening",
    "Fluctuations",
    "Lines",
    "Regions",
    "Site",
    "Sites",
    "Spectrum",
    "Spectrum2D",
    "broaden",
    "find_regions",
    "larmor_frequency",
    "mean_and_fluctuations",
    "merge",
    "mqmas",
    "parse_broadening",
    "powder_spectrum",
    "sites",
    "spectrum",
    "to_mrsimulator",
    "transition_frequencies",
    "write_mrsim",
]
