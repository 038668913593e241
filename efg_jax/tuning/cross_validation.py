"""The cross-validated loss of a tensor model as a pure, differentiable function of its hyperparameters."""

from collections.abc import Callable, Mapping, Sequence

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.metrics import Scale, mae_vij, observable_loss
from efg_jax.models.basis import gather, select
from efg_jax.models.kernels import lambda_soap_kernel
from efg_jax.models.regression import Groups, group_rows, held_out_residuals
from efg_jax.models.training import groups_of
from efg_jax.splits import folds
from efg_jax.structures import Environments
from efg_jax.targets import Target, labels, to_channels
from efg_jax.tensors.irreps import to_cartesian

Loss = Callable[[Float[Array, "n 3 3"], Float[Array, "n 3 3"], Scale], Float[Array, ""]]

LOSSES: Mapping[str, Loss] = {
    "observables": observable_loss,
    "vij": lambda reference, predicted, scale: mae_vij(reference, predicted),
    "rmse": lambda reference, predicted, scale: jnp.sqrt(jnp.mean((predicted - reference) ** 2)),
}
"""What the held-out tensors are judged by: the paper's observables (C̃_Q, η̃, orientation), MAE(V_ij) or the RMSE, both in V/Å²."""


class HeldOutProblem(eqx.Module):
    """Environments and targets of one species, and the folds by which they are held out."""

    environments: Environments
    irrep: Irrep = eqx.field(static=True)
    targets: Float[np.ndarray, "centres components"]  # spherical components, the target's unit
    rows: Groups  # rows of the kernel by fold
    scale: Scale


def held_out_problems(
    structures: Sequence[Atoms],
    target: Target,
    species: tuple[str, ...] | None,
    descriptor: LambdaSOAP,
    reach: float,
    k: int,
    seed: int,
    limit: int | None,
) -> list[HeldOutProblem]:
    """One problem a species, with folds by structure.

    Args:
        structures: checked frames with labels.
        target: an EFG per atom.
        species: as for `TensorGPR`.
        descriptor: with species.
        reach: how far neighbours are gathered, Å.
        k: number of folds; structures are never divided.
        seed: of folds and of the subset.
        limit: about how many environments of each species to use; whole structures are drawn until there are as many. None: all.
    """
    if not target.is_efg:
        raise InputError(f"tuning is for electric field gradients of atoms; '{target.name}' is per {target.per}")
    problems = []
    for (symbol,) in groups_of(species, target, structures):
        per_structure = [labels([atoms], target) for atoms in structures]
        keep = [np.isfinite(value).reshape(len(value), -1).all(axis=1) for value in per_structure]
        chosen = select(structures, symbol, keep)
        drawn = _subset([len(index) for index in chosen], limit, seed)
        values = np.concatenate([per_structure[i][chosen[i]] for i in drawn])
        owner = np.repeat(np.arange(len(drawn)), [len(chosen[i]) for i in drawn])
        (irrep, components), *_ = to_channels(target, values).items()
        wide = eqx.tree_at(lambda d: d.cutoff, descriptor, np.asarray(reach))
        fold = folds(owner, k, seed)
        problems.append(
            HeldOutProblem(
                environments=gather([structures[i] for i in drawn], wide, [chosen[i] for i in drawn]),
                irrep=irrep,
                targets=components,
                rows=group_rows(np.repeat(fold, components.shape[1])),
                scale=Scale(*map(float, Scale.from_tensors(jnp.asarray(values)))),
            )
        )
    return problems


def cross_validated_loss(
    descriptor: LambdaSOAP,
    zeta: Float[Array, ""],
    regularisation: Float[Array, ""],
    problems: Sequence[HeldOutProblem],
    loss: str = "observables",
) -> Float[Array, ""]:
    """Mean over the species of the loss of held-out predictions.

    Exact: the held-out tensors come in closed form from one factorisation, and the gradient goes through descriptor, kernel, Cholesky
    factor and observables.

    Args:
        descriptor, zeta: hyperparameters of the kernel.
        regularisation: ρ over the kernel's mean diagonal.
        problems: see `held_out_problems`.
        loss: a key of LOSSES.
    """
    total = 0.0
    for problem in problems:
        features = descriptor(problem.environments, (INVARIANT, problem.irrep))
        count, components = problem.targets.shape
        p, invariants = features[problem.irrep][:count], features[INVARIANT][:count, 0]
        kernel = lambda_soap_kernel(p, p, invariants, invariants, zeta).reshape(count * components, count * components)
        targets = jnp.asarray(problem.targets)
        size = jnp.sqrt(jnp.mean(targets**2))
        noise = regularisation * jnp.mean(jnp.diag(kernel))
        residuals = size * held_out_residuals(kernel, (targets / size).ravel(), problem.rows, noise)
        reference = to_cartesian({problem.irrep[0]: targets})
        predicted = to_cartesian({problem.irrep[0]: targets - residuals.reshape(count, components)})
        total = total + LOSSES[loss](reference, predicted, problem.scale)
    return total / len(problems)


def _subset(counts: Sequence[int], limit: int | None, seed: int) -> list[int]:
    """Structures in random order until they have ``limit`` environments, those without any left out."""
    order = [int(i) for i in np.random.Generator(np.random.PCG64(seed)).permutation(len(counts)) if counts[i]]
    if limit is None:
        return sorted(order)
    reached = np.cumsum([counts[i] for i in order])
    return sorted(order[: int(np.searchsorted(reached, limit)) + 1])
