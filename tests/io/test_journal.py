"""A journal keeps what was put into it through kills, damage and other users of its folder."""

import json
import logging
import subprocess
import sys

import numpy as np
import pytest
from ase.build import bulk

from efg_jax import InputError
from efg_jax.storage.fingerprints import fingerprint
from efg_jax.storage.journal import Journal


def test_entries_are_found_again_to_the_last_bit(tmp_path):
    value = float(np.nextafter(0.1, 1.0))
    Journal(tmp_path / "new" / "folder", {"data": "a"}).put("k", {"loss": value})
    assert Journal(tmp_path / "new" / "folder", {"data": "a"}).get("k") == {"loss": value}


def test_other_data_are_neither_found_nor_harmed(tmp_path):
    Journal(tmp_path, {"data": "a"}).put("k", {"loss": 1.0})
    other = Journal(tmp_path, {"data": "b"})
    assert (other.get("k"), other.others()) == (None, 1)
    other.clear()
    assert Journal(tmp_path, {"data": "a"}).get("k") == {"loss": 1.0}


def test_clear_forgets(tmp_path):
    journal = Journal(tmp_path, {})
    journal.put("k", {})
    journal.clear()
    assert "k" not in journal
    journal.put("l", {"x": 1})
    assert len(Journal(tmp_path, {})) == 1


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_half_written_line_is_dropped_and_the_rest_stays(tmp_path, cut, caplog):
    journal = Journal(tmp_path, {})
    journal.put("first", {"loss": 1.0})
    journal.put("second", {"loss": 2.0})
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    with caplog.at_level(logging.WARNING, logger="efg_jax"):
        again = Journal(tmp_path, {})
    assert "half written" in caplog.text
    assert ("first" in again, "second" in again) == (True, False)
    again.put("second", {"loss": 3.0})
    assert Journal(tmp_path, {}).get("second") == {"loss": 3.0}


def test_a_killed_process_loses_nothing_that_it_had_put(tmp_path):
    program = (
        "import os, signal; from efg_jax.storage.journal import Journal; j = Journal(os.environ['FOLDER'], {});"
        "j.put('a', {'x': 1}); os.kill(os.getpid(), signal.SIGKILL)"
    )
    import os

    done = subprocess.run([sys.executable, "-c", program], env={**os.environ, "FOLDER": str(tmp_path)}, check=False)
    assert done.returncode == -9
    assert Journal(tmp_path, {}).get("a") == {"x": 1}


def test_what_is_no_journal_is_refused_with_its_name(tmp_path):
    path = Journal(tmp_path, {}).path
    path.write_text("something else\n")
    with pytest.raises(InputError, match="delete it") as error:
        Journal(tmp_path, {})
    assert path.name in str(error.value)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="name another"):
        Journal(tmp_path / "file", {})
    path.write_text(json.dumps({"format": "efg_jax journal", "version": 99, "identity": {}}) + "\n")
    with pytest.raises(InputError, match="delete it"):
        Journal(tmp_path, {})


def test_fingerprint_sees_every_bit_of_the_structures():
    atoms = bulk("Si")
    atoms.arrays["efg"] = np.zeros((2, 9))
    same, moved, other, labelled = atoms.copy(), atoms.copy(), atoms.copy(), atoms.copy()
    moved.positions[0, 0] = np.nextafter(moved.positions[0, 0], 1.0)
    other.numbers[0] = 32
    labelled.arrays["efg"][1, 3] = 1e-300
    prints = [fingerprint([frame], ("efg",)) for frame in (atoms, same, moved, other, labelled)]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4
    assert fingerprint([atoms]) == fingerprint([labelled])
