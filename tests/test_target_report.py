"""Reports on any target: numbers worked out by hand and by numpy, their forms, and their refusals."""

import json

import numpy as np
import pytest
from ase import Atoms
from numpy.testing import assert_allclose
from scipy.spatial.transform import Rotation

from efg_jax.errors import InputError
from efg_jax.report import SHIELDING_SCORES, TargetReport
from efg_jax.report.judging import target_report
from efg_jax.report.parity_figures import parity_panel
from efg_jax.structures.targets import KNOWN, Target

MS, DIPOLE, POLARIZABILITY = (KNOWN[name] for name in ("ms", "dipole", "polarizability"))
CHARGE = Target("charge", "atom", "scalar", ((0, 1),), "e")
ORACLE = np.array([[30.0, 5, -8], [2, 60, 4], [-6, 7, 120]])  # Soprano 0.11.4: see the test
N = 40


def of_one(target, reference, predicted, key="O", **options):
    """The JSON of a report on one species."""
    report = TargetReport.from_arrays(target, {key: np.asarray(reference)}, {key: np.asarray(predicted)}, **options)
    return report.to_dict()[key]


@pytest.fixture(scope="module")
def shieldings():
    rng = np.random.default_rng(3)
    reference = {name: 50 * np.eye(3) + 30 * rng.normal(size=(N, 3, 3)) for name in ("O", "Si")}
    return reference, {name: values + 5 * rng.normal(size=(N, 3, 3)) for name, values in reference.items()}


@pytest.fixture(scope="module")
def report(shieldings):
    return TargetReport.from_arrays(MS, *shieldings, title="test")


def test_shielding_parameters_are_soprano_s(report):
    result = TargetReport.from_arrays(MS, {"H": ORACLE[None]}, {"H": ORACLE[None]})["H"]
    found = [result.series[key][0][0] for key in ("sigma_iso", "anisotropy", "eta", "span", "skew")]
    assert_allclose(found, [70, 76.48222, 0.60976, 92.02753, 0.32432], atol=6e-6)


def test_isotropic_shieldings_have_no_skew_and_no_axes_to_miss(report, shieldings):
    """Reference sites that are isotropic to rounding count for σ_iso and Ω only."""
    reference, predicted = (side["O"] for side in shieldings)
    cubic = np.diag([433.8188000000003, 433.8188000000002, 433.8188000000002])[None]
    entry = of_one(MS, np.concatenate([reference, cubic]), np.concatenate([predicted, cubic + ORACLE]))
    before = report.to_dict()["O"]
    assert (entry["n"], entry["isotropic"], entry["axial"]) == (N + 1, 1, 0)
    for key in ("eta", "skew", "z_axis_deg", "q_tilde"):
        assert entry[key] == before[key], key
    assert entry["span"]["mae"] != before["span"]["mae"]


def test_a_tensor_that_is_turned_is_wrong_in_its_orientation_alone():
    reference = np.diag([10.0, 20, 60])[None]  # σ_iso 30; z along z, x along x (−20), y along y (−10)
    turn = Rotation.from_rotvec([np.radians(30), 0, 0]).as_matrix()
    entry = of_one(MS, reference, turn @ reference @ turn.T)
    for key in SHIELDING_SCORES:
        assert_allclose(entry[key]["mae"], 0.0, atol=1e-12, err_msg=key)
    assert_allclose(entry["z_axis_deg"]["mean"], 30.0)
    assert_allclose(entry["q_tilde"]["median"], np.cos(np.radians(15)))


def test_errors_of_shielding_parameters_by_hand():
    # Haeberlen: σ_iso 30, Δ = 60 − 15 = 45, η = (20 − 10)/30; Maryland: Ω = 50, κ = 3(30 − 20)/50. Then 30, 30 − 75/2,
    # ...
    entry = of_one(MS, [np.diag([10.0, 20, 60])] * 2, [np.diag([10.0, 20, 60]), np.diag([0.0, 20, 100])])
    expected = {
        "sigma_iso": (30, 40),
        "anisotropy": (45, 90),
        "eta": (1 / 3, 20 / 60),
        "span": (50, 100),
        "skew": (0.6, 3 * (40 - 20) / 100),
    }
    for key, (reference, predicted) in expected.items():
        assert_allclose(entry[key]["mae"], abs(predicted - reference) / 2, atol=1e-12, err_msg=key)
        assert entry[key]["r"] is None  # the reference does not vary
    assert_allclose(entry["mae"], (10 + 40) / 18)
    assert_allclose(entry["rmse"], np.sqrt((10**2 + 40**2) / 18))


def test_transposing_spoils_the_antisymmetric_part_alone(shieldings):
    reference = shieldings[0]["O"]
    entry = of_one(MS, reference, reference.transpose(0, 2, 1))
    skew = (reference - reference.transpose(0, 2, 1)) / 2
    by_order = entry["rmse_percent_by_order"]
    assert_allclose([by_order["0"], by_order["2"]], 0.0, atol=1e-10)
    spread = ((skew - skew.mean(axis=0)) ** 2).sum()
    assert_allclose(by_order["1"], 100 * np.sqrt(4 * (skew**2).sum() / spread))
    assert_allclose(entry["by_order"]["1"]["r"], -1.0)
    assert_allclose(entry["z_axis_deg"]["mean"], 0.0, atol=1e-10)


def test_isotropic_error_is_the_trace_over_root_three(shieldings):
    reference = shieldings[0]["O"]
    symmetric = (reference + reference.transpose(0, 2, 1)) / 2
    entry = of_one(POLARIZABILITY, symmetric, symmetric + 0.3 * np.eye(3), key="structure")
    assert_allclose(entry["by_order"]["0"]["mae"], 0.9 / np.sqrt(3))
    assert_allclose(entry["by_order"]["2"]["mae"], 0.0, atol=1e-12)
    assert entry["unit"] is None
    assert list(entry["by_order"]) == ["0", "2"]
    assert "sigma_iso" not in entry


def test_squares_of_the_orders_add_up_to_those_of_the_whole(shieldings, report):
    for species, values in shieldings[0].items():
        entry = report[species].metrics
        spread = {
            order: np.mean(np.sum((a - a.mean(axis=0)) ** 2, axis=1))
            for order, (a, _) in report[species].components.items()
        }
        total = np.mean(np.sum((values - values.mean(axis=0)) ** 2, axis=(1, 2)))
        assert_allclose(sum(spread.values()), total)
        square = sum(spread[order] * entry["rmse_percent_by_order"][str(order)] ** 2 for order in spread)
        assert_allclose(entry["rmse_percent"], np.sqrt(square / total))


def test_percentages_and_parameters_do_not_depend_on_the_frame(shieldings, report):
    turn = Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix()
    turned = [{name: turn @ values @ turn.T for name, values in part.items()} for part in shieldings]
    again = TargetReport.from_arrays(MS, *turned)["Si"].metrics
    entry = report["Si"].metrics
    for key in ("rmse_percent", "rmse"):
        assert_allclose(again[key], entry[key])
    assert_allclose(list(again["rmse_percent_by_order"].values()), list(entry["rmse_percent_by_order"].values()))
    for key in SHIELDING_SCORES:
        assert_allclose(list(again[key].values()), list(entry[key].values()), err_msg=key)
    for key in ("q_tilde", "z_axis_deg"):
        assert_allclose(list(again[key].values()), list(entry[key].values()), err_msg=key)


def test_vectors_by_hand():
    entry = of_one(DIPOLE, [[0.0, 0, 1], [0, 0, 3]], [[0.0, 0, 2], [0, 0, 3]], key="structure")
    assert_allclose(entry["mae"], 1 / 6)
    assert_allclose(entry["rmse"], np.sqrt(1 / 6))
    assert_allclose(entry["rmse_percent"], 100 * np.sqrt(1 / 2))  # σ² = 1 + 1 over the 2 × 3 components
    assert_allclose(entry["rmse_percent_by_order"]["1"], entry["rmse_percent"])
    assert_allclose(entry["r"], (11 - 4 * 5 / 6) / np.sqrt((10 - 4**2 / 6) * (13 - 5**2 / 6)))
    assert entry["unit"] == "e Å"
    assert entry["n"] == 2


def test_scalars_by_hand():
    entry = of_one(CHARGE, [1.0, 2, 3, 6], [2.0, 2, 3, 5])
    assert_allclose([entry["mae"], entry["rmse"], entry["rmse_percent"]], [0.5, np.sqrt(0.5), 100 * np.sqrt(0.5 / 3.5)])
    assert_allclose(entry["r"], 9 / np.sqrt(14 * 6))
    assert_allclose(entry["by_order"]["0"]["mae"], 0.5)


def test_unlabelled_rows_are_left_out(shieldings, report):
    padded = [{name: np.concatenate([values[:1], values]) for name, values in part.items()} for part in shieldings]
    for values in padded[0].values():
        values[0] = np.nan
    padded[0] = {name: values.reshape(-1, 9) for name, values in padded[0].items()}
    assert TargetReport.from_arrays(MS, *padded).to_dict() == report.to_dict()


def test_json_is_strict_also_for_a_single_site(report, tmp_path):
    one = TargetReport.from_arrays(MS, {"O": ORACLE[None]}, {"O": ORACLE[None] + np.eye(3)})
    for index, given in enumerate((report, one)):
        path = tmp_path / f"{index}.json"
        given.to_json(path)
        again = json.loads(path.read_text(), parse_constant=lambda text: pytest.fail(f"{text} in the JSON"))
        assert again == given.to_dict()
    assert tuple(report["O"].metrics) == tuple(one["O"].metrics)
    assert one["O"].metrics["sigma_iso"] == {
        "mae": pytest.approx(1.0),
        "r": None,
        "rmse": pytest.approx(1.0),
        "rmse_percent": None,
    }
    assert "–" in str(one)


def test_an_isotropic_shielding_has_finite_numbers():
    entry = of_one(MS, [np.eye(3), 2 * np.eye(3)], [np.eye(3), 3 * np.eye(3)])
    json.dumps(entry, allow_nan=False)
    assert_allclose([entry[key]["mae"] for key in ("sigma_iso", "anisotropy", "eta", "skew")], [0.5, 0, 0, 0])


def test_it_is_used_as_a_report_is(report, shieldings):
    assert report.species == report.keys() == list(report) == ["O", "Si"]
    assert dict(report)["O"] is report["O"]
    assert len(report) == 2
    assert all(np.array_equal(side, part["O"]) for side, part in zip(report.arrays("O"), shieldings, strict=True))
    text = str(report)
    assert "test · O · ms · 40 atoms" in text
    assert f"{report['O'].metrics['anisotropy']['mae']:#.3g}" in text
    assert all(f"λ = {order}" in text for order in range(3))
    assert repr(report) == "<TargetReport on ms, atoms {O: 40, Si: 40}>"
    assert report._repr_html_().startswith("<pre")
    dipoles = TargetReport.from_arrays(DIPOLE, {"structure": np.ones((1, 3))}, {"structure": np.ones((1, 3))})
    assert "dipole · 1 structure\n" in f"{dipoles!s}\n".replace(" \n", "\n")
    with pytest.raises(InputError, match="no species 'Li'"):
        report["Li"]


def test_figures_show_every_order_and_the_parameters(report, tmp_path):
    figures = report.plot(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["O-ms.png", "Si-ms.png"]
    labels = [ax.get_xlabel() for ax in figures[0].axes]
    assert labels[:3] == [f"reference ms, λ = {order} (ppm)" for order in range(3)]
    assert labels[3:] == [
        r"reference $\sigma_\mathrm{iso}$ (ppm)",
        r"reference $\Delta$ (ppm)",
        r"reference $\eta$",
    ]
    counts = [len(ax.collections[0].get_offsets()) for ax in figures[0].axes]
    assert counts == [N, 3 * N, 5 * N, N, N, N]
    mae = report["O"].metrics["by_order"]["2"]["mae"]
    assert f"MAE {mae:#.3g} ppm" in figures[0].axes[2].child_axes[0].get_title(loc="left")


def test_file_names_of_figures_are_file_names(tmp_path):
    odd = Target("my/charge", "atom", "scalar", ((0, 1),))
    TargetReport.from_arrays(odd, {"O": np.arange(3.0)}, {"O": np.arange(3.0)}).plot(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["O-my_charge.png"]


def test_panels_wrap_into_rows():
    series = np.arange(4.0), np.arange(4.0)
    figure = parity_panel(dict.fromkeys("abcde", series), unit="ppm", columns=3)
    assert len(figure.axes) == 5
    assert figure.axes[3].get_xlabel() == "reference d (ppm)"


def test_structures_give_species_and_leave_out_what_has_no_label():
    rng = np.random.default_rng(0)
    frames, predicted = [], []
    for symbols in ("SiO2", "OSi"):
        atoms = Atoms(symbols, positions=rng.normal(size=(len(Atoms(symbols)), 3)))
        atoms.arrays["ms"] = rng.normal(size=(len(atoms), 3, 3))
        predicted.append(atoms.arrays["ms"] + np.eye(3))
        frames.append(atoms)
    frames[0].arrays["ms"][1] = np.nan
    frames[1].arrays["ms"][1] = np.nan  # silicon
    predicted[1][1] = np.nan
    report = target_report(frames, predicted, MS, ["O", "Si", "Na"], "title")
    assert {key: entry["n"] for key, entry in report.to_dict().items()} == {"O": 2, "Si": 1}
    assert_allclose(report["O"].metrics["sigma_iso"]["mae"], 1.0)
    assert_allclose(report["O"].reference, [frames[0].arrays["ms"][2], frames[1].arrays["ms"][0]])
    with pytest.raises(InputError, match="no atom of Na carries 'ms'"):
        target_report(frames, predicted, MS, ["Na"], "")


@pytest.mark.parametrize(("name", "shape"), [("dipole", (3,)), ("polarizability", (3, 3)), ("energy", ())])
def test_targets_per_structure_stand_under_one_key(name, shape):
    rng = np.random.default_rng(0)
    frames = [Atoms("OH", positions=[[0, 0, 0], [0, 0, 1]]) for _ in range(5)]
    for atoms in frames[:4]:
        value = rng.normal(size=shape)
        atoms.info[name] = value + value.T if len(shape) == 2 else value
    predicted = [np.float64(0.0) if not shape else np.zeros(shape) for _ in frames]
    report = target_report(frames, predicted, KNOWN[name], ["O", "H"], "")
    assert report.species == ["structure"]
    assert report["structure"].metrics["n"] == 4
    assert_allclose(report["structure"].metrics["mae"], np.mean(np.abs([atoms.info[name] for atoms in frames[:4]])))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reference": {}}, "no 'ms' was given"),
        ({"reference": {"O": np.full((2, 3, 3), np.nan)}}, "none of the 2 carries 'ms'"),
        ({"reference": {"O": np.zeros((2, 4))}}, r"shape \(2, 4\); give \(n, 3, 3\)"),
        ({"predicted": {"Si": np.zeros((2, 3, 3))}}, "missing; they were given for Si"),
        ({"predicted": {"O": np.zeros((3, 3, 3))}}, "are 3, those of the reference 2"),
        ({"predicted": {"O": np.full((2, 3, 3), np.nan)}}, "not finite in 2 of 2"),
        ({"target": DIPOLE}, r"for the structures have shape \(2, 3, 3\); give \(n, 3\)"),
        ({"target": CHARGE}, r"give \(n,\)"),
    ],
)
def test_bad_input(change, message):
    values = {"O": np.stack([np.eye(3)] * 2)}
    with pytest.raises(InputError, match=message) as error:
        TargetReport.from_arrays(**({"target": MS, "reference": values, "predicted": values} | change))
    assert "\n" not in str(error.value)
