# SPDX-License-Identifier: Apache-2.0
"""Every wait for a controller ends: by the patience of its class, and sooner once the controller does not even say its version."""

import asyncio
from collections.abc import Mapping

import pytest
from tests.guard_wire import Asked, Wire, answer, ask, request
from tests.unit.guard.test_relay import Named, guard

from tidegate.guard import limits
from tidegate.guard.interface import CallClass, ForwardThen, Patience, plain_error


def patience(**answer: float) -> Mapping[CallClass, Patience]:
    """Patience without end, but for the classes named."""
    return {kind: Patience(answer=answer.get(kind.value, 600.0), hung=0.0) for kind in CallClass}


async def answers_well(port: int) -> None:
    """Wait until the controller's own answer comes through."""
    async with asyncio.timeout(60):
        while (await ask(port, request("GET", "/v1/nodes"))).status != 200:  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def test_a_call_ends_when_its_patience_is_over_and_so_does_each_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "PATIENCE", patience(change=0.4))
    never = asyncio.Event()

    async def answers(asked: Asked) -> bytes:
        if asked.target == "/never":
            await never.wait()
        return answer()

    async with Wire(answers).serving() as wire, guard((wire.url,)) as url:
        port = int(url.rpartition(":")[2])
        for _ in range(2):
            several = (ask(port, request("POST", "/never", b"{}")) for _ in range(5))
            assert {got.status for got in await asyncio.gather(*several)} == {504}
            await answers_well(port)
        wire.drop()


async def test_one_that_accepts_and_hangs_is_found_out_by_its_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next calls are told at once, and one that is well again is asked again."""
    monkeypatch.setattr(limits, "PATIENCE", patience())
    monkeypatch.setattr(limits, "CHECK_AFTER", 0.2)
    monkeypatch.setattr(limits, "CHECK_LIMIT", 1.0)
    wire = Wire(answer())
    async with wire.serving(), guard((wire.url,)) as url:
        port = int(url.rpartition(":")[2])
        await answers_well(port)
        wire.hangs = True
        for _ in range(2):
            async with asyncio.timeout(60):
                got = await ask(port, request("GET", "/v1/nodes"))
            assert got.status == 504
            assert b"Tidegate: " in got.body
        wire.hangs = False
        wire.drop()
        await answers_well(port)


async def test_where_nobody_helps_a_silent_controller_is_waited_for_as_incus_would(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In use before or never heard of: what starts meanwhile starts when it answers, and everything else is told at once."""
    monkeypatch.setattr(limits, "CHECK_AFTER", 0.1)
    monkeypatch.setattr(limits, "CHECK_LIMIT", 0.3)
    wire = Wire(answer(b"{}"))
    rules = Named(ForwardThen(limit=limits.UNHELPED.answer, patience=limits.UNHELPED))
    for known in (False, True):
        wire.hangs = not known
        async with wire.serving(), guard((wire.url,), rules) as url, asyncio.timeout(60):
            port = int(url.rpartition(":")[2])
            if known:
                await answers_well(port)
                wire.hangs = True
            waits = asyncio.ensure_future(ask(port, request("GET", "/named")))
            assert (await ask(port, request("GET", "/v1/nodes"))).status == 504
            done, _ = await asyncio.wait({waits}, timeout=limits.UNREACHED + 0.5)
            assert not done
            wire.hangs = False
            wire.drop()
            assert (await waits).status == 200


async def test_who_waits_so_is_told_at_once_when_help_comes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "JUDGED_AGAIN", 0.05)
    wire = Wire(answer(b"{}"))
    wire.hangs = True
    rules = Named(ForwardThen(limit=limits.UNHELPED.answer, patience=limits.UNHELPED))
    async with wire.serving(), guard((wire.url,), rules) as url, asyncio.timeout(60):
        port = int(url.rpartition(":")[2])
        waits = asyncio.ensure_future(ask(port, request("GET", "/named")))
        done, _ = await asyncio.wait({waits}, timeout=0.5)
        assert not done
        rules.verdict = ForwardThen(limit=0.2, otherwise=plain_error(503, 0, "comes back"))
        got = await waits
        wire.drop()
    assert got.status == 503
    assert b"comes back" in got.body


async def test_a_controller_that_refuses_is_not_waited_for_even_so() -> None:
    rules = Named(ForwardThen(limit=limits.UNHELPED.answer, patience=limits.UNHELPED))
    async with guard(("http://127.0.0.1:9",), rules) as url, asyncio.timeout(10):
        assert (await ask(int(url.rpartition(":")[2]), request("GET", "/named"))).status == 503
