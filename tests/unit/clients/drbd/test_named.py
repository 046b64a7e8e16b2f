# SPDX-License-Identifier: Apache-2.0
from pathlib import Path

from tidegate.clients.drbd.named import named


def test_linstors_files_and_peoples_own(tmp_path: Path) -> None:
    assert named(tmp_path) is None, (
        "without LINSTOR's directory nothing follows from a missing name"
    )
    (tmp_path / "var/lib/linstor.d/.backup").mkdir(parents=True)
    (tmp_path / "var/lib/linstor.d/c1.res").touch()
    (tmp_path / "var/lib/linstor.d/auth.json").touch()
    (tmp_path / "etc/drbd.d").mkdir(parents=True)
    (tmp_path / "etc/drbd.d/own.res").write_text('resource "mine" {\n}\n  resource other{ }\n')
    (tmp_path / "etc/drbd.d/linstor-resources.res").write_text(
        'include "/var/lib/linstor.d/*.res";\n'
    )
    assert named(tmp_path) == ("c1", "mine", "other")


def test_what_cannot_be_read_is_not_taken_for_nothing(tmp_path: Path) -> None:
    (tmp_path / "var/lib/linstor.d").mkdir(parents=True)
    (tmp_path / "etc/drbd.d/torn.res").mkdir(parents=True)
    assert named(tmp_path) is None
