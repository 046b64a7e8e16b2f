# SPDX-License-Identifier: Apache-2.0
"""What changes a verdict wakes; what our own looks cause, and counters, do not."""

import asyncio
import gzip
import os
from pathlib import Path

import pytest
from tests.recordings import DATA
from tests.unit.probes.hints.ears import Ear

from tidegate.clients import errors
from tidegate.clients.drbd import events2
from tidegate.clients.drbd.client import DrbdClient
from tidegate.core.facts import HostFacts
from tidegate.core.ids import BootId, NodeName
from tidegate.core.snapshot import Fact, Liveness, Snapshot, Source, SourceState
from tidegate.core.trouble import Trouble
from tidegate.probes.hints.drbd import DrbdListener, Essence

DEVICE = (
    "device name:r volume:0 minor:1000 backing_dev:/dev/vg0/r disk:UpToDate client:no open:no"
    " quorum:yes size:1048576 read:10 written:0 al-writes:0 bm-writes:0 upper-pending:0"
    " lower-pending:0 al-suspended:no blocked:no"
)
RESOURCE = (
    "resource name:r role:Secondary suspended:no force-io-failures:no write-ordering:flush"
    " may_promote:yes promotion_score:10102"
)
PEER = (
    "peer-device name:r peer-node-id:1 conn-name:n2 volume:0 replication:Established"
    " peer-disk:UpToDate peer-client:no resync-suspended:no received:0 sent:0 out-of-sync:0"
    " pending:0 unacked:0"
)


def event(line: str) -> events2.Event:
    found = events2.parse(line)
    assert isinstance(found, events2.Event)
    return found


def stood(*lines: str) -> Essence:
    essence = Essence()
    assert not essence.changed_by([event(f"exists {line}") for line in lines])
    assert essence.changed_by([event("exists -")]), "the start is news"
    return essence


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (DEVICE, {"open:no": "open:yes"}),
        (DEVICE, {"read:10": "read:138"}),
        (DEVICE, {"written:0": "written:4096", "al-writes:0": "al-writes:3"}),
        (DEVICE, {"upper-pending:0": "upper-pending:2", "lower-pending:0": "lower-pending:2"}),
        (DEVICE, {"al-suspended:no": "al-suspended:yes", "blocked:no": "blocked:upper"}),
        (DEVICE, {}),
        (PEER, {"out-of-sync:0": "out-of-sync:512", "received:0": "received:99"}),
        (RESOURCE, {"write-ordering:flush": "write-ordering:drain"}),
    ],
)
def test_opening_a_device_and_counting_wakes_nobody(line: str, words: dict[str, str]) -> None:
    essence = stood(line)
    for before, after in words.items():
        line = line.replace(before, after)
    assert not essence.changed_by([event(f"change {line}")])


@pytest.mark.parametrize(
    ("line", "before", "after"),
    [
        (DEVICE, "disk:UpToDate", "disk:Failed"),
        (DEVICE, "quorum:yes", "quorum:no"),
        (DEVICE, "client:no", "client:yes"),
        (DEVICE, "size:1048576", "size:2097152"),
        (RESOURCE, "role:Secondary", "role:Primary"),
        (RESOURCE, "suspended:no", "suspended:quorum"),
        (RESOURCE, "may_promote:yes", "may_promote:no"),
        (RESOURCE, "promotion_score:10102", "promotion_score:10101"),
        (PEER, "replication:Established", "replication:SyncTarget"),
        (PEER, "peer-disk:UpToDate", "peer-disk:Outdated"),
    ],
)
def test_what_is_judged_by_wakes_once(line: str, before: str, after: str) -> None:
    essence = stood(line)
    changed = event(f"change {line.replace(before, after)}")
    assert essence.changed_by([changed])
    assert not essence.changed_by([changed])


def test_lines_that_carry_only_what_changed_are_understood() -> None:
    essence = stood(DEVICE)
    assert essence.changed_by([event("change device name:r volume:0 minor:1000 disk:Failed")])
    assert not essence.changed_by([event("change device name:r volume:0 minor:1000 open:yes")])
    assert essence.changed_by([event("change device name:r volume:0 disk:UpToDate")])


@pytest.mark.parametrize(
    "line",
    [
        "create resource name:new role:Secondary suspended:no",
        "destroy device name:r volume:0",
        "rename resource name:r new_name:s",
        "create connection name:r peer-node-id:2 conn-name:n3 connection:StandAlone role:Unknown",
        "create path name:r peer-node-id:1 conn-name:n2 local:ipv4:1 peer:ipv4:2 established:no",
    ],
)
def test_what_comes_and_goes_wakes(line: str) -> None:
    assert stood(DEVICE, RESOURCE).changed_by([event(line)])


@pytest.mark.parametrize(
    "line",
    [
        "call helper name:r peer-node-id:1 conn-name:n2 helper:before-resync-target",
        "response helper name:r helper:before-resync-target status:0",
        "change moon name:r phase:full",
    ],
)
def test_what_nobody_judges_by_wakes_nobody(line: str) -> None:
    assert not stood(DEVICE).changed_by([event(line)])


def test_a_recorded_boot_wakes_for_less_than_it_tells() -> None:
    path = DATA / "fullstack" / "s2-power-loss" / "n1" / "events2.txt.gz"
    lines = gzip.decompress(path.read_bytes()).decode().splitlines()
    essence, woken, told = Essence(), 0, 0
    state: set[str] = set()
    for line in lines:
        found = events2.parse(line)
        if isinstance(found, events2.Event):
            told += 1
            woken += essence.changed_by([found])
            state.add(found.action)
    assert state >= {"exists", "create", "change"}
    assert 0 < woken < told


def test_names_without_end_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tidegate.probes.hints.drbd.MOST_OBJECTS", 100)
    essence = Essence()
    for number in range(1000):
        assert essence.changed_by([event(f"create resource name:r{number} role:Secondary")])
        assert len(essence._objects) <= 100


# --- the listener ------------------------------------------------------------------------------


def listener(tmp_path: Path, body: str) -> DrbdListener:
    tool = tmp_path / "drbdsetup"
    tool.write_text(f"#!/bin/sh\n{body}\n")
    tool.chmod(0o755)
    return DrbdListener(DrbdClient(drbdsetup=str(tool), module_file=None, deadline=5.0))


async def test_it_wakes_at_the_start_and_for_news_only(tmp_path: Path) -> None:
    go = tmp_path / "go"
    os.mkfifo(go)
    one = listener(
        tmp_path,
        f"""printf "exists {DEVICE}\\nexists -\\n"
        read word < {go}
        echo "change {DEVICE.replace("open:no", "open:yes")}"
        read word < {go}
        echo "change {DEVICE.replace("disk:UpToDate", "disk:Failed")}" """,
    )
    ear = Ear()
    pipe = os.open(
        go, os.O_RDWR
    )  # both ways, so that neither opening nor writing waits for a reader

    async def tell() -> None:
        await ear.until(1)
        os.write(pipe, b"go\n")
        await ear.another()
        os.write(pipe, b"go\n")

    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(tell())
            with pytest.raises(errors.ClientError) as caught:
                await one.listen(ear)
    finally:
        os.close(pipe)
    assert caught.value.code == "drbd.lost"
    assert [bool(one.wakes) for one in ear.heard] == [True, False, True]
    assert ear.heard[0].wakes == {Source.DRBD, Source.DEVICES}


def snapshot(*, module: str | None, liveness: Liveness = Liveness.UP) -> Snapshot:
    host = HostFacts(drbd_module=module, satellite_present=True)
    return Snapshot(
        at=1.0,
        boot_id=BootId("b"),
        boot_wall=0.0,
        node=NodeName("n1"),
        sources={Source.DRBD: SourceState(liveness=liveness, trouble=Trouble(code="x", text="x"))},
        host=Fact(value=host, source=Source.HOST, at=1.0, since=1.0),
    )


def test_nothing_is_run_without_module_or_tools(tmp_path: Path) -> None:
    one = listener(tmp_path, "exit 1")
    assert one.worthwhile(snapshot(module="9.2.16"))
    assert one.worthwhile(snapshot(module="9.2.16", liveness=Liveness.LOST))
    assert not one.worthwhile(snapshot(module=None))
    assert not one.worthwhile(snapshot(module="9.2.16", liveness=Liveness.OFF))
