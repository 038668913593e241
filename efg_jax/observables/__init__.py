"""What NMR measures of each site: quadrupolar and shielding parameters, and how both tensors lie in the crystal and to each other."""

from efg_jax.observables.columns import CONVENTIONS, Column
from efg_jax.observables.sites import site_observables
from efg_jax.observables.table import SiteObservables

__all__ = ["CONVENTIONS", "Column", "SiteObservables", "site_observables"]
