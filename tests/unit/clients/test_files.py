# SPDX-License-Identifier: Apache-2.0
import os
import stat
from pathlib import Path

import pytest

from tidegate.clients import errors, files


def test_what_was_written_is_read(tmp_path: Path) -> None:
    files.write(tmp_path / "wanted.json", b"{}")
    assert files.read(tmp_path / "wanted.json") == b"{}"


def test_mode_is_as_asked_whatever_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        files.write(tmp_path / "a", b"x", mode=0o644)
        files.write(tmp_path / "b", b"x", mode=0o600)
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600


def test_a_failed_write_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "wanted.json"
    files.write(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.ClientError) as caught:
        files.write(path, b"new")
    assert caught.value.code == "file.full"
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["wanted.json"]


def test_errors_name_the_path_and_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "file"
    for action in (lambda: files.read(path), lambda: files.write(path, b"")):
        with pytest.raises(errors.ClientError) as caught:
            action()
        assert caught.value.code == "file.missing"
        assert str(path) in caught.value.trouble.text
        assert caught.value.trouble.hint


def test_a_file_larger_than_expected_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * 11)
    assert files.read(tmp_path / "big", limit=11)
    with pytest.raises(errors.ClientError) as caught:
        files.read(tmp_path / "big", limit=10)
    assert caught.value.code == "file.too-big"


def test_text_that_is_not_utf8_is_still_read(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"a\xffb")
    assert files.read_text(tmp_path / "x") == "a�b"


def test_directories_and_links_come_and_go(tmp_path: Path) -> None:
    folder, moved = tmp_path / "folder", tmp_path / "moved"
    files.make_directory(folder, mode=0o750)
    assert folder.stat().st_mode & 0o777 == 0o750
    files.make_link(folder / "link", "target")
    assert (folder / "link").is_symlink()
    assert not files.remove_directory(folder)
    files.remove(folder / "link")
    files.remove(folder / "link")
    files.move(folder, moved)
    assert files.remove_directory(moved)
    assert files.remove_directory(moved)
    files.make_directory(moved)
    (moved / "file").touch()
    files.clear(moved)
    files.clear(moved)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_made_or_removed_names_the_path(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    below = tmp_path / "file" / "below"
    with pytest.raises(errors.ClientError, match=str(below)):
        files.make_directory(below)
    with pytest.raises(errors.ClientError, match=str(below)):
        files.make_link(below, "x")
    with pytest.raises(errors.ClientError, match=str(below)):
        files.move(below, tmp_path / "file" / "other")
