"""Searches on real data: they gain, they are repeatable, and an interruption costs at most one evaluation."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

import efg_jax as ej
from efg_jax.descriptors import principal_contraction
from efg_jax.tuning import read_hyperparameters
from efg_jax.tuning.space import space_of

# The cutoff stays below the neighbours that are gathered first, so that searches share what is compiled.
FEW = {
    "parameters": ("cutoff", "sigma", "regularisation"),
    "bounds": {"cutoff": (2.6, 4.5)},
    "folds": 3,
    "environments": None,
}


class Stop(Exception):
    pass


def stop_after(count):
    def callback(trial):
        if trial.number == count:
            raise Stop

    return callback


@pytest.fixture(scope="module")
def whole(model, frames, tmp_path_factory):
    """A search by gradient that ran to its end, and its cache."""
    cache = tmp_path_factory.mktemp("cache")
    return ej.tune(model, frames, budget=7, cache=cache, **FEW), cache


def test_gradient_lowers_the_loss_and_the_best_is_kept(whole, model):
    found, _ = whole
    losses = [trial.loss for trial in found.trials]
    assert found.best.loss == min(losses) < losses[0]
    assert [trial.best for trial in found.trials] == list(np.minimum.accumulate(losses))
    assert float(found.model.descriptor.sigma) == float(found.best.values["sigma"])
    assert found.model.regularisation == pytest.approx(float(found.best.values["regularisation"]))
    # What was not named did not move.
    assert float(found.model.zeta) == float(model.zeta)
    assert float(found.model.descriptor.scaling_radius) == float(model.descriptor.scaling_radius)
    assert found.model.descriptor.species_weights is None


@pytest.mark.parametrize("optimiser", ["lbfgs", "adam"])
def test_a_search_that_was_killed_goes_on_where_it_was(whole, model, frames, tmp_path, optimiser):
    reference = whole[0] if optimiser == "lbfgs" else ej.tune(model, frames, budget=7, optimiser="adam", **FEW)
    evaluated = []
    with pytest.raises(Stop):
        ej.tune(model, frames, budget=7, cache=tmp_path, callback=stop_after(3), optimiser=optimiser, **FEW)
    (journal,) = tmp_path.glob("*.jsonl")
    lines = journal.read_text().splitlines()
    assert len(lines) == 1 + 4  # all that was evaluated is there
    again = ej.tune(
        model, frames, budget=7, cache=tmp_path, optimiser=optimiser, callback=lambda t: evaluated.append(t), **FEW
    )
    assert [trial.loss for trial in again.trials] == [trial.loss for trial in reference.trials]
    assert len(journal.read_text().splitlines()) == 1 + 7  # the first four were not computed again
    assert [trial.cpu_s for trial in again.trials[:4]] == sorted(trial.cpu_s for trial in again.trials[:4])


def test_methods_share_evaluations_of_the_same_data_only(whole, model, frames, caplog):
    _, cache = whole
    before = {path.name: len(path.read_text().splitlines()) for path in cache.glob("*.jsonl")}
    found = ej.tune(model, frames, budget=15, method="box-behnken", cache=cache, **FEW)
    assert len(found.trials) == 15
    assert len(found.surfaces) == 1
    after = {path.name: len(path.read_text().splitlines()) for path in cache.glob("*.jsonl")}
    assert after.keys() == before.keys()
    assert sum(after.values()) - sum(before.values()) == 14  # the start was known, from the gradient
    with caplog.at_level("WARNING", logger="efg_jax"):
        model.tuning_problem(frames[1:], loss="rmse").keep(cache, {})
    assert "other data" in caplog.text


def test_bayes_and_designs_start_where_the_gradient_does(whole, model, frames):
    pytest.importorskip("optuna")
    found = ej.tune(model, frames, budget=4, method="bayes", seed=0, **FEW)
    assert found.start.loss == pytest.approx(whole[0].start.loss, rel=1e-10)
    again = ej.tune(model, frames, budget=4, method="bayes", seed=0, workers=1, **FEW)
    assert again.trials[1].loss == pytest.approx(found.trials[1].loss, rel=1e-12)


def test_neighbours_are_gathered_again_when_the_cutoff_grows(model, frames):
    def problem_from(cutoff):
        start = replace(model, descriptor=replace(model.descriptor, cutoff=cutoff))
        return start.tuning_problem(frames, folds=3, environments=None)

    growing, wide, wider = (problem_from(cutoff) for cutoff in (2.8, 3.7, 4.6))
    before = growing.value(growing.start)
    late, at_once = (problem.value_and_gradient(wide.start) for problem in (growing, wide))
    assert late.loss == pytest.approx(at_once.loss, rel=1e-10)
    np.testing.assert_allclose(late.gradient["cutoff"], at_once.gradient["cutoff"], rtol=1e-7)
    assert before.loss != pytest.approx(late.loss, rel=1e-6)
    # Once more, to so many neighbours that arrays take another shape.
    assert growing.value(wider.start).loss == pytest.approx(wider.value(wider.start).loss, rel=1e-10)


def test_bias_of_a_subset_is_reported(whole, model, frames):
    pytest.importorskip("optuna")
    found = ej.tune(model, frames, method="bayes", folds=3, budget=2, environments=6, parameters=("sigma",))
    more = found.details["more_environments"]
    assert sum(more["environments"]) == sum(atoms.symbols.count("Si") for atoms in frames)
    assert more["bias_best"] == pytest.approx(found.best.loss - more["best_loss"])
    assert whole[0].start.loss == pytest.approx(more["start_loss"], rel=1e-9)


def test_a_contraction_of_all_channels_changes_nothing_and_fewer_are_learned(model, frames, descriptor):
    """An orthogonal mixing of all channels leaves scalar products of features, and so kernels, as they are."""
    turned = principal_contraction(descriptor, frames, 6)
    plain = model.tuning_problem(frames, folds=3, environments=None).value
    mixed = replace(model, descriptor=turned).tuning_problem(frames, folds=3, environments=None)
    assert mixed.value(mixed.start).loss == pytest.approx(plain(_plain(mixed.start)).loss, rel=1e-9)
    few = replace(model, descriptor=principal_contraction(descriptor, frames, 3))
    found = ej.tune(few, frames, "rmse", budget=5, folds=3, parameters=("contraction",))
    assert found.best.loss < found.start.loss
    assert found.model.descriptor.contraction.shape == (3, 3, 6)
    with pytest.raises(ej.InputError, match="only be tuned by gradient"):
        ej.tune(few, frames, method="bayes", parameters=("contraction",), callback=pytest.fail)


def _plain(values):
    return {name: value for name, value in values.items() if name != "contraction"}


def test_scalar_models_are_tuned_for_their_quantities(frames, descriptor):
    model = ej.ScalarGPR(descriptor, species="Si", regularisation=1e-2)
    found = ej.tune(model, frames, "eta_tilde", budget=4, **FEW)
    assert found.best.loss < found.start.loss
    assert isinstance(found.model, ej.ScalarGPR)


def test_tuned_hyperparameters_survive_their_file(whole, model, frames, tmp_path):
    found, _ = whole
    found.save(tmp_path / "best.json")
    read = read_hyperparameters(tmp_path / "best.json")
    again = read.apply(ej.TensorGPR(species="Si"))
    for name in ("cutoff", "sigma", "cutoff_width", "scaling_rate"):
        assert float(getattr(again.descriptor, name)) == float(getattr(found.model.descriptor, name))
    assert (again.descriptor.nmax, again.descriptor.lmax, again.descriptor.species) == (3, 2, ("O", "Si"))
    assert again.regularisation == found.model.regularisation
    assert len(read.search["history"]) == len(found.trials)
    assert read.model().species == ("Si",)
    np.testing.assert_array_equal(again.fit(frames).predict(frames[0]), found.model.fit(frames).predict(frames[0]))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda text: text[:100], "no readable JSON"),
        (lambda text: text.replace("efg_jax hyperparameters", "recipe"), "holds no efg_jax hyperparameters"),
        (lambda text: text.replace('"version": 1', '"version": 7'), "version 7"),
        (lambda text: text.replace('"zeta"', '"beta"'), "lacks a hyperparameter"),
        (lambda text: json.dumps(_with_sigma(json.loads(text), -1.0)), "sigma must be positive"),
    ],
)
def test_a_spoiled_file_is_refused_with_its_name(whole, tmp_path, spoil, message):
    path = tmp_path / "best.json"
    whole[0].save(path)
    path.write_text(spoil(path.read_text()))
    with pytest.raises(ej.InputError, match=message) as error:
        read_hyperparameters(path)
    assert "best.json" in str(error.value)


def _with_sigma(content, value):
    content["hyperparameters"]["descriptor"]["sigma"] = value
    return content


def test_history_is_written_as_table_and_drawn(whole, tmp_path):
    found, _ = whole
    found.to_csv(tmp_path / "history.csv")
    lines = (tmp_path / "history.csv").read_text().splitlines()
    assert len(lines) == 1 + len(found.trials)
    assert lines[0].startswith("method,number,stage,state,loss,best,epochs,cpu_s,wall_s,gradient,cutoff,sigma")
    found.to_json(tmp_path / "history.json")
    assert json.loads((tmp_path / "history.json").read_text())["evaluations"] == 7
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figures = found.plot()
        assert all(figure._repr_png_()[:4] == b"\x89PNG" for figure in figures)
    assert len(figures) == 2
    history, parameters = (figure.axes[0] for figure in figures)
    assert history.get_ylim()[1] > found.start.loss
    for ax in (history, parameters):  # counted from 1 in both
        assert list(ax.collections[0].get_offsets()[:, 0]) == list(range(1, 8))


def test_tune_fits_what_the_search_finds(whole, model, frames):
    found, cache = whole
    tuned = ej.tune(model, frames, budget=7, cache=cache, **FEW).fit(frames)
    assert float(tuned.model.descriptor.sigma) == float(found.model.descriptor.sigma)
    assert np.isfinite(tuned.predict(frames[0])[np.asarray(frames[0].symbols) == "Si"]).all()
    renamed = [atoms.copy() for atoms in frames]
    for atoms in renamed:
        atoms.arrays["gradient"] = atoms.arrays.pop("efg")
    again = ej.tune(replace(model, array="gradient"), renamed, budget=7, cache=cache, **FEW).fit(renamed)
    np.testing.assert_array_equal(again.predict(frames[0]), tuned.predict(frames[0]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"loss": "energy"}, "unknown loss 'energy'"),
        ({"method": "guess"}, "choose among gradient, box-behnken, bayes"),
        ({"bounds": {"colour": (0.0, 1.0)}}, "cannot tune colour"),
        ({"bounds": {"sigma": (0.9, 0.2)}}, "empty box"),
        ({"bounds": {"sigma": (0.5, 0.9)}}, "the start sigma = 0.4 lies outside"),
        ({"bounds": {"sigma": (0.0, 0.9)}}, "beyond or on its limits 0 and inf"),
        ({"bounds": {"zeta": (0.5, 3.0)}}, "beyond its limits 1 and inf"),
        ({"method": "bayes", "optimiser": "adam"}, "optimiser = 'adam' is no option of method 'bayes'"),
        ({"colour": 1}, "colour = 1 is no option of kernel models; choose among loss, folds"),
        ({"parameters": ()}, "nothing to tune"),
        ({"parameters": ("contraction",)}, "cannot tune contraction"),
        ({"folds": 11}, "10 structures cannot fill 11 folds"),
        ({"folds": 1}, "folds = 1 is below 2"),
        ({"budget": 0}, "budget = 0 is below 1"),
        ({"method": "box-behnken", "budget": 10}, "raise the budget"),
        ({"environments": 3, "folds": 5}, "cannot fill 5 folds"),
    ],
)
def test_bad_options_are_refused(model, frames, options, message):
    loss = options.pop("loss", "observables")
    with pytest.raises(ej.InputError, match=message):
        ej.tune(model, frames, loss, **options)


def test_what_has_no_gradient_is_not_tuned(model, frames):
    hard = replace(model, descriptor=replace(model.descriptor, cutoff_width=None))
    with pytest.raises(ej.InputError, match="hard cutoff"):
        ej.tune(hard, frames, parameters=("cutoff",))
    with pytest.raises(ej.InputError, match="is per structure"):
        ej.tune(replace(model, target="dipole", per="structure"), _with_dipoles(frames), "rmse", folds=2)
    with pytest.raises(ej.InputError, match="cannot tune zeta"):
        ej.tune(replace(model, primal=True, zeta=1.0), frames, parameters=("zeta",))


def test_a_primal_model_keeps_its_zeta(model, frames):
    linear = replace(model, primal=True, zeta=1.0)
    found = ej.tune(linear, frames, budget=2, **{name: FEW[name] for name in ("bounds", "folds", "environments")})
    assert "zeta" not in found.space.parameters
    assert "zeta" in space_of(model.tuning_problem(frames, folds=2)).parameters
    assert found.model.is_sparse


def test_a_fitted_model_is_refused(model, frames):
    with pytest.raises(ej.InputError, match=r"pass fitted\.model"):
        model.fit(frames).tuning_problem(frames)  # which `tune` asks for


def _with_dipoles(frames):
    dressed = [atoms.copy() for atoms in frames]
    for number, atoms in enumerate(dressed):
        atoms.info["dipole"] = np.array([0.1 * number, 0.0, 1.0])
    return dressed
