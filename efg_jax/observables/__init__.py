"""What NMR measures of each site: quadrupolar and shielding parameters, and how both tensors lie in the crystal and to
each other.
"""

from efg_jax.observables.arrays import values_and_gradients, values_of
from efg_jax.observables.quadrupole_resonance import NqrTable, nqr_table
from efg_jax.observables.site_table import CONVENTIONS, SiteObservables
from efg_jax.observables.tabulation import site_observables

__all__ = [
    "CONVENTIONS",
    "NqrTable",
    "SiteObservables",
    "nqr_table",
    "site_observables",
    "values_and_gradients",
    "values_of",
]
