# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # Your own CASTEP data
#
# This notebook goes from magres files, as CASTEP and Quantum ESPRESSO write them, to a model, and from the model to
# magres files that Soprano and MagresView read. To be self-contained, it first writes magres files of a few silica
# cells that ship. You have your own files: start at the second cell.

# %%
from pathlib import Path

import numpy as np

import efg_jax as ej

Path("castep").mkdir(exist_ok=True)
quartz = [atoms for atoms in ej.datasets.load("silica-efg") if len(atoms) == 9][:24]
for number, atoms in enumerate(quartz):
    ej.io.write(f"castep/quartz-{number:02d}.magres", atoms)
print(*(line[:100] for line in Path("castep/quartz-00.magres").read_text().splitlines()[:9]), sep="\n")

# %% [markdown]
# ## Read and look
#
# `ej.io.read` reads magres, extended XYZ and whatever else ASE reads, one file or many. EFGs come out in V/Å² (the
# files have atomic units), shieldings in ppm. Every frame is checked; an error names the file and the atom, and says
# what to do.

# %%
frames = ej.io.read(sorted(Path("castep").glob("*.magres")), target="efg")
len(frames), frames[0].arrays["efg"].shape, frames[0].info["source_file"]

# %% [markdown]
# This table shows what the numbers mean in NMR, site by site, before any learning: C_Q in MHz, η, ν_Q, Euler angles.
# `efg-jax observables castep/*.magres --species O` prints the same.

# %%
print(ej.observables.site_observables(frames[:2], species="O"))

# %% [markdown]
# Two things matter for your own data:
#
# - **Level of theory.** All structures of a set must share functional, cutoff, k-points and pseudopotentials. A model
#   learns any differences.
# - **Magres files from Quantum ESPRESSO** hold the same, in two files: give both, and they are one structure.
#   Atoms without a tensor get NaN, which means "no label".
#
# ## Train and judge
#
# Split by structure, never by atom. The descriptor here is small so that the notebook runs in seconds; leave `nmax` and
# `lmax` out for real work.

# %%
train, test = ej.split(frames, test=0.25, seed=1)
model = ej.TensorGPR(ej.LambdaSOAP(cutoff=4.0, nmax=4, lmax=3), species="O")
fitted = model.fit(train)
report = fitted.evaluate(test, title=f"{len(train)} structures of quartz")
report

# %%
report.plot()[0]

# %% [markdown]
# C_Q has a large %RMSE, and C̃_Q, which ignores its sign, a small one. The reason is a site with η near 1, where V_zz
# and V_yy are equal in size and opposite in sign: it took the other sign.
#
# ## Predict and export
#
# A structure without tensors gains them. You can write it as magres (for Soprano and MagresView), as SIMPSON spin
# system, or as CSV of observables. Only oxygen is predicted, so the silicon rows are NaN, and the magres file leaves
# them out.

# %%
new = test[0].copy()
del new.arrays["efg"]
new.arrays["efg"] = fitted.predict(new)
ej.io.write("predicted.magres", new)
again = ej.io.read("predicted.magres")[0]
oxygen = np.asarray(new.symbols) == "O"
np.abs(again.arrays["efg"] - new.arrays["efg"])[oxygen].max(), np.isnan(again.arrays["efg"][~oxygen]).all()

# %% [markdown]
# In a notebook [chemiscope](https://chemiscope.org) shows the tensors as ellipsoids on their atoms, which you can
# rotate (`pip install 'efg-jax[view]'`; this page cannot show it):

# %%
ej.io.view(new, species="O")

# %%
ej.io.write("predicted.csv", new, species="O")
print(Path("predicted.csv").read_text()[:300])

# %% [markdown]
# The same from the shell:
#
# ```text
# efg-jax train castep/*.magres --species O --out o17.npz
# efg-jax predict o17.npz new.cif --out predicted.extxyz
# efg-jax convert predicted.extxyz --out predicted.magres
# efg-jax observables predicted.extxyz --species O --csv sites.csv
# ```
