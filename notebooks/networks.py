# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # A network beside a kernel model
#
# This notebook learns the same tensors with an equivariant message-passing network and with λ-SOAP. Both are trained on
# the same crystals and judged on the same others, and we look at where each of them fails. Then the network is
# fine-tuned for a crystal that it has never seen.
#
# The network is small and the data are a part of the set, so that it runs in a minute or two.
# `python -m experiments.network` is the full study.

# %%
import numpy as np

import efg_jax as ej
from efg_jax import plots
from efg_jax.network import Architecture, Training
from efg_jax.network.training_figure import training_figure

frames = ej.datasets.load("silica-efg")[:247]
known = [atoms for atoms in frames if atoms.info["parent"] != "stishovite"]  # Si with four neighbours
stishovite = [atoms for atoms in frames if atoms.info["parent"] == "stishovite"]  # Si with six
train, test = ej.split(known, test=0.2, seed=0)
train, test = train[:60], test[:25]
len(train), len(test), len(stishovite)

# %% [markdown]
# ## Train
#
# A tenth of the training structures is held back. The network keeps the averaged weights of the epoch that is best on
# them. Sixty structures are few, so we ask for a number of steps instead of epochs.

# %%
architecture = Architecture(layers=2, channels=8, cutoff=3.5, species=("O", "Si"))
training = Training(epochs=20, steps=200, learning_rate=0.02, batch_edges=500)
network = ej.EquivariantNetwork(architecture, species="O", training=training).fit(train)
training_figure(network.histories)

# %%
kernel = ej.TensorGPR(ej.LambdaSOAP(cutoff=4.0, nmax=4, lmax=3), species="O").fit(train)
reports = {"λ-SOAP": kernel.evaluate(test), "network": network.evaluate(test)}
ej.comparison_table(reports, "O")

# %% [markdown]
# ## Where each fails
#
# The figure shows the norm of the error of every tensor, by crystal, and against the distance to the nearest training
# environment as the kernel sees it.


# %%
def errors(model, structures):
    """|V predicted − V| of the oxygen atoms of each structure, V/Å²."""
    found = model.predict(structures)
    chosen = [np.asarray(atoms.symbols) == "O" for atoms in structures]
    return [
        np.linalg.norm(values[own] - atoms.arrays["efg"][own], axis=(1, 2))
        for values, own, atoms in zip(found, chosen, structures, strict=True)
    ]


parents = sorted({atoms.info["parent"] for atoms in test})
own = {name: errors(model, test) for name, model in {"λ-SOAP": kernel, "network": network}.items()}
distance = np.concatenate([far[np.isfinite(far)] for far in kernel.training_distance(test)])

with plots.style():
    figure = plots.Picture(figsize=(8.5, 3.0), layout="constrained")
    by_crystal, by_distance = figure.subplots(1, 2)
    for shift, colour, (name, of_structures) in zip((-0.15, 0.15), plots.SERIES[:2], own.items(), strict=True):
        groups = [
            np.concatenate([e for e, atoms in zip(of_structures, test, strict=True) if atoms.info["parent"] == parent])
            for parent in parents
        ]
        places = np.arange(len(parents)) + shift
        by_crystal.plot(places, [np.mean(group) for group in groups], "o", color=colour, label=name)
        by_crystal.vlines(places, [g.min() for g in groups], [g.max() for g in groups], color=colour, linewidth=0.8)
        by_distance.plot(distance, np.concatenate(of_structures), ".", color=colour, markersize=4)
    by_crystal.set_xticks(range(len(parents)), [parent.replace("_", "\n") for parent in parents])
    by_crystal.set(ylabel="|error of V| (V/Å²): mean and range")
    by_crystal.legend()
    by_distance.set(xlabel="distance to the nearest training environment", ylabel="|error of V| (V/Å²)", yscale="log")
figure

# %% [markdown]
# ## Fine-tune
#
# Stishovite has Si with six neighbours, which none of these models has seen. Five structures of it train a network that
# starts from the tetrahedral crystals, and one that starts from random weights.

# %%
few, others = stishovite[:5], stishovite[8:28]
brief = Training(epochs=20, steps=60, learning_rate=0.005, batch_edges=500, validation=0.25)
tuned = network.finetune(few, training=brief)
alone = ej.EquivariantNetwork(architecture, species="O", training=brief).fit(few)
for name, model in {"before": network, "fine-tuned": tuned, "from nothing": alone}.items():
    print(f"{name:14s} {model.evaluate(others).to_dict()['O']['rmse_percent']:6.1f} %RMSE of stishovite")

# %% [markdown]
# The fine-tuned network has partly forgotten the other crystals. Where that matters, put some of them among the new
# data.

# %%
for name, model in {"before": network, "fine-tuned": tuned}.items():
    print(f"{name:14s} {model.evaluate(test).to_dict()['O']['rmse_percent']:6.1f} %RMSE of the others")
