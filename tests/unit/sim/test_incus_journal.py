# SPDX-License-Identifier: Apache-2.0
"""Incus's own log format (facts/incus.md 6.1)."""

import pytest
from tests import scripted_incus
from tests.scripted_incus import Lab

from tidegate.sim.incus.journal import LIMIT, Journal, Level, quoted


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("remote", "remote"),
        ("/var/lib/incus", "/var/lib/incus"),
        ("7.0.2", "7.0.2"),
        ("Node n1 is offline", '"Node n1 is offline"'),
        ("http://10.99.0.1:3370", '"http://10.99.0.1:3370"'),
        ('Failed to mount "/dev/drbd1"', '"Failed to mount \\"/dev/drbd1\\""'),
    ],
)
def test_values_are_quoted_as_logrus_does(value: str, written: str) -> None:
    assert quoted(value) == written


def test_a_line_is_what_incusd_writes() -> None:
    journal = Journal(1795411389.0, lambda: 0.9)
    journal.write(
        Level.ERROR, "Failed mounting storage pool", pool="remote", err="Node n1 is offline"
    )
    assert journal.shown(verbose=False) == [
        'time="2026-11-23T05:23:09Z" level=error msg="Failed mounting storage pool" err="Node n1 is offline" pool=remote'
    ]


def test_without_verbose_only_warnings_and_worse_are_shown() -> None:
    """G3."""
    lab = Lab()
    lab.front.mount = scripted_incus.OFFLINE
    lab.booted()
    (line,) = lab.model.journal.shown(verbose=False)
    assert "Failed mounting storage pool" in line
    verbose = lab.model.journal.shown(verbose=True)
    assert any("Daemon started" in text for text in verbose)
    assert not any("level=debug" in text for text in verbose)


def test_the_list_is_bounded() -> None:
    journal = Journal(0.0, lambda: 0.0)
    for number in range(LIMIT + 5):
        journal.write(Level.INFO, str(number))
    kept = [line.msg for line in journal]
    assert len(kept) == LIMIT
    assert kept[0] == "5"
