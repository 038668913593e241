# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Trajectories: average the tensor, then diagonalise
#
# A nucleus whose surroundings move faster than it precesses shows the tensor of the mean: ⟨V⟩ in a fixed frame, *then* its eigenvalues. The mean of C_Q over frames is another number; that of
# |C_Q| is never smaller. This notebook predicts the tensors of a trajectory, averages them in the right order, says what the wrong order would have cost, and reads off error bars, correlation times and T₁.

# %%
import numpy as np

import efg_jax as ej
from efg_jax.trajectories import average, predicted

frames = [atoms for atoms in ej.datasets.load("silica-efg")[:247] if len(atoms) == 9]
model = ej.TensorGPR(ej.LambdaSOAP(cutoff=4.0, nmax=3, lmax=2), species="O").fit(frames[:24])

# %% [markdown]
# ## A trajectory
#
# Yours comes from molecular dynamics: `ej.io.iread("trajectory.extxyz")` reads it frame by frame, so that its length does not matter. Here every atom of a quartz cell swings about its place at random
# (an Ornstein–Uhlenbeck process, 40 fs correlation time, 0.06 Å).

# %%
start = min(frames, key=lambda atoms: atoms.info["sigma"])
rng, kept = np.random.default_rng(0), np.exp(-1 / 20)  # a frame every 2 fs


def trajectory(count):
    displacement = 0.06 * rng.normal(size=(len(start), 3))
    for _ in range(count):
        moved = start.copy()
        moved.positions += displacement
        yield moved
        displacement = kept * displacement + np.sqrt(1 - kept**2) * 0.06 * rng.normal(size=displacement.shape)


# %%
result = average(predicted(model, trajectory(400)), species="O", direction=(0, 0, 1), timestep=2.0)
result

# %% [markdown]
# The columns of ⟨V⟩, and ν_Q, are what a spectrometer sees; those of the mean over frames are what it does not. Errors are standard errors of block averages.

# %%
site = result.sites[0]
right, wrong = site.quantities["c_q"], site.quantities["mean_c_q"]
print(f"C_Q(⟨V⟩) = {right.value / 1e6:.3f} ± {right.error / 1e6:.3f} MHz;  ⟨C_Q⟩ = {wrong.value / 1e6:.3f} MHz")
print(f"η(⟨V⟩) = {site.quantities['eta'].value:.3f};  ⟨η⟩ = {site.quantities['mean_eta'].value:.3f}")

# %%
result.plot()

# %% [markdown]
# ## Relaxation
#
# In the limit of extreme narrowing T₁ follows from the integral of the tensor's autocorrelation. (400 frames are few, and a swing in a solid is no tumbling: the number shows the call, not physics.)

# %%
found = result.relaxation(species="O", until=200.0)
f"T₁ = {found.t1:.0f} ± {found.error:.0f} s, correlation time {found.correlation_time * 1e15:.0f} fs"

# %% [markdown]
# ## Sub-trajectories
#
# `label=` averages by phase or site, `mask=` leaves frames out. A label is an entry of `atoms.info`, a per-atom array, or a function of the structure:

# %%
halves = average(
    predicted(model, trajectory(100)),
    species="O",
    label=lambda atoms: (
        "stretched" if atoms.get_distance(0, 3, mic=True) > start.get_distance(0, 3, mic=True) else "short"
    ),
)
print(halves)

# %% [markdown]
# ## On to the spectrum
#
# `to_atoms` gives the mean structure with the mean tensors, for [spectra](spectra.md), observables and files. Its ν_Q is 3C_Q/(2I(2I − 1)), the value for a field along the principal z axis, while the
# table of the average has that for the field along `direction`: hence the two numbers for one atom.

# %%
mean = result.to_atoms()
print(ej.observables.site_observables(mean, species="O"))
