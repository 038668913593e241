# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # From structures to an evaluated EFG model
#
# An electric field gradient (EFG) is a tensor: it has a size (C_Q), a shape (η) and an orientation. This notebook
# trains a model of the whole tensor of ¹⁷O in silica on first-principles data, and evaluates it in the quantities that
# a spectrometer measures. It compares the model with learning each of those numbers separately, computes derivatives,
# tunes the hyperparameters, and saves the model.
#
# It uses a part of the data set that ships, so that it runs in a minute or two. `make demo` does the same with all of
# it.

# %%
import jax
import jax.numpy as jnp
import numpy as np

import efg_jax as ej
from efg_jax.report.parity_figures import compare_figure, frequency_figure
from efg_jax.tensors import principal_axes

frames = ej.datasets.load("silica-efg")[:247]  # list of ase.Atoms, arrays["efg"] in V/Å²
frames[0], frames[0].arrays["efg"].shape

# %% [markdown]
# Split structures, never atoms: atoms of one structure are correlated. We train on 50 structures here.

# %%
train, test = ej.split(frames, test=0.2, seed=0)
train, test = train[::2][:50], test[:25]
sum(atoms.symbols.count("O") for atoms in train), "oxygen tensors to learn from"

# %% [markdown]
# ## Tensor learning
#
# A λ-SOAP kernel of λ = 2 predicts the five components of the EFG together. If the structure is rotated, the prediction
# rotates with it, by construction. The regularisation comes from leave-one-structure-out residuals in closed form.

# %%
descriptor = ej.LambdaSOAP(cutoff=5.0, nmax=6, lmax=4)  # without these two: the default, larger
model = ej.TensorGPR(descriptor, species="O", target="efg")
fitted = model.fit(train)
report = fitted.evaluate(test, title="silica, held out")
report

# %%
report.plot()[0]

# %% [markdown]
# θ, φ and ν_Q refer to a field along the z axis of each crystal's own frame (`cell.standard_form`), because the cells
# are randomly rotated. C̃_Q and η̃ are the paper's metrics (Harper et al. 2025, Eqs. 7 and 8), with μ and σ of |V_zz|
# in the training set.
#
# ## Scalar learning
#
# The same descriptor with λ = 0, and one regression for each of C̃_Q, η̃, θ, φ, for ν_Q, and for the z axis in the
# crystal frame.

# %%
scalar = ej.ScalarGPR(descriptor, species="O", target="efg").fit(train)
scalar_report = scalar.evaluate(test, title="silica, held out")
ej.comparison_table({"scalar": scalar_report, "tensor": report}, "O")

# %%
compare_figure(scalar_report, report, "O")

# %%
frequency_figure(scalar_report, report, "O")

# %% [markdown]
# ## One structure, with an error bar
#
# `predict` returns an array with a row for every atom, NaN for elements that the model does not predict (here: Si).

# %%
atoms = test[0]
tensors, variance = fitted.predict(atoms, variance=True)
oxygen = np.flatnonzero(atoms.symbols == "O")[:3]
for i in oxygen:
    error = np.linalg.norm(tensors[i] - atoms.arrays["efg"][i])
    print(f"O{i}: |V| = {np.linalg.norm(tensors[i]):.1f}, error {error:.2f}, expected ±{np.sqrt(variance[i]):.2f} V/Å²")

# %% [markdown]
# ## Derivatives
#
# Everything from positions to observables is one differentiable function. How does V_zz of the first oxygen change when
# any atom moves? (`enable_x64` makes float64 JAX's default in this process; `fit` and `predict` do not need it.)

# %%
ej.enable_x64()
environments = fitted.environments_of(atoms, "O")
oxygen = atoms.symbols.indices()["O"][0]


def v_zz(positions):
    moved = ej.structures.with_positions(environments, positions)
    return principal_axes(fitted.tensors(moved)[oxygen]).values[2]


gradient = jax.jit(jax.grad(v_zz))(jnp.asarray(environments.positions))[: len(atoms)]
strongest = np.argsort(-np.linalg.norm(gradient, axis=1))[:4]
for i in strongest:
    print(f"{atoms.symbols[i]}{i}: |∂V_zz/∂r| = {np.linalg.norm(gradient[i]):.1f} V/Å² per Å")

# %% [markdown]
# The sum over atoms vanishes: translation of all atoms changes nothing.

# %%
np.abs(np.asarray(gradient).sum(axis=0)).max()

# %% [markdown]
# ## Tuning by gradient
#
# The loss is the cross-validated error of C̃_Q, η̃ and orientation. It is differentiated through eigenvalues, Cholesky
# factor, kernel and descriptor, in all hyperparameters at once. Here are a few steps on a few structures with a small
# descriptor.

# %%
small = ej.TensorGPR(ej.LambdaSOAP(cutoff=4.0, nmax=3, lmax=2), species="O")
found = ej.tune(small, train[:16], budget=4, environments=None)
print(", ".join(f"{trial.loss:.4f}" for trial in found.trials))
print(found.model.descriptor)

# %% [markdown]
# ## Save, load, predict
#
# A model file holds arrays and JSON, no pickle.

# %%
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    fitted.save(Path(folder) / "o17.npz")
    loaded = ej.load(Path(folder) / "o17.npz")

atoms.arrays["efg_ml"] = loaded.predict(atoms)
np.nanmax(np.abs(atoms.arrays["efg_ml"] - tensors))
