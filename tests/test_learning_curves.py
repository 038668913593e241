"""Learning curves: values of models fitted by hand, interrupted runs that end as uninterrupted ones, slopes."""

import csv
import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.labelled_crystals import crystals
from scipy.stats import linregress

import efg_jax as ej
from efg_jax.learning_curves import LearningCurve, Row, default_sizes
from efg_jax.learning_curves.curve_plan import subsets
from efg_jax.text import with_error

SIZES, REPEATS, TEST, SEED = (3, 8), 2, 0.2, 1
DESCRIPTOR = ej.LambdaSOAP(cutoff=3.5, nmax=2, lmax=2, sigma=0.5)
MODELS = {
    "tensor": ej.TensorGPR(DESCRIPTOR, species="O", regularisation=1e-5),
    "scalar": ej.ScalarGPR(DESCRIPTOR, species="O", regularisation=1e-3),
}


class Stopped(Exception):
    """What a callback raises."""


@pytest.fixture(scope="module")
def structures():
    """Ten: eight to train on, two held out."""
    return crystals(10, seed=3)


@pytest.fixture(scope="module")
def curve(structures):
    return ej.learning_curve(MODELS, structures, SIZES, REPEATS, TEST, SEED)


def value(curve, model, metric, repeat, structures, species="O"):
    """The one value of a fit."""
    (found,) = (
        row.value
        for row in curve.rows
        if (row.model, row.metric, row.repeat, row.structures, row.species)
        == (model, metric, repeat, structures, species)
    )
    return found


def largest(tensors):
    """|V_zz| and |V_yy| − |V_xx| of tensors, by NumPy."""
    values = np.linalg.eigvalsh(tensors)
    values = np.take_along_axis(values, np.argsort(np.abs(values), axis=1), axis=1)
    return np.abs(values[:, 2]), np.abs(values[:, 1]) - np.abs(values[:, 0])


def oxygen(structures, tensors):
    return np.concatenate([t[np.asarray(a.symbols) == "O"] for a, t in zip(structures, tensors, strict=True)])


def test_training_sets_of_a_repeat_contain_each_other():
    sizes = (2, 5, 11, 20)
    chosen = subsets(20, sizes, 3, seed=5)
    by_repeat = {repeat: [set(s.indices) for s in chosen if s.repeat == repeat] for repeat in (1, 2, 3)}
    assert [len(s) for s in by_repeat[1]] == [2, 5, 11, 20]
    assert [len(s) for s in by_repeat[2]] == [2, 5, 11]  # the whole is the same whatever the order
    for nested in by_repeat.values():
        assert all(small < large for small, large in itertools.pairwise(nested))
    assert len({frozenset(nested[1]) for nested in by_repeat.values()}) == 3
    # Neither more repeats nor other sizes change a training set; another seed does.
    again = subsets(20, (5,), 2, seed=5)
    assert [set(s.indices) for s in again] == [by_repeat[1][1], by_repeat[2][1]]
    assert set(subsets(20, (5,), 1, seed=6)[0].indices) != by_repeat[1][1]


def test_values_are_those_of_a_model_fitted_by_hand(curve, structures):
    training, test = ej.split(structures, TEST, SEED)
    subset, size = subsets(8, SIZES, REPEATS, SEED)[-1], 3
    assert (subset.repeat, len(subset.indices)) == (2, size)
    model = MODELS["tensor"].fit([training[i] for i in subset.indices])
    guess, truth = oxygen(test, model.predict(test)), oxygen(test, [a.arrays["efg"] for a in test])
    upper = np.triu_indices(3)
    vij = np.abs(guess - truth)[:, *upper].sum(axis=1).mean()
    assert_allclose(value(curve, "tensor", "mae_vij", 2, size), vij, rtol=1e-10)
    percent = 100 * math.sqrt(((guess - truth) ** 2).mean() / ((truth - truth.mean(axis=0)) ** 2).mean())
    assert_allclose(value(curve, "tensor", "rmse_percent", 2, size), percent, rtol=1e-10)
    # C̃_Q and η̃ in one unit for all sizes: σ and μ of all that could be trained on.
    (zz, width), (zz_guess, width_guess) = largest(truth), largest(guess)
    whole = largest(oxygen(training, [a.arrays["efg"] for a in training]))[0]
    c_q, eta = np.abs(zz - zz_guess).mean() / whole.std(), np.abs(width - width_guess).mean() / whole.mean()
    assert_allclose(value(curve, "tensor", "c_q_tilde.mae", 2, size), c_q, rtol=1e-10)
    assert_allclose(value(curve, "tensor", "eta_tilde.mae", 2, size), eta, rtol=1e-10)
    entry = model.evaluate(test).to_dict()["O"]
    for metric in ("theta", "phi_reassigned", "nu_q_khz"):
        assert value(curve, "tensor", f"{metric}.mae", 2, size) == entry[metric]["mae"]
    assert value(curve, "tensor", "one_minus_q_tilde.mean", 2, size) == 1 - entry["q_tilde"]["mean"]


def test_scalars_are_in_the_same_unit(curve, structures):
    training, test = ej.split(structures, TEST, SEED)
    subset = subsets(8, SIZES, REPEATS, SEED)[0]
    some = [training[i] for i in subset.indices]
    predicted = MODELS["scalar"].fit(some).predict(test)
    oxygens = [np.asarray(a.symbols) == "O" for a in test]
    c_q = np.concatenate([p["c_q_tilde"][index] for p, index in zip(predicted, oxygens, strict=True)])
    own, whole = (largest(oxygen(s, [a.arrays["efg"] for a in s]))[0] for s in (some, training))
    truth = largest(oxygen(test, [a.arrays["efg"] for a in test]))[0]
    error = np.abs(c_q * own.std() + own.mean() - truth).mean() / whole.std()
    assert_allclose(value(curve, "scalar", "c_q_tilde.mae", 1, 3), error, rtol=1e-10)


def test_rows_are_tidy(curve):
    assert len({row[:5] for row in curve.rows}) == len(curve.rows)
    assert {(row.structures, row.repeat) for row in curve.rows} == {(3, 1), (8, 1), (3, 2)}
    assert {row.environments / row.structures for row in curve.rows} == {2.0}  # two oxygens each
    assert all(math.isfinite(row.value) for row in curve.rows)
    scalar, tensor = ({row.metric for row in curve.rows if row.model == kind} for kind in ("scalar", "tensor"))
    for metric in ("c_q_tilde.mae", "eta_tilde.mae", "theta.mae", "phi.mae", "nu_q_khz.mae", "theta.r"):
        assert metric in scalar & tensor
    assert {"mae_vij", "rmse_percent", "theta_reassigned.mae", "one_minus_q_tilde.mean"} <= tensor - scalar
    assert "nu_q_direct_khz.mae" in scalar - tensor


def test_more_structures_help(curve):
    slopes = {(s.model, s.metric): s.slope for s in curve.slopes()}
    assert slopes["tensor", "rmse_percent"] < -0.1
    assert slopes["tensor", "mae_vij"] < -0.1


def test_a_stopped_curve_goes_on_and_ends_the_same(curve, structures, tmp_path, monkeypatch):
    seen = []

    def stop(fit):
        seen.append(fit)
        if len(seen) == 3:
            raise Stopped

    with pytest.raises(Stopped):
        ej.learning_curve(MODELS, structures, SIZES, REPEATS, TEST, SEED, tmp_path, stop)
    # A kill in the middle of writing leaves half a line behind.
    with next(tmp_path.glob("*.jsonl")).open("a") as stream:
        stream.write('{"key": "8 struc')
    fits = []
    resumed = ej.learning_curve(MODELS, structures, SIZES, REPEATS, TEST, SEED, tmp_path, fits.append)
    assert resumed == curve
    assert [fit.reused for fit in fits] == [True] * 3 + [False] * 3
    assert [fit.number for fit in fits] == list(range(1, 7))
    assert {fit.total for fit in fits} == {6}
    assert tuple(row for fit in fits for row in fit.rows) == curve.rows

    # All is there now: a part of the curve, in any order, or one model alone need no fit at all.
    def refuse(*_, **__):
        raise AssertionError("fitted again")

    monkeypatch.setattr(ej.TensorGPR, "fit", refuse)
    part = ej.learning_curve(MODELS["tensor"], structures, (8, 3, 8), 1, TEST, SEED, tmp_path)
    assert part.rows == tuple(r for r in curve.rows if r.model == "tensor" and r.repeat == 1)
    # Other data, hyperparameters or seeds are another curve, and so is one that is to start over.
    others = crystals(10, seed=3)
    others[0].arrays["efg"] = others[0].arrays["efg"] * 1.001
    other = ej.TensorGPR(DESCRIPTOR, species="O", regularisation=2e-5)
    for arguments in (
        (MODELS["tensor"], others, (3,), 1, TEST, SEED, tmp_path),
        (other, structures, (3,), 1, TEST, SEED, tmp_path),
        (replace(MODELS["tensor"], inducing=3), structures, (3,), 1, TEST, SEED, tmp_path),
        (MODELS["tensor"], structures, (3,), 1, TEST, SEED + 1, tmp_path),
        (MODELS["tensor"], structures, (3,), 1, TEST, SEED, tmp_path, None, False),
    ):
        with pytest.raises(AssertionError, match="fitted again"):
            ej.learning_curve(*arguments)


def test_elements_that_only_the_test_set_has(structures):
    frames = [atoms.copy() for atoms in structures]
    frames[0].symbols[3] = "C"
    frames[1].symbols[3] = "C"
    for seed in range(50):
        training, test = ej.split(range(10), TEST, seed)
        few = [training[i] for i in subsets(8, (3,), 1, seed)[0].indices]
        if {0, 1} & set(test) and not {0, 1} & set(few):
            break
    curve = ej.learning_curve(MODELS["tensor"], frames, (3,), 1, TEST, seed)
    assert value(curve, "tensor", "rmse_percent", 1, 3) > 0


def test_targets_of_structures_and_names_of_arrays(structures):
    frames = [atoms.copy() for atoms in structures]
    for atoms in frames:
        atoms.info["moment"] = atoms.info.pop("dipole")
    model = ej.TensorGPR(DESCRIPTOR, species="O", target="dipole", array="moment", regularisation=1e-3)
    curve = ej.learning_curve(model, frames, (3,), 1, TEST, SEED)
    assert curve.models == ["tensor"]
    assert curve.species == ["structure"]
    assert {row.environments / row.structures for row in curve.rows} == {
        2.0
    }  # the oxygens of each add up to its dipole
    training, test = ej.split(structures, TEST, SEED)
    few = [training[i] for i in subsets(8, (3,), 1, SEED)[0].indices]
    fitted = ej.TensorGPR(DESCRIPTOR, species="O", target="dipole", regularisation=1e-3).fit(few)
    error = np.abs(np.array(fitted.predict(test)) - [a.info["dipole"] for a in test]).mean()
    assert_allclose(value(curve, "tensor", "mae", 1, 3, "structure"), error, rtol=1e-9)
    assert "tested on 2 structures" in str(curve)
    assert "[e Å]" in str(curve)


def of_law(values, structures=(10, 20, 40, 80), metric="theta.mae", model="tensor"):
    """A curve of these values: one list a repeat."""
    rows = [
        Row(model, "O", metric, repeat, size, 4 * size, float(v))
        for repeat, of_repeat in enumerate(values, start=1)
        for size, v in zip(structures, of_repeat, strict=True)
    ]
    settings = {
        "target": "efg", "unit": "V/Å²", "per": "atom", "repeats": len(values),
        "test_structures": 5, "test_values": {"O": 20},
    }  # fmt: skip
    return LearningCurve(tuple(rows), settings)


def test_a_power_law_has_its_exponent():
    sizes = np.array([10, 20, 40, 80])
    (slope,) = of_law([0.7 * sizes**-0.5, 0.7 * sizes**-0.5]).slopes()
    assert_allclose([slope.slope, slope.prefactor], [-0.5, 0.7], rtol=1e-12)
    assert slope.standard_error < 1e-12
    assert slope.points == 4


def test_slopes_and_means_are_those_of_the_statistics_books():
    sizes, generator = np.array([10, 20, 40, 80]), np.random.default_rng(0)
    values = 0.7 * sizes**-0.3 * generator.lognormal(sigma=0.3, size=(3, 4))
    curve = of_law(values)
    (slope,) = curve.slopes()
    expected = linregress(np.log(sizes), np.log(values).mean(axis=0))
    assert_allclose(slope.slope, expected.slope, rtol=1e-12)
    assert_allclose(slope.standard_error, expected.stderr, rtol=1e-12)
    assert_allclose(math.log(slope.prefactor), expected.intercept, rtol=1e-12)
    points = curve.summary()
    assert [p.structures for p in points] == [10, 20, 40, 80]
    assert {p.repeats for p in points} == {3}
    assert [p.environments for p in points] == [40, 80, 160, 320]
    assert_allclose([p.mean for p in points], values.mean(axis=0))
    assert_allclose([p.standard_error for p in points], values.std(axis=0, ddof=1) / math.sqrt(3))


def test_what_has_no_slope_has_none():
    assert of_law([[1.0, 0.5, 0.1, 0.0]]).slopes() == []  # no power law reaches zero
    assert of_law([[0.9, 0.95, 0.99, 1.0]], metric="theta.r").slopes() == []  # larger is better
    assert of_law([[1.0]], (10,)).slopes() == []
    (line,) = of_law([[1.0, 0.5]], (10, 20)).slopes()
    assert_allclose(line.slope, -1.0)
    assert line.standard_error is None
    assert {p.standard_error for p in of_law([[1.0, 0.5]], (10, 20)).summary()} == {None}


def test_files_hold_what_the_curve_holds(curve, tmp_path):
    curve.to_csv(tmp_path / "curve.csv")
    with (tmp_path / "curve.csv").open(newline="", encoding="utf-8") as stream:
        lines = list(csv.DictReader(stream))
    assert [Row(r["model"], r["species"], r["metric"], int(r["repeat"]), int(r["structures"]), int(r["environments"]),
                float(r["value"])) for r in lines] == list(curve.rows)  # fmt: skip
    curve.to_json(tmp_path / "curve.json")
    whole = json.loads((tmp_path / "curve.json").read_text(encoding="utf-8"))
    assert [Row(**row) for row in whole["rows"]] == list(curve.rows)
    assert whole["settings"]["sizes"] == list(SIZES)
    assert len(whole["summary"]) == len(curve.summary())
    assert [s["slope"] for s in whole["slopes"]] == [s.slope for s in curve.slopes()]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.csv", "curve.json"]


def test_the_table_shows_both_models_and_all_sizes(curve):
    text = str(curve)
    assert "tested on 4 atoms of 2 structures" in text
    for words in ("C̃_Q", "ν_Q", "%RMSE", "tensor", "scalar", "slope", "8"):
        assert words in text
    assert max(map(len, text.splitlines())) <= 110


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (0.04321, 0.0012, "0.0432(12)"),
        (0.04321, 0.0052, "0.043(5)"),
        (61.84, 3.4, "62(3)"),
        (618.4, 34.0, "618(34)"),
        (0.5, None, "0.500"),
        (0.5, 1e-17, "0.500"),
    ],
)
def test_errors_are_written_in_brackets(mean, error, text):
    assert with_error(mean, error) == text


def test_the_figure_draws_means_on_logarithmic_axes(curve, tmp_path):
    figure = curve.plot()
    panels = {ax.get_ylabel(): ax for ax in figure.axes}
    theta = panels[r"MAE of $\theta$ (rad)"]
    assert theta.get_xscale() == theta.get_yscale() == "log"
    drawn = [line.get_ydata() for line in theta.get_lines() if line.get_marker() in ("o", "s")]
    for model, values in zip(("tensor", "scalar"), drawn, strict=True):
        means = [p.mean for p in curve.summary() if (p.model, p.metric) == (model, "theta.mae")]
        assert_allclose(values, means)
    assert [text.get_text().split(",")[0] for text in theta.get_legend().get_texts()] == ["tensor", "scalar"]
    assert len(panels[r"MAE of $\nu_Q$ (kHz)"].get_legend().get_texts()) == 3  # learned directly besides
    assert len(panels[r"$1 - \tilde{q}$"].get_legend().get_texts()) == 1  # scalars have no frame
    ej.plots.save(figure, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(ej.InputError, match="no species 'Al'"):
        curve.plot("Al")


def test_a_figure_of_one_size_with_a_perfect_model_can_be_drawn():
    of_law([[0.0]], (10,), "c_q_tilde.mae").plot().draw_without_rendering()


def test_default_sizes_double_up_to_the_whole():
    assert default_sizes(198) == (10, 20, 40, 80, 160, 198)
    assert default_sizes(20) == (10, 20)
    assert default_sizes(9) == (2, 4, 8, 9)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sizes": (3, 9)}, "size 9 is more than the 8 structures"),
        ({"sizes": (1, 3)}, "size 1 .* whole numbers from 2 on"),
        ({"sizes": ()}, "no sizes"),
        ({"repeats": 0}, "repeats=0"),
        ({"seed": -1}, "seed=-1"),
        ({"test": 1.0}, "test must be a fraction .* got 1.0"),
        ({"models": {}}, "no model"),
        ({"models": MODELS | {"ms": ej.TensorGPR(DESCRIPTOR, target="ms")}}, "efg and ms"),
        ({"models": ej.ScalarGPR(DESCRIPTOR, species="O", target="ms")}, "tensor model"),
        ({"models": ej.TensorGPR(DESCRIPTOR, species="Al")}, "Al"),
        ({"models": ej.TensorGPR(DESCRIPTOR.with_species(("O", "Si")), species="O")}, "also contain H"),
    ],
)
def test_nonsense_is_refused_before_the_first_fit(structures, tmp_path, changed, says):
    arguments = {"models": MODELS, "sizes": SIZES, "repeats": REPEATS, "test": TEST, "seed": SEED}
    with pytest.raises(ej.InputError, match=says):
        ej.learning_curve(structures=structures, cache=tmp_path / "cache", callback=pytest.fail, **arguments | changed)
    assert not (tmp_path / "cache").exists()


def test_training_sets_without_labels_name_size_and_repeat(structures):
    frames = [atoms.copy() for atoms in structures]
    for number, atoms in enumerate(frames):
        if number not in (0, 4, 8):
            atoms.arrays["efg"] = np.full((len(atoms), 3, 3), np.nan)
    automatic = ej.TensorGPR(DESCRIPTOR, species="O")
    messages = set()
    for seed in range(30):
        training, test = ej.split(range(10), TEST, seed)
        few = {training[i] for i in subsets(8, (4,), 1, seed)[0].indices} & {0, 4, 8}
        if {0, 4, 8} & set(test) and len(few) < 2:
            with pytest.raises(ej.InputError, match="4 training structures of repeat 1") as caught:
                ej.learning_curve(automatic, frames, (4,), 1, TEST, seed, callback=pytest.fail)
            messages.add("auto" if "regularisation 'auto'" in str(caught.value) else "none")
        if not {0, 4, 8} & set(test):
            with pytest.raises(ej.InputError, match="none of the 2 held-out structures carries O labels"):
                ej.learning_curve(automatic, frames, (4,), 1, TEST, seed)
    assert messages == {"auto", "none"}


def test_a_fit_that_fails_says_which(structures, monkeypatch):
    def fail(*_, **__):
        raise ej.InputError("the kernel matrix is not positive definite")

    monkeypatch.setattr(ej.TensorGPR, "fit", fail)
    with pytest.raises(ej.InputError, match=r"positive definite \(model 'tensor' trained on 3 structures, repeat 1\)"):
        ej.learning_curve(MODELS["tensor"], structures, SIZES, REPEATS, TEST, SEED)
