"""One page with every table and figure of the study."""

import json
from pathlib import Path

from ase import Atoms

from efg_jax.storage import atomic_write
from experiments.lto import dataset, learn


def write(out: Path, frames: list[Atoms], counts: tuple[int, int], nuclei: dict[str, str]) -> None:
    """Write ``report.md`` into the folder of results, from what the stages left there."""
    reports = {
        isotope: json.loads((out / f"fit-{species}" / "report.json").read_text()) for species, isotope in nuclei.items()
    }
    sites, cells, states = (
        json.loads((out / name / "summary.json").read_text()) for name in ("regions", "cells", "states")
    )
    sections = [
        _data(frames, counts),
        _learning(reports, counts, nuclei),
        _cells(cells, states),
        _regions(sites),
    ]
    with atomic_write(out / "report.md") as temporary:
        Path(temporary).write_text("\n\n".join(sections) + "\n", encoding="utf-8")


def _data(frames: list[Atoms], counts: tuple[int, int]) -> str:
    cells, parents = len(frames), len({atoms.info["parent"] for atoms in frames})
    return f"""# Li4Ti5O12: field gradients, learned and predicted

## The data

`lto-efg`: {cells} rattled 42-atom cells of {parents} configurations; {counts[0]} to train on, {counts[1]} held out.
The paper's set has 1640 structures from another code: the numbers below are of other data, and our set is some
{1640 // cells} times smaller.

{dataset.table(frames)}

![Bond lengths, couplings, asymmetries](data/dataset.png)"""


def _learning(reports: dict, counts: tuple[int, int], nuclei: dict[str, str]) -> str:
    lithium = reports["7Li"]["tensor"]["nu_q_khz"]["mae"]
    verdict = "within" if lithium < 10 else "outside of"
    figures = "\n".join(
        f"![{isotope}: parity](fit-{species}/parity.png)\n![{isotope}: ν_Q](fit-{species}/frequency.png)"
        for species, isotope in nuclei.items()
    )
    curves = "\n".join(
        f"![{isotope}: learning curves](curve-{species}/curve.png)" for species, isotope in nuclei.items()
    )
    return f"""## Tensor and scalar learning

Mean absolute errors on held-out structures. The hyperparameters of the descriptor were tuned by gradient on the
cross-validated observables of the tensor model; both kinds of model share them.

{learn.table(reports)}

The paper prints the numbers of ⁷Li, and calls those of the other nuclei comparable (supporting information). Its data
are not ours.

ν_Q of ⁷Li is predicted to {lithium:.2g} kHz (mean absolute error), {verdict} the 10 kHz that spin-alignment echo
resolves.

{figures}

Learning curves, {counts[0]} structures at most:

{curves}"""


def _cells(cells: dict, states: dict) -> str:
    gained = cells["random_eV"] - min(cells["best_eV"])
    worst = max(abs(row["wang_landau_eV"] - row["metropolis_eV"]) for row in states["means"])
    return f"""## Disordered cells

{len(cells["best_eV"])} cells of {cells["atoms"]} atoms, {cells["lithium"]} Li in all. (The paper counts 11,808 Li in
its 20 cells of 1512 atoms, which hold 288 each.) Annealing lowers the screened electrostatic energy by {gained:.1f} eV
from random arrangements; at 1100 K a part of {cells["acceptance_at_1100_K"]:.3f} of the exchanges is accepted.

![Annealing](cells/annealing.png)

Density of states of a {states["atoms"]}-atom cell by Wang–Landau sampling ({states["attempts"]:,} attempts); its mean
energies agree with Metropolis chains to {worst:.2f} eV:

![Density of states](states/states.png)"""


def _regions(sites: dict) -> str:
    lines = [
        "| region | |ν_Q| (kHz) | peak | prominence | Li sites | of them on 8a |".replace("|ν_Q|", "\\|ν_Q\\|"),
        "|---|---|---|---|---|---|",
    ]
    for number, row in enumerate(sites["regions"], start=1):
        lines.append(
            f"| {number} | {row['from_khz']:.1f} to {row['to_khz']:.1f} | {row['peak_khz']:.1f} "
            f"| {row['prominence']:.0f} ± {row['noise']:.0f} | {row['sites']} | {100 * row['on_8a']:.0f} % |"
        )
    lines.append(f"| none | | | | {sites['unassigned']} | |")
    spread, beyond = sites["median_and_95th_percentile"], 100 * sites["farther_than_95_percent_of_held_out"]
    return f"""## Regions of ν_Q

{sites["sites"]} Li sites, |ν_Q| along [001] up to {sites["largest_khz"]:.0f} kHz (the paper: 130 kHz).

{chr(10).join(lines)}

Prominence is in sites of a bin, with the square root of the peak's own count beside it: where it is hardly larger than
that, noise decided the border of the region.

![Regions](regions/regions.png)
![Two cells](regions/cells.png)

`regions/regions.extxyz` has the region of every atom, `regions/cells.chemiscope.json.gz` the two cells for
[chemiscope](https://chemiscope.org).

**How far this is from the training data.** Distance to the nearest training environment: median
{spread["distance"][0]:.3f} (95 %: {spread["distance"][1]:.3f}), in held-out 42-atom cells
{spread["distance_held_out"][0]:.3f} ({spread["distance_held_out"][1]:.3f}); {beyond:.0f} % of the sites are farther
than 95 % of the held-out ones. Predicted variance (V²/Å⁴): median {spread["variance"][0]:.3g} against
{spread["variance_held_out"][0]:.3g}. A 42-atom cell lacks the disorder of a large one: beyond the cutoff the model sees
nothing, and with formal charges the 16d disorder beyond 6 Å alone changes eQV_zz/h of a Li on 8a by about 28 kHz
(standard deviation). No error on the held-out set contains that.

![Distance and variance](regions/novelty.png)"""
