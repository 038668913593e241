"""A journal keeps what was put into it through kills, damage and other users of its folder."""

import json
import logging
import os
import resource
import signal
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
def test_a_half_written_line_costs_its_own_entry_only(tmp_path, cut, caplog):
    """The machine went down within the second line; others went on to write."""
    journal = Journal(tmp_path, {})
    journal.put("first", {"loss": 1.0})
    journal.put("second", {"loss": 2.0})
    journal.path.write_bytes(journal.path.read_bytes()[:-cut])
    journal.put("third", {"loss": 3.0})
    with caplog.at_level(logging.WARNING, logger="efg_jax"):
        again = Journal(tmp_path, {})
    assert [key in again for key in ("first", "second", "third")] == [True, cut == 1, True]
    assert ("1 damaged line" in caplog.text) == (cut > 1)
    again.put("second", {"loss": 4.0})
    whole = Journal(tmp_path, {})
    assert [whole.get(key)["loss"] for key in ("first", "second", "third")] == [1.0, 4.0, 3.0]


WRITER = """
import sys
from efg_jax.storage.journal import Journal
for number in range(30):
    Journal(sys.argv[1], {}).put(f"{sys.argv[2]}-{number}", {"filling": "x" * 20_000 * (number % 3)})
"""


def test_many_processes_lose_nothing(tmp_path):
    """Entries larger than a pipe's or a buffer's atomic write among them; each process opens the journal anew."""
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(rank)]) for rank in range(4)]
    assert [writer.wait() for writer in writers] == [0] * 4
    journal = Journal(tmp_path, {})
    assert len(journal) == 120
    assert len(journal.path.read_bytes().splitlines()) == 121


def test_a_full_disk_is_told_and_costs_nothing_that_was_put(tmp_path):
    """A limit on the size of files stands for the disk's."""
    before, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    journal = Journal(tmp_path, {})
    kept = []

    def fill():
        for number in range(100):
            journal.put(str(number), {"filling": "x" * 70})
            kept.append(str(number))

    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2_000, before[1]))
        with pytest.raises(InputError, match=f"{journal.path.name}.*free some space"):
            fill()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert 10 < len(kept) < 30
    Journal(tmp_path, {}).put("later", {})
    assert all(key in Journal(tmp_path, {}) for key in [*kept, "later"])
    assert len(Journal(tmp_path, {})) == len(kept) + 1


def test_a_killed_process_loses_nothing_that_it_had_put(tmp_path):
    program = (
        "import os, signal; from efg_jax.storage.journal import Journal; j = Journal(os.environ['FOLDER'], {});"
        "j.put('a', {'x': 1}); os.kill(os.getpid(), signal.SIGKILL)"
    )
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
