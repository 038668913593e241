"""Cost of a cross-validated loss, and of its gradient by all hyperparameters in units of the loss.

Compilation and run time are separate.

python benchmarks/tuning.py
"""

import statistics
from dataclasses import replace

import numpy as np
from rich.console import Console
from rich.table import Table

import efg_jax as ej
from efg_jax.descriptors import principal_contraction

REPEATS = 5


def main() -> None:
    frames = ej.datasets.load("silica-efg")[:247]  # the set grows; all numbers of the documentation are of these
    train, _ = ej.split(frames, test=0.2, seed=0)
    table = Table(
        "species", "environments", "hyperparameters", "compile value (s)", "compile gradient (s)", "value (CPU s)",
        "value and gradient (CPU s)", "ratio", title="five-fold loss on observables, silica",
    )  # fmt: skip
    for symbol, environments in (("Si", 250), ("Si", None), ("O", 600)):
        model = ej.TensorGPR(ej.LambdaSOAP(species=("O", "Si")), species=symbol)
        table.add_row(symbol, *measure(model, train, environments))
    contracted = principal_contraction(ej.LambdaSOAP(species=("O", "Si")), train, 10)
    table.add_row("Si, 10 channels", *measure(replace(model, descriptor=contracted, species="Si"), train, None))
    Console(width=None if Console().is_terminal else 140).print(table)


def measure(model: ej.TensorGPR, train: list, environments: int | None) -> list[str]:
    """Median over several points, so that nothing is found in the cache."""
    problem = model.tuning_problem(train, environments=environments)
    values, gradients, compiled = [], [], []
    for number in range(REPEATS + 1):
        point = {**problem.start, "zeta": np.asarray(2.0 + 0.01 * number)}
        values.append(problem.value(point).cpu_s)
        compiled.append(problem.compile_s)
        gradients.append(problem.value_and_gradient(point).cpu_s)
    value, gradient = statistics.median(values[1:]), statistics.median(gradients[1:])
    count = sum(np.size(value) for value in problem.start.values())
    return [
        str(problem.counts[0]), str(count), f"{compiled[0]:.1f}", f"{problem.compile_s - compiled[0]:.1f}",
        f"{value:.2f}", f"{gradient:.2f}", f"{gradient / value:.2f}",
    ]  # fmt: skip


if __name__ == "__main__":
    main()
