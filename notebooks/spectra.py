# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # From tensors to spectra
#
# This notebook computes powder spectra of quadrupolar nuclei from the tensors of a structure. These may come from first
# principles, from a model, or from the average over a trajectory. mrsimulator simulates the spectra
# (`pip install 'efg-jax[spectra]'`). Our own line shape in JAX is differentiable, so that a spectrum can be a loss.

# %%
import jax
import jax.numpy as jnp
import numpy as np

import efg_jax as ej
from efg_jax import plots
from efg_jax.spectra import larmor_frequency, mqmas, powder_spectrum, sites, spectrum
from efg_jax.spectra.spectrum_figures import mqmas_figure, spectrum_figure

frames = ej.datasets.load("silica-efg")[:247]
atoms = next(atoms for atoms in frames if atoms.info["parent"].startswith("coesite"))
atoms.symbols.get_chemical_formula(), atoms.info["parent"]

# %% [markdown]
# ## Sites
#
# A spectrum needs shifts too. If the structure has shieldings (`ms`, ppm), give the shielding of your reference
# compound, `reference=`; there is no default. This data set has field gradients only, so `shift=` puts every site at
# one shift.

# %%
oxygen = sites(atoms, "17O", shift=40.0)
for site in list(oxygen)[:4]:
    print(f"O{site.atom}: C_Q = {site.c_q / 1e6:.2f} MHz, η = {site.eta_q:.2f}, δ_iso = {site.shift:.0f} ppm")

# %% [markdown]
# ## Static, and under magic-angle spinning
#
# The central transition of ¹⁷O, to second order, at 14.1 T. The pattern under MAS is narrower and lies to the right of
# the shift, by the quadrupolar induced shift δ_QIS.

# %%
few = oxygen.select(np.arange(4))
static = spectrum(few, field=14.1, broadening="400 Hz")
mas = spectrum(few, field=14.1, spinning=np.inf, broadening="60 Hz")
spectrum_figure({"static": static, "MAS": mas}, title="¹⁷O at 14.1 T")

# %%
f"centre of gravity under MAS: {mas.centre_of_gravity:.1f} ppm, shift 40 ppm; larger fields bring it back"

# %% [markdown]
# ## MQMAS
#
# Sites that overlap under MAS separate in the isotropic dimension.

# %%
mqmas_figure(mqmas(few, field=14.1, broadening="0.5 ppm", points=(128, 256)), title="¹⁷O 3QMAS")

# %% [markdown]
# ## A spectrum as a loss
#
# `powder_spectrum` is a pure function of tensors. Here we compare a measured spectrum (made from the true tensors) with
# that of tensors that are off by 5 %. The derivative of the misfit with respect to all their components says how to
# correct them. With a model in front, the same derivative reaches the positions: d(spectrum)/d(positions).

# %%
ej.enable_x64()
larmor = larmor_frequency(few.isotope, 14.1)
axis = np.linspace(-60.0, 80.0, 256) * larmor * 1e-6  # Hz
conditions = {"isotope": "17O", "field": 14.1, "spinning": np.inf, "fwhm": 300.0, "density": 24}
tensors, shifts = jnp.asarray(few.efg), jnp.full(len(few), 40.0)
measured = powder_spectrum(tensors, shifts, axis, **conditions).sum(axis=0)


def misfit(scale):
    simulated = powder_spectrum(scale * tensors, shifts, axis, **conditions).sum(axis=0)
    return jnp.sum((simulated - measured) ** 2) / jnp.sum(measured**2)


value, slope = jax.value_and_grad(misfit)(1.05)
step = 1e-6
difference = (misfit(1.05 + step) - misfit(1.05 - step)) / (2 * step)
f"misfit {value:.4f} at 1.05, slope {slope:.4f}, by differences {difference:.4f}"

# %%
scales = np.linspace(0.9, 1.1, 9)
figure = plots.Picture(figsize=(4.0, 2.6), layout="constrained")
ax = figure.subplots()
ax.plot(scales, [misfit(scale) for scale in scales], "o-", color=plots.TENSOR)
ax.set(xlabel="tensors scaled by", ylabel="misfit of the spectrum", xticks=[0.9, 0.95, 1.0, 1.05, 1.1])
figure

# %% [markdown]
# From the shell: `efg-jax spectrum predicted.extxyz --help`.
