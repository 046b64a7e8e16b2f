# SPDX-License-Identifier: Apache-2.0
"""Every recorded call, of Incus to a controller and of all kinds to a real LINSTOR, directly and through the guard, rules and all: the
same status and the same bytes both ways (issue 6, "It must show" 2). What would harm Incus is the one exception, and is told."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest
from tests import linstor_recordings, recordings
from tests.guard_wire import Got, Line, Wire, answer, request
from tests.unit.guard.test_relay import guard

from tidegate.core.ids import NodeName
from tidegate.guard.asking import Agent
from tidegate.guard.rules import GuardRules, Settings

NODE = "n1"
INCUS = (
    recordings.DATA / "incus-linstor-calls.jsonl",
    *sorted((recordings.DATA / "incus-boots").glob("*.calls.jsonl")),
)
REAL = sorted(
    path.name.removesuffix(".jsonl.gz")
    for path in linstor_recordings.ROOT.glob("*.jsonl.gz")
    if not path.name.endswith(".timeline.jsonl.gz")
    and not path.name.startswith(("e_start_times", "g_tls"))
)


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One call as it was recorded."""

    method: str
    target: str
    body: bytes | None
    status: int
    said: bytes
    """The answer's body."""

    @property
    def harms(self) -> bool:
        """An answer that must never reach Incus as it is: no volume, a volume without a device; or one that is asked for anew (A2)."""
        path, own = self.target.partition("?")[0], f"/resources/{NODE}/"
        if own not in path or not path.endswith(("/volumes", "/make-available")):
            return False
        found = json.loads(self.said or b"null")
        if self.status == 500:
            return not any("message" in one for one in found) or b"PeerClosing" in self.said
        is_list = path.endswith("/volumes") and self.status == 200
        return is_list and (not found or not all(one.get("device_path") for one in found))


def of_incus(path: Path) -> Iterator[Exchange]:
    """Incus's calls, in the words of its client."""
    for line in path.read_text().splitlines():
        found = json.loads(line)
        query = "&".join(
            f"{quote(name, safe='')}={quote(value, safe='')}"
            for name, values in found["query"].items()
            for value in values
        )
        yield Exchange(
            method=found["method"],
            target=f"{quote(found['path'], safe='/')}{'?' if query else ''}{query}",
            body=_bytes(found["body"]),
            status=found["status"],
            said=_bytes(found["response"]) or b"",
        )


def of_linstor(case: str) -> Iterator[Exchange]:
    """The calls of one case, each that differs once."""
    seen = set()
    for found in linstor_recordings.exchanges(case):
        one = Exchange(
            method=found.method,
            target=found.path,
            body=found.request_bytes if found.req_body is not None else None,
            status=found.status,
            said=_bytes(found.body) or b"",
        )
        if one not in seen:
            seen.add(one)
            yield one


def _bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else json.dumps(value).encode()


async def replay(all_of_them: Iterator[Exchange], directory: Path, *, local_truth: bool) -> int:
    """Make each call twice; returns how many there were."""
    count = 0
    agent = Agent(directory, knock=0.0)
    settings = Settings(local_truth=local_truth)
    rules = GuardRules(agent, NodeName(NODE), settings, clock=time.monotonic)
    wire = Wire()
    async with (
        wire.serving(),
        guard((wire.url,), rules) as url,
        Line.to(wire.port) as direct,
        Line.to(int(url.rpartition(":")[2])) as through,
    ):
        for one in all_of_them:
            if one.target == "/v1/controller/version" and one.status != 200:
                continue
            wire.says(answer(one.said, f"{one.status} Said"))
            sent = request(one.method, one.target, one.body)
            first, second = await direct.ask(sent), await through.ask(sent)
            compare(one, first, second)
            if wire.asked and not one.harms:
                assert wire.asked[-1].body == wire.asked[-2].body == (one.body or b"")
                assert wire.asked[-1].target == one.target
                assert {asked.method for asked in wire.asked} == {one.method}
            wire.asked.clear()
            count += 1
    return count


def compare(one: Exchange, direct: Got, through: Got) -> None:
    if one.harms:
        (said,) = json.loads(through.body)
        assert through.status == 500
        assert said["message"].startswith("Tidegate: "), one
        return
    assert (through.status, through.body) == (direct.status, direct.body), one
    assert through.kept() == direct.kept()


@pytest.mark.parametrize("local_truth", [False, True])
@pytest.mark.parametrize("path", INCUS, ids=lambda path: path.name)
async def test_every_call_of_incus(path: Path, tmp_path: Path, local_truth: bool) -> None:
    assert await replay(of_incus(path), tmp_path, local_truth=local_truth) > 5


@pytest.mark.parametrize("case", REAL)
async def test_every_call_to_a_real_linstor(case: str, tmp_path: Path) -> None:
    await replay(of_linstor(case), tmp_path, local_truth=False)


def test_there_are_thousands() -> None:
    assert sum(1 for case in REAL for _ in of_linstor(case)) > 2500
