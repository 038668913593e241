# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Sensitivity: which bond, which angle?
#
# A model is one differentiable function of positions. So ∂C_Q/∂r is exact, for any quantity of any atom, with respect
# to every position and to strain. Expressed in bonds and angles, it says what determines a coupling. This notebook does
# that for an oxygen in quartz.

# %%
import numpy as np

import efg_jax as ej
from efg_jax.sensitivity import gradient

frames = [atoms for atoms in ej.datasets.load("silica-efg")[:247] if len(atoms) == 9]
model = ej.TensorGPR(ej.LambdaSOAP(cutoff=4.0, nmax=4, lmax=3), species="O")
fitted = model.fit(frames[:32])
atoms = min(frames[32:], key=lambda atoms: atoms.info["sigma"])  # the least distorted of the others
oxygen = int(np.flatnonzero(np.asarray(atoms.symbols) == "O")[0])

# %% [markdown]
# ## C_Q of one oxygen
#
# The table lists bonds and angles at the atom and at its neighbours, largest derivatives first.

# %%
found = gradient(fitted, atoms, oxygen, "c_q")
found

# %% [markdown]
# The figure shows the same: bars for bonds and angles, and arrows for the derivative with respect to every position.

# %%
found.plot()

# %% [markdown]
# ## The same as arrays
#
# The derivatives are also arrays: per atom (periodic images together), and with respect to strain. Translation of all
# atoms changes nothing:

# %%
assert np.abs(found.positions.sum(axis=0)).max() < 1e-8 * np.abs(found.positions).max()
np.round(found.positions / 1e6, 3)  # MHz/Å

# %%
np.round(found.strain / 1e6, 2)  # MHz, for a strain of 1

# %% [markdown]
# The derivative is exact. For a small displacement along it, the model's own C_Q changes as predicted:

# %%
step = 1e-3 * found.positions / np.linalg.norm(found.positions)  # Å


def c_q(displacement):
    moved = atoms.copy()
    moved.positions += displacement
    return gradient(fitted, moved, oxygen, "c_q").quantity.value


predicted = np.sum(found.positions * step)
(c_q(step) - c_q(-step)) / 2 / predicted

# %% [markdown]
# ## Other quantities
#
# `"eta"`, `"p_q"`, `"nu_q"` along a field, and for a shielding model `"sigma_iso"`, `"span"`, ... are available too.
# Where a quantity has a kink (η at 0, C_Q at η = 1), `reach` says how far atoms may move before the derivative ceases
# to hold. On the kink an error says what to ask for instead.

# %%
eta = gradient(fitted, atoms, oxygen, "eta")
f"η = {eta.quantity.value:.3f}; the most sensitive atom may move {eta.reach:.2f} Å"

# %% [markdown]
# From the shell: `efg-jax sensitivity o17.npz crystal.cif --help`.
