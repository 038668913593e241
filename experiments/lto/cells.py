"""Disordered cells: Li and Ti on 16d by Monte Carlo on the electrostatic energy."""

import json
from dataclasses import dataclass
from pathlib import Path

import ase.io
import numpy as np
from ase import Atoms
from matplotlib.figure import Figure

import efg_jax as ej
from efg_jax import disorder, plots
from efg_jax.disorder.spinel import CHARGES, DISORDERED


@dataclass(frozen=True)
class Sampling:
    """How the cells are made.

    Attributes:
        cells: number of chains, each of which gives a cell.
        repeat: cubic cells along the axes, one number for all or three.
        dielectric: ε that screens the formal charges.
        hot, cold: K; between which the chains are annealed.
        sweeps: of the annealing.
        temperature: K, of the thermal displacements.
        seed: of it all.
    """

    cells: int = 20
    repeat: int | tuple[int, int, int] = 3
    dielectric: float = 20.0
    hot: float = 20_000.0
    cold: float = 300.0
    sweeps: int = 1000
    temperature: float = 300.0
    seed: int = 0


def make_cells(sampling: Sampling, folder: Path) -> None:
    """Anneal the chains; write the best arrangement of each, thermally displaced, and how they got there."""
    starts = [ej.disorder.build_lto(sampling.repeat, seed=sampling.seed + number) for number in range(sampling.cells)]
    crystal = starts[0]
    gas = disorder.lattice_gas(crystal, DISORDERED, CHARGES, sampling.dielectric)
    occupations = np.stack([disorder.occupation_of(atoms, DISORDERED) for atoms in starts])
    found = disorder.anneal(gas, occupations, sampling.seed, sampling.hot, sampling.cold, sampling.sweeps)
    cells = []
    for number, (occupation, energy) in enumerate(zip(found.best, found.best_energy, strict=True)):
        atoms = disorder.occupied(crystal, occupation, DISORDERED)
        atoms = disorder.thermally_displaced(atoms, sampling.temperature, sampling.seed + number)
        atoms.info.update(cell=number, lattice_energy_eV=float(energy))
        cells.append(atoms)
    ase.io.write(folder / "cells.extxyz", cells)
    random = float(np.asarray(gas.energy(occupations)).mean())
    draw_annealing(sampling, found, random, folder / "annealing.png")
    summary = {
        "lithium": int(sum((np.asarray(atoms.symbols) == "Li").sum() for atoms in cells)),
        "atoms": len(crystal),
        "random_eV": random,
        "best_eV": [float(energy) for energy in found.best_energy],
        "acceptance_at_1100_K": float(_acceptance_at(sampling, found, 1100.0)),
        "acceptance_at_the_end": float(found.acceptance[:, -10:].mean()),
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def count_states(sampling: Sampling, final: float, bins: int, sweeps: int, folder: Path) -> None:
    """Density of states of a small cell by Wang–Landau sampling; its mean energies and those of Metropolis chains."""
    crystal = ej.disorder.build_lto((1, 1, 3), seed=sampling.seed)
    gas = disorder.lattice_gas(crystal, DISORDERED, CHARGES, sampling.dielectric)
    start = disorder.occupation_of(crystal, DISORDERED)
    ground = disorder.anneal(gas, np.repeat(start[None], 8, axis=0), sampling.seed, sweeps=3 * sweeps).best_energy.min()
    top = float(gas.energy(start)) + 3.0
    states = disorder.wang_landau(gas, start, (float(ground) - 1e-6, top), sampling.seed, bins, final)
    temperatures = np.geomspace(1500.0, 15_000.0, 8)
    chains = np.repeat(start[None], 16, axis=0)
    sampled = []
    for temperature in temperatures:
        found = disorder.anneal(gas, chains, sampling.seed, 20_000.0, temperature, sweeps)
        chains = found.occupation
        found = disorder.metropolis(gas, chains, np.full(sweeps, temperature), sampling.seed + 1)
        means = found.energy[:, sweeps // 6 :].mean(axis=1)
        sampled.append((means.mean(), means.std(ddof=1) / np.sqrt(len(means))))
    draw_states(states, temperatures, np.array(sampled), len(crystal), folder / "states.png")
    rows = [
        {
            "temperature_K": float(t),
            "wang_landau_eV": states.mean_energy(float(t)),
            "metropolis_eV": float(m),
            "error_eV": float(e),
        }
        for t, (m, e) in zip(temperatures, sampled, strict=True)
    ]
    summary = {
        "atoms": len(crystal),
        "attempts": states.attempts,
        "ground_state_eV": float(states.lowest_energy),
        "means": rows,
    }
    (folder / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


def read_cells(folder: Path) -> list[Atoms]:
    """The cells of `make_cells`."""
    return ase.io.read(folder / "cells.extxyz", ":")


def draw_annealing(sampling: Sampling, found: disorder.Sampled, random: float, path: Path) -> None:
    """Energy and acceptance of all chains against the temperature."""
    temperatures = np.geomspace(sampling.hot, sampling.cold, sampling.sweeps)
    with plots.style():
        figure = Figure(figsize=(7.5, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        left.semilogx(temperatures, (found.energy - random).T, color=plots.TENSOR, alpha=0.25, linewidth=0.7)
        left.set_ylabel("energy from random arrangements (eV)")
        right.loglog(temperatures, np.maximum(found.acceptance.mean(axis=0), 1e-6), color=plots.TENSOR)
        right.set_ylabel("accepted exchanges")
        for axis in (left, right):
            axis.invert_xaxis()
            axis.set_xlabel(f"temperature (K), ε = {sampling.dielectric:g}")
        plots.save(figure, path)


def draw_states(states, temperatures: np.ndarray, sampled: np.ndarray, atoms: int, path: Path) -> None:
    """ln g(E), and the canonical mean energy from it and from Metropolis chains."""
    with plots.style():
        figure = Figure(figsize=(7.5, 3), layout="constrained")
        left, right = figure.subplots(1, 2)
        lowest = states.energies.min()
        left.plot(states.energies - lowest, states.log_count, color=plots.TENSOR)
        left.set_xlabel(f"energy above the ground state (eV), {atoms} atoms")
        left.set_ylabel("ln(number of arrangements)")
        fine = np.geomspace(temperatures[0], temperatures[-1], 100)
        right.semilogx(fine, [states.mean_energy(t) - lowest for t in fine], color=plots.TENSOR, label="Wang–Landau")
        right.errorbar(
            temperatures,
            sampled[:, 0] - lowest,
            2 * sampled[:, 1],
            fmt="o",
            ms=3,
            color=plots.SCALAR,
            label="Metropolis",
        )
        right.set_xticks([2000, 5000, 10_000], ["2000", "5000", "10000"])
        right.set_xticks([], minor=True)
        right.set_xlabel("temperature (K)")
        right.set_ylabel("mean energy (eV)")
        right.legend(frameon=False)
        plots.save(figure, path)


def _acceptance_at(sampling: Sampling, found: disorder.Sampled, temperature: float) -> float:
    temperatures = np.geomspace(sampling.hot, sampling.cold, sampling.sweeps)
    return found.acceptance[:, np.abs(np.log(temperatures / temperature)).argsort()[:20]].mean()
