"""Four simulated devices against one; all is measured in one process, so that its compilations are paid once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def found():
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4",
    }
    done = subprocess.run(
        [sys.executable, Path(__file__).with_name("four_devices.py")],
        capture_output=True,
        text=True,
        env=environment,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_predictions_and_sums_are_those_of_one_device(found):
    assert found["devices"] == 4
    assert found["prediction"] < 1e-12
    assert found["sums"] < 1e-12
    assert found["carried"] < 1e-12


def test_a_sparse_model_is_that_of_one_device(found):
    assert found["training"] < 1e-9  # the solution multiplies the rounding of the sums


def test_rows_that_do_not_divide_are_padded_and_cut(found):
    assert {int(rows): result for rows, result in found["rows"].items()} == {
        rows: [rows, 0.0] for rows in (16, 13, 15, 3, 1)
    }


def test_each_device_has_its_own_rows_and_a_padded_shape_is_compiled_once(found):
    assert found["rows on each device"] == [4, 4, 4, 4]
    assert found["traced"] == [4, 1]  # 16, 13, 15 rows; 3, 1


def test_one_device_is_the_plain_compiled_function(found):
    assert found["plainly compiled"]
    assert found["on one"]
    assert found["on the second"] == ["cpu:1"]


def test_what_is_shared_is_on_every_device(found):
    assert sorted(found["copies"]) == ["cpu:0", "cpu:1", "cpu:2", "cpu:3"]


def test_a_batch_whose_arrays_differ_in_rows_is_refused(found):
    assert "same number of rows" in found["unequal rows"]
