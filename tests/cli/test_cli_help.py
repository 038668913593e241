"""What the command line says of itself, and how commands end."""

import json
import subprocess
import sys
from importlib import import_module
from inspect import signature
from typing import get_type_hints

import pytest
from cyclopts import Group
from rich.cells import cell_len

import efg_jax
from efg_jax import InputError, LambdaSOAP, TensorGPR, datasets
from efg_jax.cli import COMMANDS, app, model_options, option_fields, parsing
from efg_jax.cli.option_fields import Fields, Given
from efg_jax.models import KINDS
from efg_jax.network import EquivariantNetwork

# The package without what its __init__ imports: what is left is what the command line itself imports.
BARE = """
import sys, types
package = types.ModuleType("efg_jax")
package.__path__ = [{path!r}]
sys.modules["efg_jax"] = package
sys.argv = ["efg-jax", *{arguments!r}]
from efg_jax.cli import main
try:
    main()
finally:
    print("imported:", *sorted(name for name in ("jax", "equinox", "ase", "matplotlib") if name in sys.modules))
"""


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help"), ("predict", "-h")])
def test_help_imports_nothing_heavy(arguments):
    code = BARE.format(path=efg_jax.__path__[0], arguments=arguments)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "imported:"


def test_help_names_every_command(efg_jax_command):
    result = efg_jax_command("--help")
    assert result.exit_code == 0
    for command in ("train", "evaluate", "predict", "datasets"):
        assert command in result.stdout
        assert efg_jax_command(command, "--help").exit_code == 0


def test_version(efg_jax_command):
    assert efg_jax_command("--version").stdout == f"efg-jax {efg_jax.__version__}\n"


def groups():
    """What commands take from classes and functions of the library."""
    found = {}
    for name in COMMANDS:
        module = import_module(f"efg_jax.cli.{name}")
        found |= {
            id(value): value for value in (*vars(module).values(), *model_options.EVERY) if isinstance(value, Fields)
        }
    return list(found.values())


@pytest.mark.parametrize("group", groups(), ids=lambda group: group.owner)
def test_options_read_from_source_are_those_of_the_object(group):
    """The source is read without being imported; Python itself must say the same."""
    module, _, path = group.owner.partition(":")
    owner = import_module(module)
    for part in path.split("."):
        owner = getattr(owner, part)
    parameters = signature(owner).parameters
    for name in group.names:
        (annotation, default, text) = option_fields._entries(group.owner)[name]
        declared = parameters[name].default
        assert text
        assert default == (option_fields.MISSING if declared is parameters[name].empty else declared), name
        if isinstance(owner, type) and option_fields._plain(annotation) in (int, float, bool, str):
            assert option_fields._plain(annotation).__name__ in str(get_type_hints(owner)[name]).lower(), name


def test_options_of_kinds_are_those_of_the_registry():
    assert tuple(KINDS) == model_options.KINDS == tuple(model_options.OF_KIND)


def test_what_is_given_builds_a_model():
    """Names within: of the descriptor, of the training and its loss; what is not given keeps its default."""
    model = Given(nmax=2, cutoff=3.0, zeta=1.0).build(TensorGPR, species="O")
    assert (model.descriptor.nmax, float(model.descriptor.cutoff), float(model.zeta)) == (2, 3.0, 1.0)
    assert (model.species, model.descriptor.lmax, model.descriptor.species) == (("O",), LambdaSOAP().lmax, None)
    network = Given(kind="observables", cutoff=3.0, epochs=7, members=2).build(EquivariantNetwork)
    assert (network.training.loss.kind, network.training.epochs, network.members) == ("observables", 7, 2)
    assert network.architecture.cutoff == 3.0


def test_one_option_for_two_owners_says_what_each_does():
    a = Fields("efg_jax.descriptors.lambda_soap:LambdaSOAP", {"lmax": {}}, Group("A"))
    b = Fields("efg_jax.network.architecture:Architecture", {"lmax": {}}, Group("B"), "networks")
    option = option_fields._option("lmax", [a, b])
    (settings,) = option.annotation.__metadata__
    assert settings.show_default == f"{LambdaSOAP().lmax}, networks: 2"
    assert "Networks: " in settings.help


def test_datasets_as_table_and_json(efg_jax_command):
    table, as_json = efg_jax_command("datasets"), efg_jax_command("datasets", "--json")
    rows = json.loads(as_json.stdout)
    assert [row["name"] for row in rows] == datasets.names()
    assert [row["structures"] for row in rows] == [48, 420, 500]
    assert rows[2]["tensors"] == {"O": 3278, "Si": 1639}
    for row in rows:
        assert row["name"] in table.stdout
        assert str(row["structures"]) in table.stdout


@pytest.mark.parametrize(
    "arguments",
    [(), ("train",), ("train", "x.extxyz"), ("frobnicate",), ("train", "x", "--out", "y", "--cutoff", "wide")],
)
def test_usage_errors_exit_with_2(efg_jax_command, arguments):
    assert efg_jax_command(*arguments).exit_code == 2


def test_interrupted(efg_jax_command, monkeypatch):
    monkeypatch.setattr(datasets, "describe", _raises(KeyboardInterrupt()))
    result = efg_jax_command("datasets")
    assert (result.exit_code, result.stdout, result.stderr) == (130, "", "efg-jax: interrupted\n")


def test_bugs_keep_their_traceback(efg_jax_command, monkeypatch):
    monkeypatch.setattr(datasets, "describe", _raises(ZeroDivisionError("a bug")))
    with pytest.raises(ZeroDivisionError):
        efg_jax_command("datasets")


def test_an_error_is_one_line_whatever_it_says(efg_jax_command, monkeypatch):
    monkeypatch.setattr(datasets, "describe", _raises(InputError("two\nlines [bold]", file="a.xyz", frame=3)))
    result = efg_jax_command("datasets")
    assert (result.exit_code, result.stderr) == (2, "efg-jax: error: a.xyz, frame 3: two lines [bold]\n")


def _raises(error):
    def function():
        raise error

    return function


def test_species_one_by_one_or_with_commas():
    assert parsing.parse_species(["O,Si", " Al", "O"]) == ("O", "Si", "Al")
    with pytest.raises(InputError, match="O,Si"):
        parsing.parse_species(["O,"])


def test_isotopes_with_and_without_their_element():
    chosen = parsing.parse_isotopes(["Ti=49Ti", "O-17"])
    assert {symbol: str(nucleus) for symbol, nucleus in chosen.items()} == {"Ti": "49Ti", "O": "17O"}
    with pytest.raises(InputError, match="18O"):
        parsing.parse_isotopes(["17O,18O"])


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parsing.number_or("auto", "--regularisation", "auto"), "auto", "auto"),
        (parsing.number_or("auto", "--regularisation", "auto"), "1e-4", 1e-4),
        (parsing.number_or("any", "--jump"), "any", None),
        (model_options.parse_width, "0", None),
        (model_options.parse_width, "none", None),
        (model_options.parse_width, "0.5", 0.5),
        (parsing.count_or("all", "--environments"), "7", 7),
        (parsing.parse_direction, "0,-1,0.5", (0.0, -1.0, 0.5)),
        (parsing.parse_quantity, "C_Q", "c_q"),
        (parsing.parse_quantity, "cq", "c_q"),
        (parsing.parse_quantity, "η²", "eta_squared"),
        (parsing.parse_quantity, "Δ", "anisotropy"),
        (parsing.parse_quantity, "δ", "delta_iso"),
        (parsing.parse_quantity, "colour", "colour"),
        (parsing.parse_one_reference, "O=287.5", ("O", 287.5)),
        (parsing.parse_one_reference, "-12", ("", -12.0)),
    ],
)
def test_texts_of_options(parse, text, value):
    assert parse(text) == value


def test_pairs_of_options():
    assert parsing.parse_bounds(["sigma=0.2:0.8", "zeta=1:4"]) == {"sigma": (0.2, 0.8), "zeta": (1.0, 4.0)}
    assert parsing.parse_weights(["O=2,Si=1"]) == {"O": 2.0, "Si": 1.0}
    for parse, text in (
        (parsing.parse_bounds, "sigma=0.2"),
        (parsing.parse_bounds, "=1:2"),
        (parsing.parse_weights, "O"),
    ):
        with pytest.raises(InputError, match="is not of the form"):
            parse([text])


@pytest.mark.parametrize(
    "words", [("train", "x", "--out", "m", "--nmax", "3.5"), ("train", "x", "--out", "m", "--seed", "1e2")]
)
def test_a_fraction_is_no_whole_number(efg_jax_command, words):
    result = efg_jax_command(*words)
    assert result.exit_code == 2
    assert "Invalid value" in result.stderr


def test_the_last_of_two_values_counts():
    _, bound, *_ = app.parse_args(["train", "x", "--out", "m", "--nmax", "3", "--nmax", "4"], exit_on_error=False)
    assert bound.arguments["nmax"] == 4


def test_help_shows_defaults(efg_jax_command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = efg_jax_command("train", "--help").stdout
    for option, default in (
        ("--seed", "0"),
        ("--cutoff ", "5.0"),
        ("--lmax", "6, networks: 2"),
        ("--regularisation", "auto"),
    ):
        (line,) = (line for line in text.splitlines() if f" {option}" in line and "│" in line[:3])
        start = text.index(line)
        assert f"[default: {default}]" in " ".join(text[start : start + 600].replace("│", " ").split()), option
    assert "[default: False]" not in text
    assert "[default: None]" not in text


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_fits_the_terminal(efg_jax_command, monkeypatch, command):
    monkeypatch.setenv("COLUMNS", "80")
    text = efg_jax_command(command.replace("_", "-"), "--help").stdout
    assert f" efg-jax {command.replace('_', '-')} " in text
    assert max(map(cell_len, text.splitlines())) <= 80
    assert "``" not in text
    assert "None:" not in text
