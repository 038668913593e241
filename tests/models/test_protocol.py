"""What every kind of model must do. A new kind is added to `CASES`, and then has to pass all of this."""

import json
from dataclasses import replace

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose, assert_array_equal
from oracles.labelled_crystals import crystals
from oracles.small_networks import TINY

from efg_jax import InputError, LambdaSOAP, ScalarGPR, TensorGPR, load
from efg_jax.models import KINDS, FittedModel, Model, NotFittedError, model_class
from efg_jax.network import EquivariantNetwork, Training
from efg_jax.precision import x64
from efg_jax.structures import with_positions

SOAP = LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, sigma=0.5)
TRAINING = Training(epochs=3, batch_edges=1000, validation=0.3)
CASES = {
    "dense": TensorGPR(SOAP, species="O", regularisation=1e-3),
    "shielding": TensorGPR(SOAP, target="ms", regularisation=1e-3),
    "sparse": TensorGPR(SOAP, species="O", regularisation=1e-3, inducing=6),
    "primal": TensorGPR(SOAP, species="O", regularisation=1e-3, zeta=1.0, primal=True),
    "scalar": ScalarGPR(SOAP, species="O", regularisation=1e-3),
    "network": EquivariantNetwork(TINY, "O", training=TRAINING),
    "committee": EquivariantNetwork(TINY, ("O", "Si"), ("efg", "ms"), TRAINING, members=2),
}
WITH_VARIANCE = ("dense", "shielding", "sparse", "primal", "committee")


@pytest.fixture(scope="module")
def train():
    return crystals(6, seed=0)


@pytest.fixture(scope="module")
def test():
    return crystals(2, seed=1)


@pytest.fixture(scope="module")
def fitted_by_case(train):
    return {}


@pytest.fixture(params=CASES)
def case(request):
    return request.param


@pytest.fixture
def fitted(case, fitted_by_case, train) -> FittedModel:
    """Fitted once in this file."""
    if case not in fitted_by_case:
        fitted_by_case[case] = CASES[case].fit(train)
    return fitted_by_case[case]


def arrays(values) -> dict[str, np.ndarray]:
    """Tensors, or the quantities of a scalar model, by name."""
    return values if isinstance(values, dict) else {"tensors": values}


def assert_same(one, other, **tolerance):
    one, other = arrays(one), arrays(other)
    assert one.keys() == other.keys()
    for name in one:
        assert_allclose(one[name], other[name], err_msg=name, **tolerance)


def test_every_kind_of_the_registry_is_tested_here():
    assert {model.kind for model in CASES.values()} == set(KINDS)
    for kind in KINDS:
        assert issubclass(model_class(kind), Model)
        assert model_class(kind).kind == kind
    with pytest.raises(InputError, match="unknown kind of model 'forest'; choose one of tensor, scalar, network"):
        model_class("forest")


def test_fit_returns_another_object_and_options_cannot_predict(case, fitted, train):
    model = CASES[case]
    assert isinstance(fitted, FittedModel)
    assert not isinstance(fitted, Model)
    assert model == model_class(model.kind).from_dict(model.to_dict())  # as it was before fit
    for name in ("predict", "predict_stream", "evaluate", "tensors", "save", "species_of"):
        assert hasattr(model, name) is False
    for name in ("predict", "save"):
        with pytest.raises(NotFittedError, match=f"not fitted yet and has no '{name}'; use what fit returns"):
            getattr(model, name)
    with pytest.raises(AttributeError, match="has no attribute 'predikt'"):
        model.predikt(train)


def test_options_are_json_and_hyperparameters_come_back(case, fitted):
    for model in (CASES[case], fitted.model):
        values = json.loads(json.dumps(model.to_dict()))
        assert type(model).from_dict(values) == model
        assert model.with_hyperparameters(json.loads(json.dumps(model.hyperparameters()))) == model


def test_one_structure_a_list_and_a_stream_are_predicted_alike(fitted, test):
    for target in fitted.targets:
        listed = fitted.predict(test, target=target)
        streamed = list(fitted.predict_stream(iter(test), target=target))
        for atoms, one, other in zip(test, listed, streamed, strict=True):
            assert other.atoms is atoms
            assert_same(other.values, one, rtol=1e-5, atol=1e-5)
            assert_same(fitted.predict(atoms, target=target), one, rtol=1e-5, atol=1e-5)
            known = np.isin(np.asarray(atoms.symbols), fitted.species_of(target))
            assert_array_equal(other.centres, np.flatnonzero(known))
            for values in arrays(one).values():
                assert np.isfinite(values[known]).all()
                assert np.isnan(values[~known]).all()


def test_several_targets_at_once_are_each_by_itself(fitted, test):
    for found in fitted.predict_targets(test):
        assert list(found) == list(fitted.targets)
        for name, own in found.items():
            assert_same(own.values, fitted.predict(own.atoms, target=name), rtol=1e-5, atol=1e-5)
            assert set(own.arrays(name)) == ({name} if fitted.gives_tensors else set(own.values))
    if len(fitted.targets) > 1:
        with pytest.raises(InputError, match="choose one with target='efg'"):
            fitted.predict(test)


def test_chosen_atoms_are_predicted_and_no_others(fitted, test):
    target = next(iter(fitted.targets))
    whole = arrays(fitted.predict(test[0], target=target))
    oxygen = np.flatnonzero(np.asarray(test[0].symbols) == "O")
    for choice in ({"species": "O"}, {"indices": oxygen[:1]}):
        chosen = oxygen if "species" in choice else oxygen[:1]
        for name, values in arrays(fitted.predict(test[0], target=target, **choice)).items():
            assert_allclose(values[chosen], whole[name][chosen], rtol=1e-5, atol=1e-5)
            assert np.isnan(np.delete(values, chosen, axis=0)).all()
    for size in (1, 1000):
        assert_same(fitted.predict(test[0], target=target, chunk=size), whole_of(whole), rtol=1e-5, atol=1e-5)


def whole_of(values: dict):
    return values["tensors"] if set(values) == {"tensors"} else values


def test_evaluation_is_of_the_predictions(fitted, test):
    counted = fitted.evaluate_targets(test, title="{structures} structures")
    assert all(report.title.endswith("2 structures") for report in counted.values())
    reports = fitted.evaluate_targets(test, title="held out")
    assert list(reports) == list(fitted.targets)
    for target, report in reports.items():
        assert report.species == [s for s in ("H", "O", "Si") if s in fitted.species_of(target)]
        assert f"{target}, held out" == report.title if len(reports) > 1 else report.title == "held out"
        if not fitted.gives_tensors:
            continue
        for symbol in report.species:
            rows = [np.asarray(atoms.symbols) == symbol for atoms in test]
            truth = np.concatenate([a.arrays[target][r] for a, r in zip(test, rows, strict=True)])
            guess = np.concatenate([v[r] for v, r in zip(fitted.predict(test, target=target), rows, strict=True)])
            spread = np.sqrt(np.mean((truth - truth.mean(axis=0)) ** 2))
            expected = 100.0 * np.sqrt(np.mean((guess - truth) ** 2)) / spread
            assert report.to_dict()[symbol]["rmse_percent"] == pytest.approx(expected, rel=1e-4)


def test_a_file_holds_everything(case, fitted, test, tmp_path):
    fitted.save(tmp_path / "model.npz")
    again = load(tmp_path / "model.npz", variance=True)
    assert type(again) is type(fitted)
    assert again.model == fitted.model
    assert again.targets == fitted.targets
    variance = case in WITH_VARIANCE
    for target in fitted.targets:
        one, other = (m.predict(test, target=target, variance=variance) for m in (fitted, again))
        for a, b in zip(one[0] if variance else one, other[0] if variance else other, strict=True):
            assert_same(a, b, rtol=1e-9, atol=1e-9)
        if variance:
            assert_allclose(np.array(one[1]), np.array(other[1]), rtol=1e-7, atol=1e-12)


def test_variance_is_there_or_refused(case, fitted, test):
    target = next(iter(fitted.targets))
    if case not in WITH_VARIANCE:
        with pytest.raises(InputError, match=r"variance|spread"):
            fitted.predict(test, target=target, variance=True)
        return
    (found,) = fitted.predict_stream(test[:1], target=target, variance=True)
    assert found.variance.shape == (len(test[0]),)
    assert (found.variance[found.centres] > 0).all()
    assert_allclose(found.arrays(target)[f"{target}_std"], np.sqrt(found.variance))


def test_the_pure_function_is_the_prediction(fitted, test):
    for target in fitted.targets:
        environments = fitted.environments_of(test, fitted.species_of(target))
        rows = eqx.filter_jit(lambda m, e, target=target: m.tensors(e, target))(fitted, environments)
        dtype = "float64"
        predicted = fitted.predict(test, target=target, dtype=dtype)
        first = 0
        for atoms, one in zip(test, predicted, strict=True):
            known = np.isin(np.asarray(atoms.symbols), fitted.species_of(target))
            own = np.asarray(rows[first : first + len(atoms)])[known]
            first += len(atoms)
            if fitted.gives_tensors:
                assert_allclose(own, one[known], rtol=1e-9, atol=1e-9)
            else:
                for column, name in zip(own.T, ("c_q_tilde", "eta_tilde", "theta", "phi", "v_nn"), strict=True):
                    assert_allclose(column, one[name][known], rtol=1e-9, atol=1e-9)


def test_derivatives_are_those_of_the_predictions(fitted, test):
    """Along a random direction, and zero for a translation."""
    atoms, target = test[0], next(iter(fitted.targets))
    environments = fitted.environments_of(atoms, "O")
    oxygen = np.flatnonzero(np.asarray(atoms.symbols) == "O")
    positions = jnp.asarray(environments.positions)
    direction = np.zeros(positions.shape)
    direction[: len(atoms)] = np.random.default_rng(0).normal(size=(len(atoms), 3))

    @eqx.filter_jit
    def slope(model, direction):
        return jax.jvp(lambda r: model.tensors(with_positions(environments, r), target), (positions,), (direction,))[1]

    step, ends = 1e-5, []
    for sign in (1.0, -1.0):
        moved = atoms.copy()
        moved.positions += sign * step * direction[: len(atoms)]
        ends.append(arrays(fitted.predict(moved, target=target, dtype="float64")))
    found = np.asarray(slope(fitted, jnp.asarray(direction)))[oxygen]
    expected = {name: (ends[0][name] - ends[1][name])[oxygen] / (2.0 * step) for name in ends[0]}
    if fitted.gives_tensors:
        assert_allclose(found, expected["tensors"], rtol=1e-5, atol=1e-5)
    else:
        assert_allclose(found[:, 0], expected["c_q_tilde"], rtol=1e-5, atol=1e-5)
    together = np.asarray(slope(fitted, jnp.ones_like(positions)))[oxygen]
    assert np.abs(together).max() < 1e-9 * max(1.0, np.abs(found).max())


def test_predictions_turn_with_the_structure(fitted, test):
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    turn *= np.sign(np.linalg.det(turn))
    turned = test[0].copy()
    turned.set_cell(test[0].cell.array @ turn.T)
    turned.positions = test[0].positions @ turn.T
    for target in fitted.targets:
        before, after = (arrays(fitted.predict(a, target=target, dtype="float64")) for a in (test[0], turned))
        if fitted.gives_tensors:
            expected = np.einsum("ia,nab,jb->nij", turn, before["tensors"], turn)
            assert_allclose(after["tensors"], expected, rtol=1e-8, atol=1e-8)
        else:
            for name in ("c_q_tilde", "eta_tilde", "theta", "phi", "v_nn"):
                assert_allclose(after[name], before[name], rtol=1e-8, atol=1e-8)


def test_an_interrupted_fit_resumes_to_the_same_model(case, fitted, train, test, tmp_path):
    model, seen = CASES[case], []

    def interrupt(done, number, what):
        seen.append((done, number))
        if done == 1:
            raise KeyboardInterrupt

    if not model.is_resumable:
        model.fit(train, checkpoint=tmp_path / "state", resume=False, progress=interrupt)
        assert not (tmp_path / "state").exists()
        return
    with pytest.raises(KeyboardInterrupt):
        model.fit(train, checkpoint=tmp_path / "state", progress=interrupt)
    assert list((tmp_path / "state").iterdir())
    seen.clear()
    resumed = model.fit(train, checkpoint=tmp_path / "state", progress=lambda done, number, what: seen.append(done))
    assert 1 not in seen
    assert not (tmp_path / "state").exists()
    for target in fitted.targets:
        for one, other in zip(resumed.predict(test, target=target), fitted.predict(test, target=target), strict=True):
            assert_same(one, other, rtol=1e-9, atol=1e-9)


def test_the_callers_precision_stays(fitted, test):
    """Between two items of a stream too."""
    target = next(iter(fitted.targets))
    with x64(False):
        stream = fitted.predict_stream(test, target=target, dtype="float64")
        for _ in stream:
            assert jnp.zeros(1).dtype == np.float32
        assert jnp.zeros(1).dtype == np.float32
    assert jnp.zeros(1).dtype == np.float64


def test_atoms_without_a_label_are_left_out(case, train, test):
    """Of a model that is fitted in one go, to the last digits the fit without the structure."""
    bare = [atoms.copy() for atoms in train]
    for name in ("efg", "ms"):
        bare[2].arrays[name] = np.full_like(bare[2].arrays[name], np.nan)
    found = CASES[case].fit(bare)
    for target in found.targets:
        for values in found.predict(test, target=target):
            assert all(np.isfinite(v[np.asarray(test[0].symbols) == "O"]).all() for v in arrays(values).values())
    if not CASES[case].is_resumable:
        without = CASES[case].fit([atoms for number, atoms in enumerate(train) if number != 2])
        for one, other in zip(found.predict(test), without.predict(test), strict=True):
            assert_same(one, other, rtol=1e-7, atol=1e-7)


BAD_STRUCTURES = [
    (lambda atoms: Atoms("OFe", positions=[[0, 0, 0], [0, 0, 2]]), "Fe"),
    (lambda atoms: Atoms("H2", positions=[[0, 0, 0], [0, 0, 1]]), "nothing to predict|structures contain"),
    (lambda atoms: Atoms(), "no atoms"),
    (lambda atoms: half_occupied(atoms), r"atom 1 \(O 0.5\)"),
]


def half_occupied(atoms):
    """The structure with a note, as ASE's reader of CIF leaves it, that atom 1 is there in half of the cells."""
    noted = atoms.copy()
    noted.info["occupancy"] = {str(i): {symbol: 1.0 - (i == 1) / 2} for i, symbol in enumerate(atoms.symbols)}
    return noted


@pytest.mark.parametrize(("make", "says"), BAD_STRUCTURES, ids=["element", "nothing", "empty", "disordered"])
def test_bad_structures_are_refused(fitted, test, make, says):
    target = "efg" if "efg" in fitted.targets else "ms"
    if "H" in fitted.species and says.startswith("nothing"):
        return  # it predicts all elements of the tests
    with pytest.raises(InputError, match=says):
        fitted.predict(make(test[0]), target=target)
    if says.startswith("atom 1"):
        with pytest.raises(InputError, match=says):
            fitted.environments_of(make(test[0]))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"target": "dipole"}, "not 'dipole'"),
        ({"species": "Xe"}, "predicts nothing for Xe"),
        ({"indices": [99]}, "no atom 99"),
        ({"chunk": 0}, "chunk"),
    ],
    ids=lambda value: str(value),
)
def test_bad_options_are_refused(fitted, test, options, says):
    options = {"target": next(iter(fitted.targets))} | options
    with pytest.raises(InputError, match=says):
        fitted.predict(test, **options)


def test_bad_training_sets_are_refused(case, train):
    model = CASES[case]
    unlabelled = [atoms.copy() for atoms in train]
    for atoms in unlabelled:
        for name in ("efg", "ms"):
            atoms.arrays[name] = np.full_like(atoms.arrays[name], np.nan)
    nameless = [Atoms(atoms.symbols, positions=atoms.positions, cell=atoms.cell, pbc=True) for atoms in train]
    for structures, says in (
        ([], "no structures|empty|at least one"),
        (unlabelled, "NaN|label"),
        (nameless, "no '"),
        ([*train, half_occupied(train[0])], "O 0.5"),
    ):
        with pytest.raises(InputError, match=says):
            model.fit(structures)
    with pytest.raises(InputError, match="Xe"):
        replace(model, species=("Xe",)).fit(train)
