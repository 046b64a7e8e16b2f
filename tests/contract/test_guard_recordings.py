# SPDX-License-Identifier: Apache-2.0
"""Incus's own recorded calls, through the guard and directly: the same status and the same bytes, rules and all."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web
from tests.unit.guard.test_relay import Controller, call, guard

from tidegate.core.ids import NodeName
from tidegate.guard.asking import Agent
from tidegate.guard.rules import GuardRules, Settings

CALLS = Path(__file__).parent.parent / "data" / "incus-linstor-calls.jsonl"


def recorded() -> Iterator[dict[str, Any]]:
    for line in CALLS.read_text().splitlines():
        if line.strip():
            yield json.loads(line)


def target(found: dict[str, Any]) -> str:
    """Path and query as golinstor writes them."""
    query = "&".join(
        f"{quote(name, safe='')}={quote(value, safe='')}"
        for name, values in found["query"].items()
        for value in values
    )
    return f"{quote(found['path'], safe='/')}{'?' if query else ''}{query}"


@pytest.mark.parametrize("local_truth", [False, True])
async def test_every_recorded_call_passes_byte_for_byte(tmp_path: Path, local_truth: bool) -> None:
    now: dict[str, Any] = {}

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        body = b"" if now["response"] is None else json.dumps(now["response"]).encode()
        return web.Response(status=now["status"], body=body, content_type="application/json")

    rules = GuardRules(
        Agent(tmp_path, knock=0.0),
        NodeName("n1"),
        Settings(local_truth=local_truth),
        clock=time.monotonic,
    )
    controller = Controller(handler)
    seen = 0
    async with controller.serving() as real, guard((real,), rules) as url:
        for now in recorded():
            if now["path"] == "/v1/controller/version":
                continue
            data = None if now["body"] is None else json.dumps(now["body"]).encode()
            direct = await call(f"{real}{target(now)}", now["method"], data=data)
            through = await call(f"{url}{target(now)}", now["method"], data=data)
            assert through[:2] == direct[:2], now
            assert controller.asked[-1] == controller.asked[-2], now
            seen += 1
    assert seen > 50
