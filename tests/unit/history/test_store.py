# SPDX-License-Identifier: Apache-2.0
"""History must never cost an instance: whatever is wrong with the file, the agent gets a history and a sentence."""

from pathlib import Path

from tidegate.core.action import Outcome, OutcomeKind, StartInstance
from tidegate.core.ids import InstanceId, InstanceName, ProjectName
from tidegate.history.store import HistoryEvent, open_history

EVENT = HistoryEvent(
    at=3.5, kind="finding", code="satellite.offline", subject="satellite", text="OFFLINE"
)
START = StartInstance(
    id="b:1",
    cause="satellite",
    instance=InstanceId(ProjectName("default"), InstanceName("c1")),
    stateful=False,
)


def outcome() -> Outcome:
    return Outcome(
        action=START,
        kind=OutcomeKind.DONE,
        code="instance.started",
        text="c1 runs",
        started_at=4.0,
        ended_at=4.4,
    )


def test_what_was_written_is_there_after_a_restart_of_the_agent(tmp_path: Path) -> None:
    history, troubles = open_history(tmp_path / "history.db", "boot-a")
    history.begin_boot("n1", 1000.0)
    history.add_events([EVENT])
    history.add_outcome(outcome())
    history.close()
    again, more = open_history(tmp_path / "history.db", "boot-a")
    assert troubles == more == ()
    assert again.events() == [EVENT]
    assert again.outcomes() == [
        ("start-instance", "instance/default/c1", "done", "instance.started")
    ]
    again.close()


def test_events_of_another_boot_are_kept_apart(tmp_path: Path) -> None:
    first, _ = open_history(tmp_path / "history.db", "boot-a")
    first.add_events([EVENT])
    first.close()
    second, _ = open_history(tmp_path / "history.db", "boot-b")
    assert second.events() == []
    second.close()


def test_a_damaged_file_is_set_aside_and_said(tmp_path: Path) -> None:
    (tmp_path / "history.db").write_bytes(b"this is no database" * 100)
    history, troubles = open_history(tmp_path / "history.db", "boot-a")
    history.add_events([EVENT])
    assert history.events() == [EVENT]
    assert [trouble.code for trouble in troubles] == ["history.set-aside"]
    assert (tmp_path / "history.db.set-aside").read_bytes().startswith(b"this is no database")
    history.close()


def test_a_directory_that_is_not_there_leaves_a_history_in_memory(tmp_path: Path) -> None:
    history, troubles = open_history(tmp_path / "missing" / "history.db", "boot-a")
    history.add_events([EVENT])
    assert history.events() == [EVENT]
    assert [trouble.code for trouble in troubles] == ["history.in-memory"]
    assert "missing" in troubles[0].text
    history.close()


def test_a_file_of_a_later_form_is_kept(tmp_path: Path) -> None:
    history, _ = open_history(tmp_path / "history.db", "boot-a")
    history._connection.execute("PRAGMA user_version = 99")
    history.close()
    fresh, troubles = open_history(tmp_path / "history.db", "boot-a")
    assert [trouble.code for trouble in troubles] == ["history.set-aside"]
    assert "99" in troubles[0].text
    fresh.close()
