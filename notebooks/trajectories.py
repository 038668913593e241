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
# If the surroundings of a nucleus move faster than it precesses, it shows the mean tensor: ⟨V⟩ in a fixed frame, *then*
# its eigenvalues. The mean of C_Q over frames is another number, and the mean of |C_Q| is never smaller. This notebook
# predicts the tensors of a trajectory, averages them in the right order, and shows the error of the wrong order. It
# also gives error bars, correlation times and T₁.

# %%
import numpy as np

import efg_jax as ej
from efg_jax.trajectories import average, predicted

frames = [atoms for atoms in ej.datasets.load("silica-efg")[:247] if len(atoms) == 9]
model = ej.TensorGPR(ej.LambdaSOAP(cutoff=4.0, nmax=3, lmax=2), species="O")
fitted = model.fit(frames[:24])

# %% [markdown]
# ## A trajectory
#
# Yours comes from molecular dynamics. `ej.io.iread("trajectory.extxyz")` reads it frame by frame, so that its length
# does not matter. Here every atom of a quartz cell moves about its site at random (an Ornstein–Uhlenbeck process, 40 fs
# correlation time, 0.06 Å).

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
result = average(predicted(fitted, trajectory(400)), species="O", direction=(0, 0, 1), timestep=2.0)
result

# %% [markdown]
# A spectrometer measures the columns of ⟨V⟩, and ν_Q; it does not measure the means over frames. Errors are standard
# errors of block averages.

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
# In the limit of extreme narrowing, T₁ follows from the integral of the tensor's autocorrelation. The integral ends
# where it no longer changes significantly; `until=` ends it elsewhere. `field=` gives T₁ and T₂ beyond that limit. (400
# frames are few, and atoms in a solid do not tumble: these numbers only illustrate the call, and `converged` says so.)

# %%
found = result.relaxation(species="O", field=14.1, until=150.0)
print(f"T₁ = {found.t1:.0f} ± {found.error:.0f} s, correlation time {found.correlation_time * 1e15:.0f} fs")
print(f"extreme narrowing holds at 14.1 T: {found.narrow}; converged: {found.converged}")

# %% [markdown]
# ## Sub-trajectories
#
# `label=` averages by phase or site; `mask=` leaves frames out. A label is an entry of `atoms.info`, a per-atom array,
# or a function of the structure:

# %%
halves = average(
    predicted(fitted, trajectory(100)),
    species="O",
    label=lambda atoms: (
        "stretched" if atoms.get_distance(0, 3, mic=True) > start.get_distance(0, 3, mic=True) else "short"
    ),
)
print(halves)

# %% [markdown]
# ## From the average to the spectrum
#
# `to_atoms` gives the mean structure with the mean tensors, for [spectra](spectra.md), observables and files. The ν_Q
# of this table is 3C_Q/(2I(2I − 1)), the value for a field along the principal z axis. The table of the average has it
# for the field along `direction`. So the two numbers of one atom differ.

# %%
mean = result.to_atoms()
print(ej.observables.site_observables(mean, species="O"))
