# SPDX-License-Identifier: Apache-2.0
"""Which lines of Incus's log tell of starts and mounts (facts/incus.md 6.2)."""

import pytest

from tidegate.agent import starts
from tidegate.clients.incus import wire
from tidegate.metrics.tally import Told


@pytest.mark.parametrize(
    ("message", "context", "told"),
    [
        ("Starting instance", {"instance": "c1", "project": "p"}, ("starting", "p/c1")),
        ("Started instance", {"instance": "c1", "project": ""}, ("started", "default/c1")),
        (
            "Failed auto start instance attempt",
            {"instance": "c1", "project": "p", "attempt": "1"},
            ("start-failed", "p/c1"),
        ),
        ("Failed mounting storage pool", {"pool": "remote"}, ("pool-failed", "remote")),
        ("Starting instance", {}, None),
        ("Handling API request", {"instance": "c1"}, None),
    ],
)
def test_a_line_tells(message: str, context: dict[str, str], told: tuple[str, str] | None) -> None:
    line = wire.Logging(message=message, level="info", context=context)
    expected = None if told is None else Told(what=told[0], name=told[1], at=3.5)
    assert starts.read(line, 3.5) == expected
