# SPDX-License-Identifier: Apache-2.0
"""The DRBD probe with a program that answers what a real drbdsetup answered."""

import re
import shlex
from pathlib import Path

from tests import recordings

from tidegate.clients.drbd.client import DrbdClient
from tidegate.core.ids import ResourceName
from tidegate.core.snapshot import Liveness
from tidegate.probes import base, drbd

NEED = base.Need()
EVENTS = (
    recordings.DATA
    / "drbd"
    / "two-guests_kmod-9.3.3_utils-9.34.0"
    / "n2"
    / "35-healed"
    / "events2-full-timestamps-now.txt"
)


class Clock:
    """A clock that the test turns."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def program(folder: Path, body: str) -> str:
    """Write a program called drbdsetup that also counts how often each subcommand ran."""
    path = folder / "drbdsetup"
    path.write_text(f'#!/bin/sh\necho "$1" >> {shlex.quote(str(folder))}/calls\n{body}\n')
    path.chmod(0o755)
    return str(path)


def answering(folder: Path, events: Path, show: str = "[]") -> str:
    return program(
        folder,
        f'case "$1" in events2) cat {shlex.quote(str(events))};; show) echo {shlex.quote(show)};; esac',
    )


def probe(setup: str, clock: Clock, *, module: Path | None = None) -> drbd.DrbdProbe:
    client = DrbdClient(drbdsetup=setup, module_file=module, deadline=5.0)
    return drbd.DrbdProbe(client, clock=clock)


async def test_all_resources_with_the_quorum_rule(tmp_path: Path) -> None:
    name = next(
        word.removeprefix("name:")
        for word in EVENTS.read_text().split()
        if word.startswith("name:")
    )
    show = f'[{{"resource":"{name}","options":{{"quorum":"majority"}}}}]'
    seen = await probe(answering(tmp_path, EVENTS, show), Clock()).look(NEED)
    assert (seen.liveness, seen.trouble, seen.at) == (Liveness.UP, None, 50.0)
    assert seen.drbd is not None
    assert seen.drbd[name].quorum_policy == "majority"
    assert seen.drbd[name].devices


async def test_the_quorum_rule_is_not_read_at_every_look(tmp_path: Path) -> None:
    clock = Clock()
    looked = probe(answering(tmp_path, EVENTS), clock)
    await looked.look(NEED)
    clock.now += 1.0
    await looked.look(NEED)
    clock.now += drbd.QUORUM_EVERY
    await looked.look(NEED)
    calls = (tmp_path / "calls").read_text().split()
    assert calls.count("events2") == 3
    assert calls.count("show") == 2


async def test_an_unreadable_quorum_rule_loses_nothing_else(tmp_path: Path) -> None:
    seen = await probe(answering(tmp_path, EVENTS, "no JSON"), Clock()).look(NEED)
    assert seen.liveness is Liveness.UP
    assert seen.drbd
    assert {resource.quorum_policy for resource in seen.drbd.values()} == {None}


async def test_without_the_module_nothing_is_up_and_nothing_is_run(tmp_path: Path) -> None:
    setup = answering(tmp_path, EVENTS)
    seen = await probe(setup, Clock(), module=tmp_path / "sys-module-drbd").look(NEED)
    assert seen.liveness is Liveness.UP, "that no resource can be up is known for certain"
    assert seen.trouble is not None
    assert seen.trouble.code == "drbd.no-module"
    assert seen.drbd == {}
    assert not (tmp_path / "calls").exists()


async def test_without_drbdsetup(tmp_path: Path) -> None:
    seen = await probe(str(tmp_path / "drbdsetup"), Clock()).look(NEED)
    assert seen.liveness is Liveness.OFF
    assert seen.trouble is not None
    assert seen.trouble.code == "drbd.no-tool"
    assert seen.drbd is None, "the kernel may well have resources: we cannot see them"


async def test_lost_then_back(tmp_path: Path) -> None:
    setup = program(tmp_path, "echo broken >&2; exit 20")
    looked = probe(setup, Clock())
    seen = await looked.look(NEED)
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "drbd.failed"
    assert seen.drbd is None
    answering(tmp_path, EVENTS)
    assert (await looked.look(NEED)).liveness is Liveness.UP


async def test_a_hanging_program_is_lost_in_time(tmp_path: Path) -> None:
    setup = program(tmp_path, "sleep 60")
    client = DrbdClient(drbdsetup=setup, module_file=None, deadline=0.2)
    seen = await drbd.DrbdProbe(client, clock=Clock()).look(NEED)
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert seen.trouble.code == "drbd.timeout"


async def test_switched_off() -> None:
    seen = await drbd.DrbdProbe(None, clock=Clock()).look(NEED)
    assert (seen.liveness, seen.drbd) == (Liveness.OFF, None)


async def test_a_kernel_that_failed_is_asked_no_more(tmp_path: Path) -> None:
    """No program is started that might never end; what is known of DRBD is said to be lost, and why."""
    program = tmp_path / "drbdsetup"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\necho 'exists -'\n")
    program.chmod(0o755)
    client = DrbdClient(drbdsetup=str(program), module_file=None)
    line: list[str] = []
    probe = drbd.DrbdProbe(client, clock=lambda: 1.0, wedged=lambda: line[0] if line else None)
    assert (await probe.look(base.Need())).liveness is Liveness.UP
    (tmp_path / "started").unlink()
    line.append("drbd a: ASSERTION x FAILED")
    seen = await probe.look(base.Need())
    assert seen.liveness is Liveness.LOST
    assert seen.trouble is not None
    assert "ASSERTION x FAILED" in seen.trouble.text
    assert "reboot" in seen.trouble.hint
    assert not (tmp_path / "started").exists()


REST = base.Need(urgency=base.Urgency.REST)


async def test_at_rest_the_same_state_is_not_read_again_though_its_counters_move(
    tmp_path: Path,
) -> None:
    events, clock = tmp_path / "events", Clock()
    text = EVENTS.read_text()
    events.write_text(text)
    looked = probe(answering(tmp_path, events), clock)
    first = await looked.look(REST)
    events.write_text(re.sub(r" (written|sent|al-writes):\d+", r" \1:999999", text))
    clock.now += drbd.QUORUM_EVERY
    second = await looked.look(REST)
    assert second.drbd is first.drbd, "nothing that is judged by has changed"
    assert second.at == clock.now
    assert (tmp_path / "calls").read_text().split().count("show") == 1
    events.write_text(text.replace("disk:UpToDate", "disk:Outdated", 1))
    third = await looked.look(REST)
    assert third.drbd != first.drbd
    assert (tmp_path / "calls").read_text().split().count("show") == 2


async def test_a_quorum_rule_that_changes_alone_is_noticed(tmp_path: Path) -> None:
    name = next(w.removeprefix("name:") for w in EVENTS.read_text().split() if w[:5] == "name:")
    clock = Clock()
    first = probe(answering(tmp_path, EVENTS, "[]"), clock)
    assert {one.quorum_policy for one in ((await first.look(REST)).drbd or {}).values()} == {None}
    answering(tmp_path, EVENTS, f'[{{"resource":"{name}","options":{{"quorum":"majority"}}}}]')
    clock.now += drbd.QUORUM_AT_REST
    assert ((await first.look(REST)).drbd or {})[ResourceName(name)].quorum_policy == "majority"
