"""Li sites of disordered cells: tensors, frequencies, regions, distances from the training set (the paper's Fig. 6)."""

import json
from pathlib import Path

import ase.io
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from matplotlib.figure import Figure
from scipy.signal import peak_prominences

import efg_jax as ej
from efg_jax import plots
from efg_jax.report.histogram_figures import draw_regions
from efg_jax.spectra.regions import UNASSIGNED, Regions, find_regions
from efg_jax.tensors import quadrupolar_frequency
from efg_jax.tensors.powder import powder_frequencies

ISOTOPE = "7Li"
FIELD = (0.0, 0.0, 1.0)  # along a cubic axis of the spinel
BINS, PEAKS, LEAST = 100, 5, 10
GREY = "#BBBBBB"


def predict(model_file: Path, test: list[Atoms], cells: list[Atoms], folder: Path) -> None:
    """Tensors, variance and distance from the training set of all Li, and of held-out structures for comparison."""
    model = ej.load(model_file, variance=True)
    found = list(model.predict_stream(cells, variance=True))
    lithium = [np.asarray(atoms.symbols) == "Li" for atoms in cells]
    _, variance = model.predict(test, variance=True)
    np.savez(
        folder / "sites.npz",
        tensors=np.concatenate([part.values[mask] for part, mask in zip(found, lithium, strict=True)]),
        variance=np.concatenate([part.variance[mask] for part, mask in zip(found, lithium, strict=True)]),
        cell=np.concatenate([np.full(mask.sum(), number) for number, mask in enumerate(lithium)]),
        site=np.concatenate([a.arrays["site"][mask] for a, mask in zip(cells, lithium, strict=True)]).astype(str),
        distance=_given(model.training_distance(cells)),
        distance_held_out=_given(model.training_distance(test)),
        variance_held_out=_given(variance),
    )


def _given(values: list[np.ndarray]) -> np.ndarray:
    """Values of all atoms that have one, structure after structure."""
    return np.concatenate([own[~np.isnan(own)] for own in values])


def divide(predicted: Path, cells: list[Atoms], folder: Path) -> None:
    """Regions of ν_Q, the picture of two cells, and files for other programs."""
    with np.load(predicted / "sites.npz") as stored:
        sites = dict(stored)
    with ej.x64():
        tensors = jnp.asarray(sites["tensors"])
        nu = np.asarray(quadrupolar_frequency(tensors, jnp.asarray(FIELD), ISOTOPE)) / 1e3
        powder = np.asarray(powder_frequencies(tensors, ISOTOPE, 500)).ravel() / 1e3
    magnitude = np.abs(nu)
    regions = find_regions(magnitude, BINS, PEAKS, LEAST)
    region = regions.assign(magnitude)
    draw_histogram(regions, powder, folder / "regions.png")
    draw_novelty(sites, folder / "novelty.png")
    labelled = label(cells, sites, nu, region)
    draw_cells(labelled[:2], folder / "cells.png")
    ase.io.write(folder / "regions.extxyz", labelled)
    write_chemiscope(labelled[:2], folder / "cells.chemiscope.json.gz")
    (folder / "summary.json").write_text(
        json.dumps(summary(regions, region, sites, nu), indent=1) + "\n", encoding="utf-8"
    )


def summary(regions: Regions, region: np.ndarray, sites: dict[str, np.ndarray], nu: np.ndarray) -> dict:
    """What the report says, as JSON types."""
    rows = []
    prominences = peak_prominences(np.pad(regions.counts, 1), np.asarray(regions.peaks) + 1)[0]
    for number, (low, high) in enumerate(regions.bounds):
        own, peak = region == number, regions.peaks[number]
        rows.append(
            {
                "from_khz": float(low),
                "to_khz": float(high),
                "peak_khz": float(regions.centres[peak]),
                "prominence": float(prominences[number]),
                "noise": float(np.sqrt(regions.counts[peak])),
                "sites": int(own.sum()),
                "on_8a": float((sites["site"][own] == "8a").mean()),
            }
        )
    ratio = {
        name: [float(np.median(sites[key])), float(np.percentile(sites[key], 95))]
        for name, key in (
            ("distance", "distance"),
            ("distance_held_out", "distance_held_out"),
            ("variance", "variance"),
            ("variance_held_out", "variance_held_out"),
        )
    }
    beyond = float((sites["distance"] > np.percentile(sites["distance_held_out"], 95)).mean())
    return {
        "sites": len(nu),
        "unassigned": int((region == UNASSIGNED).sum()),
        "largest_khz": float(np.abs(nu).max()),
        "regions": rows,
        "median_and_95th_percentile": ratio,
        "farther_than_95_percent_of_held_out": beyond,
    }


def label(cells: list[Atoms], sites: dict[str, np.ndarray], nu: np.ndarray, region: np.ndarray) -> list[Atoms]:
    """The cells with ``efg``, ``nu_q_khz`` and ``region`` of every atom; NaN and −1 for what is no Li."""
    labelled = []
    for number, atoms in enumerate(cells):
        own, lithium = sites["cell"] == number, np.asarray(atoms.symbols) == "Li"
        atoms = atoms.copy()
        for name, values, fill in (("nu_q_khz", nu, np.nan), ("region", region, UNASSIGNED)):
            array = np.full(len(atoms), fill, dtype=values.dtype)
            array[lithium] = values[own]
            atoms.set_array(name, array)
        efg = np.full((len(atoms), 9), np.nan)
        efg[lithium] = sites["tensors"][own].reshape(-1, 9)
        atoms.set_array("efg", efg)
        labelled.append(atoms)
    return labelled


def draw_histogram(regions: Regions, powder: np.ndarray, path: Path) -> None:
    """|ν_Q| along the field, coloured by region, and ν_Q of a powder of all sites."""
    with plots.style():
        figure = Figure(figsize=(9, 3.2), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(2, 1))
        draw_regions(left, regions, LEAST)
        left.set_xlabel(r"$|\nu_Q|$ along [001] (kHz)")
        left.set_ylabel("Li sites")
        edge = np.percentile(np.abs(powder), 99.8)
        right.hist(powder, np.linspace(-edge, edge, 121), color=plots.TENSOR)
        right.set_yticks([])
        right.set_xlabel(r"$\nu_Q$ of a powder (kHz)")
        plots.save(figure, path)


def draw_novelty(sites: dict[str, np.ndarray], path: Path) -> None:
    """Distances from the training set and predicted standard deviations, of cells and held-out structures."""
    with plots.style():
        figure = Figure(figsize=(7.5, 2.8), layout="constrained")
        panels = figure.subplots(1, 2)
        values = [
            (sites["distance"], sites["distance_held_out"], "distance to the nearest training environment"),
            (np.sqrt(sites["variance"]), np.sqrt(sites["variance_held_out"]), "predicted standard deviation (V/Å²)"),
        ]
        for axis, (own, other, name) in zip(panels, values, strict=True):
            edges = np.linspace(0, 1.02 * max(own.max(), other.max()), 60)
            axis.hist(other, edges, density=True, color=plots.SCALAR, alpha=0.6, label="42-atom cells, held out")
            axis.hist(own, edges, density=True, color=plots.TENSOR, alpha=0.6, label="1512-atom cells")
            axis.set_yticks([])
            axis.set_xlabel(name)
        panels[0].legend(frameon=False, fontsize="small")
        plots.save(figure, path)


def draw_cells(cells: list[Atoms], path: Path) -> None:
    """Li of two cells, coloured by region; O and Ti hidden."""
    with plots.style():
        figure = Figure(figsize=(9, 4.6), layout="constrained")
        for number, atoms in enumerate(cells, start=1):
            axis = figure.add_subplot(1, len(cells), number, projection="3d")
            lithium = np.asarray(atoms.symbols) == "Li"
            region, places = atoms.arrays["region"][lithium], atoms.get_positions(wrap=True)[lithium]
            colours = np.array([*plots.SERIES[:PEAKS], GREY])[region]  # −1 is the last
            axis.scatter(*places.T, c=colours, s=28, depthshade=True, edgecolors="none")
            _draw_box(axis, atoms.cell.array)
            axis.set_axis_off()
            axis.set_box_aspect(atoms.cell.lengths(), zoom=1.1)
            axis.set_title(rf"cell {atoms.info['cell'] + 1}: Li by region of $|\nu_Q|$")
        plots.save(figure, path)


def _draw_box(axis, cell: np.ndarray) -> None:
    for one in range(3):
        for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
            start = np.insert(np.array(corner, dtype=float), one, 0.0) @ cell
            axis.plot(*np.stack([start, start + cell[one]]).T, color="black", linewidth=0.6)


def write_chemiscope(cells: list[Atoms], path: Path) -> None:
    """Li environments with frequency, region and tensor, for chemiscope.org."""
    lithium = [np.asarray(atoms.symbols) == "Li" for atoms in cells]

    def values(name: str) -> np.ndarray:
        return np.concatenate([atoms.arrays[name][own] for atoms, own in zip(cells, lithium, strict=True)])

    region = values("region")
    properties = {
        "nu_Q": {"values": values("nu_q_khz"), "units": "kHz", "description": "along [001]"},
        "region": {"values": np.where(region < 0, "none", (region + 1).astype(str))},
    }
    ej.io.write(path, cells, species="Li", properties=properties, name="Li4Ti5O12: Li by region of ν_Q")
