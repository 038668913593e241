"""Speed and compile time of the network, against the same architecture written with e3nn-jax, in one run.

Li4Ti5O12 cells of 42 and 1512 atoms, field gradients of all atoms, float32, weights at random. Each measurement is a
process of its own on one core. The peer is NequIP's layer as its users write it with e3nn-jax (`pip install
e3nn-jax`): tensor products of gathered features with spherical harmonics, weighted by a radial network, summed by
scattering. Neighbour lists are not timed.

    python benchmarks/network.py [--layers 2] [--channels 32] [--lmax 2]
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from itertools import pairwise

import numpy as np
from rich.console import Console
from rich.table import Table

CUTOFF, SPECIES, BESSELS, WIDTH = 5.0, ("Li", "O", "Ti"), 8, 64
CALLS = {"42 atoms": 20, "1512 atoms": 3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=2)
    parser.add_argument("--channels", type=int, default=32)
    parser.add_argument("--lmax", type=int, default=2)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)  # a program and a case, in a process of its own
    arguments = parser.parse_args()
    sizes = (arguments.layers, arguments.channels, arguments.lmax)
    if arguments.measure:
        print(json.dumps(measure(*arguments.measure, *sizes)))
        return
    columns = (
        "case",
        "program",
        "parameters",
        "ms per atom",
        "gradient",
        "ratio",
        "compile (s)",
        "gradient",
        "peak (MiB)",
    )
    title = (
        f"{arguments.layers} layers, {arguments.channels} channels, lmax {arguments.lmax}, cutoff {CUTOFF} Å, one core"
    )
    table = Table(*columns, title=title)
    for case in CALLS:
        peer = None
        for program in ("e3nn-jax", "efg_jax"):
            found = in_a_process(program, case, sizes)
            peer = peer or found
            table.add_row(
                case,
                program,
                f"{found['parameters']:,}",
                f"{found['value']:.2f}",
                f"{found['gradient']:.2f}",
                f"{found['value'] / peer['value']:.2f}, {found['gradient'] / peer['gradient']:.2f}",
                f"{found['compile_value']:.1f}",
                f"{found['compile_gradient']:.1f}",
                f"{found['peak']:.0f}",
            )
    Console().print(table)


def in_a_process(program: str, case: str, sizes: tuple[int, int, int]) -> dict[str, float]:
    core = sorted(os.sched_getaffinity(0))[-1:]
    options = [f"--{name}={size}" for name, size in zip(("layers", "channels", "lmax"), sizes, strict=True)]
    done = subprocess.run(
        [sys.executable, __file__, "--measure", program, case, *options],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        preexec_fn=lambda: os.sched_setaffinity(0, core),  # what XLA takes the number of its threads from
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(done.stdout)


def measure(program: str, case: str, layers: int, channels: int, lmax: int) -> dict[str, float]:
    """CPU time of a value and of a gradient by all weights (ms per atom), and of their compilations (s)."""
    import jax

    build = {"efg_jax": efg_jax_network, "e3nn-jax": e3nn_network}[program]
    weights, predict = build(case, layers, channels, lmax)
    atoms = int(case.split()[0])

    def loss(weights):
        return (predict(weights)[:atoms] ** 2).sum()

    found = {"parameters": sum(leaf.size for leaf in jax.tree.leaves(weights))}
    for name, function in (("value", predict), ("gradient", jax.grad(loss))):
        begun = time.perf_counter()
        compiled = jax.jit(function).lower(weights).compile()
        found[f"compile_{name}"] = time.perf_counter() - begun
        jax.block_until_ready(compiled(weights))
        used = []
        for _ in range(CALLS[case]):
            begun = time.process_time()
            jax.block_until_ready(compiled(weights))
            used.append(time.process_time() - begun)
        found[name] = 1e3 * float(np.median(used)) / atoms
    return found | {"peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def cells(case: str):
    """Environments of all atoms."""
    import efg_jax as ej
    from efg_jax.precision import cast

    atoms = ej.datasets.load("lto-efg")[0] if case == "42 atoms" else ej.disorder.build_lto(3, seed=0)
    assert len(atoms) == int(case.split()[0])
    return cast(ej.environments([atoms], CUTOFF, SPECIES), np.dtype(np.float32))


def efg_jax_network(case: str, layers: int, channels: int, lmax: int):
    import equinox as eqx
    import jax

    from efg_jax.network import Architecture
    from efg_jax.network.backbone import Network
    from efg_jax.network.rows import filled, in_rows

    batch = jax.tree.map(jax.numpy.asarray, filled(in_rows(cells(case))))
    architecture = Architecture(SPECIES, CUTOFF, lmax, channels, layers, BESSELS, WIDTH)
    network = Network(architecture, {"efg": ((2, 1),)}, jax.random.key(0)).calibrated(batch)
    weights, rest = eqx.partition(network, eqx.is_array)
    return weights, lambda weights: eqx.combine(weights, rest)(batch)["efg"][2, 1]


def e3nn_network(case: str, layers: int, channels: int, lmax: int):
    """NequIP's interaction block with e3nn-jax, on a list of the real pairs."""
    import e3nn_jax as e3nn
    import jax
    import jax.numpy as jnp

    batch = cells(case)
    rows, columns = np.nonzero(np.asarray(batch.mask) & (np.linalg.norm(batch.displacements(), axis=-1) > 1e-3))
    vectors = jnp.asarray(np.asarray(batch.displacements())[rows, columns])
    senders = jnp.asarray(np.asarray(batch.neighbour)[rows, columns])
    receivers, species = jnp.asarray(rows), jnp.asarray(batch.centre_species)
    atoms, count = len(species), len(SPECIES)
    natural = [e3nn.Irrep(l, (-1) ** l) for l in range(lmax + 1)]  # what two layers of field gradients need
    normal = np.random.default_rng(0).normal
    weights = {"embedding": normal(size=(count, channels)), "layers": []}
    maps = []
    features = e3nn.Irreps(f"{channels}x0e")
    harmonics = e3nn.Irreps([(1, irrep) for irrep in natural])
    for layer in range(layers):
        kept = natural if layer < layers - 1 else [natural[0], natural[2]]
        gated = sum(irrep.l > 0 for irrep in kept)
        leaving = e3nn.Irreps([(channels * (1 + gated), "0e"), *((channels, irrep) for irrep in kept[1:])])
        heard = e3nn.tensor_product(features, harmonics, filter_ir_out=kept)
        typed = e3nn.tensor_product(features, e3nn.Irreps(f"{count}x0e"))
        own = [e3nn.FunctionalLinear(a, b) for a, b in ((features, features), (heard, leaving), (typed, leaving))]
        sizes = [BESSELS, WIDTH, WIDTH, heard.num_irreps]
        weights["layers"].append(
            {
                "linear": [[normal(size=i.path_shape) for i in linear.instructions] for linear in own],
                "radial": [normal(size=shape) for shape in pairwise(sizes)],
            }
        )
        maps.append((own, kept))
        features = e3nn.Irreps([(channels, irrep) for irrep in kept])
    head = e3nn.FunctionalLinear(features, e3nn.Irreps("2e"))
    weights["head"] = [normal(size=i.path_shape) for i in head.instructions]
    weights = jax.tree.map(lambda w: jnp.asarray(w, jnp.float32), weights)

    def predict(weights):
        length = jnp.linalg.norm(vectors, axis=-1)
        directions = e3nn.spherical_harmonics(harmonics, vectors, True)
        bessel = e3nn.bessel(length, BESSELS, CUTOFF) * e3nn.poly_envelope(5, 2, CUTOFF)(length)[:, None]
        types = e3nn.IrrepsArray(f"{count}x0e", jax.nn.one_hot(species, count))
        x = e3nn.IrrepsArray(f"{channels}x0e", weights["embedding"][species])
        for own, (linears, kept) in zip(weights["layers"], maps, strict=True):
            before, after, connection = (
                lambda x, f=f, w=w: jax.vmap(lambda row: f(w, row))(x)
                for f, w in zip(linears, own["linear"], strict=True)
            )
            mixed = bessel
            for matrix in own["radial"][:-1]:
                mixed = jax.nn.silu(mixed @ matrix / matrix.shape[0] ** 0.5)
            mixed = mixed @ own["radial"][-1] / WIDTH**0.5
            messages = e3nn.tensor_product(before(x)[senders], directions, filter_ir_out=kept) * mixed
            heard = e3nn.scatter_sum(messages, dst=receivers, output_size=atoms) / (len(senders) / atoms) ** 0.5
            x = e3nn.gate(after(heard) + connection(e3nn.tensor_product(x, types)))
        return jax.vmap(lambda row: head(weights["head"], row))(x).array

    return weights, predict


if __name__ == "__main__":
    main()
