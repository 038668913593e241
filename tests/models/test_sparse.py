"""Sparse models: equal to dense ones with all environments, and close to them with fewer."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import stopped_fit
from numpy.testing import assert_allclose
from oracles.labelled_crystals import crystals
from stopped_fit import Stopped, stop_after

from efg_jax import InputError, TensorGPR, load
from efg_jax.gp import sparse

RHO = 1e-4
ALL = 1000  # more than there are


def largest(values):
    return np.nanmax(np.abs(values))


def difference(one, other):
    """Largest deviation over the largest value, over all structures."""
    one, other = np.array(one), np.array(other)
    return largest(one - other) / largest(other)


@pytest.fixture(scope="module")
def fitted(descriptor, train):
    """Models by target and options, fitted once."""
    known = {}

    def of(target, **options):
        key = target, *options.items()
        if key not in known:
            species = "O" if target == "efg" else None
            known[key] = TensorGPR(descriptor, species, target, regularisation=RHO, **options).fit(train)
        return known[key]

    return of


# The same model, fitted in two ways.
PAIRS = [
    ("efg", {"inducing": ALL}, {}),
    ("dipole", {"inducing": ALL}, {}),
    ("ms", {"primal": True, "zeta": 1.0}, {"zeta": 1.0}),
]


@pytest.mark.parametrize(("target", "options", "plain"), PAIRS)
def test_it_is_the_dense_model_with_all_columns(fitted, test, target, options, plain):
    model, dense = fitted(target, **options), fitted(target, **plain)
    (values, variances), (expected, expected_variances) = (m.predict(test, variance=True) for m in (model, dense))
    assert difference(values, expected) < 1e-7
    for one, other in zip(variances, expected_variances, strict=True):
        assert_allclose(one, other, rtol=1e-5, atol=1e-7 * largest(expected_variances))
    for group, by_irrep in model.regressions.items():
        for irrep, regression in by_irrep.items():
            other = dense.regressions[group][irrep]
            assert_allclose(regression.noise, other.noise, rtol=1e-10)
            assert_allclose(regression.amplitude, other.amplitude, rtol=1e-6)
            assert_allclose(regression.log_likelihood, other.log_likelihood, rtol=1e-6)


@pytest.mark.parametrize(("target", "options"), [(target, options) for target, options, _ in PAIRS[1:]])
def test_files_hold_everything(fitted, test, tmp_path, target, options):
    model = fitted(target, **options)
    model.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz", variance=True)
    for one, other in zip(model.predict(test, variance=True), again.predict(test, variance=True), strict=True):
        assert_allclose(np.array(other), np.array(one), rtol=1e-9, atol=1e-9 * largest(one))
    assert again.model == model.model


def test_it_converges_to_the_dense_model(descriptor):
    train, test = crystals(24, seed=5), crystals(3, seed=6)
    dense = TensorGPR(descriptor, "O", regularisation=1e-3).fit(train)
    expected = [p[1:3] for p in dense.predict(test)]

    def error(inducing):
        model = replace(dense.model, inducing=inducing).fit(train)
        return difference([p[1:3] for p in model.predict(test)], expected)

    assert error(40) < 0.5 * error(16)


def test_variance_grows_where_inducing_environments_are_few(fitted, test):
    """The variance k** − |φ|² that they leave unexplained, over the prior variance."""
    few, all_of_them = (
        np.nanmean(np.array(model.predict(test, variance=True)[1])) / model.regressions["O",][2, 1].amplitude
        for model in (fitted("efg", inducing=3), fitted("efg", inducing=ALL))
    )
    assert few > 2.0 * all_of_them > 0.0


@pytest.mark.parametrize("target", ["efg", "dipole"])
def test_chunks_do_not_matter(fitted, train, test, monkeypatch, target):
    model = fitted(target, inducing=ALL)
    monkeypatch.setattr(sparse, "CHUNK", 3)
    again = model.model.fit(train)
    assert difference(again.predict(test), model.predict(test)) < 1e-9


def test_regularisation_is_found_by_held_out_folds(descriptor, train, test):
    """Not much worse than the best of a grid, on structures that it has not seen."""
    model = TensorGPR(descriptor, "O", inducing=12)
    found = model.fit(train)
    (regression,) = found.regressions["O",].values()
    assert 0 < regression.held_out_rms < 1.0

    def error(m):
        return np.sqrt(np.nanmean((np.array(m.predict(test)) - [a.arrays["efg"] for a in test]) ** 2))

    assert error(found) < 1.5 * min(error(replace(model, regularisation=10.0**e).fit(train)) for e in (-6, -4, -2, 0))


@pytest.mark.parametrize(("target", "chunk"), [("efg", 2), ("dipole", 512)])
def test_an_interrupted_fit_resumes(descriptor, train, test, tmp_path, monkeypatch, target, chunk):
    monkeypatch.setattr(sparse, "CHUNK", chunk)
    model = TensorGPR(descriptor, "O", target, inducing=6)
    expected = model.fit(train).predict(test)
    computed = []
    plain = sparse._chunk_sums
    monkeypatch.setattr(sparse, "_chunk_sums", lambda *arguments: (computed.append(1), plain(*arguments))[1])
    with pytest.raises(Stopped):
        model.fit(train, checkpoint=tmp_path / "kept", progress=stop_after(3))
    assert len(computed) == 3
    seen = []
    again = model.fit(
        train, checkpoint=tmp_path / "kept", progress=lambda done, total, name: seen.append((done, total))
    )
    assert seen[0][0] == 4
    assert seen[-1][0] == seen[-1][1] == len(computed)
    assert difference(again.predict(test), expected) < 1e-12
    assert not (tmp_path / "kept").exists()


def test_a_fit_that_is_resumed_on_another_processor_is_the_same_model(tmp_path, monkeypatch):
    """The processor that stopped knows fewer instructions, and rounds otherwise."""
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_cpu_max_isa=SSE4_2"}
    script = Path(__file__).with_name("stopped_fit.py")
    stopped = subprocess.run(
        [sys.executable, script, tmp_path], env=environment, capture_output=True, text=True, check=False
    )
    assert stopped.stdout.strip() == "stopped", stopped.stderr
    monkeypatch.setattr(sparse, "CHUNK", 32)
    frames, steps = stopped_fit.molecules(), []
    resumed = stopped_fit.model().fit(frames, checkpoint=tmp_path, progress=lambda *step: steps.append(step))
    assert steps[0][0] == 3
    expected = stopped_fit.model().fit(frames).predict(frames[:10])
    assert difference(np.concatenate(resumed.predict(frames[:10])), np.concatenate(expected)) < 1e-5


def test_checkpoints_of_other_data_stay_and_damaged_ones_are_computed_again(descriptor, train, test, tmp_path, caplog):
    model = TensorGPR(descriptor, "O", inducing=6)
    with pytest.raises(Stopped):
        model.fit(train, checkpoint=tmp_path, progress=stop_after(1))
    kept = sorted(tmp_path.iterdir())
    expected = model.fit(train[1:], checkpoint=tmp_path).predict(test)
    assert sorted(tmp_path.iterdir()) == kept
    assert difference(model.fit(train[1:]).predict(test), expected) < 1e-12
    for path in tmp_path.glob("*fold*"):
        path.write_bytes(path.read_bytes()[:100])
    again = model.fit(train, checkpoint=tmp_path)
    assert "cannot be read" in caplog.text
    assert difference(again.predict(test), model.fit(train).predict(test)) < 1e-12


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"inducing": 0}, "positive integer, or None for a dense model, got 0"),
        ({"inducing": 5, "selection": "random"}, "must be 'fps' or 'cur', got 'random'"),
        ({"inducing": 5, "primal": True, "zeta": 1}, "leave out either"),
        ({"primal": True}, "give zeta = 1"),
    ],
)
def test_contradictory_options_are_refused(descriptor, options, says):
    with pytest.raises(InputError, match=says):
        TensorGPR(descriptor, "O", **options)


def test_auto_needs_two_structures(descriptor, train):
    with pytest.raises(InputError, match="give a number such as 1e-4"):
        TensorGPR(descriptor, "O", inducing=2).fit(train[:1])
