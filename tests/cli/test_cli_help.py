"""What the command line says of itself, and how commands end."""

import inspect
import json
import subprocess
import sys

import numpy as np
import pytest

import efg_jax
from efg_jax import LambdaSOAP, TensorGPR, datasets
from efg_jax.cli import options
from efg_jax.cli.learning_curve import learning_curve
from efg_jax.cli.train import train
from efg_jax.errors import InputError
from efg_jax.network import Architecture, EquivariantNetwork, Loss, Training

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


def test_defaults_are_those_of_the_library():
    defaults = {name: parameter.default for name, parameter in inspect.signature(train).parameters.items()}
    descriptor, model = LambdaSOAP(), TensorGPR()
    for name in ("cutoff", "cutoff_width", "nmax", "sigma", "normalise"):
        assert defaults[name] == getattr(descriptor, name), name
    for name in ("scaling_rate", "scaling_radius", "scaling_exponent"):
        assert defaults[name] == getattr(descriptor, name), name
    for name in ("zeta", "regularisation", "per", "species"):
        assert defaults[name] == getattr(model, name), name
    # What depends on the model is left to it, and the help says what it is.
    assert (defaults["target"], model.target, EquivariantNetwork().target) == (None, "efg", "efg")
    assert (defaults["lmax"], descriptor.lmax, Architecture().lmax) == (None, 6, 2)


@pytest.mark.parametrize("command", [train, learning_curve])
def test_defaults_of_networks_are_those_of_the_library(command):
    defaults = {name: parameter.default for name, parameter in inspect.signature(command).parameters.items()}
    for name in ("cutoff", "layers", "channels", "decomposition", "product_order", "products"):
        assert defaults[name] == getattr(Architecture(), name), name
    for name in ("epochs", "steps", "learning_rate", "batch_edges", "validation", "patience", "seed"):
        assert defaults[name] == getattr(Training(), name), name
    assert defaults["loss"] == Loss().kind
    assert defaults["members"] == EquivariantNetwork().members
    assert defaults["lmax"] in (None, Architecture().lmax)


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
    assert options.parse_species(["O,Si", " Al", "O"]) == ("O", "Si", "Al")
    assert options.parse_species([]) is None
    with pytest.raises(InputError, match="O,Si"):
        options.parse_species(["O,"])


def test_isotopes_with_and_without_their_element():
    chosen = options.parse_isotopes(["Ti=49Ti", "O-17"])
    assert {symbol: str(nucleus) for symbol, nucleus in chosen.items()} == {"Ti": "49Ti", "O": "17O"}
    assert options.parse_isotopes(None) == {}


def test_regularisation_is_a_number_or_auto():
    assert options.parse_regularisation("auto") == "auto"
    assert np.isclose(options.parse_regularisation("1e-4"), 1e-4)
