# SPDX-License-Identifier: Apache-2.0
"""Whoever is cancelled, at whatever step, leaves no open socket, connection, session or process behind.

Warnings about things that were never closed come when they are collected, in whichever test that happens to be: here they are had at
once, and named.
"""

import asyncio
import contextlib
import gc
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests import embedded_nodes as nodes

from tidegate.agent import direct, service, setup
from tidegate.config.model import Config

STEPS = (*range(24), *range(24, 120, 6))
Work = Callable[[], Awaitable[object]]


async def cancelled_after(steps: int, work: Work) -> bool:
    """Begin ``work``, cancel it after so many turns of the loop, and wait for its end; False when it was over before."""
    task = asyncio.ensure_future(work())
    for _ in range(steps):
        await asyncio.sleep(0)
    over = task.done()
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error
    return not over


def left_behind() -> list[str]:
    """What was never closed, of all that nobody holds any more."""
    with warnings.catch_warnings(record=True) as found:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    return [str(one.message) for one in found]


@contextlib.asynccontextmanager
async def config_of_a_node(folder: Path) -> AsyncIterator[Config]:
    node = nodes.node(folder)
    async with node.running():
        loaded = setup.load(overrides={}, config=str(nodes.config_file(node)))
        assert not isinstance(loaded, str), loaded
        yield loaded


async def _leaves_nothing(work: Work) -> None:
    gc.collect()
    gc.freeze()  # what was there before us is none of our business, and looking at it again and again takes long
    try:
        for steps in STEPS:
            await cancelled_after(steps, work)
            await asyncio.sleep(0)
            assert left_behind() == [], f"cancelled after {steps} turns of the loop"
    finally:
        gc.unfreeze()


@pytest.mark.parametrize("op", ["status", "wait"])
async def test_a_command_that_looks_by_itself(tmp_path: Path, op: str) -> None:
    async with config_of_a_node(tmp_path) as config:
        request = {"op": op, "timeout": 5.0}
        await _leaves_nothing(lambda: direct._answer(request, config, lambda _progress: None))


async def test_the_agent(tmp_path: Path) -> None:
    async def life() -> None:
        async with service.serving(config):
            await asyncio.Event().wait()

    async with config_of_a_node(tmp_path) as config:
        await _leaves_nothing(life)


async def test_the_simulated_node(tmp_path: Path) -> None:
    async def life() -> None:
        async with nodes.node(tmp_path).running():
            await asyncio.Event().wait()

    await _leaves_nothing(life)
