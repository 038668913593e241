"""One model at a time: trained, timed, and judged on structures that it has not seen."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms

import efg_jax as ej
from efg_jax import metrics, plots
from efg_jax.network.training_figure import training_figure
from efg_jax.precision import x64
from efg_jax.tensors import euler_angles, haeberlen, isotropic, maryland, principal_axes, to_spherical
from efg_jax.tuning import Trial

Pair = tuple[np.ndarray, np.ndarray]

INVARIANTS = {"v_zz": "V_zz", "c_q": "|V_zz|, as C̃_Q"}
"""What the control learns: arrays of the labelled structures, and what they are."""


def search_training(
    model: ej.EquivariantNetwork,
    train: Sequence[Atoms],
    bounds: Mapping[str, tuple[float, float]],
    trials: int,
    folder: Path,
    say: Callable[[str], None],
) -> None:
    """Tune cutoff and options of training on the training set; finished trials are kept in the folder's cache."""

    def told(trial: Trial) -> None:
        values = ", ".join(f"{name} {trial.values[name]:.3g}" for name in bounds)
        say(f"  {trial.stage}: {values}: loss {trial.loss:.4f} ({trial.state})")

    found = ej.tune(model, train, bounds=bounds, budget=trials, cache=folder / "cache", callback=told)
    found.save(folder / "hyperparameters.json")
    found.to_csv(folder / "search.csv")
    for number, figure in enumerate(found.plot(), start=1):
        plots.save(figure, folder / f"search-{number}.png")


def train_network(
    model: ej.EquivariantNetwork, train: Sequence[Atoms], test: Sequence[Atoms], species: str, folder: Path
) -> None:
    """Train and judge a network; the state is kept in the folder's cache while it is trained."""
    ends = [time.perf_counter()]
    fitted = model.fit(train, checkpoint=folder / "cache", watch=lambda _: ends.append(time.perf_counter()))
    fitted.save(folder / "network.npz")
    history = fitted.histories[0]
    history.to_csv(folder / "history.csv")
    plots.save(training_figure([history]), folder / "history.png")
    epochs = np.diff(ends)
    each = float(np.median(epochs)) if len(epochs) else None  # all epochs were in the checkpoint
    first = float(epochs[0]) - each if len(epochs) == len(history.rows) else None
    network = fitted.committee.networks[0]
    costs = {
        "parameters": parameters(network),
        "epochs": len(history.rows),
        "best_epoch": history.best,
        "training_s": None if each is None else each * len(history.rows),
        "training_compile_s": first,
    }
    write(folder, judge(fitted, test, species, model.target) | costs)


def parameters(network: eqx.Module) -> int:
    """How many numbers are learned; the units of the layers are not."""
    every, units = (sum(leaf.size for leaf in jax.tree.leaves(part)) for part in (network, network.units))
    return every - units


def fit_kernel(model: ej.TensorGPR, train: Sequence[Atoms], test: Sequence[Atoms], species: str, folder: Path) -> None:
    """Fit and judge a λ-SOAP model."""
    start = time.perf_counter()
    fitted = model.fit(train)
    seconds = time.perf_counter() - start
    fitted.save(folder / "model.npz")
    write(folder, judge(fitted, test, species, model.target) | {"training_s": seconds})


def judge(model: Any, test: Sequence[Atoms], species: str, target: str) -> dict[str, Any]:
    """Errors of every quantity on the test set, and what a prediction costs.

    Args:
        model: fitted, of tensors or of numbers.
        test: labelled.
        species: element that is judged.
        target: array of the labels.

    Returns:
        ``quantities``: MAE, RMSE and %RMSE by name; ``predict_ms``: per atom of the test set, neighbour lists
        included, and ``compile_s``: what the first call takes longer.
    """
    start = time.perf_counter()
    model.predict(test)
    between = time.perf_counter()
    predicted = model.predict(test)
    again = time.perf_counter() - between
    found = scores(*of_species(predicted, test, species, target))
    found["predict_ms"] = 1e3 * again / sum(map(len, test))
    found["compile_s"] = between - start - again
    return found


def of_species(predicted: Sequence[np.ndarray], test: Sequence[Atoms], species: str, target: str) -> Pair:
    """Labels and predictions of all atoms of an element."""
    chosen = [np.asarray(atoms.symbols) == species for atoms in test]
    truth = np.concatenate([atoms.arrays[target][own] for atoms, own in zip(test, chosen, strict=True)])
    guess = np.concatenate([values[own] for values, own in zip(predicted, chosen, strict=True)])
    return truth, guess.astype(np.float64)


def scores(truth: np.ndarray, guess: np.ndarray) -> dict[str, Any]:
    """``quantities`` of tensors (n, 3, 3) or of numbers (n,), and ``values`` to draw.

    %RMSE is RMSE over the standard deviation of the reference (Ben Mahmoud et al. 2024, Eq. 7). An Euler angle's
    error is that of the nearest of the equivalent sets.
    """
    with x64():
        pairs = parts(truth, guess) if truth.ndim == 3 else {"value": (truth, guess)}
        entries = {name: _entry(*pair) for name, pair in pairs.items()}
    return {"quantities": entries, "values": {name: [side.tolist() for side in pair] for name, pair in pairs.items()}}


def parts(truth: np.ndarray, guess: np.ndarray) -> dict[str, Pair]:
    """Reference and prediction of every quantity of tensors, those of order λ as components (n, 2λ+1)."""
    sides = [jnp.asarray(side) for side in (truth, guess)]
    spherical = {order: tuple(np.asarray(to_spherical(side, order)) for side in sides) for order in (0, 1, 2)}
    kept = [order for order, (own, _) in spherical.items() if np.abs(own).max() > 1e-6 * np.abs(truth).max()]
    found = {f"λ = {order}": spherical[order] for order in kept}
    if 0 in kept:
        found["iso"] = tuple(np.asarray(isotropic(side)) for side in sides)
    shapes = [(haeberlen(side), maryland(side, sense="shielding")) for side in sides]
    for name, of in {"ζ": (0, "zeta"), "η": (0, "eta"), "Ω": (1, "span"), "κ": (1, "skew")}.items():
        found[name] = tuple(np.asarray(getattr(side[of[0]], of[1])) for side in shapes)
    axes = [principal_axes(side, "haeberlen").axes for side in sides]
    own, away = euler_angles(axes[0], passive=True), metrics.euler_differences(*axes)
    for column, name in enumerate(("α", "β", "γ")):
        angle = np.asarray(own[:, column])
        found[name] = (angle, angle + np.asarray(away[:, column]))
    return found


def invariants(tensors: np.ndarray) -> dict[str, np.ndarray]:
    """V_zz and its size for each tensor (n, 3, 3); NaN where it has no label."""
    labelled = np.isfinite(tensors).all(axis=(1, 2))
    eigenvalues = np.linalg.eigvalsh(tensors[labelled])
    largest = np.abs(eigenvalues).argmax(axis=1)
    v_zz = np.full(len(tensors), np.nan)
    v_zz[labelled] = np.take_along_axis(eigenvalues, largest[:, None], axis=1)[:, 0]
    return {"v_zz": v_zz, "c_q": np.abs(v_zz)}


def with_invariants(frames: Sequence[Atoms]) -> list[Atoms]:
    """Copies that carry V_zz and its size besides (V/Å²), for the control."""
    copies = [atoms.copy() for atoms in frames]
    for atoms in copies:
        atoms.arrays |= invariants(atoms.arrays["efg"])
    return copies


def derived_invariants(model: Any, test: Sequence[Atoms], species: str) -> dict[str, dict[str, Any]]:
    """Errors of V_zz and |V_zz| of predicted tensors: what the control is compared with."""
    own, other = map(invariants, of_species(model.predict(test), test, species, "efg"))
    with x64():
        return {name: _entry(own[name], other[name]) for name in INVARIANTS}


def write(folder: Path, result: Mapping[str, Any]) -> None:
    """The result of a stage as JSON."""
    (folder / "result.json").write_text(json.dumps(result, allow_nan=False) + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, Any]:
    """What `write` wrote."""
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def _entry(truth: np.ndarray, guess: np.ndarray) -> dict[str, float]:
    truth, guess = jnp.asarray(truth), jnp.asarray(guess)
    return {
        "mae": float(metrics.mae(truth, guess)),
        "rmse": float(metrics.rmse(truth, guess)),
        "rmse_percent": float(metrics.rmse_percent(truth, guess)),
    }
