# SPDX-License-Identifier: Apache-2.0
"""For commands on a host where no agent runs: the same probes, judge and views, for as long as the command needs."""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from typing import Any

from tidegate.agent import ending, setup, wiring
from tidegate.agent.views import Views
from tidegate.clients import clock
from tidegate.config.model import Config
from tidegate.report.terminal import Terminal

FIRST = 1.0
"""Seconds within which every source should have been heard of; one that was not is shown as unknown."""
LOOK_FOR = 2.5
"""Seconds for all rounds."""
ROUNDS = 3
"""Looks after which what rests on what was learnt first (devices on placements on definitions) has been looked at too."""

Show = Callable[[dict[str, Any]], None]


def answer(
    request: dict[str, Any], *, overrides: Mapping[str, object], config: str | None, reason: str
) -> tuple[int, str]:
    """Return (exit code, text) for ``request`` from our own look. ``reason`` says why no agent was asked."""
    last = wait(request, overrides=overrides, config=config, show=lambda _progress: None)
    alone = last["exit"] == 2 or request.get("format") == "json"
    terminal = Terminal(width=int(request.get("width", 100)))
    said = terminal.wrap(f"({reason}; this was seen without it)", indent=2)
    note = "" if alone else f"\n{said}\n"
    return int(last["exit"]), str(last["text"]) + note


def wait(
    request: dict[str, Any], *, overrides: Mapping[str, object], config: str | None, show: Show
) -> dict[str, Any]:
    """Return the last answer to ``request``, as the agent would give it; ``show`` is called with those before it."""
    loaded = setup.load(overrides=overrides, config=config)
    if isinstance(loaded, str):
        return {"exit": 2, "text": loaded}
    return ending.run(_answer(request, loaded, show))


async def _answer(request: dict[str, Any], config: Config, show: Show) -> dict[str, Any]:
    began = clock.boottime()
    is_wait = request.get("op") == "wait"
    waits = is_wait and request.get("timeout") != 0
    async with (
        wiring.open_parts(config, act=False, keep=False, listen=waits) as parts,
        asyncio.TaskGroup() as group,  # within: nobody uses a client that is closed, however often we are cancelled
    ):
        running = group.create_task(parts.loop.run(), name="loop")
        try:
            await _settle(parts)
            if not is_wait:
                parts.observer.give_up_unheard(FIRST)
            parts.loop.cycle()
            request = {**request, "waited": clock.boottime() - began}
            async with contextlib.aclosing(
                Views(parts.loop, parts.boottime).answer(request)
            ) as answers:
                async for item in answers:
                    if "exit" in item:
                        return item
                    show(item)
        finally:
            running.cancel()
    raise AssertionError("views end with an exit code")


async def _settle(parts: wiring.Parts) -> None:
    """Wait until every source was heard of and what depends on the first answers was asked too, within limits."""
    try:
        async with asyncio.timeout(LOOK_FOR):
            await parts.observer.settle(FIRST)
            for _ in range(ROUNDS):
                parts.observer.judge()
                await parts.observer.once_more()
    except TimeoutError:
        pass
