"""Targets of structures: sums over atoms where they are extensive, means where they are intensive, in every model."""

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.labelled_crystals import crystals
from strategies import SPECIES

from efg_jax import InputError, LambdaSOAP, TensorGPR, load
from efg_jax.structures.environments import environments
from efg_jax.structures.targets import EXTENSIVE, SHAPES
from efg_jax.tensors.irreps import to_cartesian, to_spherical

SOAP = LambdaSOAP(cutoff=3.0, nmax=1, lmax=1, sigma=0.6, species=SPECIES)
MODELS = {
    "dense": TensorGPR(SOAP, regularisation=1e-3),
    "fps": TensorGPR(SOAP, regularisation=1e-3, inducing=10),
    "primal": TensorGPR(SOAP, regularisation=1e-3, primal=True, zeta=1.0),
    "auto": TensorGPR(SOAP),
}
VECTORS, SCALARS = ("dipole", "polarization"), ("energy", "free_energy", "magmom", "band_gap")
REPEATS = [(1, 1, 1), (2, 1, 1), (1, 1, 3), (1, 1, 1)]


def labelled(name: str, extensive: bool, repeats=REPEATS) -> list:
    """Crystals and supercells with random labels, which grow with the cell or not."""
    kind = "vector" if name in VECTORS else "scalar" if name in SCALARS else "matrix"
    generator, frames = np.random.default_rng(3), []
    for atoms, repeat in zip(crystals(len(repeats), seed=4), repeats, strict=True):
        value = 5.0 + generator.normal(size=SHAPES[kind])
        value = value + value.T if kind == "matrix" else value
        cell = atoms.repeat(repeat)
        cell.info = {name: np.prod(repeat) * value if extensive else value}
        frames.append(cell)
    return frames


@pytest.mark.parametrize(
    ("name", "kind"),
    [*((name, "dense") for name in EXTENSIVE), ("dielectric", "fps"), ("dielectric", "primal")],
)
def test_a_doubled_cell_has_twice_the_extensive_and_the_same_intensive_value(name, kind, tmp_path):
    """Also, for the permittivity, what is loaded from a file, with its variance."""
    fitted = replace(MODELS[kind], target=name).fit(labelled(name, EXTENSIVE[name]))
    assert fitted.target.extensive == EXTENSIVE[name]
    (atoms,) = crystals(1, seed=9)
    factor = 2 if EXTENSIVE[name] else 1
    fitted.save(tmp_path / "model.npz")
    for model in (fitted, load(tmp_path / "model.npz", variance=True))[: 1 + ((name, kind) == ("dielectric", "dense"))]:
        one, double = model.predict([atoms, atoms.repeat((2, 1, 1))])
        assert_allclose(double, factor * one, rtol=1e-9)
        if name not in ("dielectric", "dipole"):
            continue
        variance, double_variance = model.predict([atoms, atoms.repeat((2, 1, 1))], variance=True)[1]
        assert double_variance == pytest.approx(factor**2 * variance, rel=1e-5)
        assert variance == pytest.approx(fitted.predict(atoms, variance=True)[1], rel=1e-6)
    assert np.abs(np.trace(np.atleast_2d(one)) / np.atleast_2d(one).shape[1]) > 1  # labels are about 5 or 10
    assert name not in ("dielectric", "dipole") or variance > 0


@pytest.mark.parametrize("kind", MODELS)
def test_intensive_targets_learn_the_same_from_cells_and_supercells(kind):
    """No training structure counts more because it is larger, whatever the sizes of the others."""
    model = replace(MODELS[kind], target="dielectric")
    if model.inducing is not None:
        model = replace(model, inducing=100)  # all that differ: supercells hold the same environments
    small = model.fit(labelled("dielectric", False, [(1, 1, 1)] * len(REPEATS)))
    large = model.fit(labelled("dielectric", False))
    for atoms in crystals(2, seed=9):
        (one, variance), (other, other_variance) = (fitted.predict(atoms, variance=True) for fitted in (small, large))
        assert_allclose(other, one, rtol=1e-6)
        assert other_variance == pytest.approx(variance, rel=1e-4)


@pytest.mark.parametrize("extensive", [True, False])
def test_predictions_are_those_of_the_textbook(extensive):
    """Explicit kernels between sums or means, for structures of several sizes; sparse with all environments alike."""
    frames, test = labelled("property", extensive), crystals(1, seed=9)
    model = TensorGPR(SOAP, target="property", extensive=extensive, regularisation=1e-3)
    fitted = model.fit(frames)
    value, variance = fitted.predict(test[0], variance=True)
    labels = np.stack([atoms.info["property"] for atoms in frames])
    everything = [*frames, *test]
    sizes = np.array([len(atoms) for atoms in everything])
    features = SOAP(environments(everything, 3.0, SPECIES, pad=False), ((0, 1), (2, 1)))
    kinds = np.concatenate([atoms.numbers for atoms in everything])
    share = np.repeat(np.eye(len(everything)), sizes, axis=1) / (1 if extensive else sizes[:, None])
    p0 = np.asarray(features[0, 1])[:, 0]
    same = (p0 @ p0.T) * (kinds[:, None] == kinds)
    parts, expected_variance = {}, 0.0
    for order in (0, 2):
        p, components = np.asarray(features[order, 1]), 2 * order + 1
        kernel = np.einsum("iuf,jvf,ij,ai,bj->aubv", p, p, same, share, share, optimize=True)
        kernel = kernel.reshape(kernel.shape[0] * components, -1)
        y = np.asarray(to_spherical(jnp.asarray(labels), order))
        weight = sizes[:-1] if extensive else np.ones(len(frames))
        mean = y.sum() / weight.sum() if order == 0 else 0.0
        y = (y - mean * weight[:, None]).ravel()
        n = len(y)
        noisy = kernel[:n, :n] + 1e-3 * np.mean(np.diag(kernel)[:n]) * np.eye(n)
        parts[order] = kernel[n:, :n] @ np.linalg.solve(noisy, y) + mean * (sizes[-1] if extensive else 1)
        covariance = kernel[n:, n:] - kernel[n:, :n] @ np.linalg.solve(noisy, kernel[:n, n:])
        expected_variance += np.trace(covariance) * (y @ np.linalg.solve(noisy, y)) / n
    expected = to_cartesian({order: jnp.asarray(part) for order, part in parts.items()})
    assert_allclose(value, expected, rtol=1e-8)
    assert variance == pytest.approx(expected_variance, rel=1e-6)
    sparse = replace(model, inducing=200).fit(frames)
    assert_allclose(sparse.predict(test[0]), expected, rtol=1e-6)


def test_contributions_are_averaged():
    (atoms,) = crystals(1, seed=9)
    fitted = replace(MODELS["dense"], target="dielectric").fit(labelled("dielectric", False))
    own = np.asarray(fitted.tensors(fitted.environments_of(atoms)))[: len(atoms)]
    assert_allclose(fitted.predict(atoms), own.mean(axis=0), rtol=1e-9)


def test_an_unknown_name_needs_to_be_told():
    frames = labelled("property", False)
    with pytest.raises(InputError, match="say extensive=True"):
        TensorGPR(SOAP, target="property").fit(frames)
