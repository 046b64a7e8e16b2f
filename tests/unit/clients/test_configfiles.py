# SPDX-License-Identifier: Apache-2.0
"""Reading our own configuration files: what is not there is fine, what cannot be read is one clear error."""

from pathlib import Path

import pytest

from tidegate.clients import configfiles, errors


def read(folder: Path) -> tuple[tuple[str, str], ...]:
    return configfiles.read(main=folder / "tidegate.toml", drop_ins=folder / "conf.d")


def test_no_file_is_needed(tmp_path: Path) -> None:
    assert read(tmp_path) == ()


def test_the_main_file_then_drop_ins_by_name(tmp_path: Path) -> None:
    (tmp_path / "tidegate.toml").write_text("main")
    (tmp_path / "conf.d").mkdir()
    for name in ("20-b.toml", "10-a.toml", "30-c.toml~", ".40.toml", "README"):
        (tmp_path / "conf.d" / name).write_text(name)
    assert [(Path(path).name, text) for path, text in read(tmp_path)] == [
        ("tidegate.toml", "main"),
        ("10-a.toml", "10-a.toml"),
        ("20-b.toml", "20-b.toml"),
    ]


def test_drop_ins_count_without_a_main_file(tmp_path: Path) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / "conf.d" / "a.toml").write_text("x")
    assert [text for _, text in read(tmp_path)] == ["x"]


def test_a_file_that_was_named_is_read_alone_and_must_be_there(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    with pytest.raises(errors.ClientError, match=r"cannot read .*mine\.toml") as caught:
        configfiles.read(path)
    assert caught.value.code == "config.unreadable"
    path.write_text("mine")
    assert configfiles.read(path) == ((str(path), "mine"),)


def test_a_directory_in_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "tidegate.toml").mkdir()
    with pytest.raises(errors.ClientError, match=r"tidegate\.toml") as caught:
        read(tmp_path)
    assert caught.value.code == "config.unreadable"


def test_a_file_in_place_of_the_directory(tmp_path: Path) -> None:
    (tmp_path / "conf.d").write_text("")
    with pytest.raises(errors.ClientError, match=r"conf\.d") as caught:
        read(tmp_path)
    assert caught.value.code == "config.unreadable"


def test_what_is_not_utf_8(tmp_path: Path) -> None:
    (tmp_path / "tidegate.toml").write_bytes(b"name = '\xff'")
    with pytest.raises(errors.ClientError, match="is not UTF-8"):
        read(tmp_path)


@pytest.mark.parametrize("place", ["tidegate.toml", "conf.d/a.toml"])
def test_a_link_that_leads_nowhere_is_not_silently_left_out(tmp_path: Path, place: str) -> None:
    (tmp_path / "conf.d").mkdir()
    (tmp_path / place).symlink_to(tmp_path / "nowhere")
    with pytest.raises(errors.ClientError) as caught:
        read(tmp_path)
    assert caught.value.code == "config.unreadable"
