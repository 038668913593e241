"""A file is there whole, or is what it was before."""

import errno
import os
import stat

import numpy as np
import pytest

from efg_jax.errors import InputError
from efg_jax.storage.atomic_write import atomic_write


def test_success_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "model.npz"
    path.write_text("old")
    path.chmod(0o640)
    with atomic_write(path) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".npz"
        np.savez(temporary, a=np.arange(3))
        assert path.read_text() == "old"
    assert np.load(path)["a"].tolist() == [0, 1, 2]
    assert os.listdir(tmp_path) == ["model.npz"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_failure_leaves_what_was_there(tmp_path):
    path = tmp_path / "report.json"
    path.write_text("old")
    with pytest.raises(TypeError), atomic_write(path) as temporary:
        temporary.write_text("half") + "stop"
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.json"]


def test_a_new_file_gets_the_mode_of_the_umask(tmp_path):
    with atomic_write(tmp_path / "a.json") as temporary:
        temporary.write_text("{}")
    (tmp_path / "b.json").write_text("{}")
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b.json").stat().st_mode


def test_a_link_is_followed(tmp_path):
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    with atomic_write(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "new"


def test_a_device_is_written_to_and_not_replaced():
    with atomic_write("/dev/null") as temporary:
        temporary.write_text("nothing")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing/out.json", "missing does not exist; make it first"),
        (".", "is a folder"),
        ("file/out.json", "not a folder"),
    ],
)
def test_an_unusable_place_is_said_before_any_work(tmp_path, name, message):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=message), atomic_write(tmp_path / name):
        pytest.fail("the block must not run")
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission_is_said(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(InputError, match="cannot write into"), atomic_write(tmp_path / "out.json"):
        pytest.fail("the block must not run")


def test_a_full_disk_is_one_line(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    where = atomic_write(tmp_path / "out.json")
    with pytest.raises(InputError, match=r"out\.json: could not be written .*free some space"), where:
        raise full
    assert os.listdir(tmp_path) == []
