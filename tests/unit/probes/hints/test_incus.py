# SPDX-License-Identifier: Apache-2.0
"""Incus is listened to only while it runs, and only what a look would show wakes."""

from pathlib import Path
from typing import Any

import pytest

from tidegate.clients.incus import events, wire
from tidegate.clients.incus.client import IncusClient
from tidegate.core.facts import IncusFacts, IncusPhase, UnitFacts
from tidegate.core.ids import BootId, NodeName, UnitName
from tidegate.core.snapshot import Fact, Liveness, Snapshot, Source, SourceState
from tidegate.probes.hints.base import Heard
from tidegate.probes.hints.incus import IncusListener, concerns


def lifecycle(action: str) -> wire.Lifecycle:
    return wire.Lifecycle(action=action)


@pytest.mark.parametrize(
    "told",
    [
        *(
            lifecycle(action)
            for action in (
                "instance-started",
                "instance-stopped",
                "instance-shutdown",
                "instance-created",
                "instance-deleted",
                "instance-updated",
                "instance-migrated",
                "storage-pool-updated",
                "cluster-member-evacuated",
                "config-updated",
                "warning-acknowledged",
            )
        ),
        wire.Operation(id="1", status_code=200),
        wire.Operation(id="1", status_code=400),
    ],
)
def test_what_changes_the_picture_wakes(told: events.Metadata) -> None:
    assert concerns(told)


@pytest.mark.parametrize(
    "told",
    [
        *(
            lifecycle(action)
            for action in (
                "instance-exec",
                "instance-console",
                "instance-file-pushed",
                "instance-log-retrieved",
                "instance-snapshot-created",
                "image-retrieved",
                "network-updated",
            )
        ),
        wire.Operation(id="1", status_code=103),
        wire.Operation(id="1", status_code=105),
        wire.Logging(message="Starting instance", level="info"),
    ],
)
def test_what_goes_on_all_day_wakes_nobody(told: events.Metadata) -> None:
    assert not concerns(told)


@pytest.mark.parametrize(
    ("active", "sub"),
    [("inactive", "dead"), ("failed", "failed"), ("deactivating", "stop-sigterm")],
)
async def test_a_daemon_that_systemd_says_is_not_there_is_not_connected_to(
    tmp_path: Path, active: str, sub: str
) -> None:
    """The socket is systemd's: a connection would start the daemon."""

    async def unit() -> UnitFacts:
        return UnitFacts(
            name=UnitName("incus.service"), load_state="loaded", active_state=active, sub_state=sub
        )

    heard: list[Heard] = []
    async with IncusClient(tmp_path / "no-socket") as client:
        await IncusListener(client, unit=unit).listen(heard.append)
    assert heard == []


def snapshot(phase: IncusPhase, liveness: Liveness = Liveness.UP) -> Snapshot:
    facts: Fact[Any] = Fact(value=IncusFacts(phase=phase), source=Source.INCUS, at=1.0, since=1.0)
    return Snapshot(
        at=1.0,
        boot_id=BootId("b"),
        boot_wall=0.0,
        node=NodeName("n1"),
        sources={Source.INCUS: SourceState(liveness=liveness)},
        incus=facts,
    )


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (snapshot(IncusPhase.STOPPED), False),
        (snapshot(IncusPhase.STOPPING), False),
        (snapshot(IncusPhase.STARTING, Liveness.STARTING), True),
        (snapshot(IncusPhase.AUTOSTART), True),
        (snapshot(IncusPhase.READY), True),
        (snapshot(IncusPhase.READY, Liveness.LOST), False),
    ],
)
def test_it_is_worthwhile_while_the_daemon_runs(
    tmp_path: Path, seen: Snapshot, expected: bool
) -> None:
    client = IncusClient(tmp_path / "no-socket")
    assert IncusListener(client, unit=None).worthwhile(seen) is expected
