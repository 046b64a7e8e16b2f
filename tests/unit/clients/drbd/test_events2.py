# SPDX-License-Identifier: Apache-2.0
import gzip
from pathlib import Path

import pytest
from tests.recordings import DATA

from tidegate.clients.drbd import events2

_PLAIN = sorted((DATA / "drbd").rglob("*events2*.txt"))


def _lines(path: Path) -> list[str]:
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return data.decode().splitlines()


@pytest.mark.parametrize("path", _PLAIN, ids=lambda p: "/".join(p.parts[-3:]))
def test_every_recorded_line_is_understood(path: Path) -> None:
    for line in _lines(path):
        event = events2.parse(line)
        assert not isinstance(event, events2.Malformed), line
        if event is not None:
            assert event.action in set(events2.Action), line
            assert event.kind in set(events2.Kind), line


def test_a_whole_boot_is_understood() -> None:
    path = DATA / "fullstack" / "s2-power-loss" / "n1" / "events2.txt.gz"
    events = [events2.parse(line) for line in _lines(path)]
    assert len(events) > 90
    assert not any(isinstance(event, events2.Malformed) for event in events)


def test_there_are_recordings() -> None:
    assert len(_PLAIN) > 130


def test_a_line_in_full() -> None:
    event = events2.parse(
        "2026-11-23T06:21:20.763922+00:00 exists path name:r peer-node-id:2 conn-name:n3 "
        "local:ipv6:[fe80::1%eth0]:7000 peer:ipv4:10.99.0.3:7000 established:no"
    )
    assert isinstance(event, events2.Event)
    assert event.timestamp == "2026-11-23T06:21:20.763922+00:00"
    assert (event.action, event.kind, event.resource) == ("exists", "path", "r")
    assert event.keys["local"] == "ipv6:[fe80::1%eth0]:7000"
    assert not event.is_end_of_initial_state


@pytest.mark.parametrize("line", ["exists -", "2026-11-23T06:21:20.767249+00:00 exists -\n"])
def test_the_end_of_the_initial_state(line: str) -> None:
    event = events2.parse(line)
    assert isinstance(event, events2.Event)
    assert event.is_end_of_initial_state


def test_words_of_later_versions_are_kept() -> None:
    event = events2.parse("merge tunnel name:r colour:blue empty:")
    assert isinstance(event, events2.Event)
    assert event.action == "merge"
    assert event.keys == {"name": "r", "colour": "blue", "empty": ""}


@pytest.mark.parametrize("line", ["", "   ", "# drbd module seen", "### 2026 kill"])
def test_what_is_no_line_is_nothing(line: str) -> None:
    assert events2.parse(line) is None


@pytest.mark.parametrize(
    "line",
    [
        "exists",
        "2026-11-23T06:21:20.763922+00:00",
        "change device name:r volume:0 min",
        "Failed to modprobe drbd (Success)",
        "exists device volume:0",
    ],
)
def test_what_is_cut_or_an_error_text_is_marked(line: str) -> None:
    assert isinstance(events2.parse(line), events2.Malformed)
