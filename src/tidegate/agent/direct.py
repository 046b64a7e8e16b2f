# SPDX-License-Identifier: Apache-2.0
"""For commands on a host where no agent runs: the same probes, judge and views, for as long as the command needs."""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from tidegate.agent import setup, wiring
from tidegate.agent.views import Views
from tidegate.config.model import Config

LOOK_FOR = 2.5
"""Seconds within which every source should have been heard of; one that was not is shown as unknown."""
ROUNDS = 3
"""Cycles after which what rests on what was learnt first (devices on placements on definitions) has been looked at too."""


def answer(
    request: dict[str, Any], *, overrides: Mapping[str, object], config: str | None, reason: str
) -> tuple[int, str]:
    """Return (exit code, text) for ``request`` from our own look. ``reason`` says why no agent was asked."""
    loaded = setup.load(overrides=overrides, config=config)
    if isinstance(loaded, str):
        return 2, loaded
    last = _drain(_answers(request, loaded, settle=True))[-1]
    note = "" if request.get("format") == "json" else f"\n  ({reason}; this was seen without it)\n"
    return int(last["exit"]), str(last["text"]) + note


def wait(
    request: dict[str, Any], *, overrides: Mapping[str, object], config: str | None, reason: str
) -> Iterator[dict[str, Any]]:
    """Yield progress and verdict as the agent would."""
    loaded = setup.load(overrides=overrides, config=config)
    if isinstance(loaded, str):
        yield {"exit": 2, "text": loaded}
        return
    yield {"progress": f"{reason}; looking by myself"}
    with asyncio.Runner() as runner:
        answers = _answers(request, loaded, settle=request.get("timeout") == 0)
        while (item := runner.run(_next(answers))) is not None:
            yield item


async def _next(answers: Any) -> dict[str, Any] | None:
    item: dict[str, Any] | None = await anext(answers, None)
    return item


def _drain(answers: Any) -> list[dict[str, Any]]:
    async def collect() -> list[dict[str, Any]]:
        return [item async for item in answers]

    return asyncio.run(collect())


async def _answers(request: dict[str, Any], config: Config, *, settle: bool) -> Any:
    async with wiring.open_parts(config, act=False, keep=False) as parts:
        running = asyncio.ensure_future(parts.loop.run())
        try:
            if settle:
                await _settle(parts)
            async for item in Views(parts.loop, parts.boottime).answer(request):
                yield item
        finally:
            running.cancel()
            await asyncio.wait({running})


async def _settle(parts: wiring.Parts) -> None:
    """Wait until every source was heard of and what depends on the first answers was asked too, within limits."""
    try:
        async with asyncio.timeout(LOOK_FOR):
            while not parts.observer.settled:
                await parts.loop.next_report()
            for _ in range(ROUNDS):
                parts.observer.wake()
                await parts.loop.next_report()
    except TimeoutError:
        parts.loop.cycle()
