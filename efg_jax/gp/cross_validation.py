"""Cross-validated losses as pure, differentiable functions of the hyperparameters.

The held-out predictions of all folds come in closed form from one factorisation of the whole kernel matrix (see
`gp.gaussian_process`). They equal those of models refitted without each fold at the same noise; mean, scale and noise
are those of the whole set.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from ase import Atoms
from jaxtyping import Array, Float, Int

from efg_jax.descriptors import INVARIANT, Irrep, LambdaSOAP
from efg_jax.errors import InputError
from efg_jax.gp.basis import gather
from efg_jax.gp.gaussian_process import (
    Groups,
    factorise,
    group_rows,
    held_out_residuals,
    log_marginal_likelihood,
    solve,
)
from efg_jax.gp.held_out_losses import EFG_LOSSES, LIKELIHOOD, SCALAR_LOSSES, TENSOR_LOSSES, HeldOut, HeldOutLosses
from efg_jax.gp.kernel_parameters import with_values
from efg_jax.gp.kernels import lambda_soap_kernel, soap_kernel
from efg_jax.gp.labelled_structures import IrrepTargets, species_groups
from efg_jax.gp.scalar_targets import METRICS, scalar_targets
from efg_jax.metrics import Scale
from efg_jax.structures.crystal_frame import crystal_axes
from efg_jax.structures.environments import Environments
from efg_jax.structures.site_selection import select
from efg_jax.structures.splits import folds
from efg_jax.structures.targets import Kind, Target, cartesian, labels, to_irreps


class Part(eqx.Module):
    """One kernel matrix and what is learned with it: an irrep of a tensor, or all quantities of a scalar model."""

    irrep: Irrep = eqx.field(static=True)
    targets: Float[np.ndarray, "kernel_rows columns"]  # centred and scaled
    mean: Float[np.ndarray, " columns"]  # in the target's unit
    size: Float[np.ndarray, " columns"]
    groups: Groups  # rows of the kernel by fold


class HeldOutProblem(eqx.Module):
    """Environments and targets of one species, and the folds by which they are held out."""

    environments: Environments
    parts: tuple[Part, ...]
    reference: Float[np.ndarray, "centres *shape"]
    scale: Scale | None
    weight: Float[np.ndarray, ""]  # of the species in the whole loss

    @classmethod
    @abstractmethod
    def losses_of(cls, is_efg: bool) -> HeldOutLosses:
        """Losses that there are for EFG tensors, or for other targets, besides the likelihood."""

    @classmethod
    @abstractmethod
    def of(
        cls,
        environments: Environments,
        target: Target,
        values: Float[np.ndarray, "centres *shape"],
        owners: Sequence[Atoms],
        fold: Int[np.ndarray, " centres"],
        weight: float,
    ) -> "HeldOutProblem":
        """The problem of one species (host).

        Args:
            environments: of its labelled atoms.
            target: of atoms.
            values: labels, Cartesian.
            owners: structure of each atom.
            fold: in which each atom is held out.
            weight: of the species.
        """

    @abstractmethod
    def kernels(self, descriptor: LambdaSOAP, zeta: Float[Array, ""]) -> list[Float[Array, "_ _"]]:
        """Kernel matrix of each part."""

    @abstractmethod
    def as_reference(self, predicted: dict[Irrep, Float[Array, "n columns"]]) -> Float[Array, "centres *shape"]:
        """Predictions by part and row of its kernel, in the shape of the reference."""

    @property
    def count(self) -> int:
        """Number of labelled environments."""
        return len(self.reference)

    def features(self, descriptor: LambdaSOAP) -> dict[Irrep, Float[Array, "centres _ _"]]:
        """λ = 0 features and those of every part, without rows of padding."""
        wanted = dict.fromkeys((INVARIANT, *(part.irrep for part in self.parts)))
        every = descriptor(self.environments, irreps=tuple(wanted))
        return {irrep: features[: self.count] for irrep, features in every.items()}


class HeldOutTensors(HeldOutProblem):
    """What a `TensorGPR` learns: Cartesian tensors, an irreducible part by itself."""

    kind: Kind = eqx.field(static=True)  # of the target

    @classmethod
    def losses_of(cls, is_efg: bool) -> HeldOutLosses:
        """See `HeldOutProblem.losses_of`."""
        return EFG_LOSSES if is_efg else TENSOR_LOSSES

    @classmethod
    def of(cls, environments, target, values, owners, fold, weight) -> "HeldOutProblem":
        """See `HeldOutProblem.of`."""
        parts = tuple(_part(irrep, components, fold) for irrep, components in to_irreps(target, values).items())
        scale = Scale.of_data(values) if target.is_efg else None
        return cls(environments, parts, values, scale, np.asarray(weight), target.kind)

    def kernels(self, descriptor: LambdaSOAP, zeta: Float[Array, ""]) -> list[Float[Array, "_ _"]]:
        """λ-SOAP kernels."""
        features = self.features(descriptor)
        invariants, kernels = features[INVARIANT][:, 0], []
        for part in self.parts:
            p, rows = features[part.irrep], part.targets.shape[0]
            kernels.append(lambda_soap_kernel(p, p, invariants, invariants, zeta).reshape(rows, rows))
        return kernels

    def as_reference(self, predicted: dict[Irrep, Float[Array, "n columns"]]) -> Float[Array, "centres *shape"]:
        """Cartesian."""
        parts = {irrep: part.reshape(self.count, 2 * irrep[0] + 1) for irrep, part in predicted.items()}
        return cartesian(self.kind, parts)


class HeldOutScalars(HeldOutProblem):
    """What a `ScalarGPR` learns: the columns `METRICS`, all with one kernel."""

    @classmethod
    def losses_of(cls, is_efg: bool) -> HeldOutLosses:
        """See `HeldOutProblem.losses_of`."""
        return SCALAR_LOSSES

    @classmethod
    def of(cls, environments, target, values, owners, fold, weight) -> "HeldOutProblem":
        """See `HeldOutProblem.of`."""
        scale = Scale.of_data(values)
        axes = np.stack([crystal_axes(atoms) for atoms in owners])
        columns = np.asarray(scalar_targets(values, axes, scale))[:, : len(METRICS)]
        mean, size = columns.mean(axis=0), columns.std(axis=0)
        size = np.where(size > 0, size, 1.0)
        part = Part(INVARIANT, (columns - mean) / size, mean, size, group_rows(fold))
        return cls(environments, (part,), columns, scale, np.asarray(weight))

    def kernels(self, descriptor: LambdaSOAP, zeta: Float[Array, ""]) -> list[Float[Array, "_ _"]]:
        """The λ = 0 kernel."""
        invariants = self.features(descriptor)[INVARIANT][:, 0]
        return [soap_kernel(invariants, invariants, zeta)]

    def as_reference(self, predicted: dict[Irrep, Float[Array, "n columns"]]) -> Float[Array, "centres *shape"]:
        """The columns."""
        return predicted[INVARIANT]


def held_out_problems(
    structures: Sequence[Atoms],
    target: Target,
    species: tuple[str, ...] | None,
    descriptor: LambdaSOAP,
    reach: float,
    k: int | None,
    seed: int,
    limit: int | None = None,
    *,
    learned: type[HeldOutProblem] = HeldOutTensors,
    weights: Mapping[str, float] | None = None,
) -> list[HeldOutProblem]:
    """One problem a species, with folds by structure (host).

    Args:
        structures: checked frames with labels.
        target: of atoms.
        species: as for `TensorGPR`.
        descriptor: with species.
        reach: how far neighbours are gathered, Å.
        k: number of folds, or None: each structure by itself. Structures are never divided.
        seed: of folds and of the subset.
        limit: about how many environments of each species to use; whole structures are drawn until there are as many.
            None: all.
        learned: what is learned of the target: the tensor, or scalars of an EFG.
        weights: of the species in the loss; those that are not named count 1.

    Raises:
        InputError: a target per structure, weights of unknown species, or fewer labelled structures than folds.
    """
    if target.per != "atom":
        raise InputError(f"tuning is for targets of atoms; '{target.name}' is per {target.per}")
    symbols = [symbol for (symbol,) in species_groups(species, target, structures)]
    weights = _species_weights(weights, symbols)
    per_structure = [labels([atoms], target) for atoms in structures]
    keep = [np.isfinite(value).reshape(len(value), -1).all(axis=1) for value in per_structure]
    problems = []
    for symbol in symbols:
        chosen = select(structures, symbol, keep)
        drawn = _subset([len(index) for index in chosen], limit, seed)
        if len(drawn) < (k or 2):
            raise InputError(
                f"{len(drawn)} structures with labelled {symbol} cannot fill {k or 2} folds: one would hold no "
                "labelled atom; use fewer folds, more environments or more structures"
            )
        values = np.concatenate([per_structure[i][chosen[i]] for i in drawn])
        owner = np.repeat(np.arange(len(drawn)), [len(chosen[i]) for i in drawn])
        fold = owner if k is None else folds(owner, k, seed)
        wide = eqx.tree_at(lambda d: d.cutoff, descriptor, np.asarray(reach))
        environments = gather([structures[i] for i in drawn], wide, [chosen[i] for i in drawn])
        owners = [structures[drawn[number]] for number in owner]
        problems.append(learned.of(environments, target, values, owners, fold, weights[symbol]))
    return problems


def cross_validated_loss(
    descriptor: LambdaSOAP,
    values: Mapping[str, Float[Array | np.ndarray, "..."]],
    problems: Sequence[HeldOutProblem],
    terms: Mapping[str, float],
) -> Float[Array, ""]:
    """Weighted mean over the species of the loss of held-out predictions.

    The gradient goes through descriptor, kernel, Cholesky factor and observables.

    Args:
        descriptor: what ``values`` does not hold.
        values: hyperparameters by name (`kernel_parameters.values_of`); ``regularisation`` is ρ over each kernel's mean
            diagonal.
        problems: see `held_out_problems`.
        terms: weights of losses by name (`held_out_losses.parse_loss`).
    """
    descriptor = with_values(descriptor, values)
    total = sum(jnp.asarray(problem.weight) for problem in problems)
    return (
        sum(
            jnp.asarray(problem.weight)
            * _loss(descriptor, jnp.asarray(values["zeta"]), jnp.asarray(values["regularisation"]), problem, terms)
            for problem in problems
        )
        / total
    )


def held_out_predictions(
    descriptor: LambdaSOAP,
    zeta: Float[Array, ""],
    regularisation: Float[Array, ""],
    problem: HeldOutProblem,
) -> Float[Array, "centres *shape"]:
    """What the model predicts for each environment when its fold is held out; see `cross_validated_loss`."""
    return _predicted(problem.kernels(descriptor, zeta), regularisation, problem)


def _loss(descriptor, zeta, regularisation, problem: HeldOutProblem, terms: Mapping[str, float]) -> Float[Array, ""]:
    kernels = problem.kernels(descriptor, zeta)
    losses = problem.losses_of(problem.scale is not None)
    result = jnp.zeros(())
    if any(name != LIKELIHOOD for name in terms):
        predicted = _predicted(kernels, regularisation, problem)
        held_out = HeldOut(jnp.asarray(problem.reference), predicted, problem.scale)
        result = result + sum(weight * losses[name](held_out) for name, weight in terms.items() if name != LIKELIHOOD)
    if LIKELIHOOD in terms:
        surprise = sum(
            _surprise(kernel, part, regularisation) for part, kernel in zip(problem.parts, kernels, strict=True)
        )
        result = result + terms[LIKELIHOOD] * surprise / sum(part.targets.size for part in problem.parts)
    return result


def _predicted(kernels: list[Float[Array, "_ _"]], regularisation, problem: HeldOutProblem):
    """Held-out predictions in the shape of the reference."""
    by_irrep = {
        part.irrep: _held_out(kernel, part, regularisation) for part, kernel in zip(problem.parts, kernels, strict=True)
    }
    return problem.as_reference(by_irrep)


def _held_out(kernel: Float[Array, "n n"], part: Part, regularisation) -> Float[Array, "n columns"]:
    """Held-out predictions in the target's unit."""
    noise = regularisation * jnp.mean(jnp.diag(kernel))
    targets = jnp.asarray(part.targets)
    residuals = jax.vmap(held_out_residuals, in_axes=(None, 1, None, None), out_axes=1)(
        kernel, targets, part.groups, noise
    )
    return jnp.asarray(part.mean)[None, :] + jnp.asarray(part.size)[None, :] * (targets - residuals)


def _surprise(kernel: Float[Array, "n n"], part: Part, regularisation) -> Float[Array, ""]:
    """−log p of all columns, each with the amplitude of the prior that makes it most likely."""
    targets = jnp.asarray(part.targets)
    factor = factorise(kernel, regularisation * jnp.mean(jnp.diag(kernel)))
    total = jnp.zeros(())
    for column in range(targets.shape[1]):
        y = targets[:, column]
        amplitude = jnp.sqrt(jnp.dot(y, solve(factor, y)) / y.size)
        total = total - log_marginal_likelihood(factor * amplitude, y)
    return total


def _part(irrep: Irrep, components: Float[np.ndarray, "n components"], fold: Int[np.ndarray, " n"]) -> Part:
    """One column for the kernel's rows (environment, component)."""
    learned = IrrepTargets.of(irrep, components, np.ones(len(components), dtype=int))
    groups = group_rows(np.repeat(fold, components.shape[1]))
    return Part(irrep, learned.values.reshape(-1, 1), np.array([learned.mean]), np.array([learned.scale]), groups)


def _subset(counts: Sequence[int], limit: int | None, seed: int) -> list[int]:
    """Structures in random order until they have ``limit`` environments, those without any left out."""
    order = [int(i) for i in np.random.Generator(np.random.PCG64(seed)).permutation(len(counts)) if counts[i]]
    if limit is None:
        return sorted(order)
    reached = np.cumsum([counts[i] for i in order])
    return sorted(order[: int(np.searchsorted(reached, limit)) + 1])


def _species_weights(weights: Mapping[str, float] | None, symbols: Sequence[str]) -> dict[str, float]:
    weights = dict(weights or {})
    if unknown := [symbol for symbol in weights if symbol not in symbols]:
        raise InputError(
            f"a weight is given for {unknown[0]}, which is not tuned for; choose among {', '.join(symbols)}"
        )
    if bad := [symbol for symbol, weight in weights.items() if not 0 < weight < np.inf]:
        raise InputError(f"the weight of {bad[0]} in the loss is {weights[bad[0]]}; give a positive number")
    return {symbol: float(weights.get(symbol, 1.0)) for symbol in symbols}
