"""Derivatives of predictions against finite differences of whole predictions, with neighbours listed anew; sum rules;
bonds and angles.

The commands that want a model (`sensitivity`, `average --model`) are tested here too: all share one model and its
compiled functions.
"""

import csv
import json
import sys
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from numpy.testing import assert_allclose
from oracles.differences import directional, gradient
from oracles.labelled_crystals import crystals
from scipy.spatial.transform import Rotation

import efg_jax as ej
from efg_jax import InputError, cli, sensitivity, tensors
from efg_jax.cli.parsing import parse_quantity
from efg_jax.sensitivity import Cluster, differentiate, internal_coordinates
from efg_jax.tensors import Context, Nuclei

SOAP = ej.LambdaSOAP(cutoff=3.5, nmax=2, lmax=1, sigma=0.5, cutoff_width=0.5)
DIRECTION = np.array([0.48, -0.6, 0.64])
REFERENCE = 120.0
STEP = 2e-3
O17 = tensors.isotope("17O")
CONTEXT = Context(Nuclei.of([O17]), REFERENCE, DIRECTION)


@pytest.fixture(scope="module")
def model():
    return ej.TensorGPR(SOAP, species="O", regularisation=1e-3).fit(crystals(2, seed=0))


@pytest.fixture(scope="module")
def shielding_model():
    return ej.TensorGPR(SOAP, species="O", target="ms", regularisation=1e-3).fit(crystals(2, seed=0))


@pytest.fixture
def atoms():
    return crystals(1, seed=1)[0]


def value_of(model, atoms, atom, quantity):
    """The quantity from a prediction of the whole structure."""
    tensor = model.predict(atoms, indices=[atom])[atom]
    return differentiate(model.tensor_target().name, quantity, tensor, CONTEXT).value


def strained(atoms, strain):
    changed = atoms.copy()
    changed.set_cell(atoms.cell.array @ (np.eye(3) + strain).T, scale_atoms=True)
    return changed


def moved(atoms, displacements):
    changed = atoms.copy()
    changed.positions += displacements
    return changed


@pytest.mark.parametrize("quantity", ["c_q", "p_q", "eta", "eta_squared", "nu_q"])
def test_derivatives_of_an_efg_are_those_of_whole_predictions(model, atoms, quantity):
    generator = np.random.default_rng(0)
    found = sensitivity.gradient(model, atoms, 2, quantity, direction=DIRECTION)
    assert_allclose(found.quantity.value, value_of(model, atoms, 2, quantity), rtol=1e-10)
    along = generator.normal(size=atoms.positions.shape)
    expected = directional(lambda t: value_of(model, moved(atoms, t * along), 2, quantity), STEP)
    scale = np.abs(found.positions).max()
    assert_allclose(np.sum(found.positions * along), expected, rtol=2e-6, atol=2e-6 * scale)
    strain = generator.normal(size=(3, 3))
    strain = strain + strain.T
    expected = directional(lambda t: value_of(model, strained(atoms, t * strain), 2, quantity), STEP / 4)
    assert_allclose(np.sum(found.strain * strain), expected, rtol=2e-6, atol=2e-6 * scale)


@pytest.mark.parametrize("quantity", ["sigma_iso", "delta_iso", "span", "skew", "anisotropy", "eta"])
def test_derivatives_of_a_shielding_are_those_of_whole_predictions(shielding_model, atoms, quantity):
    found = sensitivity.gradient(shielding_model, atoms, 2, quantity, reference=REFERENCE)
    along = np.random.default_rng(1).normal(size=atoms.positions.shape)
    expected = directional(lambda t: value_of(shielding_model, moved(atoms, t * along), 2, quantity), STEP)
    assert_allclose(found.quantity.value, value_of(shielding_model, atoms, 2, quantity), rtol=1e-9)
    scale = np.abs(found.positions).max()
    assert_allclose(np.sum(found.positions * along), expected, rtol=2e-6, atol=2e-6 * scale)


def test_every_component_by_itself(model, atoms):
    found = sensitivity.gradient(model, atoms, 1)
    places = atoms.positions.copy()

    def c_q(positions):
        changed = atoms.copy()
        changed.positions[:] = positions
        return value_of(model, changed, 1, "c_q")

    chosen = np.zeros_like(places)
    for i, c in ((0, 0), (1, 2), (3, 1)):
        unit = np.zeros_like(places)
        unit[i, c] = 1.0
        chosen[i, c] = directional(lambda t, unit=unit: c_q(places + t * unit), STEP)
        assert_allclose(found.positions[i, c], chosen[i, c], rtol=1e-5, atol=1e-6 * np.abs(found.positions).max())


def test_a_shift_of_the_whole_changes_nothing_and_the_gradient_turns_with_the_structure(model, atoms):
    found = sensitivity.gradient(model, atoms, 1)
    scale = np.abs(found.positions).max()
    assert_allclose(found.positions.sum(axis=0), 0.0, atol=1e-10 * scale)
    assert_allclose(found.strain, found.strain.T)
    turn = Rotation.random(random_state=0).as_matrix()
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    other = sensitivity.gradient(model, turned, 1)
    assert_allclose(other.quantity.value, found.quantity.value, rtol=1e-9)
    assert_allclose(other.positions, found.positions @ turn.T, atol=1e-9 * scale)
    assert_allclose(other.strain, turn @ found.strain @ turn.T, atol=1e-9 * np.abs(found.strain).max())
    assert_allclose(
        [one.derivative for one in other.internal], [one.derivative for one in found.internal], atol=1e-7 * scale
    )


@pytest.mark.parametrize("name", ["c_q", "p_q", "eta", "eta_squared", "nu_q"])
def test_slopes_of_an_efgs_numbers_are_those_of_the_tensor_library(name):
    tensor = np.array([[-20.0, 5.0, 10.0], [5.0, 35.0, -12.0], [10.0, -12.0, -15.0]])
    functions = {
        "c_q": lambda v: tensors.coupling_constant(tensors.principal_axes(v).zz, O17),
        "p_q": lambda v: -tensors.coupling_constant(tensors.invariant_strength(v), "27Al") * (25.58 / 146.6),
        "eta": lambda v: tensors.asymmetry(tensors.principal_axes(v).values),
        "eta_squared": tensors.asymmetry_squared,
        "nu_q": lambda v: tensors.quadrupolar_frequency(v, jnp.asarray(DIRECTION), O17),
    }
    found = differentiate("efg", name, tensor, CONTEXT)
    value, slope = jax.jit(jax.value_and_grad(functions[name]))(jnp.asarray(tensor))
    slope = np.asarray(slope)
    part = np.eye(3) * np.trace(slope - found.slope) / 3  # a traceless tensor has no derivative along the trace
    assert_allclose(found.value, float(value), rtol=1e-10)
    assert_allclose(found.slope + part, 0.5 * (slope + slope.T), atol=1e-9 * np.abs(slope).max())


@pytest.mark.parametrize("name", ["span", "skew", "anisotropy", "eta", "sigma_iso", "delta_iso"])
def test_slopes_of_a_shieldings_numbers(name):
    tensor = np.array([[30.0, 5, -8], [2, 60, 4], [-6, 7, 120]])
    found = differentiate("ms", name, tensor, CONTEXT)
    slope = gradient(lambda v: differentiate("ms", name, v, CONTEXT).value, tensor, 1e-3)
    assert_allclose(found.slope, slope, atol=1e-8 * np.abs(slope).max())
    known = {"span": 92.02753, "skew": 0.32432, "anisotropy": 76.48222, "eta": 0.60976, "sigma_iso": 70.0}
    if name in known:
        assert_allclose(found.value, known[name], rtol=1e-4)


def test_kinks_are_told():
    axial, rhombic = np.diag([-1.0, -1.0, 2.0]), np.diag([0.0, -1.0, 1.0])
    with pytest.raises(InputError, match=r"η is 0 here.*eta_squared"):
        differentiate("efg", "eta", axial, CONTEXT)
    assert_allclose(differentiate("efg", "eta_squared", axial, CONTEXT).slope, 0.0, atol=1e-15)
    with pytest.raises(InputError, match=r"η is 1 here.*p_q"):
        differentiate("efg", "c_q", rhombic, CONTEXT)
    assert np.isfinite(differentiate("efg", "p_q", rhombic, CONTEXT).slope).all()
    with pytest.raises(InputError, match="EFG is zero"):
        differentiate("efg", "c_q", np.zeros((3, 3)), CONTEXT)
    with pytest.raises(InputError, match="coincide"):
        differentiate("ms", "span", axial, CONTEXT)
    near = differentiate("efg", "eta", np.diag([-1.0, -1.01, 2.01]), CONTEXT)
    (nearest,) = [one for one in near.kinks if "kink at 0" in one.kink.near]
    assert nearest.distance == min(one.distance for one in near.kinks)
    assert_allclose(nearest.distance, 0.01 / 2.01)


def test_reach_is_where_the_kink_is(model, atoms, monkeypatch):
    """Of a tensor that is linear in the displacements: the most sensitive neighbour, moved by `reach` against its
    slope, makes it axial.
    """
    real = sensitivity.tensor_derivatives(model, atoms, 1)
    axes = Rotation.random(random_state=5).as_matrix()
    slopes = np.random.default_rng(3).normal(size=real.displacement.shape)
    tensor, change = (axes @ np.diag(values) @ axes.T for values in ((-1.0, -1.03, 2.03), (0.2, -0.2, 0.0)))
    linear = real._replace(tensor=tensor, gradient=np.einsum("ij,kc->ijkc", change, slopes))
    monkeypatch.setattr(sys.modules["efg_jax.sensitivity.gradient"], "tensor_derivatives", lambda *_: linear)
    found = sensitivity.gradient(model, atoms, 1, "eta")
    strengths = np.linalg.norm(found.cluster_gradient[1:], axis=1)
    steepest = int(strengths.argmax())
    step = -found.reach * found.cluster_gradient[1 + steepest] / strengths[steepest]
    there = tensor + np.einsum("ijc,c->ij", linear.gradient[:, :, steepest], step)
    assert_allclose(found.quantity.value, 0.03 / 2.03)
    assert_allclose(float(tensors.asymmetry(tensors.principal_axes(jnp.asarray(there)).values)), 0.0, atol=1e-9)


WATER = Cluster(["O", "H", "H"], ["O0", "H1", "H2"], np.array([[0, 0, 0], [0.96, 0, 0], [-0.3, 0.95, 0.2]]))


def coordinates(positions):
    u, v = positions[1] - positions[0], positions[2] - positions[0]
    a, b = np.linalg.norm(u), np.linalg.norm(v)
    return a, b, np.arccos(u @ v / a / b)


def test_a_function_of_bonds_and_angles_has_the_derivatives_it_was_made_with():
    """f = 3a − 5b² + 7 cos θ of a molecule whose two bonds and one angle are all its internal degrees of freedom."""

    def function(positions):
        a, b, theta = coordinates(positions)
        return 3 * a - 5 * b**2 + 7 * np.cos(theta)

    slopes = gradient(function, WATER.positions, 1e-3)
    found, missing = internal_coordinates(WATER, slopes, shells=1, bond_scale=1.25)
    _, b, theta = coordinates(WATER.positions)
    by_name = {one.name: one for one in found}
    assert set(by_name) == {"O0–H1", "O0–H2", "H1–O0–H2"}
    assert_allclose(by_name["O0–H1"].derivative, 3.0, rtol=1e-8)
    assert_allclose(by_name["O0–H2"].derivative, -10 * b, rtol=1e-8)
    assert_allclose(by_name["H1–O0–H2"].derivative, -7 * np.sin(theta), rtol=1e-8)
    assert missing < 1e-8
    assert [abs(one.along) for one in found] == sorted((abs(one.along) for one in found), reverse=True)


def test_what_bonds_and_angles_do_not_hold_is_told():
    """A turn of the molecule changes no bond: all of its gradient is missing."""
    found, missing = internal_coordinates(WATER, np.cross([0.3, 0.2, 1.0], WATER.positions), shells=1, bond_scale=1.25)
    assert_allclose(missing, 1.0)
    assert_allclose([one.derivative for one in found], 0.0, atol=1e-12)
    alone = Cluster(["O", "O"], ["O0", "O1"], np.array([[0, 0, 0], [3.0, 0, 0]]))
    assert internal_coordinates(alone, np.array([[-1.0, 0, 0], [1, 0, 0]]), 1, 1.25) == ([], 1.0)


def test_a_straight_angle_is_left_out():
    straight = Cluster(["O", "Si", "Si"], ["O0", "Si1", "Si2"], np.array([[0, 0, 0], [1.6, 0, 0], [-1.6, 0.01, 0]]))
    found, _ = internal_coordinates(straight, np.array([[0.0, 0, 0], [1, 0, 0], [-1, 0, 0]]), 1, 1.25)
    assert {one.kind for one in found} == {"bond"}


def test_angles_of_the_second_shell_have_a_neighbour_at_the_apex():
    """Si–O–Si with another oxygen on one silicon."""
    positions = np.array([[0, 0, 0], [1.6, 0, 0], [-0.9, 1.3, 0], [2.2, 1.5, 0.1]])
    chain = Cluster(["O", "Si", "Si", "O"], ["O0", "Si1", "Si2", "O3"], positions)
    slopes = np.random.default_rng(0).normal(size=(4, 3))
    one, two = (internal_coordinates(chain, slopes, shells, 1.25)[0] for shells in (1, 2))
    assert {c.name for c in one} == {"O0–Si1", "O0–Si2", "Si1–O0–Si2"}
    assert {c.name for c in two} - {c.name for c in one} == {"Si1–O3", "O0–Si1–O3"}


def test_files_and_table(model, atoms, tmp_path):
    found = sensitivity.gradient(model, atoms, 1, isotope="17O")
    found.to_json(tmp_path / "s.json")
    found.to_csv(tmp_path / "s.csv")
    entry = json.loads((tmp_path / "s.json").read_text())
    assert_allclose(entry["positions"], found.positions)
    assert_allclose(entry["strain"], found.strain)
    assert (entry["unit"], entry["isotope"], entry["atom"]) == ("Hz", "17O", 1)
    columns = np.genfromtxt(tmp_path / "s.csv", delimiter=",", skip_header=1, usecols=(5, 6, 7))
    assert_allclose(columns, found.positions)
    text = str(found)
    assert "C_Q of O1 (¹⁷O) = " in text
    assert "kHz/Å" in text
    assert found.internal[0].name in text
    assert "<pre" in found._repr_html_()


def test_the_picture_has_an_arrow_for_what_matters_and_the_largest_bars(model, atoms):
    from matplotlib.colors import to_hex
    from matplotlib.text import Annotation

    from efg_jax.plots import SCALAR

    found = sensitivity.gradient(model, atoms, 2, "eta")
    structure, bars = found.plot(radius=3.0).axes
    arrows = [one for one in structure.texts if isinstance(one, Annotation) and one.arrow_patch is not None]
    near = np.linalg.norm(found.cluster.positions, axis=1) <= 3.0
    strengths = np.linalg.norm(found.cluster_gradient[near], axis=1)
    assert len(arrows) == np.sum(strengths >= 0.06 * strengths.max()) + 1  # and the scale
    colours = [to_hex(arrow.arrow_patch.get_facecolor()).upper() for arrow in arrows]
    assert [number for number, colour in enumerate(colours) if colour == SCALAR] == [len(arrows) - 2]  # over the others
    widths = [patch.get_width() for patch in bars.patches][: len(found.internal[:10])]
    assert_allclose(widths, [one.along for one in found.internal[:10]])
    assert [label.get_text() for label in bars.get_yticklabels()] == [one.name for one in found.internal[:10]]


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((9,), {}, "has no atom 9; its 5 atoms"),
        ((0,), {}, r"atom 0 \(Si\): the model predicts nothing for Si; it was trained for O"),
        ((1, "colour"), {}, "unknown quantity 'colour' of an EFG; choose one of c_q"),
        ((1, "nu_q"), {}, "direction"),
        ((1,), {"isotope": "16O"}, "unknown isotope"),
        ((1,), {"isotope": "7Li"}, "7Li is no isotope of O"),
        ((1, "nu_q"), {"direction": (0, 0, 0)}, "not all zero"),
        ((1,), {"shells": 0}, "must be positive"),
    ],
)
def test_bad_questions(model, atoms, arguments, options, message):
    with pytest.raises(InputError, match=message):
        sensitivity.gradient(model, atoms, *arguments, **options)


def test_bad_models(shielding_model, atoms, monkeypatch):
    with pytest.raises(InputError, match="reference"):
        sensitivity.gradient(shielding_model, atoms, 1, "delta_iso")
    with pytest.raises(InputError, match="unknown quantity 'c_q' of a shielding"):
        sensitivity.gradient(shielding_model, atoms, 1, "c_q")
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # users have no type checks
    with pytest.raises(InputError, match="not fitted"):
        sensitivity.gradient(ej.TensorGPR(SOAP), atoms, 1)


@pytest.fixture
def files(model, tmp_path):
    """A model and twenty frames of one shaking crystal, in two phases."""
    generator, frames = np.random.default_rng(0), []
    for number in range(20):
        atoms = crystals(1, seed=1)[0]
        del atoms.arrays["efg"], atoms.arrays["ms"]
        atoms.info = {"phase": ("alpha", "beta")[number // 10]}
        atoms.positions += 0.03 * generator.normal(size=(5, 3))
        frames.append(atoms)
    model.save(tmp_path / "o17.npz")
    ej.io.write(tmp_path / "md.extxyz", frames)
    return tmp_path


@pytest.fixture
def command(capsys):
    def run(*arguments):
        status = cli.run([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return SimpleNamespace(exit_code=status, stdout=said.out, stderr=said.err)

    return run


def test_the_command_gives_the_librarys_numbers(model, files, command):
    out = files / "s.json", files / "s.png"
    options = ("--atom", "2", "--frame", "3", "--quantity", "C_Q", "--strain", "--out", out[0], "--plot", out[1])
    result = command("sensitivity", files / "o17.npz", files / "md.extxyz", *options)
    assert result.exit_code == 0, result.stderr
    (atoms,) = ej.io.read(files / "md.extxyz", target=None, index=3)
    expected = sensitivity.gradient(model, atoms, 2)
    entry = json.loads(out[0].read_text())
    assert_allclose(entry["positions"], expected.positions, rtol=1e-8, atol=1e-8 * np.abs(expected.positions).max())
    assert out[1].read_bytes().startswith(b"\x89PNG")
    assert expected.internal[0].name in result.stdout
    strain = [float(number) for number in result.stdout.splitlines()[-1].split()]
    assert_allclose(strain, expected.strain[(0, 1, 2, 1, 0, 0), (0, 1, 2, 2, 2, 1)] / 1e3, rtol=1e-4, atol=1e-3)
    result = command(
        "sensitivity",
        files / "o17.npz",
        files / "md.extxyz",
        "--atom",
        "2",
        "--quantity",
        "η",
        "--out",
        files / "s.csv",
    )
    assert result.exit_code == 0, result.stderr
    assert len((files / "s.csv").read_text().splitlines()) == 6


def test_symbols_of_quantities():
    """Δ and δ are one letter in lower case, and two quantities."""
    given = ("Δ", "δ", "δ_iso", "Ω", "C_Q", "eta", "η²")
    expected = ["anisotropy", "delta_iso", "delta_iso", "span", "c_q", "eta", "eta_squared"]
    assert [parse_quantity(text) for text in given] == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--atom", "77"), "has no atom 77"),
        (("--atom", "2", "--quantity", "colour"), "unknown quantity 'colour'"),
        (("--atom", "2", "--quantity", "nu_Q"), "direction"),
        (("--atom", "2", "--out", "a.xyz"), "name it *.csv or *.json"),
        (("--atom", "2", "--plot", "a.txt"), "is no picture"),
        (("--atom", "2", "--frame", "99"), "holds no frame 99"),
    ],
)
def test_the_command_refuses_in_one_line(files, command, arguments, message):
    result = command("sensitivity", files / "o17.npz", files / "md.extxyz", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_average_of_predictions_by_phase(model, files, command):
    """`average --model`: the mean over frames of what the model predicts for each."""
    out = files / "a.csv", files / "a.extxyz"
    options = ("--label", "phase", "--out", out[0], "--out", out[1], "--quiet")
    result = command("average", files / "md.extxyz", "--model", files / "o17.npz", *options)
    assert (result.exit_code, result.stderr) == (0, "")
    frames = list(ej.io.iread(files / "md.extxyz"))
    predicted = np.array(model.predict(frames))
    rows = list(csv.DictReader(out[0].read_text().splitlines()))
    assert [(row["label"], row["atom"]) for row in rows] == [
        ("alpha", "1"),
        ("alpha", "2"),
        ("beta", "1"),
        ("beta", "2"),
    ]
    for row in rows:
        half = slice(10) if row["label"] == "alpha" else slice(10, 20)
        assert row["frames"] == "10"
        assert_allclose(float(row["tensor_xy"]), predicted[half, int(row["atom"])].mean(axis=0)[0, 1], atol=1e-9)
    means = ej.io.read(out[1])
    assert [atoms.info["label"] for atoms in means] == ["alpha", "beta"]
    assert_allclose(means[1].positions, np.mean([atoms.positions for atoms in frames[10:]], axis=0), atol=1e-6)
