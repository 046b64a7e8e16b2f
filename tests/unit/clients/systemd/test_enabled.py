# SPDX-License-Identifier: Apache-2.0
"""A unit is enabled when another pulls it in by a link, whatever that one is, and wherever the link leads."""

from pathlib import Path

import pytest

from tidegate.clients.systemd.enabled import is_enabled

UNIT = "tidegate-agent.service"


@pytest.mark.parametrize("pulls", ["multi-user.target.wants", "storage.target.requires"])
def test_a_link_of_another_unit_enables_it(tmp_path: Path, pulls: str) -> None:
    (tmp_path / pulls).mkdir()
    (tmp_path / pulls / UNIT).symlink_to("/nowhere")
    assert is_enabled(UNIT, [tmp_path / "none", tmp_path])


def test_a_file_alone_does_not(tmp_path: Path) -> None:
    (tmp_path / UNIT).touch()
    (tmp_path / f"{UNIT}.d").mkdir()
    assert not is_enabled(UNIT, [tmp_path])


def test_a_masked_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "multi-user.target.wants").mkdir()
    (tmp_path / "multi-user.target.wants" / UNIT).symlink_to("/nowhere")
    (tmp_path / UNIT).symlink_to("/dev/null")
    assert not is_enabled(UNIT, [tmp_path])
