# SPDX-License-Identifier: Apache-2.0
"""Figures of boots: kept, read beside the agent that writes, and added to a file of before there were any."""

import sqlite3
from pathlib import Path

from tidegate.core.trouble import Trouble
from tidegate.history import boots, store
from tidegate.history.store import open_history


def boot(path: Path, name: str, began: float, *measures: tuple[str, str, float]) -> None:
    history, troubles = open_history(path, name)
    assert troubles == ()
    history.begin_boot("n1", began)
    history.add_measures(measures)
    history.close()


def test_the_last_boots_come_oldest_first_with_their_figures(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    for number in range(4):
        boot(
            path,
            f"b{number}",
            1000.0 * number,
            ("last-instance", "", float(number)),
            ("instance-start", "instance/p/c", 0.5),
        )
    found = boots.read_boots(path, most=3)
    assert not isinstance(found, Trouble)
    assert [one.boot_id for one in found] == ["b1", "b2", "b3"]
    assert found[-1].measures == (
        ("last-instance", "", 3.0),
        ("instance-start", "instance/p/c", 0.5),
    )
    again, _ = open_history(path, "b3")
    assert ("last-instance", "", 3.0) in again.measures()
    again.close()


def test_it_is_read_while_the_agent_writes(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    history, _ = open_history(path, "b")
    history.begin_boot("n1", 1.0)
    history.add_measures([("last-instance", "", 2.0)])
    found = boots.read_boots(path, most=3)
    assert not isinstance(found, Trouble)
    assert found[0].measures == (("last-instance", "", 2.0),)
    history.close()


def test_a_file_of_before_there_were_figures_gets_them(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    old = sqlite3.connect(path)
    old.executescript(f"BEGIN;{store._STEPS[1]}PRAGMA user_version = 1;COMMIT;")
    old.execute("INSERT INTO boot VALUES ('old', 'n1', 5.0)")
    old.commit()
    old.close()
    assert boots.read_boots(path, most=3) == (), "read by a command before the agent was restarted"
    boot(path, "new", 10.0, ("last-instance", "", 2.0))
    found = boots.read_boots(path, most=3)
    assert not isinstance(found, Trouble)
    assert [(one.boot_id, len(one.measures)) for one in found] == [("old", 0), ("new", 1)]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    missing = boots.read_boots(tmp_path / "none.db", most=3)
    assert isinstance(missing, Trouble)
    assert missing.code == "history.missing"
    (tmp_path / "garbage.db").write_bytes(b"no database at all" * 100)
    garbage = boots.read_boots(tmp_path / "garbage.db", most=3)
    assert isinstance(garbage, Trouble)
    assert garbage.code == "history.unreadable"
    assert list(tmp_path.iterdir()) == [tmp_path / "garbage.db"], "reading writes nothing"
