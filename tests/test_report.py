"""The report's numbers against numpy, scipy and formulas written out here; its forms; its refusals."""

import json

import jax
import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from efg_jax.errors import InputError
from efg_jax.metrics import Scale
from efg_jax.report import Report, comparison_table
from efg_jax.report.parity_figures import metrics_figure
from efg_jax.tensors.nuclei import isotope
from efg_jax.text import render

N = 30
SPECIES = ("O", "Si")
MHZ = 2.4179892421e-3 * -25.58  # C_Q of ¹⁷O per V/Å²


def traceless(rng, n=N, size=30.0):
    raw = size * rng.normal(size=(n, 3, 3))
    symmetric = (raw + raw.transpose(0, 2, 1)) / 2
    return symmetric - np.trace(symmetric, axis1=1, axis2=2)[:, None, None] / 3 * np.eye(3)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    reference = {name: traceless(rng) for name in SPECIES}
    predicted = {name: tensors + traceless(rng, size=4.0) for name, tensors in reference.items()}
    return reference, predicted, {name: rng.normal(size=(N, 3)) for name in SPECIES}


@pytest.fixture(scope="module")
def tensor_report(data):
    return Report.from_tensors(*data, title="test")


@pytest.fixture(scope="module")
def scalars(tensor_report):
    rng = np.random.default_rng(1)
    given = {}
    for name in SPECIES:
        truth = tensor_report[name].reference
        fields = ("c_q_tilde", "eta_tilde", "theta", "phi", "v_nn")
        given[name] = {key: getattr(truth, key) + 0.3 * rng.normal(size=N) for key in fields}
    return given


@pytest.fixture(scope="module")
def scalar_report(data, scalars):
    reference, _, directions = data
    return Report.from_scalars(reference, scalars, directions)


def nqr(tensors):
    """V_xx, V_yy, V_zz and the axes as columns, by numpy alone."""
    values, vectors = np.linalg.eigh(tensors)
    order = np.argsort(np.abs(values), axis=1)
    return np.take_along_axis(values, order, 1), np.take_along_axis(vectors, order[:, None, :], 2)


def by_numpy(tensors, field, scale):
    """The observables of Harper et al. 2025, by numpy alone."""
    values, axes = nqr(tensors)
    x, y, z = np.abs(np.einsum("ni,nij->jn", field / np.linalg.norm(field, axis=1, keepdims=True), axes))
    mean, std = scale
    return {
        "c_q_tilde": (np.abs(values[:, 2]) - mean) / std,
        "eta_tilde": (np.abs(values[:, 1]) - np.abs(values[:, 0])) / mean,
        "eta": (values[:, 0] - values[:, 1]) / values[:, 2],
        "c_q_mhz": MHZ * values[:, 2],
        "nu_q_khz": 1e3 * MHZ * 3 / 20 * (x**2 * values[:, 0] + y**2 * values[:, 1] + z**2 * values[:, 2]),
        "v_nn": x**2 * values[:, 0] + y**2 * values[:, 1] + z**2 * values[:, 2],
        "theta": np.arccos(z),
        "phi": np.arctan2(y, x),
    }


def test_sites_without_shape_or_axes_count_only_where_they_mean_something(data):
    """A cubic site has no η, θ, φ or axes to miss; an axial one no φ, and its q̃ is that of the best turn about z."""
    reference, predicted, directions = (part["O"] for part in data)
    axial = np.diag([-10.0, -10.0, 20.0])
    tilt = Rotation.from_euler("YZ", [10, 40], degrees=True).as_matrix()  # turned about its own axis besides
    guess = tilt @ np.diag([-9.0, -11.0, 20.0]) @ tilt.T
    more = np.concatenate([reference, np.zeros((1, 3, 3)), axial[None]])
    answers = np.concatenate([predicted, traceless(np.random.default_rng(5), 1), guess[None]])
    fields = np.concatenate([directions, [[0.0, 0, 1], [0, 0, 1]]])
    scale = {"O": Scale(30.0, 10.0)}
    plain = Report.from_tensors({"O": reference}, {"O": predicted}, {"O": directions}, scales=scale)
    report = Report.from_tensors({"O": more}, {"O": answers}, {"O": fields}, scales=scale)
    before, after = plain.to_dict()["O"], report.to_dict()["O"]
    assert (after["n"], after["isotropic"], after["axial"]) == (N + 2, 1, 1)
    assert after["phi"] == before["phi"]
    for key, own in (("theta", np.radians(10)), ("eta", abs(2 / 20))):
        assert after[key]["mae"] == pytest.approx((N * before[key]["mae"] + own) / (N + 1), rel=1e-9), key
    for key, own in (("z_axis_deg", 10.0), ("direction_deg", 10.0), ("q_tilde", np.cos(np.radians(5)))):
        assert after[key]["mean"] == pytest.approx((N * before[key]["mean"] + own) / (N + 1), rel=1e-9), key
    shown = " ".join(str(report).split())
    assert "1 are isotropic and 1 axial" in shown
    assert "-25.58 mb (P. Pyykkö" in shown


def test_numbers_equal_those_of_numpy_and_scipy(data, tensor_report):
    reference, predicted, directions = (part["O"] for part in data)
    magnitude = np.abs(nqr(reference)[0][:, 2])
    scale = magnitude.mean(), magnitude.std()
    truth, model = by_numpy(reference, directions, scale), by_numpy(predicted, directions, scale)
    entry = tensor_report.to_dict()["O"]
    for key, expected in truth.items():
        error = np.abs(expected - model[key])
        assert_allclose(entry[key]["mae"], error.mean(), rtol=1e-8, err_msg=key)
        assert_allclose(
            entry[key]["rmse_percent"], 100 * np.sqrt((error**2).mean()) / expected.std(), rtol=1e-8, err_msg=key
        )
        assert_allclose(entry[key]["r"], scipy.stats.pearsonr(expected, model[key]).statistic, rtol=1e-8, err_msg=key)
    assert entry["n"] == N
    assert entry["isotope"] == "17O"
    assert_allclose([entry["scale"]["mu"], entry["scale"]["sigma"]], scale)
    upper = np.abs(reference - predicted)[:, *np.triu_indices(3)]
    assert_allclose(entry["mae_vij"], upper.sum() / N)
    spread = reference - reference.mean(axis=0)
    percent = 100 * np.sqrt(((reference - predicted) ** 2).sum() / (spread**2).sum())
    assert_allclose([entry["rmse_percent"], entry["rmse_percent_by_order"]["2"]], percent)
    z_axes = [nqr(tensors)[1][:, :, 2] for tensors in (reference, predicted)]
    cosines = np.abs(np.einsum("ni,ni->n", *z_axes))
    assert_allclose(entry["z_axis_deg"]["mean"], np.degrees(np.arccos(np.minimum(cosines, 1))).mean(), rtol=1e-6)


def test_q_tilde_is_half_the_angle_of_the_smallest_turn_between_the_frames(data, tensor_report):
    frames = [nqr(part["O"])[1] for part in data[:2]]
    cosines = np.einsum("nki,nkj->nij", *frames)
    best = []
    for turn in cosines:
        signed = [turn @ np.diag(signs) for signs in np.ndindex(2, 2, 2) for signs in [1 - 2 * np.array(signs)]]
        traces = [np.trace(matrix) for matrix in signed if np.linalg.det(matrix) > 0]
        best.append(np.sqrt((1 + max(traces)) / 4))  # cos(angle/2) from Tr R = 1 + 2 cos(angle)
    assert_allclose(tensor_report["O"].metrics["q_tilde"]["mean"], np.mean(best), rtol=1e-10)
    assert tensor_report["O"].metrics["q_tilde_reassigned"]["mean"] >= np.mean(best)


def test_frequency_of_scalar_models_by_the_paper(data, scalars, scalar_report):
    reference, _, directions = (part["O"] if part is not None else None for part in data)
    given, result = scalars["O"], scalar_report["O"]
    mean, std = result.scale
    v_zz = mean + std * given["c_q_tilde"]
    eta = given["eta_tilde"] * mean / v_zz
    theta, phi = given["theta"], given["phi"]
    sign = np.sign(nqr(reference)[0][:, 2])
    khz = (
        sign
        * 1e3
        * MHZ
        * v_zz
        * 3
        / 20
        * 0.5
        * (3 * np.cos(theta) ** 2 - 1 + eta * np.sin(theta) ** 2 * np.cos(2 * phi))
    )
    truth = by_numpy(reference, directions, result.scale)["nu_q_khz"]
    entry = result.metrics
    assert_allclose(entry["nu_q_khz"]["mae"], np.abs(khz - truth).mean())
    assert_allclose(entry["nu_q_direct_khz"]["mae"], np.abs(1e3 * MHZ * 3 / 20 * given["v_nn"] - truth).mean())
    assert_allclose(entry["v_nn_direct"]["mae"], np.abs(given["v_nn"] - result.reference.v_nn).mean())
    assert_allclose(result.predicted.eta, eta)
    assert result.axes is None
    assert entry["mae_vij"] is entry["rmse_percent"] is entry["theta_reassigned"] is entry["z_axis_deg"]["mean"] is None
    assert entry["q_tilde"] == {"mean": None, "median": None}


def test_scalar_models_are_perfect_where_their_scalars_are(data, tensor_report):
    reference, _, directions = data
    truths = {name: tensor_report[name].reference for name in SPECIES}
    # An angle outside the folded range means the same orientation.
    exact = {
        name: {"c_q_tilde": t.c_q_tilde, "eta_tilde": t.eta_tilde, "theta": np.pi - t.theta, "phi": -t.phi}
        for name, t in truths.items()
    }
    entry = Report.from_scalars(reference, exact, directions).to_dict()["O"]
    errors = [entry[key]["mae"] for key in ("c_q_tilde", "eta", "c_q_mhz", "nu_q_khz", "v_nn")]
    assert_allclose([*errors, entry["direction_deg"]["mean"], entry["z_axis_lower_bound_deg"]["mean"]], 0.0, atol=1e-9)
    assert entry["nu_q_direct_khz"] is None


def test_z_axis_of_a_scalar_model_is_judged_where_it_is_given(data, scalars, scalar_report):
    reference, _, directions = data
    z = nqr(reference["O"])[1][:, :, 2]
    # Turned by 1°, 2°, 3°, ... about an axis at right angles, with signs and lengths that have no meaning.
    across = np.cross(z, np.roll(z, 1, axis=0))
    across /= np.linalg.norm(across, axis=1, keepdims=True)
    turn = np.radians(np.arange(1.0, N + 1))[:, None]
    predicted = (np.cos(turn) * z + np.sin(turn) * np.cross(across, z)) * np.where(np.arange(N) % 2, -1.0, 2.0)[:, None]
    unlabelled = np.concatenate([reference["O"], np.full((1, 3, 3), np.nan)])
    given = {key: np.append(values, np.nan) for key, values in scalars["O"].items()}
    given["z_axis"] = np.concatenate([predicted, np.full((1, 3), np.nan)])
    fields = {"O": np.concatenate([directions["O"], [[0, 0, 1.0]]])}
    report = Report.from_scalars({"O": unlabelled}, {"O": given}, fields)
    result = report["O"]
    assert_allclose(result.angles["z_axis_deg"], np.arange(1.0, N + 1))
    assert_allclose([result.metrics["z_axis_deg"][key] for key in ("mean", "median")], (N + 1) / 2)
    before = dict(scalar_report["O"].metrics)
    assert before["z_axis_deg"] == {"mean": None, "median": None}
    assert result.metrics == before | {"z_axis_deg": result.metrics["z_axis_deg"]}
    assert result.axes is None
    for text in (str(report), render(comparison_table({"scalar": report, "tensor": report}, "O"))):
        assert "≥" not in text
        assert "15.5" in text
        assert "z zᵀ" in text
    assert "z zᵀ" not in str(scalar_report)
    curves = {line.get_label() for line in metrics_figure(report, "O").axes[-1].get_lines()}
    assert curves == {"field in the principal frame", "z axis"}


def test_lower_bound_of_the_z_axis_error_is_one(tensor_report):
    for result in tensor_report.results.values():
        assert np.all(result.angles["z_axis_lower_bound_deg"] <= result.angles["z_axis_deg"] + 1e-7)


def test_spin_one_half_has_null_frequencies(tensor_report, scalar_report):
    for report in (tensor_report, scalar_report):
        entry = report.to_dict()["Si"]
        assert entry["isotope"] == "29Si"
        assert entry["c_q_mhz"] is entry["nu_q_khz"] is entry["nu_q_direct_khz"] is None
        assert entry["v_nn"]["mae"] > 0


def test_both_kinds_have_the_same_keys(tensor_report, scalar_report):
    keys = {tuple(entry) for report in (tensor_report, scalar_report) for entry in report.to_dict().values()}
    assert len(keys) == 1


def test_json_is_whole_and_strict(tensor_report, scalar_report, tmp_path):
    for report in (tensor_report, scalar_report):
        path = tmp_path / "report.json"
        report.to_json(path)
        again = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} in the JSON"))
        assert again == report.to_dict()
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_one_site_has_errors_but_no_correlation(data):
    reference, predicted, _ = data
    one = Report.from_tensors({"O": reference["O"][:1]}, {"O": predicted["O"][:1]})
    entry = one.to_dict()["O"]
    json.dumps(entry, allow_nan=False)
    assert entry["n"] == 1
    assert entry["v_nn"]["mae"] > 0
    assert entry["v_nn"]["r"] is entry["v_nn"]["rmse_percent"] is entry["rmse_percent"] is None
    assert entry["c_q_tilde"]["mae"] is None  # σ of a single value
    assert "–" in str(one)


def test_unlabelled_atoms_are_left_out(data, tensor_report):
    reference, predicted, directions = data
    gap = np.full((1, 3, 3), np.nan)
    padded = {name: np.concatenate([gap, values]).reshape(-1, 9) for name, values in reference.items()}
    more = [
        {name: np.concatenate([values[:1], values]) for name, values in part.items()}
        for part in (predicted, directions)
    ]
    assert Report.from_tensors(padded, *more).to_dict() == tensor_report.to_dict()


def test_scale_isotope_and_direction_can_be_given(data):
    reference, predicted, _ = ({"O": part["O"]} for part in data)
    report = Report.from_tensors(
        reference,
        predicted,
        directions={"O": np.array([0.0, 2.0, 0.0])},
        scales={"O": Scale(40.0, 10.0)},
        isotopes={"O": isotope("17O").replace(quadrupole_moment=-25.6)},
    )
    result = report["O"]
    assert result.metrics["scale"] == {"mu": 40.0, "sigma": 10.0}
    assert_allclose(result.reference.v_nn, reference["O"][:, 1, 1])
    assert_allclose(result.reference.c_q, 2.4179892421e3 * -25.6 * result.reference.v_zz)


def test_report_does_not_depend_on_the_precision_of_the_session(data, tensor_report):
    with jax.enable_x64(False):
        assert Report.from_tensors(*data).to_dict() == tensor_report.to_dict()


def test_tables_say_what_the_json_says(tensor_report, scalar_report):
    text = str(tensor_report)
    assert "test · ¹⁷O · 30 tensors · tensor model" in text
    assert "²⁹Si" in text
    assert f"{tensor_report['O'].metrics['c_q_tilde']['mae']:#.3g}" in text
    assert "sign of V_zz" in str(scalar_report)
    assert tensor_report._repr_html_().startswith("<pre")
    assert repr(tensor_report) == "<Report on a tensor model, tensors {O: 30, Si: 30}>"
    assert list(tensor_report) == tensor_report.species == ["O", "Si"]
    assert len(tensor_report) == 2
    reference, predicted = tensor_report.arrays("O")
    assert isinstance(reference.nu_q, np.ndarray)
    assert predicted.nu_q.shape == (N,)


def test_comparison_gives_the_ratio_of_the_errors(tensor_report, scalar_report):
    text = render(comparison_table({"scalar": scalar_report, "tensor": tensor_report}, "O"))
    rows = {line.split("  ")[0].strip(): line for line in text.splitlines() if line.strip()}
    ratio = scalar_report["O"].metrics["theta"]["mae"] / tensor_report["O"].metrics["theta"]["mae"]
    assert rows["θ [rad]"].endswith(f"{ratio:.1f}×")
    assert "≥" in rows["angle between z axes [°]"]
    assert "(" in rows["ν_Q, learned directly [kHz]"]
    three = render(comparison_table({"a": scalar_report, "b": tensor_report, "c": tensor_report}, "Si"))
    assert "ratio" not in three
    assert "ν_Q" not in three.replace("C_Q, ν_Q and", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": {}}, "no species"),
        ({"reference": {"O": np.full((2, 3, 3), np.nan)}}, "none of its 2 atoms"),
        ({"reference": {"O": np.zeros((2, 4))}}, r"shape \(2, 4\)"),
        ({"predicted": {"Si": np.zeros((2, 3, 3))}}, "missing; they were given for Si"),
        ({"predicted": {"O": np.zeros((3, 3, 3))}}, "are 3, those of the reference 2"),
        ({"predicted": {"O": np.full((2, 3, 3), np.inf)}}, "not finite in 2 of 2"),
        ({"directions": {"O": np.zeros(3)}}, "length 0"),
        ({"directions": {"O": np.ones((3, 3))}}, r"shape \(3, 3\)"),
        ({"scales": {"Si": Scale(1.0, 1.0)}}, "scales for O"),
        ({"isotopes": {"O": "18O"}}, "unknown isotope"),
    ],
)
def test_bad_input_to_tensor_reports(change, message):
    given = {"reference": {"O": np.stack([np.eye(3)] * 2)}, "predicted": {"O": np.stack([np.eye(3)] * 2)}} | change
    with pytest.raises(InputError, match=message) as error:
        Report.from_tensors(**given)
    assert "\n" not in str(error.value)


def test_bad_input_to_scalar_reports(scalar_report):
    reference, good = (
        {"O": np.stack([np.diag([-1.0, -1, 2])] * 2)},
        dict.fromkeys(("c_q_tilde", "eta_tilde", "theta", "phi"), np.zeros(2)),
    )
    for change, message in (
        ({"theta": np.zeros(3)}, "predicted theta for O are 3"),
        ({"theta": np.zeros((2, 1))}, r"shape \(2, 1\)"),
        ({"theta": np.array([0, np.nan])}, "the first of them number 1"),
        ({"nu_q": np.zeros(2)}, "hold nu_q"),
        ({"z_axis": np.zeros(2)}, r"z_axis for O has shape \(2,\); give one vector"),
        ({"z_axis": np.zeros((2, 3))}, "z_axis for O has length 0"),
    ):
        with pytest.raises(InputError, match=message):
            Report.from_scalars(reference, {"O": good | change})
    with pytest.raises(InputError, match="lack c_q_tilde, eta_tilde, phi"):
        Report.from_scalars(reference, {"O": {"theta": np.zeros(2)}})
    with pytest.raises(InputError, match="no species 'Li'"):
        scalar_report["Li"]
